"""Content of chat: what was asked and answered, in the messages of the conventions; streamed as plain."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from content import INPUT, OUTPUT, TOOLS, answer, message, on_span, on_spans, user
from server import (
    ABSENT,
    DONE,
    Body,
    Item,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    chat_tool_stream,
    choice,
    finish_chunk,
    reasoning_chunk,
    refusal_chunk,
    role_chunk,
    sse,
    tool_call,
    tool_chunk,
)
from support import MESSAGES, Api, Told

Telling = Callable[..., Told]
WEATHER = {"type": "tool_call", "id": "call_get_weather", "name": "get_weather", "arguments": {"city": "Paris"}}
PNG = base64.b64encode(b"not really a picture").decode()


async def test_a_call_tells_question_and_answer(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(chat("Hello!"))

    await api.chat()

    assert on_span(told) == {INPUT: [user("Say hello.")], OUTPUT: [answer("Hello!")]}


ASKED: dict[str, tuple[Body, Body]] = {
    "a system message": ({"role": "system", "content": "Be brief."}, message("system", "Be brief.")),
    "a developer's message": ({"role": "developer", "content": "Be brief."}, message("developer", "Be brief.")),
    "a name": ({"role": "user", "name": "alice", "content": "Hi"}, message("user", "Hi", name="alice")),
    "parts of text": (
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        user("a", "b"),
    ),
    "a picture by address": (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]},
        user({"type": "uri", "modality": "image", "uri": "https://x.example/a.png"}),
    ),
    "a picture whose URL begins with spaces": (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f" \ndata:image/png;base64,{PNG}"}}]},
        user({"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG}),
    ),
    "a small picture": (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
        user({"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG}),
    ),
    "speech": (
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}]},
        user({"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": PNG}),
    ),
    "a video of vLLM": (
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}}]},
        user({"type": "uri", "modality": "video", "uri": "https://x.example/a.mp4"}),
    ),
    "a file by its id": (
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
        user({"type": "file", "modality": "document", "file_id": "file-1"}),
    ),
    "a file itself": (
        {
            "role": "user",
            "content": [
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}}
            ],
        },
        user(
            {
                "type": "blob",
                "modality": "document",
                "mime_type": "application/pdf",
                "content": PNG,
                "filename": "a.pdf",
            }
        ),
    ),
    "an earlier answer": (
        {"role": "assistant", "content": "Sure.", "tool_calls": [tool_call()]},
        message("assistant", "Sure.", WEATHER),
    ),
    "an earlier refusal": (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        message("assistant", {"type": "refusal", "content": "No."}),
    ),
    "earlier speech": (
        {"role": "assistant", "audio": {"id": "audio_1"}},
        message("assistant", {"type": "file", "modality": "audio", "file_id": "audio_1"}),
    ),
    "an earlier thought": (
        {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        message("assistant", {"type": "reasoning", "content": "Hm."}),
    ),
    "a tool's result": (
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        message("tool", {"type": "tool_call_response", "id": "call_1", "response": "42"}),
    ),
    "a tool's result in parts": (
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "42"}]},
        message(
            "tool",
            {"type": "tool_call_response", "id": "call_1", "response": [{"type": "text", "content": "42"}]},
        ),
    ),
    "a function's result": (
        {"role": "function", "name": "old", "content": "42"},
        message("function", {"type": "tool_call_response", "response": "42"}, name="old"),
    ),
    "a part of no known type": (
        {"role": "user", "content": [{"type": "hologram", "depth": 3}]},
        user({"type": "hologram", "content": {"depth": 3}}),
    ),
}


@pytest.mark.parametrize("name", ASKED)
async def test_every_message_is_told(api: Api, server: ScriptedServer, telling: Telling, name: str) -> None:
    told = telling(capture_content="span")
    sent, expected = ASKED[name]
    server.reply(chat())

    await api.chat(messages=[sent])

    assert on_span(told)[INPUT] == [expected]
    assert server.last.json["messages"] == [sent]


async def test_an_answer_can_be_asked_with_again(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.always(chat(choices=[choice("Sure.", message={"tool_calls": [tool_call()], "reasoning": "Hm."})]))

    first = await api.chat()
    await api.chat(messages=[*MESSAGES, first.choices[0].message])

    thought = {"type": "reasoning", "content": "Hm."}
    assert on_spans(told)[1][INPUT] == [user("Say hello."), message("assistant", thought, "Sure.", WEATHER)]


async def test_tools_are_told_by_name(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(chat())

    await api.chat(tools=TOOLS_ASKED, functions=[{"name": "old", "description": "Old."}])

    named = [("function", "get_weather"), ("custom", "run_sql"), ("function", "old")]
    assert on_span(told)[TOOLS] == [{"type": kind, "name": name} for kind, name in named]


async def test_tools_are_described_where_the_app_asks(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span", capture_tool_schemas=True)
    server.reply(chat())

    await api.chat(tools=TOOLS_ASKED)

    assert on_span(told)[TOOLS] == [
        {"type": "function", "name": "get_weather", "description": "Weather.", "parameters": PARAMETERS},
        {"type": "custom", "name": "run_sql", "description": "SQL."},
    ]


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS_ASKED = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS, "strict": True},
    },
    {"type": "custom", "custom": {"name": "run_sql", "description": "SQL."}},
]

_SPEECH = base64.b64encode(bytes(range(90))).decode()
_CUSTOM = tool_call(function=ABSENT, type="custom", custom={"name": "run_sql", "input": "42"})

# Plain body, and the same answer as a stream.
ANSWERED: dict[str, tuple[Body, list[Item], list[Body]]] = {
    "text": (chat("Hello!"), list(chat_stream("Hel", "lo", "!")), [answer("Hello!")]),
    "text that was cut": (
        chat("Hello", finish_reason="length"),
        list(chat_stream("Hel", "lo", finish_reason="length")),
        [answer("Hello", finish_reason="length")],
    ),
    "characters of many bytes": (chat("Grüße 👋"), list(chat_stream("Grü", "ße ", "👋")), [answer("Grüße 👋")]),
    "nothing": (chat(""), list(chat_stream()), [answer()]),
    "tool calls": (
        chat(tool_calls=[tool_call(), tool_call("get_time", "{}")]),
        list(chat_tool_stream(tool_call(), tool_call("get_time", "{}"))),
        [
            answer(
                WEATHER,
                {"type": "tool_call", "id": "call_get_time", "name": "get_time", "arguments": {}},
                finish_reason="tool_call",
            )
        ],
    ),
    "arguments that are no JSON": (
        chat(tool_calls=[tool_call(arguments='{"city')]),
        [
            tool_chunk("{", name="get_weather", call_id="call_get_weather"),
            tool_chunk('"city'),
            finish_chunk("tool_calls"),
        ],
        [answer({**WEATHER, "arguments": '{"city'}, finish_reason="tool_call")],
    ),
    "text before a tool call": (
        chat(choices=[choice(tool_calls=[tool_call()], message={"content": "Wait."})]),
        [chat_chunk("Wait."), *chat_tool_stream(tool_call())],
        [answer("Wait.", WEATHER, finish_reason="tool_call")],
    ),
    "a custom tool": (
        chat(tool_calls=[_CUSTOM]),
        [
            chat_chunk(delta={"tool_calls": [{"index": 0, **_CUSTOM, "custom": {"name": "run_sql", "input": "4"}}]}),
            chat_chunk(delta={"tool_calls": [{"index": 0, "custom": {"input": "2"}}]}),
            finish_chunk("tool_calls"),
        ],
        [
            answer(
                {"type": "tool_call", "id": _CUSTOM["id"], "name": "run_sql", "arguments": "42"},
                finish_reason="tool_call",
            )
        ],
    ),
    "a legacy function call": (
        chat(
            choices=[choice(None, message={"function_call": {"name": "old", "arguments": "[1]"}}, finish_reason="stop")]
        ),
        [
            chat_chunk(delta={"function_call": {"name": "old", "arguments": "["}}),
            chat_chunk(delta={"function_call": {"arguments": "1]"}}),
            finish_chunk(),
        ],
        [answer({"type": "tool_call", "name": "old", "arguments": [1]})],
    ),
    "reasoning of one name": (
        chat(choices=[choice("Hi", message={"reasoning_content": "Hm."})]),
        [reasoning_chunk("H"), reasoning_chunk("m."), *chat_stream("Hi")],
        [answer({"type": "reasoning", "content": "Hm."}, "Hi")],
    ),
    "reasoning of another": (
        chat(choices=[choice("Hi", message={"reasoning": "Hm."})]),
        [reasoning_chunk("Hm.", name="reasoning"), *chat_stream("Hi")],
        [answer({"type": "reasoning", "content": "Hm."}, "Hi")],
    ),
    "a refusal": (
        chat(choices=[choice(None, message={"refusal": "I cannot."})]),
        [refusal_chunk("I can"), refusal_chunk("not."), finish_chunk()],
        [answer({"type": "refusal", "content": "I cannot."})],
    ),
    "speech": (
        chat(choices=[choice(None, message={"audio": {"id": "a", "data": _SPEECH, "transcript": "Hi you"}})]),
        [
            chat_chunk(delta={"audio": {"id": "a", "transcript": "Hi "}}),
            chat_chunk(delta={"audio": {"data": _SPEECH[:40]}}),
            chat_chunk(delta={"audio": {"data": _SPEECH[40:], "transcript": "you"}}),
            finish_chunk(),
        ],
        [answer({"type": "blob", "modality": "audio", "content": _SPEECH, "transcript": "Hi you"})],
    ),
    "three choices": (
        chat(
            choices=[
                choice("a", index=2, finish_reason="length"),
                choice("b", index=0),
                choice(index=1, tool_calls=[tool_call()]),
            ]
        ),
        [
            chat_chunk("a", index=2),
            tool_chunk('{"city":"Paris"}', name="get_weather", call_id="call_get_weather", index=1),
            chat_chunk("b"),
            finish_chunk("length", index=2),
            finish_chunk("tool_calls", index=1),
            finish_chunk(),
        ],
        [answer("b"), answer(WEATHER, finish_reason="tool_call"), answer("a", finish_reason="length")],
    ),
    "a choice without a reason": (
        chat(choices=[choice("a", finish_reason=None)]),
        [chat_chunk("a")],
        [answer("a", finish_reason="error")],
    ),
    "calls that all have index 0": (
        chat(tool_calls=[tool_call(), tool_call("get_time", "{}")]),
        [
            tool_chunk('{"city":"Paris"}', name="get_weather", call_id="call_get_weather"),
            tool_chunk("{", name="get_time", call_id="call_get_time"),
            tool_chunk("}"),
            finish_chunk("tool_calls"),
        ],
        [
            answer(
                WEATHER,
                {"type": "tool_call", "id": "call_get_time", "name": "get_time", "arguments": {}},
                finish_reason="tool_call",
            )
        ],
    ),
    "calls without index": (
        chat(tool_calls=[tool_call()]),
        [
            tool_chunk('{"city":', name="get_weather", call_id="call_get_weather", call=None),
            tool_chunk('"Paris"}', call=None),
            finish_chunk("tool_calls"),
        ],
        [answer(WEATHER, finish_reason="tool_call")],
    ),
    "parts of Mistral": (
        chat(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "Hi"},
            ]
        ),
        [
            chat_chunk([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]),
            chat_chunk([{"type": "text", "text": "Hi"}]),
            finish_chunk(),
        ],
        [answer({"type": "reasoning", "content": "Hm."}, "Hi")],
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_streamed_and_plain_answers_are_told_alike(
    api: Api, server: ScriptedServer, telling: Telling, name: str
) -> None:
    told = telling(capture_content="span")
    body, items, expected = ANSWERED[name]
    server.reply(body, sse(role_chunk(), *items, DONE))

    await api.chat()
    await api.drain(await api.stream())

    assert [content[OUTPUT] for content in on_spans(told)] == [expected, expected]


async def test_large_binary_data_is_told_by_its_hash(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    picture, speech = bytes(5_000_000), bytes(range(256)) * 1000
    encoded = base64.b64encode(speech).decode()
    server.reply(
        chat(choices=[choice(None, message={"audio": {"id": "a", "data": encoded, "transcript": "Hi"}})]),
        sse(
            *(
                chat_chunk(delta={"audio": {"id": "a", "data": encoded[i : i + 4096]}})
                for i in range(0, len(encoded), 4096)
            ),
            chat_chunk(delta={"audio": {"transcript": "Hi"}}),
            finish_chunk(),
            DONE,
        ),
    )
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    asking = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    await api.chat(messages=asking)
    await api.drain(await api.stream())

    plain, streamed = on_spans(told)
    assert plain[INPUT] == [user(_omitted("image", picture, mime_type="image/jpeg"))]
    assert plain[OUTPUT] == streamed[OUTPUT] == [answer(_omitted("audio", speech, transcript="Hi"))]


def _omitted(modality: str, data: bytes, **more: Any) -> Body:
    digest = hashlib.sha256(data).hexdigest()
    return {"type": "omitted", "modality": modality, "bytes": len(data), "sha256": digest, **more}


async def test_an_answer_that_does_not_parse_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    """LengthFinishReasonError carries the answer."""
    told = telling(capture_content="span")
    server.reply(chat('{"a": ', finish_reason="length"))
    parse = "chat.completions.parse" if hasattr(api.client.chat.completions, "parse") else "beta.chat.completions.parse"

    with pytest.raises(Exception, match="length limit"):
        await api.call(parse, model="m", messages=MESSAGES, response_format=_Parsed)

    assert on_span(told)[OUTPUT] == [answer('{"a": ', finish_reason="length")]


class _Parsed(BaseModel):
    a: int


async def test_the_helper_tells_what_the_stream_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(sse(*chat_stream("Hel", "lo!")))
    resource = api.client.chat.completions
    if not hasattr(resource, "stream"):
        pytest.skip("this client has no chat.completions.stream")

    manager = resource.stream(model="m", messages=MESSAGES)
    if api.is_async:
        async with manager as stream:
            async for _ in stream:
                pass
    else:
        with manager as stream:
            for _ in stream:
                pass

    assert on_span(told)[OUTPUT] == [answer("Hello!")]


async def test_a_stream_that_was_left_tells_what_came(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(sse(*chat_stream("Hel", "lo!")))

    stream = await api.stream()
    await api.next(stream)
    await api.next(stream)
    await api.close(stream)

    assert on_span(told)[OUTPUT] == [answer("Hel", finish_reason="error")]
