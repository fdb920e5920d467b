"""Functions of the app's that raise what is no Exception: the app sees it, and the call is told, without content."""

import asyncio
from collections.abc import Callable
from types import FunctionType
from typing import Any

import openai
import pytest
from openai.resources.chat.completions import Completions
from websockets.exceptions import ConnectionClosedOK

import otel_openai
from content import CONTENT, DETAILS
from exported import otlp
from otel_openai import _guard
from programs import entered, settle
from server import ScriptedServer, chat, chat_stream, chat_usage, error_reply, sse
from server.realtime import realtime_transcription
from server.sockets import Await, SocketServer
from spoken import REALTIME, RESPONSES, Line, Spoken, cases
from support import Api, Told, attributes_of, collect

Telling = Callable[..., Told]
INTERRUPTIONS = (KeyboardInterrupt, SystemExit, asyncio.CancelledError, pytest.fail.Exception)
SAID = "Hello!"
STREAM = chat_stream("Hel", "lo!", usage=chat_usage())


class Stopping:
    """A redactor, a hook or a price: it raises, of one kind of content only if it is given one."""

    def __init__(self, error: type[BaseException], kind: str | None = None) -> None:
        self.error = error
        self.kind = kind
        self.raised = 0

    def __call__(self, *args: Any) -> Any:
        if self.kind is not None and args[0] != self.kind:
            return args[1]
        self.raised += 1
        raise self.error("Say hello.")


def once_told(told: Told, *, error_type: str | None = None) -> None:
    """There is one span, it has ended, was measured, and nothing that was said has left."""
    attributes = told.attributes
    assert attributes.get("error.type") == error_type
    assert told.span.status.status_code.name == ("UNSET" if error_type is None else "ERROR")
    assert attributes.keys() & set(CONTENT) == set()
    assert [event.event_name for event in told.events if event.event_name == DETAILS] == []
    assert told.total("otel_openai.active_requests") == 0
    assert told.total("gen_ai.client.operation.duration") > 0
    assert b"ello" not in otlp(told)


def usage(told: Told) -> tuple[Any, Any]:
    return told.attributes.get("gen_ai.usage.input_tokens"), told.total("gen_ai.client.inference.usage.input_tokens")


@pytest.mark.parametrize("error", INTERRUPTIONS)
@pytest.mark.parametrize("option", ["redact", "request_hook"])
@pytest.mark.parametrize("stream", [False, True])
async def test_before_the_request_nothing_is_sent(
    api: Api, server: ScriptedServer, telling: Telling, error: type[BaseException], option: str, *, stream: bool
) -> None:
    told = telling(capture_content="both" if option == "redact" else None, **{option: Stopping(error)})

    with pytest.raises(error):
        await api.chat(stream=stream)

    assert server.requests == []
    once_told(told, error_type=error.__name__)


OPTIONS: dict[str, dict[str, Any]] = {
    "redact": {"capture_content": "both", "kind": "answer"},
    "response_hook": {},
    "cost": {},
}


@pytest.mark.parametrize("error", INTERRUPTIONS)
@pytest.mark.parametrize("option", OPTIONS)
async def test_after_an_answer_it_is_told_all_the_same(
    api: Api, server: ScriptedServer, telling: Telling, error: type[BaseException], option: str
) -> None:
    more = dict(OPTIONS[option])
    told = telling(**{option: Stopping(error, more.pop("kind", None))}, **more)
    server.reply(chat(SAID))

    with pytest.raises(error):
        await api.chat()

    once_told(told)
    assert usage(told) == (9, 9)
    assert "http.response.status_code" in told.attributes


async def close(api: Api, stream: Any) -> None:
    await _take_all_but_the_end(api, stream)
    await api.close(stream)


async def leave(api: Api, stream: Any) -> None:
    async with entered(stream):
        await _take_all_but_the_end(api, stream)


async def _take_all_but_the_end(api: Api, stream: Any) -> None:
    for _ in range(len(STREAM) - 1):
        await api.next(stream)


@pytest.mark.parametrize("error", INTERRUPTIONS)
@pytest.mark.parametrize("option", ["redact", "cost"])
@pytest.mark.parametrize("end", [Api.drain, close, leave])
async def test_a_stream_ends_all_the_same(
    api: Api, server: ScriptedServer, telling: Telling, *, error: type[BaseException], option: str, end: Any
) -> None:
    more = dict(OPTIONS[option])
    stopping = Stopping(error, more.pop("kind", None))
    told = telling(**{option: stopping}, **more)
    server.reply(sse(*STREAM))
    stream = await api.stream()

    with pytest.raises(error):
        await end(api, stream)

    assert stopping.raised == 1
    assert stream.response.is_closed
    once_told(told)
    assert told.attributes["otel_openai.stream.outcome"] == ("completed" if end is Api.drain else "closed")
    assert usage(told) == (9, 9)


