"""Arguments that are odd, huge, or can be read only once: the server gets them as they are, and the rest is told."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from expected import CHAT_USAGE, Attributes, asked, at, changed, chatted
from exported import metrics, otlp
from server import Body, Request, ScriptedServer, chat, chat_chunk, choice, data, raw_reply, response, sse
from server import tool_call as call
from support import MESSAGES, Api, Told, attributes_of

TOOL: Body = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def echo(request: Request) -> Body:
    """Answer with what was asked, as JSON in the content."""
    return chat(json.dumps(request.json))


def once(*items: Any) -> Iterator[Any]:
    yield from items


_PART: Body = {"type": "text", "text": "Say hello."}
_TURN: Body = {"role": "assistant", "content": None, "tool_calls": [call()]}

ONE_SHOT: dict[str, tuple[Callable[[], dict[str, Any]], Body]] = {
    "messages": (lambda: {"messages": once(*MESSAGES)}, {"messages": MESSAGES}),
    "tools": (lambda: {"tools": once(TOOL), "messages": MESSAGES}, {"messages": MESSAGES, "tools": [TOOL]}),
    "content": (
        lambda: {"messages": [{"role": "user", "content": once(_PART)}]},
        {"messages": [{"role": "user", "content": [_PART]}]},
    ),
    "tool calls": (
        lambda: {"messages": [{**_TURN, "tool_calls": once(call())}, *MESSAGES]},
        {"messages": [_TURN, *MESSAGES]},
    ),
}


@pytest.mark.parametrize("what", ONE_SHOT)
async def test_what_can_be_read_once_is_left_to_the_client(
    api: Api, server: ScriptedServer, told: Told, what: str
) -> None:
    arguments, sent = ONE_SHOT[what]
    server.reply(echo)

    answer = await api.call("chat.completions.create", model="gpt-4o-mini", **arguments())

    assert json.loads(answer.choices[0].message.content) == {"model": "gpt-4o-mini", **sent}
    assert told.attributes == chatted(server)


async def test_tools_of_a_response_can_be_read_once_too(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(response())

    await api.call("responses.create", model="m", input="Hi", tools=once(TOOL))

    assert server.last.json == {"model": "m", "input": "Hi", "tools": [TOOL]}
    assert told.span.name == "chat m"


# Arguments that no server takes, and what they tell beside the usual.
ODD: dict[str, tuple[dict[str, Any], Attributes]] = {
    "a number to stop at": ({"stop": 5}, {}),
    "something among the stops": ({"stop": ["a", 5, None, ""]}, {"gen_ai.request.stop_sequences": ["a"]}),
    "many stops": ({"stop": ["x"] * 40}, {"gen_ai.request.stop_sequences": ["x"] * 32}),
    "a long stop": ({"stop": "x" * 300}, {"gen_ai.request.stop_sequences": ["x" * 256]}),
    "tools that are a number": ({"tools": 5}, {}),
    "messages that are none": ({"messages": "Hi"}, {}),
    "numbers as text": ({"max_tokens": "10", "temperature": "1", "seed": "1"}, {}),
    "truths for numbers": ({"max_tokens": True, "temperature": False, "n": True}, {}),
    "whole floats": ({"max_tokens": 10.0, "seed": 2.5}, {"gen_ai.request.max_tokens": 10}),
    "numbers for text": ({"reasoning_effort": 3, "service_tier": 1}, {}),
    "a number for a stream": ({"stream": 0}, {}),
    "texts for objects": ({"response_format": "json", "modalities": "audio"}, {}),
    "an object for a text": ({"model": {"name": "m"}}, {"gen_ai.request.model": None}),
    "an empty model": ({"model": ""}, {"gen_ai.request.model": None}),
    "huge numbers": (
        {"seed": 2**63, "max_tokens": -(2**63) - 1, "n": 10**400, "temperature": 10**400},
        {},
    ),
    "large numbers": (
        {"seed": 2**63 - 1, "max_tokens": 2**53 + 1},
        {"gen_ai.request.seed": 2**63 - 1, "gen_ai.request.max_tokens": 2**53 + 1},
    ),
    "a long model": ({"model": "m" * 300}, {"gen_ai.request.model": "m" * 256}),
}


@pytest.mark.parametrize("what", ODD)
async def test_an_odd_argument_is_sent_and_the_rest_told(
    api: Api, server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    arguments, changes = ODD[what]
    server.reply(chat(), chat())

    await api.chat(**arguments)
    await api.chat()

    sent = server.requests[0].json
    assert {name: sent[name] for name in arguments} == arguments
    odd, usual = told.spans
    assert attributes_of(odd) == chatted(server, changes)
    assert attributes_of(usual) == chatted(server)
    assert usual.parent is None
    assert caplog.records == []
    assert otlp(told)


EXTRA_BODIES: list[Any] = [[], "text", 5, {"model": "other", "stop": 5}]


@pytest.mark.parametrize("extra_body", EXTRA_BODIES, ids=str)
async def test_an_extra_body_may_be_anything(api: Api, server: ScriptedServer, told: Told, extra_body: Any) -> None:
    server.always(chat())

    error: Exception | None = None
    try:
        await api.chat(extra_body=extra_body)
    except Exception as raised:  # noqa: BLE001 - whatever the client says of it
        error = raised

    model = "other" if isinstance(extra_body, dict) else "gpt-4o-mini"
    assert told.attributes["gen_ai.request.model"] == model
    assert told.attributes.get("error.type") == (type(error).__name__ if error else None)


async def test_a_lone_surrogate_of_the_app_can_be_exported(api: Api, server: ScriptedServer, told: Told) -> None:
    with pytest.raises(UnicodeEncodeError):  # the client's own, before anything is sent
        await api.chat(model="m\ud800", stop=["\udfff", "b"], reasoning_effort="\ud800")

    assert server.requests == []
    surrogates = {
        "gen_ai.request.model": "m?",
        "gen_ai.request.stop_sequences": ["?", "b"],
        "gen_ai.request.reasoning.level": "?",
        "error.type": "UnicodeEncodeError",
    }
    assert told.attributes == asked(server, surrogates)
    assert b"m?" in otlp(told)


HOSTILE = "\ud800" + "é" * 300
_CUT = "?" + "é" * 255


def hostile(**fields: Any) -> Body:
    return chat(
        id=HOSTILE,
        model=HOSTILE,
        service_tier=HOSTILE,
        system_fingerprint=HOSTILE,
        choices=[choice(tool_calls=[call(HOSTILE)], finish_reason=HOSTILE)],
        usage={"prompt_tokens": 2**63 - 1, "completion_tokens": 2**63},
        **fields,
    )


async def test_hostile_values_of_a_server_can_be_exported(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(raw_reply(json.dumps(hostile()).encode()))

    for _ in range(3):
        await api.chat()

    told_values: Attributes = {
        **dict.fromkeys(CHAT_USAGE),
        "gen_ai.usage.input_tokens": 2**63 - 1,
        "gen_ai.response.id": _CUT,
        "gen_ai.response.model": _CUT,
        "openai.response.service_tier": _CUT,
        "openai.response.system_fingerprint": _CUT,
        "gen_ai.response.finish_reasons": [_CUT[:64]],
        "otel_openai.tool_call.count": 1,
        "otel_openai.tool_call.names": [_CUT[:128]],
    }
    for span in told.spans:
        assert attributes_of(span) == chatted(server, told_values)
    assert _CUT.encode() in otlp(told)


async def test_a_sum_never_outgrows_what_can_be_exported(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat(usage={"prompt_tokens": 2**63 - 1, "completion_tokens": 1}))

    for _ in range(3):
        await api.chat()

    assert otlp(told)
    assert told.total("gen_ai.client.inference.usage.input_tokens") == 2**53
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 3


async def test_hostile_chunks_can_be_exported(api: Api, server: ScriptedServer, told: Told) -> None:
    delta = {"role": HOSTILE, "content": HOSTILE, "tool_calls": [{**call(HOSTILE, id=HOSTILE), "index": -(10**30)}]}
    body = chat_chunk(id=HOSTILE, model=HOSTILE, delta=delta, finish_reason=HOSTILE, index=10**30)
    server.reply(sse(data(json.dumps(body)), data("[DONE]")))

    await api.drain(await api.stream())

    assert told.attributes["gen_ai.response.model"] == _CUT
    assert told.attributes["otel_openai.tool_call.names"] == [_CUT[:128]]
    assert otlp(told)
    assert "gen_ai.client.operation.duration" in metrics(told)


async def test_an_odd_call_of_another_api_is_told_too(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(response())
    odd: dict[str, Any] = {
        "reasoning": "high",
        "text": 5,
        "prompt": "pmpt_1",
        "conversation": 7,
        "max_output_tokens": [],
    }

    await api.call("responses.create", model="m", input="Hi", extra_body=odd)

    start = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "openai.api.type": "responses"}
    expected = changed({**at(server), **start})
    assert {name: told.attributes.get(name) for name in expected} == expected
    assert not [name for name in told.attributes if "request." in name and name != "gen_ai.request.model"]
