"""What a plain chat completion tells: the whole set of attributes, for every shape of an answer."""

from typing import Any

import pytest

import otel_openai
from expected import NO_USAGE, Attributes, asked, chatted
from exported import otlp
from server import ABSENT, Body, ScriptedServer, chat, chat_usage, choice, tool_call
from support import Api, Told, attributes_of

STOP = {"gen_ai.response.finish_reasons": ["stop"]}


async def test_a_plain_call_is_one_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat("Hello!"))

    await api.chat(temperature=0.5, max_tokens=10)

    span = told.span
    assert span.name == "chat gpt-4o-mini"
    assert span.kind.name == "CLIENT"
    assert span.status.status_code.name == "UNSET"
    assert span.status.description is None
    assert (span.parent, span.events, span.links) == (None, (), ())
    request = {"gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 10}
    assert told.attributes == chatted(server, request)
    assert told.events == []


async def test_the_scope_is_ours(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())

    await api.chat()

    scope = told.span.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("otel_openai", otel_openai.__version__)
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"


def _tools(*names: str) -> Attributes:
    return {
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "otel_openai.tool_call.count": len(names),
        "otel_openai.tool_call.names": list(names) or None,
    }


_CUSTOM = tool_call(function=ABSENT, type="custom", custom={"name": "run_sql", "input": "select 1"})
_AUDIO_USAGE = chat_usage(
    20,
    30,
    prompt_tokens_details={"audio_tokens": 8, "text_tokens": 12, "cached_tokens": 0},
    completion_tokens_details={"audio_tokens": 25, "text_tokens": 5, "reasoning_tokens": 0},
)
_AUDIO = {"id": "audio_1", "data": "UklGRg==", "transcript": "Hello", "expires_at": 1}

ANSWERS: dict[str, tuple[Body, Attributes]] = {
    "three choices": (
        chat(
            choices=[
                choice("a", index=2, finish_reason="length"),
                choice("b", index=0),
                choice(index=1, tool_calls=[tool_call()]),
            ]
        ),
        {**_tools("get_weather"), "gen_ai.response.finish_reasons": ["stop", "tool_calls", "length"]},
    ),
    "a choice without a reason": (
        chat(choices=[choice("a"), choice("b", index=1, finish_reason=None)]),
        {"gen_ai.response.finish_reasons": ["stop", "error"]},
    ),
    "a choice that never came": (
        chat(choices=[choice("a", index=2)]),
        {"gen_ai.response.finish_reasons": ["error", "error", "stop"]},
    ),
    "choices that all have index 0": (
        chat(choices=[choice("a"), choice("b", finish_reason="length")]),
        {"gen_ai.response.finish_reasons": ["stop", "length"]},
    ),
    "choices without index": (
        chat(choices=[choice("a", index=ABSENT), choice("b", index=None, finish_reason="length")]),
        {"gen_ai.response.finish_reasons": ["stop", "length"]},
    ),
    "tool calls": (
        chat(tool_calls=[tool_call(), tool_call("get_time"), tool_call()]),
        _tools("get_weather", "get_time", "get_weather"),
    ),
    "a tool call although the reason is stop": (
        chat(choices=[choice(tool_calls=[tool_call()], finish_reason="stop")]),
        {**_tools("get_weather"), **STOP},
    ),
    "arguments that are an object": (chat(tool_calls=[tool_call(arguments={"city": "Paris"})]), _tools("get_weather")),
    "a tool call without a name": (
        chat(tool_calls=[tool_call(None)]),
        {**_tools(), "otel_openai.tool_call.count": 1},
    ),
    "a custom tool": (chat(tool_calls=[_CUSTOM]), _tools("run_sql")),
    "a legacy function call": (
        chat(
            choices=[
                choice(
                    None, message={"function_call": {"name": "old", "arguments": "{}"}}, finish_reason="function_call"
                )
            ]
        ),
        {**_tools("old"), "gen_ai.response.finish_reasons": ["function_call"]},
    ),
    "reasoning": (
        chat(choices=[choice("Hi", message={"reasoning_content": "Hm."})], usage=chat_usage(9, 30, reasoning=18)),
        {"gen_ai.usage.output_tokens": 30, "gen_ai.usage.reasoning.output_tokens": 18},
    ),
    "cached input": (
        chat(usage=chat_usage(100, 12, cached=64)),
        {
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 64,
        },
    ),
    "cached input, counted beside the details": (
        chat(usage={"prompt_tokens": 100, "completion_tokens": 12, "cached_tokens": 64}),
        {
            **NO_USAGE,
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 12,
            "gen_ai.usage.cache_read.input_tokens": 64,
        },
    ),
    "usage inside the choice": (chat(usage=ABSENT, choices=[choice("Hi", usage=chat_usage())]), {}),
    "a refusal": (chat(choices=[choice(None, message={"refusal": "No."})]), {}),
    "audio": (
        chat(choices=[choice(None, message={"audio": _AUDIO})], usage=_AUDIO_USAGE),
        {
            "gen_ai.usage.input_tokens": 20,
            "gen_ai.usage.output_tokens": 30,
            "gen_ai.usage.audio.input_tokens": 8,
            "gen_ai.usage.text.input_tokens": 12,
            "gen_ai.usage.audio.output_tokens": 25,
            "gen_ai.usage.text.output_tokens": 5,
        },
    ),
    "a filtered answer": (
        chat(choices=[choice(None, message=dict.fromkeys(("role", "content")), finish_reason="content_filter")]),
        {"gen_ai.response.finish_reasons": ["content_filter"]},
    ),
    "a reason of another vendor": (
        chat(finish_reason="insufficient_system_resource"),
        {"gen_ai.response.finish_reasons": ["insufficient_system_resource"]},
    ),
    "a model with slashes": (
        chat(model="meta-llama/Llama-3.3-70B"),
        {"gen_ai.response.model": "meta-llama/Llama-3.3-70B"},
    ),
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_an_answer_tells_what_it_holds(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    body, changes = ANSWERS[shape]
    server.reply(body)

    await api.chat()

    assert told.attributes == chatted(server, changes)
    assert told.span.status.status_code.name == "UNSET"


_NOTHING: Attributes = {
    "gen_ai.response.id": None,
    "gen_ai.response.model": None,
    "gen_ai.response.finish_reasons": None,
    "openai.response.service_tier": None,
    "openai.response.system_fingerprint": None,
    "otel_openai.tool_call.count": None,
    **NO_USAGE,
}
"""A change: the answer said nothing."""

_UNREASONED = {"gen_ai.response.finish_reasons": ["error"]}
_NULLS: Body = dict.fromkeys(chat())
_FOREIGN: Body = {
    "id": 5,
    "model": {"name": "m"},
    "choices": "none",
    "usage": [9, 12],
    "service_tier": 1,
    "system_fingerprint": ["fp"],
    "object": 0,
    "created": "now",
}

HALF_FILLED: dict[str, tuple[Any, Attributes]] = {
    "nothing": ({}, _NOTHING),
    "nulls": (_NULLS, _NOTHING),
    "foreign types": (_FOREIGN, _NOTHING),
    "no choice": (chat(choices=[]), {"gen_ai.response.finish_reasons": None, "otel_openai.tool_call.count": None}),
    "a null choice": (chat(choices=[None]), _UNREASONED),
    "a choice of text": (chat(choices=["Hello!"]), _UNREASONED),
    "a null message": (chat(choices=[choice() | {"message": None}]), {}),
    "a message of text": (chat(choices=[choice() | {"message": "Hello!"}]), {}),
    "tool calls that are no list": (chat(choices=[choice(message={"tool_calls": "get_weather"})]), {}),
    "a null function": (
        chat(choices=[choice(message={"tool_calls": [{"id": "1", "type": "function", "function": None}]})]),
        {"otel_openai.tool_call.count": 1},
    ),
    "a reason that is no text": (chat(choices=[choice(finish_reason={"type": "stop"})]), _UNREASONED),
    "empty texts": (
        chat(id="", model="", service_tier="", system_fingerprint=""),
        {
            "gen_ai.response.id": None,
            "gen_ai.response.model": None,
            "openai.response.service_tier": None,
            "openai.response.system_fingerprint": None,
        },
    ),
    "null usage": (chat(usage=None), NO_USAGE),
    "empty usage": (chat(usage={}), NO_USAGE),
    "partial usage": (chat(usage={"prompt_tokens": 1}), {**NO_USAGE, "gen_ai.usage.input_tokens": 1}),
    "usage of null": (chat(usage=dict.fromkeys(chat_usage())), NO_USAGE),
    "usage of zero": (
        chat(usage={"prompt_tokens": 0, "completion_tokens": 0}),
        {**NO_USAGE, "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0},
    ),
    "usage of foreign types": (
        chat(usage={"prompt_tokens": "9", "completion_tokens": True, "prompt_tokens_details": 3}),
        NO_USAGE,
    ),
    "negative usage": (
        chat(usage={"prompt_tokens": -1, "completion_tokens": 3.0}),
        {
            **NO_USAGE,
            "gen_ai.usage.output_tokens": 3,
        },
    ),
}


@pytest.mark.parametrize("shape", HALF_FILLED)
async def test_a_half_filled_answer_tells_what_is_there(
    api: Api, server: ScriptedServer, told: Told, shape: str
) -> None:
    body, changes = HALF_FILLED[shape]
    server.reply(body)

    await api.chat()

    assert told.attributes == chatted(server, changes)
    assert told.span.status.status_code.name == "UNSET"
    assert otlp(told)


async def test_the_names_of_tools_are_bounded(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat(tool_calls=[tool_call(f"tool_{number}") for number in range(40)]))

    await api.chat()

    names = [f"tool_{number}" for number in range(32)]
    assert told.attributes == chatted(server, _tools(*names), {"otel_openai.tool_call.count": 40})


async def test_a_raw_response_tells_the_same(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())

    await api.call("chat.completions.with_raw_response.create", model="gpt-4o-mini", messages=[])

    assert told.attributes == chatted(server)


async def test_one_call_tells_nothing_of_another(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat(tool_calls=[tool_call()]), {}, chat())

    for _ in range(3):
        await api.chat()

    first, second, third = map(attributes_of, told.spans)
    assert first == chatted(server, _tools("get_weather"))
    assert second == asked(server, {"http.response.status_code": 200})
    assert third == chatted(server)
