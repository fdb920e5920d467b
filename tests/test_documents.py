"""What two vendors document of a chat completion, and where the telemetry tells it.

Together documents the fields of a response, its finish reasons, and the rules of streaming; vLLM documents the same
object and how to read text, token usage, several choices, tool calls, streams and errors from it.
"""

import json
from typing import Any

import openai
import pytest

from expected import NO_USAGE, Attributes, chatted
from exported import otlp
from server import (
    ABSENT,
    DONE,
    Body,
    ScriptedServer,
    chat,
    chat_chunk,
    choice,
    error_reply,
    finish_chunk,
    role_chunk,
    sse,
    tool_call,
    tool_chunk,
)
from support import Api, Told
from test_stream_values import without_times

LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}], "refusal": None}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
TOLD_USAGE: Attributes = {**NO_USAGE, "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}

# Every field that the documents name, with a value to recognise it by.
DOCUMENTED: Body = {
    "id": "oBZ7c1p-4YNCb4-98c5",
    "object": "chat.completion",
    "created": 1_771_000_001,
    "model": "meta-llama/Llama-3.2-1B-Instruct",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Whiskers is a name.", "tool_calls": []},
            "finish_reason": "stop",
            "logprobs": LOGPROBS,
            "seed": 17_629_219_021_476_860_000,
        }
    ],
    "usage": USAGE,
    "prompt": [{"text": "Give me a name."}],
    "service_tier": ABSENT,
    "system_fingerprint": ABSENT,
}
TOLD: Attributes = {
    "gen_ai.response.id": "oBZ7c1p-4YNCb4-98c5",
    "gen_ai.response.model": "meta-llama/Llama-3.2-1B-Instruct",
    "openai.response.service_tier": None,
    "openai.response.system_fingerprint": None,
    **TOLD_USAGE,
}
SEEDS: Attributes = {"otel_openai.response.seeds": ["17629219021476860000"]}


async def test_every_field_has_its_place_or_is_content(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat(**DOCUMENTED))

    answer = await api.chat()

    assert told.attributes == chatted(server, TOLD, SEEDS)
    told_tokens = [told.attributes[f"gen_ai.usage.{kind}_tokens"] for kind in ("input", "output")]
    assert sum(told_tokens) == answer.usage.total_tokens
    wire = otlp(told)
    for content in ("Whiskers", "Give me", "logprob", "1771000001"):
        assert content.encode() not in wire, content


FINISH_REASONS = ["stop", "length", "eos", "tool_calls", "error"]


@pytest.mark.parametrize("reason", FINISH_REASONS)
async def test_every_finish_reason_is_told_plain_and_streamed(
    api: Api, server: ScriptedServer, told: Told, reason: str
) -> None:
    server.reply(
        chat(finish_reason=reason),
        sse(role_chunk(), chat_chunk("Hi"), finish_chunk(reason, usage=USAGE), DONE),
    )

    await api.chat()
    await api.drain(await api.stream())

    assert [list((span.attributes or {})["gen_ai.response.finish_reasons"]) for span in told.spans] == [[reason]] * 2  # pyright: ignore[reportArgumentType]
    failed = reason == "error"
    assert [span.status.status_code.name for span in told.spans] == ["ERROR" if failed else "UNSET"] * 2
    assert [(span.attributes or {}).get("error.type") for span in told.spans] == [
        "provider_error" if failed else None
    ] * 2
    assert told.total("otel_openai.finish_reasons", otel_openai__finish_reason=reason) == 2
    outcome = "error" if failed else "completed"
    assert told.total("otel_openai.streams", otel_openai__stream__outcome=outcome) == 1


async def test_three_names_for_a_cat(api: Api, server: ScriptedServer, told: Told) -> None:
    names: Body = {**DOCUMENTED, "choices": [choice(name, index=i) for i, name in enumerate(("A", "B", "C"))]}
    server.reply(chat(**names))

    answer = await api.chat(n=3, temperature=0.9)

    assert [one.message.content for one in answer.choices] == ["A", "B", "C"]
    three = {"gen_ai.response.finish_reasons": ["stop"] * 3}
    asked_for = {"gen_ai.request.choice.count": 3, "gen_ai.request.temperature": 0.9}
    assert told.attributes == chatted(server, TOLD, three, asked_for)
    assert told.total("otel_openai.finish_reasons") == 3


async def test_token_usage_adds_up_over_calls(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat(**DOCUMENTED))

    totals = [(await api.chat(max_tokens=100)).usage.total_tokens for _ in range(3)]

    counted = [told.total(f"gen_ai.client.inference.usage.{kind}_tokens") for kind in ("input", "output")]
    assert sum(totals) == sum(counted) == told.total("gen_ai.client.token.usage") == 45


