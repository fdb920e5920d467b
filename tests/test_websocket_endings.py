"""Every way that a response over WebSocket can end, and what is told of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import openai
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

import otel_openai
from programs import settle
from server import CUT, Gate, ScriptedServer, error_reply, response_stream
from server.realtime import realtime_error, realtime_stream
from server.sockets import Await, Close, SocketServer
from spoken import CREATE, REALTIME, RESPONSES, SPOKEN, Line, Spoken, cases, described
from streamed import Closing, Watcher, collect_under, one_stream_was_told, seconds, settled
from support import Api, Told, attributes_of, client, collect

# As the server ends them.


class Ending(NamedTuple):
    spoken: Spoken
    events: list[Any]
    outcome: str
    reasons: list[str]
    error_type: str | None = None
    summary: str | None = None


FAILED = {"type": "server_error", "code": "rate_limit_exceeded", "message": "The user wrote: secret."}
SUMMARY = "the server reported an error, code rate_limit_exceeded, type server_error"
ENDINGS = {
    "realtime cut": Ending(
        REALTIME, realtime_stream(status="incomplete", reason="max_output_tokens"), "completed", ["max_output_tokens"]
    ),
    "realtime filtered": Ending(
        REALTIME, realtime_stream(status="incomplete", reason="content_filter"), "completed", ["content_filter"]
    ),
    "realtime cancelled by speech": Ending(
        REALTIME, realtime_stream(status="cancelled", reason="turn_detected"), "cancelled", ["cancelled"]
    ),
    "realtime cancelled by the app": Ending(
        REALTIME, realtime_stream(status="cancelled", reason="client_cancelled"), "cancelled", ["cancelled"]
    ),
    "realtime failed": Ending(
        REALTIME, realtime_stream(status="failed", error=FAILED), "error", ["error"], "rate_limit_exceeded", SUMMARY
    ),
    "realtime failed and does not say why": Ending(
        REALTIME, realtime_stream(status="failed"), "error", ["error"], "provider_error", "the server reported an error"
    ),
    "response cut": Ending(RESPONSES, response_stream(status="incomplete"), "completed", ["max_output_tokens"]),
    "response failed": Ending(
        RESPONSES, response_stream(status="failed", error=FAILED), "error", ["error"], "rate_limit_exceeded", SUMMARY
    ),
    "response cancelled": Ending(
        RESPONSES,
        [*RESPONSES.begin, {"type": "response.cancelled", "response": {"id": "resp_1", "status": "cancelled"}}],
        "cancelled",
        ["cancelled"],
    ),
}


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(ending, id=name, marks=cases(ending.spoken)[0].marks)  # pyright: ignore[reportUnknownMemberType]
        for name, ending in ENDINGS.items()
    ],
)
async def test_the_servers_end_is_told(talker: Api, sockets: SocketServer, told: Told, ending: Ending) -> None:
    sockets.script(*ending.spoken.hello, Await(), *ending.events)

    async with ending.spoken.connected(talker) as line:
        await line.send(ending.spoken.create)
        await line.take(len(ending.events))

    attributes = told.attributes
    assert attributes["otel_openai.stream.outcome"] == ending.outcome
    assert attributes["gen_ai.response.finish_reasons"] == ending.reasons
    assert attributes.get("error.type") == ending.error_type
    assert told.span.status.description == ending.summary
    one_stream_was_told(told, ending.outcome, ending.error_type)


async def test_what_a_cancelled_response_has_used_is_told(talker: Api, sockets: SocketServer, told: Told) -> None:
    events = realtime_stream(status="cancelled", reason="turn_detected")
    sockets.script(*REALTIME.hello, *events)

    async with REALTIME.connected(talker) as line:
        await line.take(len(events))

    assert told.attributes["gen_ai.usage.output_tokens"] == 121
    assert told.span.status.is_unset


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_refused_request_is_told(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    sockets.script(*spoken.hello, Await(), spoken.refusal, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.recv()
        refused = told.span
        await line.send(spoken.create)
        await line.take(len(spoken.events))

    more: dict[str, Any] = {"http.response.status_code": 429} if "status" in spoken.refusal else {}
    more["error.type"] = "rate_limit_exceeded"
    assert described(refused) == {**spoken.expected("error", 1, sockets, answered=False), **more}
    assert [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans] == ["error", "completed"]
    assert told.total("otel_openai.active_requests") == 0


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_an_error_in_the_middle_ends_the_response(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    error = {
        "type": "error",
        "sequence_number": 6,
        "error": {"type": "server_error", "code": "server_error", "message": "x"},
    }
    failed = response_stream(status="failed")[-1]
    sockets.script(Await(), *spoken.begin, error, failed)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.take(len(spoken.begin) + 2)

    assert described(told.span) == spoken.expected("error", 6, sockets) | {"error.type": "server_error"}
    one_stream_was_told(told, "error", "server_error")


# As the connection ends them.


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_lost_connection_is_an_error(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.begin, CUT)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.take(len(spoken.begin))
        with pytest.raises(ConnectionClosedError):
            await line.recv()
        ended = told.span

    assert described(ended) == spoken.expected("error", len(spoken.begin), sockets) | {
        "error.type": "ConnectionClosedError"
    }
    assert ended.status.description == "ConnectionClosedError"
    one_stream_was_told(told, "error", "ConnectionClosedError")


async def test_the_code_that_a_server_closes_with_is_told_and_not_what_it_says(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), Close(1011, "the user wrote: secret"))

    async with REALTIME.connected(talker) as line:
        await line.send(CREATE)
        with pytest.raises(ConnectionClosedError):
            await line.drain()

    assert told.span.status.description == "ConnectionClosedError, close code 1011"
    assert [event.attributes["exception.type"] for event in told.events] == [
        "websockets.exceptions.ConnectionClosedError"
    ]
    assert "secret" not in str(told.attributes) + str(told.events)


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_connection_that_the_server_closes_truncates(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.begin, Close())

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.drain()

    assert described(told.span) == spoken.expected("truncated", len(spoken.begin), sockets)
    assert told.span.status.is_unset
    one_stream_was_told(told, "truncated")


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_request_that_cannot_be_sent_is_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Close(1001))

    async with spoken.connected(talker) as line:
        with suppress(ConnectionClosed):
            await line.drain()
        with pytest.raises(ConnectionClosed) as raised:
            await line.send(spoken.create)

    assert told.attributes["error.type"] == type(raised.value).__name__
    one_stream_was_told(told, "error", type(raised.value).__name__)


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_an_error_that_came_before_a_lost_connection_is_its_reason(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    error = realtime_error("session_expired") if spoken is REALTIME else spoken.refusal
    sockets.script(*spoken.hello, Await(), error, CUT)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        with suppress(ConnectionClosed):
            await line.drain()

    one_stream_was_told(told, "error", "session_expired" if spoken is REALTIME else "rate_limit_exceeded")


# As the app ends them.


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_connection_that_the_app_closes_closes_its_responses(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.begin)
    line = Line(await settle(spoken.connect(talker).enter()))
    await line.take(len(spoken.hello))
    await line.send(spoken.create)
    await line.take(len(spoken.begin))

    await line.close()

    assert described(told.span) == spoken.expected("closed", len(spoken.begin), sockets)
    assert told.span.status.is_unset
    one_stream_was_told(told, "closed")
    await line.close()
    assert len(told.spans) == 1


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_connection_that_is_left_closes_its_responses(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await())

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)

    one_stream_was_told(told, "closed")


@pytest.mark.parametrize("error", [None, OSError("The app gives up.")], ids=["closed", "raised"])
async def test_an_error_that_came_before_the_app_closes_is_the_reason(
    talker: Api, sockets: SocketServer, told: Told, error: Exception | None
) -> None:
    sockets.script(*REALTIME.hello, Await(), realtime_error("rate_limit_exceeded"))

    with suppress(OSError):
        async with REALTIME.connected(talker) as line:
            await line.send(CREATE)
            await line.recv()
            if error is not None:
                raise error

    one_stream_was_told(told, "error", "rate_limit_exceeded")


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_block_that_is_left_by_an_exception_is_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.begin)

    async def raises() -> None:
        async with spoken.connected(talker) as line:
            await line.send(spoken.create)
            raise KeyError("the app's own")

    with pytest.raises(KeyError):
        await raises()

    one_stream_was_told(told, "error", "KeyError")
    assert told.span.status.description == "KeyError"


async def test_a_session_inside_an_except_block_is_not_ended_by_that_exception(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await())

    try:
        {}["handled"]
    except KeyError:
        async with REALTIME.connected(talker) as line:
            await line.send(CREATE)

    one_stream_was_told(told, "closed")


async def test_a_task_that_is_cancelled_cancels_its_responses(sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, Await(), *REALTIME.begin)

    async with client("async", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made:

        async def talk() -> None:
            async with REALTIME.connected(Api("async", made)) as line:
                await line.send(CREATE)
                await line.drain()

        task = asyncio.create_task(talk())
        await settled(lambda: told.total("otel_openai.active_requests") == 1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    one_stream_was_told(told, "cancelled", "CancelledError")


async def test_a_timeout_of_the_apps_ends_nothing(sockets: SocketServer, told: Told) -> None:
    gate = Gate()
    sockets.script(*REALTIME.hello, Await(), *REALTIME.begin, gate, *REALTIME.rest)

    async with (
        client("async", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made,
        REALTIME.connected(Api("async", made)) as line,
    ):
        await line.send(CREATE)
        await line.take(len(REALTIME.begin))
        for _ in range(2):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(line.recv(), 0.01)
        gate.open()
        await line.take(len(REALTIME.rest))

    assert described(told.span) == REALTIME.expected("completed", len(REALTIME.events), sockets)


# As nobody ends them.


async def begun(talker: Api, spoken: Spoken) -> Line:
    """A connection with one response under way, that nobody closes."""
    line = Line(await settle(spoken.connect(talker).enter()))
    await line.take(len(spoken.hello))
    await line.send(spoken.create)
    await line.take(len(spoken.begin))
    return line


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_dropped_connection_is_told_by_the_reaper_alone(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    watcher = Watcher(told)
    sockets.script(*spoken.hello, Await(), *spoken.begin)
    kept = [await begun(talker, spoken)]
    transport = kept[0].connection._connection

    collect_under(watcher.lock, kept)
    await collect()
    assert described(told.span) == spoken.expected("abandoned", len(spoken.begin), sockets)
    assert watcher.threads == ["otel-openai-reaper"]
    one_stream_was_told(told, "abandoned")
    await settle(transport.close())


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_finaliser_of_the_apps_that_closes_a_connection_is_told_by_the_reaper(
    sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    watcher = Watcher(told)
    sockets.script(*spoken.hello, Await(), *spoken.begin)
    with client("sync", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made:
        kept = [Closing((await begun(Api("sync", made), spoken)).connection)]

        collect_under(watcher.lock, kept)
        one_stream_was_told(told, "closed")
        assert watcher.threads == ["otel-openai-reaper"]


async def test_a_finaliser_of_the_apps_leaves_a_request_that_may_be_refused_to_the_reaper(
    sockets: SocketServer, told: Told
) -> None:
    watcher = Watcher(told)
    sockets.script(*REALTIME.hello, Await(), realtime_error("x"))
    with client("sync", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made:
        line = Line(await settle(REALTIME.connect(Api("sync", made)).enter()))
        await line.take(len(REALTIME.hello))
        await line.send(REALTIME.create)
        await line.take(1)
        kept = [Closing(line.connection)]
        del line
        kept.clear()

    await collect()
    assert told.attributes["error.type"] == "provider_error"
    assert watcher.threads == ["otel-openai-reaper"]


async def test_a_generator_of_the_apps_that_is_collected_closes_its_responses(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    watcher = Watcher(told)
    sockets.script(*REALTIME.hello, *REALTIME.begin)

    async def async_events() -> AsyncIterator[Any]:
        async with REALTIME.connect(talker) as connection:
            while True:
                yield await connection.recv()

    def events() -> Iterator[Any]:
        with REALTIME.connect(talker) as connection:
            while True:
                yield connection.recv()

    kept: list[Any] = [async_events() if talker.is_async else events()]
    for _ in range(1 + len(REALTIME.begin)):
        await kept[0].__anext__() if talker.is_async else next(kept[0])
    kept.clear()
    await collect()
    await settled(lambda: told.total("otel_openai.active_requests") == 0)

    one_stream_was_told(told, "closed")
    assert watcher.threads == ["otel-openai-reaper"]


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_uninstrument_ends_what_is_open_and_the_app_goes_on(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.begin, *spoken.rest, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.take(len(spoken.begin))
        otel_openai.uninstrument()
        assert described(told.span) == spoken.expected("abandoned", len(spoken.begin), sockets)
        await line.take(len(spoken.rest))
        told.instrument()
        await line.send(spoken.create)
        await line.take(len(spoken.events))

    assert [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans] == ["abandoned", "completed"]
    assert told.total("otel_openai.active_requests") == 0


# Connections that never come to be.


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_refused_connection_is_told(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    sockets.refuse(401)

    with pytest.raises(InvalidStatus):
        await settle(spoken.connect(talker).enter())

    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.stream": True,
        "server.address": "127.0.0.1",
        "server.port": sockets.port,
        "http.response.status_code": 401,
        "http.response.header.x-request-id": ["req_websocket"],
        "error.type": "InvalidStatus",
        **{name: spoken.told[name] for name in ("openai.api.type",) if name in spoken.told},
        **({"gen_ai.request.model": "gpt-realtime"} if spoken.arguments else {}),
    }
    assert told.attributes == expected
    assert told.span.name == ("chat gpt-realtime" if spoken.arguments else "chat")
    assert told.span.status.description == "InvalidStatus, HTTP 401"
    assert told.total("otel_openai.active_requests") == 0
    assert told.points("otel_openai.streams") == []
    assert [attributes["error.type"] for attributes, _ in told.points("gen_ai.client.operation.duration")] == [
        "InvalidStatus"
    ]


async def test_a_server_that_is_not_there_is_told(talker: Api, told: Told) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        talker.client.websocket_base_url = f"ws://127.0.0.1:{free.getsockname()[1]}/v1"

    with pytest.raises(ConnectionRefusedError):
        async with REALTIME.connected(talker):
            pass

    assert told.attributes["error.type"] == "ConnectionRefusedError"


async def test_a_connection_that_takes_too_long_is_told_with_its_time(talker: Api, told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        talker.client.websocket_base_url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1"
        tracer = told.tracer_provider.get_tracer("app")
        expected = pytest.raises((TimeoutError, asyncio.TimeoutError))  # two classes before Python 3.11
        with tracer.start_as_current_span("caller") as caller, expected:
            async with REALTIME.connected(talker, websocket_connection_options={"open_timeout": 0.2}):
                pass

    (span,) = (span for span in told.spans if span.name == "chat gpt-realtime")
    assert 0.2 <= seconds(span) < 5
    assert span.parent == caller.get_span_context()
    assert attributes_of(span)["error.type"] == "TimeoutError"


async def test_a_request_for_the_key_that_fails_is_told(
    api: Api, server: ScriptedServer, sockets: SocketServer, told: Told
) -> None:
    server.reply(error_reply(401))
    with pytest.raises(openai.AuthenticationError) as raised:
        await api.chat()
    told.clear()

    asked: list[bool] = []

    def key() -> str:
        asked.append(True)
        raise raised.value

    async def key_async() -> str:
        return key()

    kind = "async" if api.is_async else "sync"
    made = client(kind, sockets.base_url, api_key=key_async if api.is_async else key)
    sockets.refuse(401)
    with suppress(Exception):
        await settle(REALTIME.connect(Api(kind, made)).enter())
    await settle(made.close())
    if not asked:
        pytest.skip(f"openai {openai.__version__} takes no function for its key")

    assert told.attributes["error.type"] == "invalid_api_key"
    assert told.attributes["http.response.status_code"] == 401
    assert told.total("otel_openai.active_requests") == 0


async def test_a_task_that_is_cancelled_while_it_connects_is_told(told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1"
        async with client("async", url, websocket_base_url=url) as made:
            task = asyncio.ensure_future(REALTIME.connect(Api("async", made)).enter())
            await asyncio.sleep(0.05)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    assert told.attributes["error.type"] == "CancelledError"


async def test_a_coroutine_that_is_destroyed_while_it_connects_is_told_by_the_reaper(told: Told) -> None:
    watcher = Watcher(told)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/v1"
        async with client("async", url, websocket_base_url=url) as made:
            coroutine = REALTIME.connect(Api("async", made)).enter()
            coroutine.send(None)
            coroutine.close()

    assert told.attributes["error.type"] == "GeneratorExit"
    assert watcher.threads == ["otel-openai-reaper"]


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_request_whose_sending_is_cancelled_was_sent(
    sockets: SocketServer, told: Told, *, goes_on: bool
) -> None:
    async def speak_until_there_is_no_room(line: Line) -> None:
        with suppress(asyncio.TimeoutError):
            while True:
                audio = {"type": "input_audio_buffer.append", "audio": "A" * (1 << 19)}
                await asyncio.wait_for(line.send(audio), 0.3)

    gate = Gate()
    sockets.script(*REALTIME.hello, gate, Await(), *REALTIME.events)
    async with client("async", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made:
        with suppress(asyncio.CancelledError):
            async with REALTIME.connected(Api("async", made)) as line:
                await speak_until_there_is_no_room(line)
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(line.send(REALTIME.create), 0.05)
                assert told.spans == []
                gate.open()
                if not goes_on:
                    raise asyncio.CancelledError
                await line.take(len(REALTIME.events))

    if goes_on:
        assert described(told.span) == REALTIME.expected("completed", len(REALTIME.events), sockets)
    else:
        one_stream_was_told(told, "cancelled", "CancelledError")
