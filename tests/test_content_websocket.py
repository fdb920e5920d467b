"""Content over WebSocket: of Responses as over HTTP, whether the app reads events or bytes; of Realtime none."""

from collections.abc import Callable
from typing import Any

import pytest

from content import INPUT, INSTRUCTIONS, OUTPUT, TOOLS, answer, on_event, on_span, user
from programs import settle
from server import Body, function_call, response_stream
from server.sockets import Await, SocketServer
from spoken import REALTIME, RESPONSES, Line, Spoken, cases
from support import Api, Told

Telling = Callable[..., Told]
SEARCH = {"type": "search", "query": "weather", "sources": [{"url": "https://example.com"}]}
ITEMS: list[Body] = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": SEARCH},
    function_call(),
]
ASKED = {
    "input": [{"role": "user", "content": "Hi"}],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "get_weather"}],
}
TOLD = {
    INPUT: [user("Hi")],
    INSTRUCTIONS: [{"type": "text", "content": "Be brief."}],
    TOOLS: [{"type": "function", "name": "get_weather"}],
}


async def take(line: Line, count: int, method: str) -> None:
    for _ in range(count):
        await settle(getattr(line.connection, method)())


@pytest.mark.parametrize("method", ["recv", "recv_bytes"])
@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_response_is_told_as_over_http(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken, method: str
) -> None:
    told = telling(capture_content="both")
    events = response_stream("Hel", "lo!")
    last = {**events[-1], "response": {**events[-1]["response"], "output": ITEMS}}
    sockets.script(Await(), *events[:-1], last)

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, **ASKED})
        await take(line, len(events), method)

    searched = {
        "type": "server_tool_call",
        "id": "ws_1",
        "name": "web_search",
        "server_tool_call": {"type": "web_search_call", "action": SEARCH},
    }
    called = {"type": "tool_call", "id": "call_get_weather", "name": "get_weather", "arguments": {"city": "Paris"}}
    assert on_span(told) == {**TOLD, OUTPUT: [answer(searched, called, finish_reason="tool_call")]}
    assert on_event(told) == on_span(told)


@pytest.mark.parametrize("method", ["recv", "recv_bytes"])
@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_response_that_is_left_tells_what_came(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken, method: str
) -> None:
    told = telling(capture_content="both")
    sockets.script(Await(), *spoken.begin)

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, **ASKED})
        await take(line, len(spoken.begin), method)

    assert on_span(told) == {**TOLD, OUTPUT: [answer("Hel", finish_reason="error")]}


@pytest.mark.parametrize("spoken", cases(REALTIME))
async def test_nothing_of_realtime_is_told(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken
) -> None:
    told = telling(capture_content="both")
    asked: dict[str, Any] = {**spoken.create, "response": {"instructions": "Be brief."}}
    sockets.script(*spoken.hello, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(asked)
        await line.take(len(spoken.events))

    assert on_span(told) == {}
