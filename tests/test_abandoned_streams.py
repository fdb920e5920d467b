"""Streams that nobody ends: the garbage collector finds them, and the reaper's thread tells of them, no finaliser."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal

import openai
import pytest

from programs import settle
from server import Gate, ScriptedServer, sse
from streamed import CHAT, Closing, Watcher, collect_under, described, entered, one_stream_was_told
from support import Api, Told, client, collect

REAPER = "otel-openai-reaper"


@pytest.fixture(autouse=True)
def collections_are_shorter() -> None:
    """Each test here runs the collector several times; what others have left need not be looked at again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def watcher(told: Told) -> Watcher:
    return Watcher(told)


# What is kept in a list until the collector may find it.


async def read(api: Api) -> Any:
    stream = await CHAT.open(api)
    await api.next(stream)
    return stream


async def unread(api: Api) -> Any:
    return await CHAT.open(api)


async def unparsed(api: Api) -> Any:
    made = api.client.chat.completions.with_raw_response.create(**CHAT.arguments, stream=True)
    return await made if api.is_async else made


async def never_left(api: Api) -> Any:
    manager = api.client.chat.completions.with_streaming_response.create(**CHAT.arguments, stream=True)
    return await entered(manager).__aenter__()


async def helper(api: Api) -> Any:
    stream = await entered(api.client.beta.chat.completions.stream(**CHAT.arguments)).__aenter__()
    await api.next(stream)
    return stream


Keep = Callable[[Api], Awaitable[Any]]


def lines(response: Any) -> Iterator[str]:
    with response as answer:
        yield from answer.iter_lines()


async def async_lines(response: Any) -> AsyncIterator[str]:
    async with response as answer:
        async for line in answer.iter_lines():
            yield line


async def generator(api: Api) -> Any:
    """A generator of the app around a response: when it is collected, its `with` block is left."""
    response = api.client.chat.completions.with_streaming_response.create(**CHAT.arguments, stream=True)
    made: Any = (async_lines if api.is_async else lines)(response)
    await made.__anext__() if api.is_async else next(made)
    return made


KEPT: dict[Keep, str] = {
    read: "abandoned",
    unread: "abandoned",
    unparsed: "abandoned",
    never_left: "abandoned",
    helper: "abandoned",
    generator: "closed",
}


@pytest.mark.parametrize("keep", KEPT)
async def test_what_the_collector_finds_is_told_by_the_reaper(
    api: Api, server: ScriptedServer, told: Told, watcher: Watcher, keep: Keep
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))
    kept = [await keep(api)]

    kept.clear()
    await collect()
    await collect()

    one_stream_was_told(told, KEPT[keep])
    assert watcher.threads == [REAPER]
    assert told.span.status.status_code.name == "UNSET"


async def test_a_stream_that_is_dropped_is_told_though_the_app_keeps_its_response(
    api: Api, server: ScriptedServer, told: Told, watcher: Watcher
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))
    stream = await read(api)
    response = stream.response

    del stream
    await collect()
    await collect()

    one_stream_was_told(told, "abandoned")
    assert watcher.threads == [REAPER]
    await settle(response.aclose() if api.is_async else response.close())


# The collector runs while its own thread holds a lock of the SDK.


@contextmanager
def a_processor_ends_a_span(watcher: Watcher) -> Generator[None]:
    with watcher.lock:
        yield


@contextmanager
def an_attribute_is_set(watcher: Watcher) -> Generator[None]:
    with watcher.started[-1]._lock:
        yield


@contextmanager
def a_metric_is_recorded(_: Watcher) -> Generator[None]:
    with ExitStack() as held:
        for aggregation in [found for found in gc.get_objects() if "HistogramAggregation" in type(found).__name__]:
            held.enter_context(aggregation._lock)
        yield


LOCKS = [a_processor_ends_a_span, an_attribute_is_set, a_metric_is_recorded]


async def finaliser(api: Api) -> Any:
    return Closing(await read(api))


