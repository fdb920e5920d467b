"""Other tools that hook the client's streams, as Sentry's integration does: theirs works, and so does ours."""

import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
import wrapt
from openai.resources.chat.completions import AsyncCompletions, Completions

import otel_openai
from otel_openai import _guard
from otel_openai._streams import StreamWatch
from server import CUT, Gate, ScriptedServer, chat_stream, sse
from streamed import CHAT, described, entered, one_stream_was_told
from support import Api, Told, client, collect


class Tool:
    """Replaces `_iterator` of a stream by a generator of its own, if it is a generator, and counts the chunks."""

    def __init__(self) -> None:
        self.chunks = 0
        self.streams = 0
        self.ended = 0

    def hook(self, stream: Any) -> Any:
        inner = stream._iterator
        # The type's name is what Sentry looks at: anything but a true generator is left alone.
        if type(inner).__name__ == "generator":
            stream._iterator = self._iterate(inner)
        elif type(inner).__name__ == "async_generator":
            stream._iterator = self._aiterate(inner)
        else:
            raise AssertionError(f"no generator: {inner!r}")
        self.streams += 1
        return stream

    def _iterate(self, inner: Iterator[Any]) -> Generator[Any, None, None]:
        try:
            for chunk in inner:
                self.chunks += 1
                yield chunk
        finally:
            self.ended += 1

    async def _aiterate(self, inner: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        try:
            async for chunk in inner:
                self.chunks += 1
                yield chunk
        finally:
            self.ended += 1

    def wrapper(self, wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
        return self.hook(wrapped(*args, **kwargs))

    def async_wrapper(self, wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
        async def awaited() -> Any:
            return self.hook(await wrapped(*args, **kwargs))

        return awaited()

    def install(self) -> Callable[[], None]:
        before = Completions.__dict__["create"], AsyncCompletions.__dict__["create"]
        Completions.create = wrapt.FunctionWrapper(before[0], self.wrapper)
        AsyncCompletions.create = wrapt.FunctionWrapper(before[1], self.async_wrapper)

        def remove() -> None:
            Completions.create, AsyncCompletions.create = before

        return remove


@pytest.fixture(params=["before us", "after us"])
def tool(request: pytest.FixtureRequest, told: Told) -> Iterator[Tool]:
    """A tool that wrapped `create` before, or after, we did."""
    made = Tool()
    if request.param == "before us":
        otel_openai.uninstrument()
        remove = made.install()
        told.instrument()
        yield made
        otel_openai.uninstrument()
        remove()
    else:
        remove = made.install()
        yield made
        remove()


async def test_both_see_a_whole_stream(api: Api, server: ScriptedServer, told: Told, tool: Tool) -> None:
    server.reply(sse(*CHAT.frames))

    assert len(await api.drain(await CHAT.open(api))) == CHAT.chunks

    assert described(told.span) == CHAT.expected("completed", CHAT.chunks, server=server, finished=True)
    assert (tool.streams, tool.chunks, tool.ended) == (1, CHAT.chunks, 1)


async def test_both_see_a_stream_that_is_left_early(api: Api, server: ScriptedServer, told: Told, tool: Tool) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    async with entered(await CHAT.open(api)) as stream:
        for _ in CHAT.begin:
            await api.next(stream)

    assert described(told.span) == CHAT.expected("closed", CHAT.begun_after, server=server)
    assert tool.chunks == CHAT.begun_after


async def test_both_see_a_stream_that_is_dropped(api: Api, server: ScriptedServer, told: Told, tool: Tool) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    stream = await CHAT.open(api)
    await api.next(stream)
    del stream
    await collect()
    await collect()

    one_stream_was_told(told, "abandoned")
    assert (tool.chunks, tool.ended) == (1, 1)


async def test_both_see_a_stream_that_breaks(api: Api, server: ScriptedServer, told: Told, tool: Tool) -> None:
    server.reply(sse(*CHAT.begin, CUT))

    with pytest.raises(Exception, match=r"."):
        await api.drain(await CHAT.open(api))

    assert described(told.span)["otel_openai.stream.outcome"] == "error"
    assert (tool.chunks, tool.ended) == (CHAT.begun_after, 1)


async def test_a_tool_may_hook_the_raw_stream_that_the_app_parses(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.frames))
    tool = Tool()

    answer = await api.call("chat.completions.with_raw_response.create", **CHAT.arguments, stream=True)
    assert len(await api.drain(tool.hook(answer.parse()))) == CHAT.chunks

    assert described(told.span) == CHAT.expected("completed", CHAT.chunks, server=server, finished=True)
    assert tool.chunks == CHAT.chunks


class Awaitable:
    """What a wrapper may return instead of a coroutine."""

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.coroutine.__await__()


async def test_a_tool_may_return_any_awaitable(server: ScriptedServer, told: Told) -> None:
    def wrapper(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
        return Awaitable(wrapped(*args, **kwargs))

    otel_openai.uninstrument()
    before = AsyncCompletions.__dict__["create"]
    AsyncCompletions.create = wrapt.FunctionWrapper(before, wrapper)
    try:
        told.instrument()
        server.reply(sse(*CHAT.frames))
        async with client("async", server.base_url) as made:
            await (await made.chat.completions.create(**CHAT.arguments, stream=True)).close()
        otel_openai.uninstrument()
    finally:
        AsyncCompletions.create = before

    one_stream_was_told(told, "closed")


class Around:
    """What a tool gives the app in place of the client's stream: an object of its own, with the stream in it."""

    def __init__(self, stream: Any) -> None:
        self._iterator = iter(())  # what it reads ahead
        self.stream = stream

    def parse(self) -> Any:
        return self  # in place of a raw response, too

    def __iter__(self) -> Iterator[Any]:
        return iter(self.stream)

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self.stream)

    def close(self) -> Any:
        return self.stream.close()


def around(result: Any) -> Around:
    return Around(result.parse() if hasattr(result, "parse") else result)


@pytest.mark.parametrize("form", ["chat.completions.create", "chat.completions.with_raw_response.create"])
async def test_a_stream_that_a_tool_has_put_something_around_is_told_as_one(
    *, api: Api, server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def put_around(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
        return around(wrapped(*args, **kwargs))

    async def put_around_awaited(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
        return around(await wrapped(*args, **kwargs))

    otel_openai.uninstrument()
    owner: Any = AsyncCompletions if api.is_async else Completions
    wrapper = put_around_awaited if api.is_async else put_around
    monkeypatch.setattr(owner, "create", wrapt.FunctionWrapper(owner.create, wrapper))
    told.instrument()
    server.reply(sse(*CHAT.frames), sse(*CHAT.begin, Gate()))

    whole = await api.call(form, **CHAT.arguments, stream=True)
    assert type(whole) is Around
    assert len(await api.drain(whole.parse())) == CHAT.chunks
    left = await api.call(form, **CHAT.arguments, stream=True)
    await api.close(left.parse())
    otel_openai.uninstrument()

    first, second = told.spans
    assert described(first) == CHAT.expected("completed", CHAT.chunks, server=server, finished=True)
    assert described(second)["otel_openai.stream.outcome"] == "closed"


class OwnStream:
    """What a tool gives the app in place of the client's stream: it looks like one, and has another response."""

    def __init__(self, inner: Any) -> None:
        self._iterator = iter(inner)
        self.response = None

    def __iter__(self) -> Iterator[Any]:
        return self._iterator


def test_a_stream_that_cannot_be_observed_is_not_kept(
    server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def replaces(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
        return OwnStream(wrapped(*args, **kwargs))

    otel_openai.uninstrument()
    monkeypatch.setattr(Completions, "create", wrapt.FunctionWrapper(Completions.create, replaces))
    monkeypatch.setattr(_guard, "reraise", False)
    caplog.set_level(logging.CRITICAL, "otel_openai")  # a report that is kept would keep our frames
    told.instrument()
    server.always(sse(*chat_stream("Hel", "lo!")))
    with client("sync", server.base_url) as made:
        for _ in range(3):
            assert len(list(made.chat.completions.create(model="gpt-4o-mini", messages=[], stream=True))) == 4

    assert [span.name for span in told.spans] == ["chat gpt-4o-mini"] * 3
    gc.collect()
    assert [kept for kept in gc.get_objects() if type(kept) is StreamWatch] == []
