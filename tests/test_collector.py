"""The collector's configurations, on a real collector: what arrives, what is sampled, and that nothing is lost."""

import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backends import Received, collected, wait_for_spans
from collectors import CONFIGS, Collector, program
from processes import run
from server import Delay, Reply, Request, ScriptedServer, chat, chat_chunk, chat_stream, error_reply, role_chunk, sse

APP = """
import os, sys
from contextlib import suppress
import openai, otel_openai
from opentelemetry import trace

otel_openai.instrument(export="otlp")
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="k", max_retries=0, timeout=20)
web = trace.get_tracer("web")

def handle(path, **options):
    with web.start_as_current_span(path, kind=trace.SpanKind.SERVER), suppress(openai.APIError):
        result = client.chat.completions.create(model=path, messages=[], **options)
        if options:
            list(result)
"""
EACH_ONCE = """
for path in "plain", "refused", "length":
    handle(path)
for path in "quick", "slow", "cut":
    handle(path, stream=True)
"""
SLOW = 1.5
"""Seconds to the first token that are too many."""
SOON = {"retry_on_failure": {"initial_interval": "100ms", "max_interval": "500ms"}}


@pytest.fixture(autouse=True)
def answers(server: ScriptedServer) -> None:
    """Answer as the name of the model says."""
    replies: dict[str, Reply | dict[str, Any]] = {
        "plain": chat(),
        "refused": error_reply(429),
        "length": chat(finish_reason="length"),
        "quick": sse(*chat_stream("Hello")),
        "slow": sse(Delay(SLOW), *chat_stream("Hello")),
        "cut": sse(role_chunk(), chat_chunk("Hel")),
    }

    def answer(request: Request) -> Reply | dict[str, Any]:
        return replies[request.json["model"]]

    server.always(answer)


@pytest.fixture
def receiver() -> Iterator[Received]:
    """Where Jaeger and Prometheus would be."""
    with Received() as running:
        yield running


@pytest.fixture
def gateways(receiver: Received, tmp_path: Path) -> list[Collector]:
    """Two gateways, not started, that do not wait long for the rest of a trace."""
    jaeger = {"endpoint": receiver.endpoint, **SOON}
    made = [Collector("gateway", tmp_path / f"gateway {n}", otlp_http__jaeger=jaeger) for n in (1, 2)]
    for gateway in made:
        waits = {"decision_wait_after_root_received": "1s", "decision_wait": "5s"}
        gateway.changes["processors"] = {"tail_sampling": waits}
    return made


@pytest.fixture
def agent(gateways: list[Collector], receiver: Received, tmp_path: Path) -> Collector:
    """An agent that sends to the gateways, not started."""
    addresses = {"dns": None, "static": {"hostnames": [gateway.grpc for gateway in gateways]}}  # no names on loopback
    return Collector(
        "agent",
        tmp_path / "agent",
        load_balancing={"resolver": addresses, **SOON},
        otlp_http__prometheus={"endpoint": receiver.endpoint, **SOON},
    )


@contextmanager
def running(gateways: list[Collector], **env: str) -> Generator[None]:
    """Run both gateways."""
    with gateways[0].running(env), gateways[1].running(env):
        yield


def send(endpoint: str, server: ScriptedServer, requests: str, **more: str) -> None:
    """Run an app that handles these requests, and exports what it told by OTLP."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SERVICE_NAME": "shop", **more}
    out, err = run(APP + requests, server, env=env, warnings="ignore")  # the exporter leaves connections open
    assert out + err == ""  # nothing that it exported was refused


def traces(receiver: Received) -> dict[str, set[str]]:
    """The spans of each trace; what comes twice, as it may when a delivery is repeated, counts once."""
    found: dict[str, set[str]] = {}
    for span in receiver.spans("shop"):
        found.setdefault(span.trace_id, set()).add(span.span_id)
    return found


def calls(receiver: Received) -> int:
    """How many calls the metrics count; an app exports them once, when it ends."""
    counts = [
        sum(point.count for point in metric.histogram.data_points)
        for _, metric in receiver.received_metrics()
        if metric.name == "gen_ai.client.operation.duration"
    ]
    return sum(counts)


@pytest.mark.parametrize("name", ["collector", "agent", "gateway"])
def test_every_configuration_is_valid(name: str) -> None:
    command = [program(), "validate", "--config", CONFIGS / f"{name}.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - built by us

    assert (done.returncode, done.stderr) == (0, "")


def test_metrics_go_to_prometheus_and_exceptions_to_the_log(
    receiver: Received, server: ScriptedServer, tmp_path: Path
) -> None:
    prometheus = {"endpoint": receiver.endpoint}
    collector = Collector("collector", tmp_path / "collector", otlp_http__prometheus=prometheus)
    with collector.running():
        send(collector.endpoint, server, EACH_ONCE, OTEL_TRACES_EXPORTER="none")
        receiver.wait_until(lambda: receiver.metrics != [])

    assert calls(receiver) == 6
    assert "exception.type=openai.RateLimitError" in collector.log


def test_traces_of_any_size_reach_jaeger(server: ScriptedServer, tmp_path: Path) -> None:
    with collected(tmp_path) as backend:
        send(
            backend.endpoint,
            server,
            "for _ in range(60): web.start_span('large', attributes={'text': 'x' * 100_000}).end()",
        )
        assert len(wait_for_spans(backend, "shop", 60)) == 60


def test_gateways_keep_what_is_worth_looking_at_and_metrics_count_everything(
    agent: Collector, gateways: list[Collector], receiver: Received, server: ScriptedServer
) -> None:
    with running(gateways, KEEP_PERCENT="0", SLOW_FIRST_TOKEN_SECONDS=str(SLOW)), agent.running():
        send(agent.endpoint, server, EACH_ONCE)
        receiver.wait_until(lambda: len(receiver.span_names) >= 8, timeout=60)

    shown = receiver.spans("shop")  # a gateway that stops has decided about every trace
    kept = ("refused", "length", "slow", "cut")
    assert [span.name for span in shown] == [name for path in kept for name in (path, f"chat {path}")]
    assert calls(receiver) == 6


def test_a_share_of_the_rest_is_kept(
    agent: Collector, gateways: list[Collector], receiver: Received, server: ScriptedServer
) -> None:
    with running(gateways, KEEP_PERCENT="50"), agent.running():
        send(agent.endpoint, server, "for _ in range(100): handle('plain')")
        receiver.wait_until(lambda: len(receiver.span_names) >= 2 * 25, timeout=60)

    assert 25 <= len(traces(receiver)) <= 75  # outside of that: once in two million runs


def test_nothing_is_lost_while_agents_and_gateways_restart(
    agent: Collector, gateways: list[Collector], receiver: Received, server: ScriptedServer
) -> None:
    refused = "for _ in range(10): handle('refused')"
    with agent.running():
        send(agent.endpoint, server, refused)  # no gateway is there
    receiver.is_available = False
    with agent.running():
        with running(gateways):
            send(agent.endpoint, server, refused)  # no backend is there
            receiver.wait_until(lambda: {"/v1/traces", "/v1/metrics"} <= set(receiver.refused), timeout=60)
        send(agent.endpoint, server, refused)  # and again no gateway
    receiver.is_available = True
    with agent.running(), running(gateways):
        receiver.wait_until(lambda: len(traces(receiver)) >= 30 and calls(receiver) >= 30, timeout=60)

    assert {len(spans) for spans in traces(receiver).values()} == {2}
    assert calls(receiver) == 30