async def finaliser_of_a_response(api: Api) -> Any:
    return Closing(await never_left(api))


@pytest.mark.parametrize("keep", [finaliser, finaliser_of_a_response])
def test_what_a_finaliser_of_the_app_closes_under_a_lock_of_the_sdk_does_not_deadlock(
    server: ScriptedServer, told: Told, watcher: Watcher, keep: Callable[[Api], Coroutine[Any, Any, Any]]
) -> None:
    with client("sync", server.base_url) as made:
        server.reply(sse(*CHAT.begin, Gate()))
        kept: list[Any] = [asyncio.run(keep(Api("sync", made)))]

        collect_under(watcher.lock, kept)
        one_stream_was_told(told, "closed")
        assert watcher.threads == [REAPER]


@pytest.mark.parametrize("keep", KEPT)
@pytest.mark.parametrize("while_", LOCKS)
async def test_a_collection_under_a_lock_of_the_sdk_does_not_deadlock(  # noqa: PLR0917 - fixtures
    api: Api, server: ScriptedServer, told: Told, watcher: Watcher, keep: Keep, while_: Any
) -> None:
    server.reply(sse(*CHAT.frames), sse(*CHAT.begin, Gate()))
    await api.drain(await CHAT.open(api))
    kept = [await keep(api)]

    collect_under(while_(watcher), kept)

    await collect()
    await collect()
    assert [span.attributes["otel_openai.stream.outcome"] for span in told.spans if span.attributes] == [
        "completed",
        KEPT[keep],
    ]


@pytest.mark.skipif(openai.__version__ < "3", reason="httpx, before httpx2, does not close a response that is dropped")
def test_bytes_that_are_read_past_the_stream_and_dropped_are_abandoned(server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    with client("sync", server.base_url) as bare:
        stream = bare.chat.completions.create(**CHAT.arguments, stream=True)
        next(stream.response.iter_lines())

        one_stream_was_told(told, "abandoned")
        stream.close()


# A coroutine that awaits a chunk, destroyed where there is no loop.


async def test_a_reader_destroyed_while_it_awaits_a_chunk_is_told_by_the_reaper(
    server: ScriptedServer, told: Told, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))
    async with client("async", server.base_url) as made:
        stream = await CHAT.open(Api("async", made))
        for _ in CHAT.begin:
            await stream.__anext__()
        reader: Any = stream.__anext__()
        reader.send(None)  # as a loop does
        with suppress(Exception):  # the HTTP library fails at cleaning up where there is no loop
            await asyncio.to_thread(reader.close)
        del reader, stream
        await collect()

    assert described(told.span) == CHAT.expected("abandoned", CHAT.begun_after, server=server)
    assert watcher.threads == [REAPER]
    assert [record for record in caplog.records if record.name.startswith(("otel_openai", "opentelemetry"))] == []


# Many.


@pytest.fixture
def no_other_collections() -> Generator[None]:
    """The bare client deadlocks where a collection closes a dropped stream while the pool of connections is locked."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_other_collections")
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_abandoned_streams_leave_nothing_behind(
    server: ScriptedServer, told: Told, kind: Literal["sync", "async"]
) -> None:
    server.always(sse(*CHAT.begin, Gate()))
    await collect()
    before = {id(found) for found in left_by_streams()}

    for _ in range(2):
        async with entered(client(kind, server.base_url)) as made:  # older clients never close what is dropped
            for _ in range(50):
                await read(Api(kind, made))
            await collect()
        server.requests.clear()

    assert len(told.spans) == 100
    assert told.total("otel_openai.streams", otel_openai__stream__outcome="abandoned") == 100
    assert told.total("otel_openai.active_requests") == 0
    told.clear()
    await collect()
    assert [found for found in left_by_streams() if id(found) not in before] == []


def left_by_streams() -> list[Any]:
    names = {"StreamWatch", "ChatObserver", "Call", "HttpFacts", "_Span", "Stream", "AsyncStream", "Response"}
    return [found for found in gc.get_objects() if type(found).__name__ in names]
