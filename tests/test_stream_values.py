"""What chat streams tell: a stream is told in the words of a plain answer, wherever its servers put them."""

from typing import Any

import pytest

from expected import CHAT_USAGE, NO_USAGE, Attributes, changed, chatted
from exported import otlp
from server import (
    ABSENT,
    DONE,
    Body,
    ScriptedServer,
    chat_chunk,
    chat_stream,
    chat_usage,
    finish_chunk,
    reasoning_chunk,
    refusal_chunk,
    role_chunk,
    sse,
    usage_chunk,
)
from support import Api, Told

BARE: Body = {"service_tier": ABSENT, "system_fingerprint": ABSENT}
UNSAID: Attributes = {"openai.response.service_tier": None, "openai.response.system_fingerprint": None}


def streamed(server: ScriptedServer, chunks: list[Any], *changes: Attributes) -> Attributes:
    stream = {
        "gen_ai.request.stream": True,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len([chunk for chunk in chunks if chunk != DONE]),
    }
    return changed(chatted(server, NO_USAGE, stream, *changes))


def without_times(told: Told) -> Attributes:
    """All attributes but those of time, which are looked at here."""
    attributes = told.attributes
    first = attributes.pop("gen_ai.response.time_to_first_chunk", None)
    assert first is None or first > 0
    gap = attributes.pop("otel_openai.stream.max_chunk_gap", None)
    assert (gap is None) == (attributes["otel_openai.stream.chunk.count"] < 2)
    return attributes


def _finish(*reasons: str) -> Attributes:
    return {"gen_ai.response.finish_reasons": list(reasons) or None}


def _usage(tokens_in: int, tokens_out: int) -> Attributes:
    return {**CHAT_USAGE, "gen_ai.usage.input_tokens": tokens_in, "gen_ai.usage.output_tokens": tokens_out}


def _in_choice(chunk: Body, **fields: Any) -> Body:
    chunk["choices"][0] |= fields
    return chunk


_TEXT: list[Any] = [role_chunk(), chat_chunk("Hel"), chat_chunk("lo"), finish_chunk()]

