"""Processes that fork after `instrument()`: parent and child report, each what it did, and no lock is left held."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from time import monotonic
from typing import Any
from urllib.request import urlopen

import pytest

from otlp import OtlpReceiver, attributes
from processes import environment, run
from server import Delay, Gate, Reply, Request, ScriptedServer, chat, json_reply, sse, transcription
from streamed import CHAT

if not hasattr(os, "fork"):
    pytest.skip("this system has no fork", allow_module_level=True)

PROGRAM = """
import faulthandler, gc, os, sys, threading, time
import openai, otel_openai
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

def client():
    return openai.OpenAI(
        base_url=os.environ["BASE_URL"], api_key="k", max_retries=0, timeout=10,
        http_client=openai.DefaultHttpxClient(verify=False),
    )

def ask(client, model="m", **more):
    return client.chat.completions.create(model=model, messages=[], **more)

def fork(in_child):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(20, exit=True)  # a child that hangs says where
        in_child()
        sys.exit()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def answers(server: ScriptedServer) -> None:
    """A plain answer, or a stream that does not end."""

    def answer(request: Request) -> Reply:
        return sse(*CHAT.begin, Gate()) if request.json.get("stream") else json_reply(chat())

    server.always(answer)


def counts(receiver: OtlpReceiver, metric: str) -> dict[str, dict[str, float]]:
    """What each process, by its `service.instance.id`, has counted for each model in the end."""
    last: dict[str, dict[str, float]] = {}
    for resource, exported in receiver.received_metrics():
        if exported.name == metric:
            points = exported.sum.data_points
            found = {
                attributes(point.attributes)["gen_ai.request.model"]: point.as_int or point.as_double
                for point in points
            }
            last[resource["service.instance.id"]] = found
    return last


def test_parent_and_child_report_each_what_it_did(server: ScriptedServer, receiver: OtlpReceiver) -> None:
    _, errors = run(
        PROGRAM
        + dedent("""
        otel_openai.instrument(export="otlp")
        mine, childs = client(), client()
        ask(mine, "parent")
        stream = ask(mine, "parent", stream=True)
        next(stream)
        metrics.get_meter_provider().force_flush()

        def in_child():
            for _ in range(3):
                ask(childs, "child")
            next(ask(childs, "child", stream=True))

        assert fork(in_child) == 0
        stream.close()
        ask(mine, "parent")
        """),
        server,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint},
        warnings="ignore",  # the child's stream is left open on purpose
    )

    assert errors == ""
    assert Counter(receiver.span_names) == {"chat parent": 3, "chat child": 4}
    parent = next(iter(counts(receiver, "otel_openai.active_requests")))
    for metric, of_parent, of_child in (
        ("otel_openai.active_requests", 0, 0),
        ("otel_openai.streams", 1, 1),
        ("gen_ai.client.inference.usage.input_tokens", 18, 27),
    ):
        found = counts(receiver, metric)
        assert found.pop(parent) == {"parent": of_parent}
        assert list(found.values()) == [{"child": of_child}]


def test_parent_and_child_report_each_its_seconds(server: ScriptedServer, receiver: OtlpReceiver) -> None:
    server.always(transcription(usage={"type": "duration", "seconds": 1.5}))
    _, errors = run(
        PROGRAM
        + dedent("""
        otel_openai.instrument(export="otlp")

        def hear(client, model):
            client.audio.transcriptions.create(model=model, file=("hello.wav", b"RIFF"))

        mine, childs = client(), client()
        hear(mine, "parent")
        assert fork(lambda: [hear(childs, "child") for _ in range(3)]) == 0
        hear(mine, "parent")
        """),
        server,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint},
        warnings="ignore",  # neither closes its client
    )

    assert errors == ""
    found = counts(receiver, "otel_openai.usage.duration")
    assert sorted(found.values(), key=str) == [{"child": 4.5}, {"parent": 3.0}]


def test_a_lock_that_another_thread_held_does_not_stop_the_child(server: ScriptedServer) -> None:
    printed, errors = run(
        PROGRAM
        + dedent("""
        from otel_openai import _telemetry, console
        from otel_openai._reaper import reaper

        otel_openai.instrument(export="console")
        ask(client())  # so that there is something to hold
        otel_openai.uninstrument()
        otel_openai.instrument()  # so that the set-up is looked for again
        holders = [_telemetry.Telemetry, reaper, *_telemetry._metrics_of.values(), *console._trees]
        held, done = threading.Barrier(len(holders) + 1), threading.Event()

        def hold(lock):
            with lock:
                held.wait()
                done.wait()

        for holder in holders:
            threading.Thread(target=hold, args=(holder._lock,)).start()
        held.wait()
        childs = client()

        def in_child():
            ask(childs)
            stream = ask(childs, stream=True)
            next(stream)
            del stream
            gc.collect()
            assert reaper.flush()
            metrics.get_meter_provider().force_flush()

        print(len(holders), fork(in_child))
        done.set()
        """),
        server,
        warnings="ignore",
    )

    assert printed == "4 0\n"
    assert errors.count("chat m") == 3
    assert "abandoned" in errors


