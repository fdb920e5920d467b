"""The programs in examples/, run as a user runs them; what they tell is read back as a collector gets it, by OTLP."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otlp import OtlpReceiver, attributes
from processes import environment
from server import (
    CUT,
    Gate,
    Reply,
    Request,
    ScriptedServer,
    chat,
    chat_stream,
    chat_usage,
    embeddings,
    error_reply,
    json_reply,
    response,
    sse,
    tool_call,
)

ROOT = Path(__file__).parents[1]
STREAM = chat_stream("Hello", " you")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def start(server: ScriptedServer, receiver: OtlpReceiver) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts an example; what still runs at the end of the test is stopped."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        where = {"OPENAI_BASE_URL": server.base_url, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), *arguments],
            env=environment(server, {**where, "OPENAI_MODEL": "m", **env}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def output(process: "subprocess.Popen[str]") -> str:
    """Wait for the end of a program that has nothing to complain of: what it printed."""
    printed, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")
    return printed


def spans(receiver: OtlpReceiver) -> list[Span]:
    """All spans, in the order of their starts."""
    scopes = [scope for resource in receiver.resource_spans for scope in resource.scope_spans]
    return sorted((span for scope in scopes for span in scope.spans), key=lambda span: span.start_time_unix_nano)


def trees(receiver: OtlpReceiver) -> list[tuple[str, list[str]]]:
    """The names of every trace's root and of what is directly below it; there is nothing deeper."""
    found = spans(receiver)
    roots = {span.span_id: (span.name, list[str]()) for span in found if not span.parent_span_id}
    for span in found:
        if span.parent_span_id:
            roots[span.parent_span_id][1].append(span.name)
    assert len({span.trace_id for span in found}) == len(roots)
    return list(roots.values())


def test_quickstart(server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]) -> None:
    def answer(request: Request) -> Reply:
        if request.path.endswith("/embeddings"):
            return json_reply(embeddings())
        if request.path.endswith("/responses"):
            return json_reply(response())
        if request.json.get("temperature") == "hot":
            return error_reply(400)
        return sse(*STREAM) if request.json.get("stream") else json_reply(chat())

    server.always(answer)

    printed = output(start("quickstart", OPENAI_EMBEDDING_MODEL="e"))

    assert printed.count("\n# ") == 7
    assert trees(receiver) == [*[("chat m", [])] * 5, ("embeddings e", []), ("chat m", [])]
    assert [span.status.code for span in spans(receiver)] == [Span().status.code] * 6 + [2]
    assert "gen_ai.client.operation.duration" in receiver.metric_names


def test_tool_loop(server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]) -> None:
    two = [tool_call(id="call_1"), tool_call("get_time", id="call_2")]
    server.reply(chat(tool_calls=two), chat("Take an umbrella."))

    printed = output(start("tool_loop", "Is it raining in Paris?"))

    assert printed.splitlines() == [
        'get_weather({"city":"Paris"})',
        'get_time({"city":"Paris"})',
        "Take an umbrella.",
    ]
    messages = server.last.json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [(message["tool_call_id"], message["content"]) for message in messages[2:]] == [
        ("call_1", "Paris: 18 degrees, light rain"),
        ("call_2", "Error: KeyError('get_time')"),
    ]
    below = ["chat m", "execute_tool get_weather", "execute_tool get_time", "chat m"]
    assert trees(receiver) == [("tool_loop", below)]
    first, last = (attributes(span.attributes) for span in spans(receiver) if span.name == "chat m")
    assert first["otel_openai.tool_call.names"] == ["get_weather", "get_time"]
    assert last["otel_openai.tool_call.count"] == 0


def test_tool_loop_that_finds_no_end(server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]) -> None:
    server.always(chat(tool_calls=[tool_call()]))

    process = start("tool_loop")

    assert "RuntimeError: no answer after 4 rounds" in process.communicate(timeout=60)[1]
    assert trees(receiver) == [("tool_loop", ["chat m", "execute_tool get_weather"] * 4)]


def test_worker_pool(server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]) -> None:
    gate = Gate()
    server.reply(*[json_reply(chat()).after(gate)] * 3, error_reply(400), json_reply(chat()))

    process = start("worker_pool", "a", "b", "c", "d", "e")
    server.wait_for(3, timeout=30)
    sleep(0.1)
    assert len(server.requests) == 3
    gate.open()

    printed = output(process)
    assert sorted(line[:4] for line in printed.splitlines()) == ["a ->", "b ->", "c ->", "d ->", "e ->"]
    assert trees(receiver) == [("job", ["chat m"])] * 5