STREAMS: dict[str, tuple[list[Any], Attributes]] = {
    "text": (_TEXT, {}),
    "one chunk": ([chat_chunk("Hi", finish_reason="stop")], {}),
    "no text": ([role_chunk(), finish_chunk()], {}),
    "a cut text": (chat_stream("Hel", finish_reason="length"), _finish("length")),
    "a filtered text": (chat_stream("Hel", finish_reason="content_filter"), _finish("content_filter")),
    "a refusal": ([role_chunk(), refusal_chunk("No"), refusal_chunk("."), finish_chunk()], {}),
    "reasoning": ([role_chunk(), reasoning_chunk("Hm."), chat_chunk("Hi"), finish_chunk()], {}),
    # Usage: as the server counts it, the last one, wherever it is.
    "usage": (
        chat_stream("Hel", usage=chat_usage(5, 6, cached=2, reasoning=3)),
        {
            **_usage(5, 6),
            "gen_ai.usage.cache_read.input_tokens": 2,
            "gen_ai.usage.reasoning.output_tokens": 3,
        },
    ),
    "usage on every chunk": (
        [
            role_chunk(usage=chat_usage(9, 0)),
            chat_chunk("Hel", usage=chat_usage(9, 1)),
            chat_chunk("lo", usage=chat_usage(9, 2)),
            finish_chunk(usage=chat_usage(9, 3)),
            usage_chunk(chat_usage(9, 3)),
        ],
        _usage(9, 3),
    ),
    "usage on the last choice": ([*_TEXT[:3], finish_chunk(usage=chat_usage(9, 3))], _usage(9, 3)),
    "usage inside the choice": ([*_TEXT[:3], _in_choice(finish_chunk(), usage=chat_usage(9, 3))], _usage(9, 3)),
    "usage beside the choices": ([*_TEXT[:3], finish_chunk(x_groq={"usage": chat_usage(9, 3)})], _usage(9, 3)),
    "a usage chunk for each choice": (
        [
            *[role_chunk(), role_chunk(index=1), chat_chunk("a"), chat_chunk("b", index=1)],
            *[finish_chunk(index=1), usage_chunk(chat_usage(9, 1))],
            *[chat_chunk("aa"), finish_chunk("length"), usage_chunk(chat_usage(9, 2))],
        ],
        {**_usage(9, 2), **_finish("length", "stop")},
    ),
    "usage beside text": ([*_TEXT[:2], chat_chunk("lo", usage=chat_usage(9, 5)), finish_chunk()], _usage(9, 5)),
    "usage of zero": (
        [*_TEXT, usage_chunk({"prompt_tokens": 0, "completion_tokens": 0})],
        {
            "gen_ai.usage.input_tokens": 0,
            "gen_ai.usage.output_tokens": 0,
        },
    ),
    "null usage at last": ([*_TEXT, usage_chunk(chat_usage(9, 3)), chat_chunk(choices=[], usage=None)], _usage(9, 3)),
    "usage before the text": ([usage_chunk(chat_usage(9, 0)), *_TEXT], _usage(9, 0)),
    # Choices: each by its own index.
    "two choices, interleaved": (
        [
            *[role_chunk(index=1), role_chunk(), chat_chunk("b", index=1), chat_chunk("a")],
            *[finish_chunk("length"), chat_chunk("bb", index=1), finish_chunk("stop", index=1)],
        ],
        _finish("length", "stop"),
    ),
    "two choices in one chunk": (
        [chat_chunk(choices=[chat_chunk("a", index=index, finish_reason="stop")["choices"][0] for index in (1, 0)])],
        _finish("stop", "stop"),
    ),
    "a reason beside text": ([chat_chunk("a"), chat_chunk("b", finish_reason="length")], _finish("length")),
    "a choice that begins late": (
        [chat_chunk("a"), chat_chunk("b", index=1), finish_chunk(), finish_chunk("length", index=1)],
        _finish("stop", "length"),
    ),
    "a choice of one piece of text": (
        [chat_chunk("a"), chat_chunk("b", index=1), finish_chunk()],
        {**_finish("stop", "error"), "otel_openai.stream.outcome": "truncated"},
    ),
    "an unfinished choice": (
        [role_chunk(), role_chunk(index=1), finish_chunk(index=1)],
        {**_finish("error", "stop"), "otel_openai.stream.outcome": "truncated"},
    ),
    "a choice that never came": ([chat_chunk("c", index=2), finish_chunk(index=2)], _finish("error", "error", "stop")),
    "choices without an index": ([chat_chunk("a", index=ABSENT), finish_chunk(index=None)], {}),
    "an absurd index": (
        [chat_chunk("a", index=10_000_000), finish_chunk("length", index=10_000_000)],
        _finish("length"),
    ),
    "two reasons": ([*_TEXT, finish_chunk("tool_calls")], _finish("tool_calls")),
    # What is told of the whole answer: the first that is not empty, on whatever chunk.
    "an empty beginning": (
        [chat_chunk(choices=[], id="", model="", **BARE), chat_chunk("Hi"), finish_chunk()],
        {},
    ),
    "a fingerprint at last": ([chat_chunk("Hi", **BARE), finish_chunk(**BARE), usage_chunk()], CHAT_USAGE),
    "neither tier nor fingerprint": ([chat_chunk("Hi", **BARE), finish_chunk(**BARE)], UNSAID),
    "another id later": ([chat_chunk("Hi"), finish_chunk(id="other", model="other")], {}),
    # Half-filled chunks.
    "null choices": ([chat_chunk(choices=None), *_TEXT], {}),
    "absent choices": ([chat_chunk(choices=ABSENT), *_TEXT], {}),
    "null deltas": ([_in_choice(chat_chunk(), delta=None), *_TEXT], {}),
    "null choice": ([chat_chunk(choices=[None]), *_TEXT], {}),
    "parts for text": ([chat_chunk([{"type": "text", "text": "Hi"}]), finish_chunk()], {}),
    "no chunk": (
        [],
        {
            **dict.fromkeys(("gen_ai.response.id", "gen_ai.response.model", "otel_openai.tool_call.count")),
            **UNSAID,
            **_finish(),
            "otel_openai.stream.outcome": "truncated",
        },
    ),
}


@pytest.mark.parametrize("shape", STREAMS)
async def test_a_stream_tells_what_it_held(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    chunks, changes = STREAMS[shape]
    server.reply(sse(*chunks, *([] if DONE in chunks else [DONE])))

    await api.drain(await api.stream())

    assert told.span.status.status_code.name == "UNSET"
    assert told.span.events == ()
    assert without_times(told) == streamed(server, chunks, changes)
    assert otlp(told)


async def test_a_long_stream_is_one_span_without_events(api: Api, server: ScriptedServer, told: Told) -> None:
    chunks = chat_stream(*["x"] * 500, usage=chat_usage())
    server.reply(sse(*chunks))

    await api.drain(await api.stream())

    assert told.span.events == ()
    assert told.events == []
    assert without_times(told) == streamed(server, chunks, CHAT_USAGE)


async def test_what_came_before_a_stream_was_left_is_told(api: Api, server: ScriptedServer, told: Told) -> None:
    chunks = [chat_chunk(choices=[], id="", model="", **BARE), chat_chunk("Hi"), finish_chunk(), DONE]
    server.reply(sse(*chunks))

    stream = await api.stream()
    for _ in range(2):
        await api.next(stream)
    await api.close(stream)

    left = {**_finish("error"), "otel_openai.stream.outcome": "closed", "otel_openai.stream.chunk.count": 2}
    assert without_times(told) == streamed(server, chunks, left)


async def test_a_stream_that_the_server_refuses_was_asked_for(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply({"error": {"message": "No."}, "object": "chat.completion"})  # JSON, no events

    assert await api.drain(await api.stream()) == []

    nothing = dict.fromkeys(("gen_ai.response.id", "gen_ai.response.model", "otel_openai.tool_call.count"))
    empty = {**nothing, **UNSAID, **_finish(), "otel_openai.stream.outcome": "truncated"}
    assert without_times(told) == streamed(server, [], empty)