async def test_a_tool_call_is_told_without_its_arguments(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat(tool_calls=[tool_call("get_weather", '{"city": "Paris"}', id="call_secret")]))
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]

    answer = await api.chat(tools=tools)

    [call] = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    called = {
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "otel_openai.tool_call.count": 1,
        "otel_openai.tool_call.names": ["get_weather"],
    }
    assert told.attributes == chatted(server, called)
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="get_weather") == 1
    wire = otlp(told)
    assert b"Paris" not in wire
    assert b"call_secret" not in wire


async def test_an_answer_without_choices_is_told_as_one(api: Api, server: ScriptedServer, told: Told) -> None:
    empty: Body = {**DOCUMENTED, "choices": []}
    server.reply(chat(**empty))

    await api.chat()

    nothing = {"gen_ai.response.finish_reasons": None, "otel_openai.tool_call.count": None}
    assert told.attributes == chatted(server, TOLD, nothing)


# Streams: content in pieces, None on the first and last chunk; reason and usage on the last one, null before.

_WHOLE: Body = {key: DOCUMENTED[key] for key in ("id", "model", "service_tier", "system_fingerprint")}


def _chunk(content: Any, **fields: Any) -> Body:
    return chat_chunk(content, **_WHOLE, **{"usage": None, **fields})


def _streamed(chunks: int) -> Attributes:
    return {
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 200,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": chunks,
    }


async def test_a_streamed_story_is_told_as_a_whole_one(api: Api, server: ScriptedServer, told: Told) -> None:
    pieces = ["Once", " upon", " a", " time"]
    last = _chunk(None, finish_reason="eos", usage=USAGE)
    server.reply(sse(_chunk(None, delta={"role": "assistant"}), *map(_chunk, pieces), last, DONE))

    story = [chunk.choices[0].delta.content or "" for chunk in await api.drain(await api.stream(max_tokens=200))]

    assert "".join(story) == "Once upon a time"
    eos = {"gen_ai.response.finish_reasons": ["eos"]}
    assert without_times(told) == chatted(server, TOLD, eos, _streamed(6))


async def test_streamed_tool_calls_are_told_as_whole_ones(api: Api, server: ScriptedServer, told: Told) -> None:
    pieces = [tool_chunk(piece, **_WHOLE) for piece in ('{"city"', ': "Paris"}')]
    first = tool_chunk("", name="get_weather", call_id="call_1", **_WHOLE)
    server.reply(sse(first, *pieces, _chunk(None, finish_reason="tool_calls", usage=USAGE), DONE))

    await api.drain(await api.stream(max_tokens=200))

    called = {
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "otel_openai.tool_call.count": 1,
        "otel_openai.tool_call.names": ["get_weather"],
    }
    assert without_times(told) == chatted(server, TOLD, called, _streamed(4))


async def test_several_choices_in_a_stream_are_told_apart(api: Api, server: ScriptedServer, told: Told) -> None:
    pieces = [_chunk(str(index), index=index) for index in (0, 1, 2, 1, 0)]
    reasons = {2: "length", 0: "stop", 1: "error"}
    ends = [_chunk(None, index=index, finish_reason=reason) for index, reason in reasons.items()]
    for seed, end in enumerate(ends):
        end["choices"][0]["seed"] = seed
    ends[-1]["usage"] = USAGE
    server.reply(sse(*pieces, *ends, DONE))

    await api.drain(await api.stream(max_tokens=200, n=3))

    apart = {
        "gen_ai.request.choice.count": 3,
        "gen_ai.response.finish_reasons": ["stop", "error", "length"],
        "otel_openai.response.seeds": ["1", "2", "0"],
    }
    failed = {"error.type": "provider_error", "otel_openai.stream.outcome": "error"}
    assert without_times(told) == chatted(server, TOLD, apart, _streamed(8), failed)


# Errors.


async def test_a_rate_limit_tells_when_to_come_back(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(429, headers={"Retry-After": "17"}))

    with pytest.raises(openai.RateLimitError) as raised:
        await api.chat()

    assert raised.value.response.headers.get("Retry-After") == "17"
    assert told.attributes["http.response.header.retry-after"] == ["17"]
    assert told.attributes["error.type"] == "rate_limit_exceeded"
    assert told.attributes["http.response.status_code"] == raised.value.status_code
    assert told.span.status.status_code.name == "ERROR"


async def test_a_model_that_does_not_exist_is_told(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(404))

    with pytest.raises(openai.APIError) as raised:
        await api.chat(model="nonexistent-model")

    assert told.span.name == "chat nonexistent-model"
    assert told.attributes["http.response.status_code"] == getattr(raised.value, "status_code", None) == 404
    assert told.attributes["error.type"] == "model_not_found"
    [(attributes, (count, _))] = told.points("gen_ai.client.operation.duration")
    assert (attributes["error.type"], count) == ("model_not_found", 1)