async def test_a_stream_that_the_app_never_gets_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(response_hook=Stopping(KeyboardInterrupt))
    server.reply(sse(*STREAM))

    with pytest.raises(KeyboardInterrupt):
        await api.stream()
    await collect()

    once_told(told)
    assert told.attributes["otel_openai.stream.outcome"] == "abandoned"


@pytest.mark.parametrize("error", INTERRUPTIONS)
async def test_what_has_failed_is_told_without_its_message(
    api: Api, server: ScriptedServer, telling: Telling, error: type[BaseException]
) -> None:
    told = telling(error_messages=True, redact=Stopping(error, "error"))
    server.reply(error_reply(429, {"error": {"message": SAID, "type": "requests"}}))

    with pytest.raises(error) as raised:
        await api.chat()

    assert isinstance(raised.value.__context__, openai.RateLimitError)
    once_told(told, error_type="RateLimitError")
    assert told.span.status.description == "RateLimitError, HTTP 429, type requests"
    [event] = told.events
    assert "exception.message" not in event.attributes


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_response_over_websocket_ends_all_the_same(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken
) -> None:
    told = telling(response_hook=Stopping(KeyboardInterrupt))
    sockets.script(Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        with pytest.raises(KeyboardInterrupt):
            await line.take(len(spoken.events))

    once_told(told)
    assert told.attributes["otel_openai.stream.outcome"] == "completed"


async def test_uninstrument_ends_every_stream_all_the_same(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both", redact=Stopping(KeyboardInterrupt, "answer"))
    server.always(sse(*STREAM))
    streams = [await api.stream() for _ in range(2)]
    for stream in streams:
        await _take_all_but_the_end(api, stream)

    with pytest.raises(KeyboardInterrupt):
        otel_openai.uninstrument()

    assert [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans] == ["abandoned"] * 2
    assert told.total("otel_openai.active_requests") == 0
    assert type(vars(Completions)["create"]) is FunctionType


@pytest.mark.parametrize("how", ["close", "leave"])
@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_connection_is_closed_and_all_of_it_told_all_the_same(
    talker: Api, sockets: SocketServer, telling: Telling, *, spoken: Spoken, how: str
) -> None:
    told = telling(capture_content="both", redact=Stopping(KeyboardInterrupt, "answer"))
    lanes = ("a", "b")
    sockets.script(Await(), Await(), *({**event, "stream_id": lane} for lane in lanes for event in spoken.begin))

    manager = spoken.connect(talker)
    line = Line(await settle(manager.enter()))
    for lane in lanes:
        await line.send({**spoken.create, "stream_id": lane})
    await line.take(len(lanes) * len(spoken.begin))
    leave = manager.__aexit__ if talker.is_async else manager.__exit__
    with pytest.raises(KeyboardInterrupt):
        await (line.close() if how == "close" else settle(leave(None, None, None)))

    with pytest.raises(ConnectionClosedOK):
        await line.recv()
    assert [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans] == ["closed"] * 2
    assert told.total("otel_openai.active_requests") == 0
    assert b"Hel" not in otlp(told)


async def test_a_transcription_ends_all_the_same(talker: Api, sockets: SocketServer, telling: Telling) -> None:
    told = telling(response_hook=Stopping(KeyboardInterrupt))
    sockets.script(realtime_transcription())

    async with entered(REALTIME.connect(talker)) as connection:
        with pytest.raises(KeyboardInterrupt):
            await Line(connection).recv()

    once_told(told)
    assert usage(told) == (14, 14)


async def test_the_thread_that_ends_what_was_dropped_goes_on(
    api: Api,
    server: ScriptedServer,
    telling: Telling,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(_guard, "_reported", set[str]())
    told = telling(capture_content="both", redact=Stopping(SystemExit, "answer"))
    server.always(sse(*STREAM))

    for _ in range(2):
        stream = await api.stream()
        for _ in range(3):
            await api.next(stream)
        del stream
        await collect()

    assert [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans] == ["abandoned"] * 2
    assert b"ello" not in otlp(told)
    logged = [record for record in caplog.records if record.name == "otel_openai"]
    assert "SystemExit" in logged[0].getMessage()
    assert "hello" not in caplog.text
