"""The caller's context: a span is current while its request is made, and never between the chunks of a stream."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan

from server import Gate, ScriptedServer, chat, sse
from streamed import CHAT, STREAMED, Streamed, entered, one_stream_was_told
from support import Api, Told, client, collect


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A token that is given back in a foreign context is only seen in the log of OpenTelemetry."""
    yield
    assert [record for record in caplog.records if record.name.startswith(("opentelemetry", "otel_openai"))] == []
    assert logging.getLogger("opentelemetry.context").isEnabledFor(logging.ERROR)


@pytest.fixture
def tracer(told: Told) -> trace.Tracer:
    return told.tracer_provider.get_tracer("app")


def by_name(told: Told) -> dict[str, ReadableSpan]:
    return {span.name: span for span in told.spans}


def _model(streamed: Streamed) -> list[str]:
    model = streamed.told.get("gen_ai.request.model")
    return [] if model is None else [model]


def parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def identity(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_the_context_is_the_callers_at_every_step(
    api: Api, server: ScriptedServer, told: Told, tracer: trace.Tracer, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.frames))

    with tracer.start_as_current_span("caller") as caller:
        before = context.get_current()
        stream = await streamed.open(api)
        assert context.get_current() is before
        async for _ in api.iterate(stream):
            assert context.get_current() is before
            with tracer.start_as_current_span("in the loop"):
                pass
        assert context.get_current() is before
        assert trace.get_current_span() is caller

    spans = by_name(told)
    request = spans[" ".join([streamed.told["gen_ai.operation.name"], *_model(streamed)])]
    assert parent(request) == parent(spans["in the loop"]) == identity(spans["caller"])


async def test_what_the_app_attaches_while_it_reads_stays_attached(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.frames))
    stream = await CHAT.open(api)

    await api.next(stream)
    token = context.attach(baggage.set_baggage("customer", "7"))
    await api.drain(stream)
    assert baggage.get_baggage("customer") == "7"
    context.detach(token)

    assert baggage.get_baggage("customer") is None
    one_stream_was_told(told, "completed")


async def test_the_span_is_current_while_its_request_is_sent(server: ScriptedServer, told: Told) -> None:
    current: list[Any] = []

    def note(_: Any) -> None:
        current.append(trace.get_current_span())

    http = openai.DefaultHttpxClient(event_hooks={"request": [note]})
    server.reply(sse(*CHAT.frames), chat())
    with client("sync", server.base_url, http_client=http) as bare:
        api = Api("sync", bare)
        await api.drain(await CHAT.open(api))
        await api.chat()

    assert [span.name for span in current] == ["chat gpt-4o-mini"] * 2
    assert [identity(span) for span in current] == [identity(span) for span in told.spans]


async def test_interleaved_streams_keep_their_callers_apart(
    api: Api, server: ScriptedServer, told: Told, tracer: trace.Tracer
) -> None:
    server.reply(sse(*CHAT.frames), sse(*CHAT.frames))

    with tracer.start_as_current_span("first"):
        first = await CHAT.open(api)
    with tracer.start_as_current_span("second"):
        second = await CHAT.open(api)
        await api.next(first)
    await api.drain(second)
    await api.drain(first)

    requests = [parent(span) for span in told.spans if span.name.startswith("chat")]
    spans = by_name(told)
    assert requests == [identity(spans["second"]), identity(spans["first"])]
    assert not trace.get_current_span().is_recording()


# One stream, several tasks and threads.


def in_new_thread(act: Callable[[], Any]) -> Any:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(act()))
    thread.start()
    thread.join()
    return result[0]


def in_new_context(act: Callable[[], Any]) -> Any:
    return contextvars.Context().run(act)


