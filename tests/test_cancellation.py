"""Requests and streams that the app gives up: cancelled tasks, time limits, interrupts, clients that disconnect."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from server import Gate, ScriptedServer, chat, chat_stream, json_reply, sse
from streamed import CHAT, STREAMED, Streamed, described, one_stream_was_told, settled
from support import MESSAGES, Api, Told, client, collect


@pytest.fixture
async def api(server: ScriptedServer) -> AsyncIterator[Api]:
    async with client("async", server.base_url) as made:
        yield Api("async", made)


async def reached(gate: Gate) -> None:
    """Wait until the server waits at the gate."""
    await asyncio.to_thread(gate.reached.wait, 5)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def a_call_failed(told: Told, error_type: str) -> None:
    """There is one span, of a call that got no answer."""
    assert described(told.span).get("error.type") == error_type
    assert "otel_openai.stream.outcome" not in described(told.span)
    assert told.span.status.status_code.name == "ERROR"
    assert told.total("gen_ai.client.operation.duration", error__type=error_type) > 0
    assert told.total("otel_openai.active_requests") == 0


# Before there is an answer.


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
async def test_a_task_cancelled_before_the_answer(
    api: Api, server: ScriptedServer, told: Told, *, streams: bool
) -> None:
    gate = Gate()
    server.reply(json_reply(chat()).after(gate))

    task = asyncio.create_task(api.chat(stream=streams))
    await reached(gate)
    await cancelled(task)

    a_call_failed(told, "CancelledError")


async def test_a_time_limit_before_the_answer(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(json_reply(chat()).after(Gate()))

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(api.chat(), 0.05)

    a_call_failed(told, "CancelledError")


async def test_a_task_cancelled_before_it_begins_makes_no_request(api: Api, server: ScriptedServer, told: Told) -> None:
    await cancelled(asyncio.create_task(api.chat()))
    await cancelled(asyncio.create_task(api.client.chat.completions.create(**CHAT.arguments)))

    assert (told.spans, server.requests) == ([], [])


# While a stream is read.


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_a_task_cancelled_while_it_awaits_a_chunk(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.begin, Gate(), *streamed.rest))
    read: list[Any] = []

    async def answer() -> None:
        stream = await streamed.open(api)
        while True:
            read.append(await api.next(stream))

    task = asyncio.create_task(answer())
    await settled(lambda: len(read) == streamed.begun_after)
    await cancelled(task)

    assert described(told.span) == streamed.expected(
        "cancelled", streamed.begun_after, server=server, error_type="CancelledError"
    )
    assert told.span.status.status_code.name == "ERROR"
    one_stream_was_told(told, "cancelled", "CancelledError")


async def wait_for(awaitable: Awaitable[Any]) -> None:
    await asyncio.wait_for(awaitable, 0.05)


async def timeout(awaitable: Awaitable[Any]) -> None:
    limit: Callable[[float], Any] = vars(asyncio)["timeout"]
    async with limit(0.05):
        await awaitable


SINCE_3_11 = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is of Python 3.11")


@pytest.mark.parametrize("limit", [wait_for, pytest.param(timeout, marks=SINCE_3_11)])
async def test_a_time_limit_while_a_chunk_is_awaited(
    api: Api, server: ScriptedServer, told: Told, limit: Callable[[Awaitable[Any]], Any]
) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))
    stream = await CHAT.open(api)
    for _ in CHAT.begin:
        await api.next(stream)

    with pytest.raises(asyncio.TimeoutError):
        await limit(api.next(stream))

    assert described(told.span) == CHAT.expected(
        "cancelled", CHAT.begun_after, server=server, error_type="CancelledError"
    )


async def test_a_task_cancelled_between_chunks_in_a_with_block(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))
    busy = asyncio.Event()

    async def answer() -> None:
        async with await CHAT.open(api) as stream:
            await api.next(stream)
            busy.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await busy.wait()
    await cancelled(task)

    assert described(told.span) == CHAT.expected("cancelled", 1, server=server, error_type="CancelledError")
    one_stream_was_told(told, "cancelled", "CancelledError")


async def test_a_stream_outlives_a_task_cancelled_between_chunks(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.frames))
    stream = await CHAT.open(api)
    busy = asyncio.Event()

    async def answer() -> None:
        await api.next(stream)
        busy.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await busy.wait()
    await cancelled(task)
    assert told.spans == []
    assert told.total("otel_openai.active_requests") == 1
    await api.drain(stream)

    assert described(told.span) == CHAT.expected("completed", CHAT.chunks, server=server, finished=True)


# The app's own generator, closed as web frameworks do when their client disconnects.


async def with_block(stream: Any) -> AsyncIterator[Any]:
    async with stream:
        async for chunk in stream:
            yield chunk


async def finally_close(stream: Any) -> AsyncIterator[Any]:
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await stream.close()


async def finally_close_response(stream: Any) -> AsyncIterator[Any]:
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await stream.response.aclose()


async def no_close(stream: Any) -> AsyncIterator[Any]:
    async for chunk in stream:
        yield chunk


GENERATORS = [(with_block, "closed"), (finally_close, "closed"), (finally_close_response, "closed")]


@pytest.mark.parametrize(("answer", "outcome"), [*GENERATORS, (no_close, "abandoned")])
async def test_a_generator_of_the_app_is_closed(
    api: Api, server: ScriptedServer, told: Told, answer: Callable[[Any], Any], outcome: str
) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))

    generator = answer(await CHAT.open(api))
    for _ in CHAT.begin:
        await generator.__anext__()
    await generator.aclose()
    await collect()

    assert described(told.span) == CHAT.expected(outcome, CHAT.begun_after, server=server)
    assert told.span.status.status_code.name == "UNSET"


@pytest.mark.parametrize("end", ["closed", "dropped"])
def test_a_sync_generator_of_the_app_is_closed(server: ScriptedServer, told: Told, end: str) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))

    def answer() -> Iterator[Any]:
        with bare.chat.completions.create(**CHAT.arguments, stream=True) as stream:
            yield from stream

    with client("sync", server.base_url) as bare:
        generator: Any = answer()
        next(generator)
        if end == "closed":
            generator.close()
        del generator

    one_stream_was_told(told, "closed")


def test_a_response_closed_from_within_a_generator_of_the_app_was_not_read_to_its_end(
    server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))

    def first_words(stream: Any) -> Iterator[Any]:
        yield next(stream)
        stream.response.close()

    with client("sync", server.base_url) as bare:
        assert len(list(first_words(bare.chat.completions.create(**CHAT.arguments, stream=True)))) == 1

    assert described(told.span) == CHAT.expected("closed", 1, server=server)


# Ctrl-C, while the client waits for the network.


@pytest.fixture
def interrupt() -> Iterator[threading.Thread]:
    """A thread that interrupts this one as soon as it reads from the network."""
    reader = threading.current_thread()

    def wait_and_interrupt() -> None:
        while not is_reading(reader.ident or 0):
            time.sleep(0.001)
        signal.pthread_kill(reader.ident or 0, signal.SIGINT)

    thread = threading.Thread(target=wait_and_interrupt, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield thread
    thread.join()
    signal.signal(signal.SIGINT, before)


def is_reading(thread: int) -> bool:
    frame = sys._current_frames().get(thread)
    return frame is not None and frame.f_code.co_name == "read" and "httpcore" in frame.f_code.co_filename


def test_an_interrupt_while_an_answer_is_awaited(
    server: ScriptedServer, told: Told, interrupt: threading.Thread
) -> None:
    server.reply(json_reply(chat()).after(Gate()))

    with client("sync", server.base_url) as bare:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            bare.chat.completions.create(**CHAT.arguments)

    a_call_failed(told, "KeyboardInterrupt")


def test_an_interrupt_while_a_chunk_is_awaited(server: ScriptedServer, told: Told, interrupt: threading.Thread) -> None:
    server.reply(sse(*CHAT.begin, Gate(), *CHAT.rest))

    with client("sync", server.base_url) as bare:
        stream = bare.chat.completions.create(**CHAT.arguments, stream=True)
        for _ in CHAT.begin:
            next(stream)
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            next(stream)

    assert described(told.span) == CHAT.expected(
        "error", CHAT.begun_after, server=server, error_type="KeyboardInterrupt"
    )


# Trio, the other event loop that the client runs on.


@pytest.mark.parametrize("raw", [False, True], ids=["stream", "streaming response"])
def test_a_time_limit_of_trio(server: ScriptedServer, told: Told, *, raw: bool) -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    gate = Gate()
    server.reply(sse(*chat_stream("Hel", "lo!")[:2], gate))

    async def main() -> None:
        async with client("async", server.base_url) as made:
            api = Api("async", made)
            with trio.CancelScope() as scope:
                if raw:
                    manager = made.chat.completions.with_streaming_response.create(
                        model="gpt-4o-mini", messages=MESSAGES, stream=True
                    )
                    async with manager as answer:
                        async for _ in answer.iter_lines():
                            scope.deadline = trio.current_time() + 0.1
                else:
                    async for _ in await api.stream():
                        scope.deadline = trio.current_time() + 0.1
            assert scope.cancelled_caught

    trio.run(main)
    gate.open()

    assert told.attributes["otel_openai.stream.outcome"] == "cancelled"
    assert told.attributes["error.type"] == "Cancelled"
    assert told.total("otel_openai.active_requests") == 0
