"""A server that is traced itself continues the trace: its span is a child of ours, over real HTTP."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind

from otel_openai import uninstrument
from server import chat, chat_stream
from spoken import REALTIME
from streamed import settled
from support import Api, Told, client


async def model(scope: Any, receive: Any, send: Any) -> None:
    """A tiny server of chat completions, and of Realtime sessions of one response."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        for event in (*REALTIME.hello, *REALTIME.events):
            await send({"type": "websocket.send", "text": json.dumps(event)})
        await receive()
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    is_stream = json.loads(body).get("stream")
    kind = b"text/event-stream" if is_stream else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    answer = b"".join(map(_event, chat_stream("Hel", "lo!"))) if is_stream else json.dumps(chat()).encode()
    await send({"type": "http.response.body", "body": answer})


def _event(chunk: Any) -> bytes:
    return chunk.encode() if isinstance(chunk, str) else b"data: " + json.dumps(chunk).encode() + b"\n\n"


@pytest.fixture
def served() -> Iterator[Told]:
    """What the server tells, which has a set-up of its own."""
    recorded = Told()
    yield recorded
    recorded.shutdown()


@pytest.fixture
def base_url(served: Told) -> Iterator[str]:
    app: Any = OpenTelemetryMiddleware(
        model,
        tracer_provider=served.tracer_provider,
        meter_provider=served.meter_provider,
        exclude_spans=["receive", "send"],
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("mode", ["plain", "stream", "raw"])
@pytest.mark.parametrize("propagated", [True, False])
async def test_the_servers_span_is_a_child_of_ours(
    kind: Any,
    mode: str,
    propagated: Any,
    base_url: str,
    served: Told,
) -> None:
    told = Told()
    told.instrument(propagate=propagated)
    api = Api(kind, client(kind, base_url))
    if mode == "stream":
        await api.drain(await api.stream())
    else:
        raw = "with_raw_response." if mode == "raw" else ""
        await api.call(f"chat.completions.{raw}create", model="m", messages=[])
    await api.close(api.client)
    uninstrument()
    told.shutdown()
    await settled(lambda: bool(served.spans))  # it ends its span after the answer was sent

    ours, theirs = told.span, served.span
    assert (ours.kind, theirs.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert ours.context is not None
    assert theirs.context is not None
    assert (theirs.context.trace_id == ours.context.trace_id) is propagated
    if propagated:
        assert theirs.parent is not None
        assert (theirs.parent.span_id, theirs.parent.is_remote) == (ours.context.span_id, True)
    else:
        assert theirs.parent is None


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_span_of_a_servers_session_is_a_sibling_of_its_responses(
    kind: Any, base_url: str, served: Told
) -> None:
    told = Told()
    told.instrument(propagate=True)
    api = Api(kind, client(kind, base_url, websocket_base_url=base_url.replace("http", "ws")))
    with told.tracer_provider.get_tracer("app").start_as_current_span("caller") as caller:
        async with REALTIME.connected(api) as line:
            await line.take(len(REALTIME.events))
    await api.close(api.client)
    uninstrument()
    told.shutdown()
    await settled(lambda: bool(served.spans))

    response, theirs = told.spans[0], served.span
    asked = caller.get_span_context()
    assert (response.kind, theirs.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert response.parent == asked
    assert theirs.parent is not None
    assert (theirs.parent.trace_id, theirs.parent.span_id) == (asked.trace_id, asked.span_id)
