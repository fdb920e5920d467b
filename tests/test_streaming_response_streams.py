"""`with_streaming_response` of a stream: the app asks for the stream, or reads its bytes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

from raw_modes import ask, every_line, now, without_answer
from server import Gate, ScriptedServer, sse
from streamed import CHAT, RESPONSES, STREAMED, Streamed, described, entered, one_stream_was_told
from support import Api, Told, need_stream


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_a_stream_in_a_streaming_response_tells_what_a_stream_tells(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.frames))

    async with entered(ask(api, streamed, stream=True)) as answer:
        stream = await now(api, answer.parse)
        await api.next(stream)
        assert await now(api, answer.parse) is stream
        await api.drain(stream)

    assert described(told.span) == streamed.expected("completed", streamed.chunks, server=server, finished=True)
    one_stream_was_told(told, "completed")


async def test_a_stream_asked_for_twice_and_left_early_has_all_its_chunks(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    async with entered(ask(api, CHAT, stream=True)) as answer:
        await api.next(await now(api, answer.parse))
        await api.next(await now(api, answer.parse))

    assert described(told.span) == CHAT.expected("closed", 2, server=server)


async def test_a_stream_of_a_type_of_the_app_is_watched_too(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.frames))
    kind: Any = AsyncStream[ChatCompletionChunk] if api.is_async else Stream[ChatCompletionChunk]

    async with entered(ask(api, CHAT, stream=True)) as answer:
        await api.drain(await now(api, lambda: answer.parse(to=kind)))

    assert described(told.span) == CHAT.expected("completed", CHAT.chunks, server=server, finished=True)


async def test_a_response_that_is_streamed_again_is_a_stream(api: Api, server: ScriptedServer, told: Told) -> None:
    need_stream("responses.retrieve")
    server.reply(sse(*RESPONSES.frames))

    async with entered(api.client.responses.with_streaming_response.retrieve("resp_1", stream=True)) as answer:
        await api.drain(await now(api, answer.parse))

    assert told.attributes["otel_openai.stream.chunk.count"] == RESPONSES.chunks
    one_stream_was_told(told, "completed")


Read = Callable[[Api, Any], Awaitable[None]]


async def one_line(api: Api, answer: Any) -> None:
    await api.iterate(answer.iter_lines()).__anext__()


async def nothing(_: Api, __: Any) -> None:
    pass


async def the_app_raises(_: Api, __: Any) -> None:
    raise LookupError


@pytest.mark.parametrize(
    ("read", "outcome"),
    [(every_line, "completed"), (one_line, "closed"), (nothing, "closed"), (the_app_raises, "error")],
)
async def test_a_stream_that_is_read_as_bytes_has_an_outcome_and_no_chunks(
    api: Api, server: ScriptedServer, told: Told, read: Read, outcome: str
) -> None:
    server.reply(sse(*CHAT.begin, *([] if read is every_line else [Gate()]), *CHAT.rest))
    failed = {"error.type": "LookupError"} if outcome == "error" else {}

    with suppress(LookupError):
        async with entered(ask(api, CHAT, stream=True)) as answer:
            await read(api, answer)

    expected = without_answer(CHAT.expected("", 0, server=server))
    assert described(told.span) == {**expected, **failed, "otel_openai.stream.outcome": outcome}
    one_stream_was_told(told, outcome, failed.get("error.type"))


async def test_a_response_closed_twice_is_told_once(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    async with entered(ask(api, CHAT, stream=True)) as answer:
        await now(api, answer.close)
        assert answer.is_closed

    one_stream_was_told(told, "closed")


# A generator of the app, closed as web frameworks do.


def lines(bare: Any, **more: Any) -> Iterator[str]:
    with bare.chat.completions.with_streaming_response.create(**CHAT.arguments, **more) as answer:
        yield from answer.iter_lines()


async def async_lines(bare: Any, **more: Any) -> AsyncIterator[str]:
    async with bare.chat.completions.with_streaming_response.create(**CHAT.arguments, **more) as answer:
        async for line in answer.iter_lines():
            yield line


async def test_a_generator_of_the_app_around_a_streaming_response_is_closed(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    generator: Any = (async_lines if api.is_async else lines)(api.client, stream=True)
    await now(api, generator.__anext__ if api.is_async else generator.__next__)
    await now(api, generator.aclose if api.is_async else generator.close)

    one_stream_was_told(told, "closed")
    assert told.span.status.status_code.name == "UNSET"