def test_hundreds_of_forks_while_locks_are_taken(server: ScriptedServer) -> None:
    printed, errors = run(
        PROGRAM
        + dedent("""
        from otel_openai import _telemetry

        # No reader and no processor: their locks are the SDK's, which does not renew them all.
        otel_openai.instrument(tracer_provider=TracerProvider(), meter_provider=MeterProvider())
        mine, childs = client(), client()
        for model in range(20):
            ask(mine, str(model))
        counts, = _telemetry._metrics_of.values()
        busy = threading.Event()
        os.register_at_fork(after_in_parent=busy.clear)  # the child gets the processor

        def keep(doing):
            while busy.wait():
                doing()

        for doing in (lambda: ask(mine), lambda: counts._read_active(None)):
            threading.Thread(target=keep, args=(doing,), daemon=True).start()

        def in_child():
            ask(childs)
            os._exit(0)

        returned = set()
        for _ in range(200):
            busy.set()
            time.sleep(0.001)
            returned.add(fork(in_child))
        print(returned)
        """),
        server,
        warnings="ignore",
    )

    assert (printed, errors) == ("{0}\n", "")


INSTRUMENT = """
import otel_openai
otel_openai.instrument(export="otlp")
"""
APP = """
import asyncio, os
import openai
from opentelemetry import metrics, trace

client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="k", max_retries=0)

def answer():
    client.chat.completions.create(model="m", messages=[])
    return str(os.getpid()).encode()

def wsgi(environ, start_response):
    body = answer()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        # uvicorn ends its workers by a signal: what is registered with atexit does not run.
        for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
            await asyncio.to_thread(provider.shutdown)
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = await asyncio.to_thread(answer)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
"""
PAGE = Path(__file__).parents[1] / "docs" / "zero-code.md"
SCRIPTS = Path(sys.executable).parent
GUNICORN = [str(SCRIPTS / "gunicorn"), "--workers=2", "--bind=fd://{}", "app:wsgi"]
UVICORN = [str(SCRIPTS / "uvicorn"), "--workers=2", "--fd={}", "app:asgi"]
ZERO_CODE = [str(SCRIPTS / "opentelemetry-instrument"), "--exporter_otlp_protocol=http/protobuf"]
POST_FORK = re.findall(r"```python\n(# gunicorn.conf.py\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
SERVERS = {
    "gunicorn-post-fork": (GUNICORN, ""),
    "gunicorn-preload": ([*GUNICORN, "--preload"], INSTRUMENT),
    "gunicorn-zero-code": ([*ZERO_CODE, *GUNICORN], ""),
    "uvicorn": (UVICORN, INSTRUMENT),
    "uvicorn-zero-code": ([*ZERO_CODE, *UVICORN], ""),
}


@pytest.mark.parametrize("name", SERVERS)
def test_every_worker_of_a_server_reports(
    name: str, server: ScriptedServer, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    command, instrument = SERVERS[name]
    server.always(json_reply(chat()).after(Delay(0.02)))  # time for the other worker to take a request too
    (tmp_path / "app.py").write_text(instrument + APP)
    if name == "gunicorn-post-fork":
        (tmp_path / "gunicorn.conf.py").write_text(*POST_FORK)
    answered: Counter[str] = Counter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        process = subprocess.Popen(  # noqa: S603 - our own program
            [part.format(listener.fileno()) for part in command],
            env=environment(server, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}),
            cwd=tmp_path,
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            deadline = monotonic() + 40
            with ThreadPoolExecutor(4) as browsers:
                while len(answered) < 2 and monotonic() < deadline:
                    answered.update(browsers.map(body_of, [url] * 8))
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=40)

    assert len(answered) == 2, log
    assert not re.search("Traceback|[Ww]arning", log), log
    assert Counter(receiver.span_names) == {"chat m": answered.total()}
    told = counts(receiver, "gen_ai.client.inference.usage.input_tokens")
    assert sorted(found["m"] for found in told.values()) == sorted(9 * calls for calls in answered.values())


def body_of(url: str) -> str:
    with urlopen(url, timeout=30) as answer:  # noqa: S310 - on loopback
        body: Any = answer.read()
    return body.decode()
