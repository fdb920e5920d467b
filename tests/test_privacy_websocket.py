"""Nothing of what goes through a WebSocket leaves the process but what the page of names says. Marks are everywhere."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from programs import entered, settle
from server import Body, function_call, output_message, response_stream, response_tool_stream
from server.realtime import (
    realtime_call,
    realtime_error,
    realtime_heard,
    realtime_message,
    realtime_session,
    realtime_stream,
    realtime_transcription,
)
from server.sockets import Await, Close, SocketServer
from spoken import CREATE, REALTIME, RESPONSES, Line, Spoken, cases
from support import Api, Told, client
from test_privacy import PLANTED, found, logged, mark, ours

__all__ = ["logged"]

ERROR: Body = {"type": mark("type"), "code": mark("code"), "message": mark("message"), "param": mark("param")}
CALL: Body = {
    "id": mark("item"),
    "call_id": mark("call id"),
    "arguments": json.dumps({mark("argument"): mark("value")}),
}
TOOL: Body = {
    "type": "function",
    "name": "get_weather",
    "description": mark("tool description"),
    "parameters": {"type": "object", "properties": {mark("tool parameter"): {}}},
}
METADATA = {mark("metadata"): mark("metadata value")}
PROMPT = {"id": "pmpt_1", "variables": {mark("variable"): mark("variable value")}}
ASKED: Body = {"instructions": mark("instructions"), "input": mark("input"), "metadata": METADATA, "tools": [TOOL]}
REQUESTS: dict[str, Body] = {
    REALTIME.method: {**CREATE, "event_id": mark("event"), "response": {**ASKED, "prompt": PROMPT}},
    RESPONSES.method: {
        **CREATE,
        "model": "m",
        "stream_id": mark("lane"),
        "user": mark("user"),
        "prompt": PROMPT,
        **ASKED,
    },
}


def laned(*events: Body) -> list[Body]:
    return [{**event, "stream_id": mark("lane")} for event in events]


EVENTS: dict[str, list[Body]] = {
    REALTIME.method: [
        realtime_session(
            instructions=mark("session"),
            audio={"input": {"transcription": {"model": "whisper-1", "prompt": mark("prompt"), "language": mark("l")}}},
        ),
        realtime_heard(mark("heard")),
        realtime_transcription(item=mark("heard"), transcript=mark("transcript"), logprobs=[{"token": mark("token")}]),
        realtime_transcription("failed", error=ERROR),
        realtime_error(ERROR["code"], event_id=mark("nobodys"), **{k: v for k, v in ERROR.items() if k != "code"}),
        *realtime_stream(realtime_call(**CALL), metadata=METADATA),
        *realtime_stream(output=[realtime_message(mark("spoken"))]),
        *realtime_stream(status="failed", error=ERROR),
        *realtime_stream(status="incomplete", reason="content_filter"),
    ],
    RESPONSES.method: [
        *laned(*response_tool_stream(function_call(**CALL), metadata=METADATA, instructions=mark("instructions"))),
        *laned(*response_stream(mark("text"), output=[output_message(mark("text"))], user=mark("user"))),
        *laned(*response_stream(status="failed", error=ERROR)),
        *laned({"type": "error", "status": 400, "error": ERROR}),
    ],
}


@pytest.fixture(params=["sync", "async"])
async def marked(request: pytest.FixtureRequest, sockets: SocketServer) -> AsyncIterator[Api]:
    """A client with marks in every place that it has."""
    made = client(
        request.param,
        f"http://127.0.0.1:{sockets.port}/{mark('path')}",
        websocket_base_url=f"{sockets.websocket_base_url}/{mark('path')}?{mark('query')}={mark('value')}",
        api_key=mark("api key"),
        organization=mark("organization"),
        default_headers={"x-secret": mark("default header")},
    )
    yield Api(request.param, made)
    await settle(made.close())


def connect(spoken: Spoken, api: Api) -> Any:
    return spoken.connect(
        api, extra_query={mark("extra query"): mark("value")}, extra_headers={"x-secret": mark("extra header")}
    )


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
@pytest.mark.parametrize("method", ["recv", "recv_bytes"])
async def test_no_mark_leaves_the_process(
    marked: Api, sockets: SocketServer, told: Told, logged: pytest.LogCaptureFixture, *, spoken: Spoken, method: str
) -> None:
    events = EVENTS[spoken.method]
    sockets.script(*([Await()] * 4), *events, Close(1011, mark("reason")))

    with suppress(Exception):
        async with entered(connect(spoken, marked)) as connection:
            for _ in range(4):
                await Line(connection).send(REQUESTS[spoken.method])
            while True:
                await settle(getattr(connection, method)())
    with suppress(RuntimeError):
        sockets.script()
        async with entered(connect(spoken, marked)) as connection:
            await Line(connection).send(REQUESTS[spoken.method])
            raise RuntimeError(mark("error"))

    assert PLANTED in str(sockets.received)
    assert all(PLANTED in request.path and PLANTED in str(request.headers) for request in sockets.requests)
    assert len(told.spans) == (10 if spoken is REALTIME else 5)
    assert found(told, ours(logged)) == set()
