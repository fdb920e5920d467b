"""Servers that send nonsense over WebSocket: the app sees what it sees without us, and what is told can be exported."""

import asyncio
import warnings
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings

import otel_openai
from exported import otlp
from mutations import MUTATIONS, Mutation, mutated
from programs import settle
from seen import KINDS, Kind, Seen
from server import Body, response_tool_stream
from server.realtime import (
    realtime_call,
    realtime_error,
    realtime_heard,
    realtime_session,
    realtime_stream,
    realtime_transcription,
)
from server.sockets import Await, Close, SocketServer
from spoken import REALTIME, RESPONSES, Line, Spoken, cases
from support import Api, Told, client

EXAMPLES = 40
"""Of each case and kind of client."""

FAILED = {"type": "server_error", "code": "server_error", "message": "x"}
EVENTS: dict[str, list[Body]] = {
    REALTIME.method: [
        realtime_session(audio={"input": {"transcription": {"model": "whisper-1"}}}),
        realtime_heard(),
        realtime_transcription("delta"),
        realtime_transcription(),
        *realtime_stream(realtime_call(), metadata={"a": "b"}),
        realtime_error("x", event_id="event_ask"),
        *realtime_stream(id="resp_2", status="failed", error=FAILED),
    ],
    RESPONSES.method: [*response_tool_stream(), RESPONSES.refusal, *RESPONSES.events],
}


async def program(spoken: Spoken, api: Api, see: Seen, *, parsed: bool) -> None:
    """Ask twice, and read whatever comes."""
    line = Line(await settle(spoken.connect(api).enter()))
    await line.send(spoken.create)
    await line.send({**spoken.create, "response": {"metadata": {"a": "b"}}})
    for _ in range(len(EVENTS[spoken.method]) + 8):
        with see.raising():
            see(await line.recv() if parsed else await settle(line.connection.recv_bytes()))
    await line.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
@pytest.mark.parametrize("parsed", [True, False], ids=["parsed", "bytes"])
def test_nonsense_from_the_server_is_seen_by_the_app_alone(spoken: Spoken, kind: Kind, *, parsed: bool) -> None:
    told = Told()
    loop = asyncio.new_event_loop()

    async def run(events: Any) -> Seen:
        see = Seen()
        lines = cast("list[Any]", events) if isinstance(events, list) else [events]
        sockets.script(Await(), Await(), *lines, Close())
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            await program(spoken, api, see, parsed=parsed)
        see.warnings = [(w.category, str(w.message), w.filename) for w in warned]
        return see

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(MUTATIONS)
    def check(mutations: list[Mutation]) -> None:
        events = mutated(EVENTS[spoken.method], mutations)
        bare = loop.run_until_complete(run(events))
        told.instrument(error_messages=True)
        try:
            instrumented = loop.run_until_complete(run(events))
        finally:
            otel_openai.uninstrument()

        assert instrumented.beside(bare) == []
        assert len(told.spans) >= 2
        assert told.total("otel_openai.active_requests") == 0
        otlp(told)
        told.clear()

    with SocketServer() as sockets:
        api = Api(kind, client(kind, sockets.base_url, websocket_base_url=sockets.websocket_base_url))
        try:
            check()
        finally:
            loop.run_until_complete(settle(api.client.close()))
            loop.close()
            told.shutdown()
