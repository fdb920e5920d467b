"""Every way in which an app leaves a stream: one span, ended once, that says how the stream ended and when."""

import asyncio
import contextlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import openai
import pytest

from server import Gate, ScriptedServer, sse
from streamed import (
    CHAT,
    STREAMED,
    TIMES,
    Clock,
    Program,
    Streamed,
    described,
    entered,
    one_stream_was_told,
    seconds,
)
from support import Api, Told, attributes_of, collect


class AppError(Exception):
    """An error of the app's own."""


async def begun(api: Api, streamed: Streamed, clock: Clock) -> Any:
    """A stream of which the app has read the first text."""
    stream = await streamed.open(api)
    for _ in streamed.begin:
        await api.next(stream)
    clock.touch()
    return stream


async def drained(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await streamed.open(api)
    await api.drain(stream)
    clock.touch()


async def broken_out_of_and_resumed(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    await api.drain(stream)
    clock.touch()


async def drained_and_asked_for_more(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await streamed.open(api)
    await api.drain(stream)
    clock.touch()
    assert await api.drain(stream) == []


async def drained_in_with(api: Api, streamed: Streamed, clock: Clock) -> None:
    async with entered(await streamed.open(api)) as stream:
        await api.drain(stream)
        clock.touch()


async def drained_before_an_exception(api: Api, streamed: Streamed, clock: Clock) -> None:
    with suppress(AppError):
        async with entered(await streamed.open(api)) as stream:
            await api.drain(stream)
            clock.touch()
            raise AppError


async def closed(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    await api.close(stream)
    clock.touch()


async def closed_twice(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    await api.close(stream)
    clock.touch()
    await api.close(stream)


async def closed_and_read_on(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    await api.close(stream)
    clock.touch()
    with suppress(Exception):  # versions differ in what a closed stream still gives
        await api.drain(stream)


async def aclosed(api: Api, streamed: Streamed, clock: Clock) -> None:
    if not hasattr(openai.AsyncStream, "aclose"):
        pytest.skip(f"openai {openai.__version__} has no AsyncStream.aclose")
    stream = await begun(api, streamed, clock)
    await (stream.aclose() if api.is_async else api.close(stream))
    clock.touch()


async def response_closed(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    await close_response(api, stream.response)
    clock.touch()


async def closed_by_a_helper(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    if api.is_async:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(stream.close)
    else:
        with contextlib.closing(stream):
            pass
    clock.touch()


async def broken_out_of_in_with(api: Api, streamed: Streamed, clock: Clock) -> None:
    async with entered(await streamed.open(api)) as stream:
        for _ in streamed.begin:
            await api.next(stream)
    clock.touch()


async def closed_unread(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await streamed.open(api)
    await api.close(stream)
    clock.touch()


async def left_unread_in_with(api: Api, streamed: Streamed, clock: Clock) -> None:
    async with entered(await streamed.open(api)):
        pass
    clock.touch()


async def dropped(api: Api, streamed: Streamed, clock: Clock) -> None:
    await begun(api, streamed, clock)


async def dropped_unread(api: Api, streamed: Streamed, clock: Clock) -> None:
    await streamed.open(api)
    clock.touch()


async def dropped_after_an_exception(api: Api, streamed: Streamed, clock: Clock) -> None:
    with suppress(AppError):
        stream = await begun(api, streamed, clock)
        raise AppError(stream)


async def raised_in_with(api: Api, streamed: Streamed, clock: Clock) -> None:
    with suppress(AppError):
        async with entered(await begun(api, streamed, clock)):
            raise AppError
    clock.touch()


async def raised_in_with_unread(api: Api, streamed: Streamed, clock: Clock) -> None:
    with suppress(AppError):
        async with entered(await streamed.open(api)):
            raise AppError
    clock.touch()


async def closed_in_finally(api: Api, streamed: Streamed, clock: Clock) -> None:
    stream = await begun(api, streamed, clock)
    with suppress(AppError):
        try:
            raise AppError
        finally:
            await api.close(stream)
    clock.touch()


async def close_response(api: Api, response: Any) -> None:
    if api.is_async:
        await response.aclose()
    else:
        response.close()


@dataclass(frozen=True)
class Ending:
    """A program that ends a stream, and what has to be told of it."""

    act: Program
    outcome: str
    read: Literal["all", "begun", "none"]
    error_type: str | None = None


ENDINGS = [
    Ending(drained, "completed", "all"),
    Ending(broken_out_of_and_resumed, "completed", "all"),
    Ending(drained_and_asked_for_more, "completed", "all"),
    Ending(drained_in_with, "completed", "all"),
    Ending(drained_before_an_exception, "completed", "all"),
    Ending(closed, "closed", "begun"),
    Ending(closed_twice, "closed", "begun"),
    Ending(closed_and_read_on, "closed", "begun"),
    Ending(aclosed, "closed", "begun"),
    Ending(response_closed, "closed", "begun"),
    Ending(closed_by_a_helper, "closed", "begun"),
    Ending(broken_out_of_in_with, "closed", "begun"),
    Ending(closed_unread, "closed", "none"),
    Ending(left_unread_in_with, "closed", "none"),
    Ending(dropped, "abandoned", "begun"),
    Ending(dropped_unread, "abandoned", "none"),
    Ending(dropped_after_an_exception, "abandoned", "begun"),
    Ending(raised_in_with, "error", "begun", "AppError"),
    Ending(raised_in_with_unread, "error", "none", "AppError"),
    Ending(closed_in_finally, "error", "begun", "AppError"),
]


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.act.__name__)
async def test_a_stream_is_one_span_however_the_app_leaves_it(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed, ending: Ending
) -> None:
    more_to_come = [] if ending.read == "all" else [Gate()]
    server.reply(sse(*streamed.begin, *more_to_come, *streamed.rest))
    clock = Clock()

    await ending.act(api, streamed, clock)
    await collect()

    span = told.span
    chunks = {"all": streamed.chunks, "begun": streamed.begun_after, "none": 0}[ending.read]
    assert described(span) == streamed.expected(
        ending.outcome, chunks, server=server, finished=ending.read == "all", error_type=ending.error_type
    )
    assert set(attributes_of(span)) & TIMES == ({*TIMES} if chunks > 1 else {*sorted(TIMES)[:chunks]})
    assert (span.status.status_code.name, span.status.description) == (
        ("UNSET", None) if ending.error_type is None else ("ERROR", ending.error_type)
    )
    assert 0 < seconds(span) <= clock.touched
    assert not span.events
    one_stream_was_told(told, ending.outcome, ending.error_type)


@pytest.mark.parametrize(("end", "lasts"), [(closed, True), (dropped, False)])
async def test_a_stream_lasts_until_it_is_closed_and_a_dropped_one_until_its_last_chunk(
    api: Api, server: ScriptedServer, told: Told, end: Program, *, lasts: bool
) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))
    clock = Clock()

    stream = await begun(api, CHAT, clock)
    await asyncio.sleep(0.02)  # the app does something else
    if end is closed:
        await api.close(stream)
    del stream
    await collect()

    assert told.span.end_time is not None
    assert (told.span.end_time > clock.touched_at) is lasts
    assert told.total("gen_ai.client.operation.duration") == pytest.approx(seconds(told.span), abs=1e-6)


async def test_times_between_chunks_are_those_of_the_app(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.frames))

    stream = await CHAT.open(api)
    await api.next(stream)  # the role, no text yet
    await asyncio.sleep(0.02)
    await api.drain(stream)

    first = told.attributes["gen_ai.response.time_to_first_chunk"]
    gap = told.attributes["otel_openai.stream.max_chunk_gap"]
    assert 0.02 <= gap <= first <= seconds(told.span)
    assert told.total("gen_ai.client.operation.time_to_first_chunk") == pytest.approx(first, abs=1e-6)
