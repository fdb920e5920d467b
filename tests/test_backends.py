"""What people see in a tracing backend: the same on a real Jaeger as on the OTLP receiver of the tests."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import time
from typing import Any

import pytest

from backends import BACKENDS, Backend, Jaeger, Shown, wait_for_spans
from expected import NO_USAGE, chatted
from processes import run
from server import (
    STALL,
    Delay,
    Reply,
    Request,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    chat_usage,
    embeddings,
    error_reply,
    json_reply,
    response,
    role_chunk,
    sse,
    tool_call,
)

EXAMPLES = Path(__file__).parent.parent / "examples"
SERVICE = "shop"
APP = """
import os
from contextlib import suppress
import openai, otel_openai
from opentelemetry import trace

otel_openai.instrument(export="otlp")
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="k", max_retries=0, timeout=20)

def ask(**options):
    question = {"role": "user", "content": "Say hello."}
    return client.chat.completions.create(model="gpt-4o-mini", messages=[question], **options)

def handle():
    ask()
    list(ask(stream=True))
    with ask(stream=True) as stream:
        next(stream)
    list(ask(stream=True))
    with suppress(openai.RateLimitError):
        ask()

web = trace.get_tracer("web")
with web.start_as_current_span("POST /ask", kind=trace.SpanKind.SERVER):
    handle()
