"""Bounded memory, whatever a server sends: absurd indexes, endless tool calls, long streams, giant strings."""

import contextlib
import gc
import tracemalloc
from collections.abc import Generator, Mapping
from itertools import pairwise
from typing import Any

import openai
import pytest

import otel_openai
from exported import otlp
from otel_openai import _metrics
from programs import ARGUMENTS
from server import (
    DONE,
    Body,
    ScriptedServer,
    chat,
    chat_chunk,
    choice,
    completion_chunk,
    embeddings,
    finish_chunk,
    function_call,
    json_reply,
    openai_error,
    response,
    sse,
    together,
    tool_call,
    tool_chunk,
)
from support import Api, Told

CHAT, LEGACY, RESPONSES = "chat.completions.create", "completions.create", "responses.create"
TOOL_COUNT, TOOL_NAMES = "otel_openai.tool_call.count", "otel_openai.tool_call.names"
GIANT = "x" * 300_000


def live() -> int:
    """Bytes in use by chunks and by us, of what was allocated since tracing began. Buffers of HTTP come and go."""
    gc.collect()
    kept = [tracemalloc.Filter(inclusive=True, filename_pattern=f"*/{name}") for name in _MAKERS]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(kept).traces)


async def sizes_after(*counts: int, api: Api, stream: Any) -> list[int]:
    """What is live after so many chunks."""
    sizes: list[int] = []
    for earlier, later in pairwise((0, *counts)):
        for _ in range(later - earlier):
            await api.next(stream)
        sizes.append(live())
    return sizes


def growth(sizes: list[int]) -> list[int]:
    """From one size to the next. Some are too high: the interpreter keeps a few frames for later."""
    return [later - earlier for earlier, later in pairwise(sizes)]


_MAKERS = ("otel_openai/*", "openai/_models.py", "pydantic/*", "json/*")


@contextlib.contextmanager
def traced() -> Generator[None, None, None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


# Both kinds of client share what is tested where this is used, and the client itself takes its time.
ONE_KIND = pytest.mark.parametrize("api", ["sync"], indirect=True)

TEXT = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
ARGUMENT = {"choices": [{"index": 1, "delta": {"tool_calls": [{"index": 3, "function": {"arguments": "a"}}]}}]}
DELTA = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "a"}
ITEM = {"type": "response.output_item.added", "output_index": 0, "item": {"id": "i", "type": "message"}}


@pytest.mark.parametrize(
    ("method", "chunk"),
    [(CHAT, TEXT), (CHAT, ARGUMENT), (LEGACY, completion_chunk("a")), (RESPONSES, DELTA), (RESPONSES, ITEM)],
    ids=["chat", "tool arguments", "completions", "responses", "response items"],
)
async def test_an_open_stream_does_not_grow(
    method: str, chunk: Mapping[str, Any], api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(chunk), sse(together(*[chunk] * 200), *[together(*[chunk] * 100)] * 9))
    await api.drain(await api.call(method, **ARGUMENTS[method], stream=True))  # what is made once is made by now
    told.clear()
    with traced():
        stream = await api.call(method, **ARGUMENTS[method], stream=True)
        sizes = await sizes_after(200, 400, 600, 800, 1000, api=api, stream=stream)
        assert min(growth(sizes)) < 200, sizes  # one byte a chunk would be too much
    assert len(await api.drain(stream)) == 100
    assert told.attributes["otel_openai.stream.chunk.count"] == 1100


@ONE_KIND
async def test_a_stream_of_many_chunks_is_counted_to_the_last(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*[together(*[TEXT] * 1000)] * 10, finish_chunk(), DONE))

    chunks = 0
    async for _ in api.iterate(await api.stream()):
        chunks += 1

    assert told.attributes["otel_openai.stream.chunk.count"] == chunks == 10_001


def tool_calls(first: int, count: int, **fields: Any) -> Body:
    """A chunk with many whole tool calls, each with an index of its own."""
    calls = [
        {**tool_call(f"tool_{index}", id=f"call_{index}"), "index": index} for index in range(first, first + count)
    ]
    return chat_chunk(delta={"tool_calls": calls}, **fields)


@ONE_KIND
async def test_every_one_of_endless_tool_calls_is_counted(api: Api, server: ScriptedServer, told: Told) -> None:
    chunks = [tool_calls(first, 1000) for first in range(0, 100_000, 1000)]
    server.reply(sse(*chunks, finish_chunk("tool_calls"), DONE))

    await api.drain(await api.stream())

    assert told.attributes[TOOL_COUNT] == 100_000
    assert told.attributes[TOOL_NAMES] == [f"tool_{index}" for index in range(32)]
    assert told.total("otel_openai.tool_calls") == 100_000
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="tool_7") == 1
    assert len(told.points("otel_openai.tool_calls")) == 101