@pytest.mark.parametrize("elsewhere", [in_new_thread, in_new_context])
@pytest.mark.parametrize("outcome", ["completed", "closed"])
def test_a_stream_is_opened_read_and_closed_in_different_places(
    server: ScriptedServer, told: Told, elsewhere: Callable[[Callable[[], Any]], Any], outcome: str
) -> None:
    server.reply(sse(*CHAT.begin, *([Gate()] if outcome == "closed" else []), *CHAT.rest))
    with client("sync", server.base_url) as bare:
        stream = elsewhere(lambda: bare.chat.completions.create(**CHAT.arguments, stream=True))
        for _ in CHAT.begin:
            elsewhere(lambda: next(stream))
        elsewhere(lambda: list(stream) if outcome == "completed" else stream.close())

    one_stream_was_told(told, outcome)


@pytest.mark.parametrize("outcome", ["completed", "closed"])
async def test_a_stream_is_opened_read_and_closed_in_different_tasks(
    server: ScriptedServer, told: Told, tracer: trace.Tracer, outcome: str
) -> None:
    server.reply(sse(*CHAT.begin, *([Gate()] if outcome == "closed" else []), *CHAT.rest))
    async with client("async", server.base_url) as bare:
        api = Api("async", bare)
        with tracer.start_as_current_span("caller"):
            stream = await asyncio.create_task(CHAT.open(api))
        for _ in CHAT.begin:
            await asyncio.create_task(api.next(stream))
        await asyncio.create_task(api.drain(stream) if outcome == "completed" else stream.close())

    one_stream_was_told(told, outcome)
    spans = by_name(told)
    assert parent(spans["chat gpt-4o-mini"]) == identity(spans["caller"])


async def test_a_generator_of_the_app_is_begun_and_closed_in_different_tasks(
    server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))
    async with client("async", server.base_url) as bare:

        async def answer() -> AsyncIterator[Any]:
            async with await CHAT.open(Api("async", bare)) as stream:
                async for chunk in stream:
                    yield chunk

        generator: Any = answer()
        await asyncio.create_task(generator.__anext__())
        await asyncio.create_task(generator.aclose())

    one_stream_was_told(told, "closed")


# Exceptions that have nothing to do with the stream.


def fail(kind: type[Exception] = KeyError) -> None:
    raise kind


async def left(api: Api, stream: Any) -> None:
    async with entered(stream):
        await api.next(stream)


async def closed(api: Api, stream: Any) -> None:
    await api.next(stream)
    await api.close(stream)


async def drained(api: Api, stream: Any) -> None:
    await api.drain(stream)


async def dropped(api: Api, stream: Any) -> None:
    await api.next(stream)


@pytest.mark.parametrize(
    ("end", "outcome"), [(left, "closed"), (closed, "closed"), (drained, "completed"), (dropped, "abandoned")]
)
async def test_a_stream_opened_while_an_exception_is_handled_does_not_fail_of_it(
    api: Api, server: ScriptedServer, told: Told, end: Callable[[Api, Any], Any], outcome: str
) -> None:
    server.reply(sse(*CHAT.begin, *([] if end is drained else [Gate()]), *CHAT.rest))

    async def fallback() -> None:
        try:
            fail()
        except KeyError:
            stream = await CHAT.open(api)  # the exception's traceback leads to this frame, so to the stream
            await end(api, stream)

    await fallback()
    await collect()

    assert told.span.status.status_code.name == "UNSET"
    one_stream_was_told(told, outcome)


async def test_an_exception_in_a_stream_opened_while_another_is_handled_is_told(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    with suppress(ValueError):
        try:
            fail()
        except KeyError:
            async with entered(await CHAT.open(api)) as stream:
                await api.next(stream)
                fail(ValueError)

    one_stream_was_told(told, "error", "ValueError")


async def test_a_stream_closed_while_the_app_recovers_from_its_own_exception_has_failed_of_it(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    stream = await CHAT.open(api)
    await api.next(stream)
    try:
        fail(ValueError)
    except ValueError:
        await api.close(stream)

    one_stream_was_told(told, "error", "ValueError")
