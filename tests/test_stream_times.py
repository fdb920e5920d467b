"""Times of streams: the first output, whatever it is, and the longest wait. Gates hold the server: no guessing."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

import otel_openai
from exported import metrics
from server import (
    DONE,
    Body,
    Gate,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_usage,
    completion_chunk,
    finish_chunk,
    function_call,
    output_message,
    reasoning_chunk,
    refusal_chunk,
    response_stream,
    response_tool_stream,
    role_chunk,
    sse,
    tool_chunk,
    usage_chunk,
)
from support import Api, Told

CHAT = "chat.completions.create"
ARGUMENTS: dict[str, dict[str, Any]] = {
    CHAT: {"messages": []},
    "completions.create": {"prompt": "Say"},
    "responses.create": {"input": "Hi"},
}
_EVENTS = response_stream("Hi")
_TOOL_EVENTS = response_tool_stream(function_call())
_AUDIO = chat_chunk(delta={"audio": {"id": "audio_1", "transcript": "Hi"}})
_FUNCTION = chat_chunk(delta={"function_call": {"name": "a", "arguments": ""}})
_SERVER_TOOL: Body = {
    "type": "response.output_item.added",
    "output_index": 0,
    "item": {"id": "ws_1", "type": "web_search_call", "status": "in_progress"},
}
_MESSAGE: Body = {"type": "response.output_item.added", "output_index": 0, "item": output_message(content=[])}

# What comes before the first output, and the first output.
FIRST: dict[str, tuple[str, list[Body], Body]] = {
    "text after a role": (CHAT, [role_chunk()], chat_chunk("Hi")),
    "text after null content": (CHAT, [chat_chunk(None, delta={"role": "assistant"})] * 3, chat_chunk("Hi")),
    "text after no choice": (CHAT, [chat_chunk(choices=[], id="", model="")], chat_chunk("Hi")),
    "text after empty text": (CHAT, [chat_chunk(""), chat_chunk("", delta={"reasoning": ""})], chat_chunk("Hi")),
    "text after progress": (CHAT, [chat_chunk(None, prompt_progress={"processed": 1})], chat_chunk("Hi")),
    "text after usage": (CHAT, [usage_chunk(chat_usage(9, 0))], chat_chunk("Hi")),
    "reasoning_content": (CHAT, [role_chunk()], reasoning_chunk("Hm.")),
    "reasoning": (CHAT, [role_chunk()], reasoning_chunk("Hm.", name="reasoning")),
    "a refusal": (CHAT, [role_chunk()], refusal_chunk("No.")),
    "a tool call": (CHAT, [role_chunk()], tool_chunk(name="a", call_id="1")),
    "a legacy function call": (CHAT, [role_chunk()], _FUNCTION),
    "audio": (CHAT, [role_chunk()], _AUDIO),
    "the second choice": (CHAT, [role_chunk(), role_chunk(index=1)], chat_chunk("Hi", index=1)),
    "the text of a completion": ("completions.create", [completion_chunk("")], completion_chunk("Hi")),
    "a delta": ("responses.create", _EVENTS[:4], _EVENTS[4]),
    "a function": ("responses.create", _TOOL_EVENTS[:2], _TOOL_EVENTS[2]),
    "a tool of the server's": ("responses.create", [*_EVENTS[:2], _MESSAGE], _SERVER_TOOL),
}


@pytest.mark.parametrize("what", FIRST)
async def test_the_first_output_is_timed(api: Api, server: ScriptedServer, told: Told, what: str) -> None:
    method, before, first = FIRST[what]
    first_gate, later_gate = Gate(), Gate()
    server.reply(sse(*before, first_gate, first, later_gate, first, DONE))

    stream = await api.call(method, model="m", stream=True, **ARGUMENTS[method])
    for _ in before:
        await api.next(stream)
    asked_at = time.time_ns()
    first_gate.open()
    await api.next(stream)
    seen_at = time.time_ns()
    later_gate.open()
    await api.drain(stream)

    span = told.span
    assert span.start_time is not None
    first_at = span.start_time + told.attributes["gen_ai.response.time_to_first_chunk"] * 1e9
    assert asked_at < first_at < seen_at
    [(_, (count, total))] = told.points("gen_ai.client.operation.time_to_first_chunk")
    assert (count, span.start_time + total * 1e9) == (1, pytest.approx(first_at))


@pytest.mark.parametrize(
    "chunks",
    [[], [role_chunk(), finish_chunk()], [chat_chunk(choices=[]), usage_chunk()]],
    ids=["none", "role", "usage"],
)
async def test_where_no_output_came_none_is_timed(
    api: Api, server: ScriptedServer, told: Told, chunks: list[Body]
) -> None:
    server.reply(sse(*chunks, DONE))

    await api.drain(await api.stream())

    assert "gen_ai.response.time_to_first_chunk" not in told.attributes
    assert told.points("gen_ai.client.operation.time_to_first_chunk") == []


async def test_a_plain_answer_has_no_first_output(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())

    await api.chat()

    assert "gen_ai.response.time_to_first_chunk" not in told.attributes
    assert told.points("gen_ai.client.operation.time_to_first_chunk") == []
    assert told.points("gen_ai.client.operation.time_per_output_chunk") == []
    assert not [name for name in told.attributes if "stream" in name]


async def test_the_longest_wait_is_one_between_chunks(api: Api, server: ScriptedServer, told: Told) -> None:
    first, second, last = Gate(), Gate(), Gate()
    server.reply(sse(first, chat_chunk("a"), second, chat_chunk("b"), chat_chunk("c"), finish_chunk(), last, DONE))

    stream = await api.stream()
    await asyncio.sleep(0.1)  # time that must not count: nothing was awaited before the first chunk
    first.open()
    await api.next(stream)
    seen_at = time.perf_counter()
    await asyncio.sleep(0.03)
    waited = time.perf_counter() - seen_at
    second.open()
    for _ in range(3):
        await api.next(stream)
    await asyncio.sleep(0.1)  # nor after the last
    last.open()
    await api.drain(stream)

    assert waited <= told.attributes["otel_openai.stream.max_chunk_gap"] < 0.1


@pytest.fixture
def timed() -> Iterator[Told]:
    recorded = Told()
    recorded.instrument(chunk_timing=True)
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


CHUNK_TIME = "gen_ai.client.operation.time_per_output_chunk"


TIMED: dict[str, tuple[str, list[Body], int]] = {
    "chat": (CHAT, [role_chunk(), chat_chunk("a"), chat_chunk("b"), finish_chunk(), usage_chunk()], 3),
    "one chunk": (CHAT, [chat_chunk("a")], 0),
    "responses": ("responses.create", _EVENTS, len(_EVENTS) - 1),
}


@pytest.mark.parametrize("what", TIMED)
async def test_every_chunk_is_timed_where_the_app_asks_for_it(
    api: Api, server: ScriptedServer, timed: Told, what: str
) -> None:
    method, chunks, records = TIMED[what]
    server.reply(sse(*chunks, DONE))

    await api.drain(await api.call(method, model="m", stream=True, **ARGUMENTS[method]))

    points = timed.points(CHUNK_TIME)
    assert [count for _, (count, _) in points] == ([records] if records else [])
    for attributes, (_, total) in points:
        assert attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai_compatible",
            "gen_ai.request.model": "m",
            "server.address": "127.0.0.1",
            "server.port": server.port,
        }
        assert total > 0


async def test_chunks_are_not_timed_by_default(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(chat_chunk("a"), chat_chunk("b"), finish_chunk(), DONE))

    await api.drain(await api.stream())

    assert CHUNK_TIME not in metrics(told)