@ONE_KIND
async def test_what_endless_tool_calls_leave_in_an_open_stream_is_bounded(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    chunks = [tool_calls(first, 100) for first in range(0, 3_000, 100)]
    server.reply(sse(*chunks, finish_chunk("tool_calls"), DONE))
    stream = await api.stream()
    with traced():
        sizes = await sizes_after(10, 20, 30, api=api, stream=stream)
        assert min(growth(sizes)) < 1024, sizes
    await api.drain(stream)
    assert told.attributes[TOOL_COUNT] == 3_000


async def test_every_one_of_many_calls_of_a_response_is_counted(api: Api, server: ScriptedServer, told: Told) -> None:
    calls = [function_call(f"tool_{index % 3}", id=f"fc_{index}") for index in range(1500)]
    steps = [
        {"type": f"response.output_item.{step}", "output_index": index, "item": call}
        for index, call in enumerate(calls)
        for step in ("added", "done")
    ]
    last = {"type": "response.completed", "response": response(output=[])}
    server.reply(sse(together(*steps), last))

    await api.drain(await api.call(RESPONSES, **ARGUMENTS[RESPONSES], stream=True))

    assert told.attributes[TOOL_COUNT] == 1500
    assert told.attributes[TOOL_NAMES] == [f"tool_{index % 3}" for index in range(32)]
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="tool_0") == 500


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_absurd_index_costs_nothing(
    *,
    streamed: bool,
    api: Api,
    server: ScriptedServer,
    told: Told,
) -> None:
    absurd = 10_000_000
    if streamed:
        chunk = chat_chunk(index=absurd, finish_reason="stop", delta={"tool_calls": [{**tool_call(), "index": absurd}]})
        server.reply(sse(chunk, tool_chunk("{}", call=10**30, index=10**30), DONE))
    else:
        server.reply(chat(choices=[choice(tool_calls=[{**tool_call(), "index": absurd}], index=absurd)]))

    with traced():
        result = await api.chat(stream=streamed)
        if streamed:
            await api.drain(result)
        _, peak = tracemalloc.get_traced_memory()

    assert peak < 20_000_000  # a list with a place for each of ten million takes four times that
    assert told.attributes["gen_ai.response.finish_reasons"] == (["stop", "error"] if streamed else ["tool_calls"])
    assert told.attributes[TOOL_COUNT] == 1 + streamed


async def test_more_choices_than_anyone_asks_for_are_cut(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(
        chat(choices=[choice(index=index) for index in range(500)]),
        sse(*[together(*[chat_chunk("a", index=index) for index in range(500)])], DONE),
    )
    await api.chat()
    await api.drain(await api.stream())

    for span in told.spans:
        assert span.attributes
        reasons = span.attributes["gen_ai.response.finish_reasons"]
        assert isinstance(reasons, tuple)
        assert len(reasons) == 128


async def test_giant_strings_are_cut(api: Api, server: ScriptedServer, told: Told) -> None:
    giant_call = tool_call(GIANT, id=GIANT)
    body = chat(GIANT, tool_calls=[giant_call], finish_reason=GIANT, id=GIANT, model=GIANT, service_tier=GIANT)
    events = [
        {"type": "response.output_item.done", "output_index": 0, "item": function_call(GIANT, id=GIANT)},
        {"type": "response.completed", "response": response(id=GIANT, model=GIANT)},
    ]
    server.reply(body, sse(chat_chunk(GIANT, id=GIANT), DONE), sse(*events))
    server.reply(json_reply(openai_error(message=GIANT, code=GIANT, kind=GIANT, param=GIANT), status=400))

    await api.chat(model=GIANT, stop=[GIANT] * 100, messages=[{"role": "user", "content": GIANT}])
    await api.drain(await api.stream(model=GIANT))
    await api.drain(await api.call(RESPONSES, model=GIANT, input=GIANT, previous_response_id=GIANT, stream=True))
    with pytest.raises(openai.BadRequestError):
        await api.chat()

    assert len(told.spans) == 4
    assert len(otlp(told)) < 60_000


async def test_names_that_come_up_anew_with_each_call_do_not_pile_up(
    api: Api, server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _metrics.MAX_SERIES <= 2000
    monkeypatch.setattr(_metrics, "MAX_SERIES", 50)
    headers = {"x-ratelimit-remaining-tokens": "5"}
    for number in range(200):
        server.reply(json_reply(embeddings(model=f"answered-{number}", service_tier=f"tier-{number}"), headers=headers))
        await api.call("embeddings.create", model=f"asked-{number}", input="x", encoding_format="float")

    for name in ("active_requests", "retries", "ratelimit.remaining"):
        assert len(told.points(f"otel_openai.{name}")) <= 51
    duration = told.points("gen_ai.client.operation.duration")
    assert len(duration) == 51
    assert sum(count for _, (count, _) in duration) == 200
    assert told.total("gen_ai.client.inference.usage.input_tokens") == 200 * 5
    assert told.total("gen_ai.client.inference.usage.input_tokens", gen_ai__request__model="other") == 150 * 5
    assert told.total("otel_openai.active_requests") == 0


async def test_chunk_times_of_new_names_do_not_pile_up(
    api: Api, server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_metrics, "MAX_SERIES", 5)
    otel_openai.uninstrument()
    told.instrument(chunk_timing=True)
    for number in range(20):
        server.reply(sse(chat_chunk("a"), chat_chunk("b"), DONE))
        await api.drain(await api.stream(model=f"asked-{number}"))

    points = told.points("gen_ai.client.operation.time_per_output_chunk")
    assert [count for _, (count, _) in points] == [1, 1, 1, 1, 1, 15]