"""
FIRST_CHUNK = 0.2
REST = 0.1
BEGIN = [role_chunk(), chat_chunk("Hel")]
STREAM = {"gen_ai.request.stream": True, "otel_openai.stream.chunk.count": 2}
UNFINISHED = {**STREAM, **NO_USAGE, "gen_ai.response.finish_reasons": ["error"]}
NOTHING: list[str] = []
TIMES = {"gen_ai.response.time_to_first_chunk", "otel_openai.stream.max_chunk_gap"}


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Each backend in turn."""
    with BACKENDS[request.param](tmp_path_factory.mktemp("backend")) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """One server for all tests: a backend is filled once, and looked at by each of them."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture(scope="module")
def spans(backend: Backend, server: ScriptedServer) -> list[Shown]:
    """What the backend shows of one web request: the span of the request, and one for each call in it."""
    began = time()
    role, first, *rest = chat_stream("Hel", "lo!", usage=chat_usage())
    server.reply(
        chat(),
        sse(role, Delay(FIRST_CHUNK), first, Delay(REST), *rest),
        sse(*BEGIN, STALL),
        sse(*BEGIN),
        error_reply(429),
    )
    run(APP, server, env={"OTEL_EXPORTER_OTLP_ENDPOINT": backend.endpoint, "OTEL_SERVICE_NAME": SERVICE})
    shown = wait_for_spans(backend, SERVICE, 6)
    assert len(shown) == 6
    assert began <= shown[0].start <= time()
    return shown


def attributes(span: Shown) -> dict[str, Any]:
    return {key: value for key, value in span.attributes.items() if key not in TIMES}


def test_services_and_operations_have_their_names(spans: list[Shown]) -> None:
    assert [span.name for span in spans] == ["POST /ask", *["chat gpt-4o-mini"] * 5]
    assert {span.service for span in spans} == {SERVICE}
    assert [(span.kind, span.scope) for span in spans] == [("server", "web"), *[("client", "otel_openai")] * 5]


def test_calls_are_below_the_web_request_in_one_trace(spans: list[Shown]) -> None:
    request, *calls = spans

    assert request.parent_id is None
    assert [call.parent_id for call in calls] == [request.span_id] * 5
    assert {span.trace_id for span in spans} == {request.trace_id}
    assert len({span.span_id for span in spans}) == 6


def test_every_attribute_of_a_plain_call_is_shown(spans: list[Shown], server: ScriptedServer) -> None:
    plain = spans[1]

    assert plain.attributes == chatted(server)
    assert (plain.is_error, plain.description) == (False, "")


def test_every_attribute_of_a_stream_is_shown(spans: list[Shown], server: ScriptedServer) -> None:
    stream = spans[2]
    told = {**STREAM, "otel_openai.stream.outcome": "completed", "otel_openai.stream.chunk.count": 5}

    assert attributes(stream) == chatted(server, told)
    assert not stream.is_error


def test_a_stream_that_the_app_closed_early_is_shown_as_closed(spans: list[Shown], server: ScriptedServer) -> None:
    closed = spans[3]
    told = {**UNFINISHED, "otel_openai.stream.outcome": "closed", "otel_openai.stream.chunk.count": 1}

    assert attributes(closed) == chatted(server, told)
    assert not closed.is_error


def test_an_answer_that_the_server_cut_off_is_shown_as_truncated(spans: list[Shown], server: ScriptedServer) -> None:
    cut = spans[4]

    assert attributes(cut) == chatted(server, {**UNFINISHED, "otel_openai.stream.outcome": "truncated"})
    assert not cut.is_error


def test_a_refused_call_is_shown_as_an_error(spans: list[Shown]) -> None:
    refused = spans[5]

    assert refused.is_error
    assert refused.description == "RateLimitError, HTTP 429, code rate_limit_exceeded, type requests"
    assert refused.attributes["error.type"] == "rate_limit_exceeded"
    assert refused.attributes["http.response.status_code"] == 429
    assert not spans[0].is_error


def test_times_are_those_of_the_calls(spans: list[Shown]) -> None:
    request, *calls = spans
    stream = calls[1]
    microsecond = 1e-6  # Jaeger's times are rounded to it

    for before, after in pairwise(calls):
        assert before.start + before.duration <= after.start + microsecond
    for call in calls:
        assert request.start <= call.start + microsecond
        assert call.start + call.duration <= request.start + request.duration + 2 * microsecond
    first_chunk = stream.attributes["gen_ai.response.time_to_first_chunk"]
    assert FIRST_CHUNK <= first_chunk <= stream.duration
    assert stream.duration >= FIRST_CHUNK + REST
    assert 0 < stream.attributes["otel_openai.stream.max_chunk_gap"] <= stream.duration


@pytest.mark.parametrize("backend", ["Jaeger"], indirect=True)
def test_a_search_by_outcome_finds_the_trace(backend: Jaeger, spans: list[Shown]) -> None:
    assert backend.services() == [SERVICE]
    assert backend.operations(SERVICE) == {"POST /ask", "chat gpt-4o-mini"}
    assert backend.spans(SERVICE, **{"otel_openai.stream.outcome": "truncated"}) == spans
    assert backend.spans(SERVICE, **{"otel_openai.stream.outcome": "abandoned"}) == []


@pytest.mark.parametrize("backend", ["Jaeger"], indirect=True)
@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("quickstart", [*[("chat m", NOTHING)] * 6, ("embeddings e", NOTHING)]),
        ("tool_loop", [("tool_loop", ["chat m", "execute_tool get_weather", "chat m"])]),
        ("worker_pool", [("job", ["chat m"])] * 3),
    ],
)
def test_an_example_is_shown_with_its_traces(
    backend: Jaeger, server: ScriptedServer, example: str, expected: list[tuple[str, list[str]]]
) -> None:
    server.always(answer)
    env = {
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_MODEL": "m",
        "OPENAI_EMBEDDING_MODEL": "e",
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.endpoint,
        "OTEL_SERVICE_NAME": example,
    }
    arguments = [example] if example != "worker_pool" else [example, "a", "b", "c"]
    run(
        f"""
        import runpy, sys
        sys.argv, sys.path[:0] = {arguments}, [{str(EXAMPLES)!r}]
        runpy.run_path({str(EXAMPLES / example)!r} + ".py", run_name="__main__")
        """,
        server,
        env=env,
        warnings="ignore",  # the exporter leaves connections open
    )

    wait_for_spans(backend, example, sum(1 + len(below) for _, below in expected))
    assert sorted(trees(backend.spans(example))) == expected


def answer(request: Request) -> Reply:
    """What the examples need: a call of the tool that is offered, once, and a refusal of what is wrong on purpose."""
    asked = request.json
    if request.path.endswith("/embeddings"):
        return json_reply(embeddings())
    if request.path.endswith("/responses"):
        return json_reply(response())
    if asked.get("temperature") == "hot":
        return error_reply(400)
    if asked.get("stream"):
        return sse(*chat_stream("Hello"))
    if asked.get("tools") and asked["messages"][-1]["role"] == "user":
        return json_reply(chat(tool_calls=[tool_call()]))
    return json_reply(chat())


def trees(spans: list[Shown]) -> list[tuple[str, list[str]]]:
    """The name of every root, and the names of what is below it."""
    roots = {span.span_id: (span.name, list[str]()) for span in spans if span.parent_id is None}
    for span in spans:
        if span.parent_id is not None:
            roots[span.parent_id][1].append(span.name)
    return list(roots.values())