def test_worker_pool_with_a_real_model(receiver: OtlpReceiver, start: Callable[..., Any]) -> None:
    for package in ("xllamacpp", "gguf", "numpy"):
        pytest.importorskip(package, reason=f"the real model server needs the package {package}")
    from llama import server, tiny_gguf  # noqa: PLC0415 - it needs them

    with server.serve(tiny_gguf.build(ROOT / ".cache")) as url:
        printed = output(start("worker_pool", "a", "b", OPENAI_BASE_URL=url, OPENAI_MODEL="tiny"))

    assert len(printed.splitlines()) >= 2
    assert trees(receiver) == [("job", ["chat tiny"])] * 2


@contextmanager
def web_service(start: Callable[..., "subprocess.Popen[str]"], failed_requests: int = 0) -> Generator[tuple[str, int]]:
    """The address of the running service. SIGTERM ends it, as it does in a container."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address: tuple[str, int] = free.getsockname()
    process = start("fastapi_stream", PORT=str(address[1]))
    deadline = monotonic() + 30
    while True:
        try:
            socket.create_connection(address).close()
            break
        except ConnectionRefusedError:
            assert process.poll() is None, process.communicate()
            assert monotonic() < deadline
            sleep(0.05)
    yield address
    process.send_signal(signal.SIGTERM)
    printed, log = process.communicate(timeout=60)
    assert (process.returncode, printed) == (0, "")
    assert log.count("Exception in ASGI application") == failed_requests, log


def browser(address: tuple[str, int]) -> socket.socket:
    """A connection that has asked, and has read until the first word came."""
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(f"GET /ask?question={quote('Why?')} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    read = b""
    while b"Hello" not in read:
        read += connection.recv(1000)
    return connection


def the_model_span_below_the_web_span(receiver: OtlpReceiver) -> dict[str, Any]:
    """The attributes of the span of the stream."""
    assert trees(receiver) == [("GET /ask", ["chat m"])]
    web, model = spans(receiver)
    assert (web.kind, model.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert web.start_time_unix_nano < model.start_time_unix_nano
    assert model.end_time_unix_nano < web.end_time_unix_nano
    assert attributes(web.attributes)["http.response.status_code"] == 200
    told = attributes(model.attributes)
    assert (model.status.code, "error.type" in told) in [(0, False), (2, True)]
    return told


def test_fastapi_stream(server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]) -> None:
    server.reply(sse(*chat_stream("Hello", " you", usage=chat_usage())))

    with web_service(start) as (host, port), urlopen(f"http://{host}:{port}/ask?question=Why%3F") as page:
        assert page.read() == b"Hello you"

    assert server.last.json["messages"] == [{"role": "user", "content": "Why?"}]
    told = the_model_span_below_the_web_span(receiver)
    assert told["otel_openai.stream.outcome"] == "completed"
    assert told["gen_ai.usage.output_tokens"] == 12


@pytest.mark.parametrize("model_is", ["silent", "talking"])
def test_fastapi_stream_whose_browser_goes_away(
    model_is: str, server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]
) -> None:
    more = [Gate()] if model_is == "silent" else chat_stream(*[" word" * 1000] * 2000)[1:]
    server.reply(sse(*STREAM[:2], *more))

    with web_service(start) as address:
        browser(address).close()
        (request,) = server.wait_for(1)
        assert request.wait() == "disconnected"

    told = the_model_span_below_the_web_span(receiver)
    assert told["otel_openai.stream.outcome"] == "closed"
    assert "error.type" not in told


def test_fastapi_stream_whose_model_breaks(
    server: ScriptedServer, receiver: OtlpReceiver, start: Callable[..., Any]
) -> None:
    gate = Gate()
    server.reply(sse(*STREAM[:2], gate, CUT))

    with web_service(start, failed_requests=1) as address:
        connection = browser(address)
        gate.open()
        while connection.recv(1000):
            pass
        connection.close()

    told = the_model_span_below_the_web_span(receiver)
    assert (told["otel_openai.stream.outcome"], told["error.type"]) == ("error", "APIConnectionError")


def test_a_terminal_is_told_where_no_collector_is_named(server: ScriptedServer, start: Callable[..., Any]) -> None:
    server.reply(chat("Take an umbrella."))

    printed, told = start("tool_loop", OTEL_EXPORTER_OTLP_ENDPOINT="").communicate(timeout=60)

    assert printed == "Take an umbrella.\n"
    assert [line.split("  ")[0] for line in told.splitlines()[1:3]] == ["tool_loop", "└── chat m"]
