"""Where content goes, mark by mark: each is told in its place and in no other, and what is no content is not told."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from content import on_span
from exported import otlp
from server import (
    Body,
    Reply,
    ScriptedServer,
    function_call,
    json_reply,
    output_message,
    reasoning_item,
    response,
)
from support import Api, Told
from test_privacy import COMPLETION, EMBEDDING, PLANTED, PROGRAMS, RESPONSES, mark

Telling = Callable[..., Told]


def marks(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every mark within a value, and where it is."""
    if isinstance(value, dict):
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key, member in members.items():
            yield from marks(key, f"{path}.{key}")
            yield from marks(member, f"{path}.{key}")
    elif isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        for position, item in enumerate(items):
            yield from marks(item, f"{path}.{position}")
    elif isinstance(value, str):
        for found in value.split(PLANTED)[1:]:
            yield found.rstrip("="), path


def places(content: Body) -> list[tuple[str, str]]:
    return sorted(found for name, value in content.items() for found in marks(value, name.removeprefix("gen_ai.")))


def planted(where: str) -> str:
    return mark(where).removeprefix(PLANTED)


# What is asked, and where it is told.
ASKED_CHAT = {
    "system": "input.messages.0.parts.0.content",
    "name": "input.messages.0.name",
    "text": "input.messages.1.parts.0.content",
    "old arguments": "input.messages.2.parts.0.arguments",
    "call id": "input.messages.3.parts.0.id",
    "tool result": "input.messages.3.parts.0.response",
}
TOOLS_TOLD = {
    "tool description": "tool.definitions.0.description",
    "tool parameter": "tool.definitions.0.parameters.properties." + mark("tool parameter"),
    "tool enum": "tool.definitions.0.parameters.properties." + mark("tool parameter") + ".enum.0",
}
ASKED_RESPONSES = {
    "input": "input.messages.0.parts.0.content",
    "instructions": "system_instructions.0.content",
    **TOOLS_TOLD,
}
ANSWERED_STREAM = {
    "thought": "output.messages.0.parts.0.content",
    "piece": "output.messages.0.parts.1.content",
    "refusal": "output.messages.0.parts.2.content",
    "transcript": "output.messages.0.parts.3.transcript",
    "arguments": "output.messages.0.parts.4.arguments",
    "id of a call": "output.messages.0.parts.4.id",
}
ITEMS = [reasoning_item(mark("thought")), output_message(mark("answer")), function_call(arguments=mark("arguments"))]
CASES: dict[str, tuple[str, Body, list[Reply], dict[str, str]]] = {
    "chat": (
        *PROGRAMS["chat"],
        {
            **ASKED_CHAT,
            **TOOLS_TOLD,
            "reasoning": "output.messages.0.parts.0.content",
            "answer": "output.messages.0.parts.1.content",
            "refusal": "output.messages.0.parts.2.content",
            "transcript": "output.messages.0.parts.3.transcript",
            "arguments": "output.messages.0.parts.4.arguments",
            "id of a call": "output.messages.0.parts.4.id",
        },
    ),
    "a stream": (*PROGRAMS["a stream"], {**ASKED_CHAT, **TOOLS_TOLD, **ANSWERED_STREAM}),
    "a response": (
        "responses.create",
        RESPONSES,
        [json_reply(response(output=ITEMS))],
        {
            **ASKED_RESPONSES,
            "thought": "output.messages.0.parts.0.content",
            "answer": "output.messages.0.parts.1.content",
            "arguments": "output.messages.0.parts.2.arguments",
        },
    ),
    "a completion": (
        *PROGRAMS["a completion"][:1],
        COMPLETION,
        PROGRAMS["a completion"][2],
        {
            "prompt": "input.messages.0.parts.0.content",
            "suffix": "input.messages.1.parts.0.content",
            "text": "output.messages.0.parts.0.content",
        },
    ),
    "embeddings": (
        *PROGRAMS["embeddings"][:1],
        EMBEDDING,
        PROGRAMS["embeddings"][2],
        {"input": ASKED_RESPONSES["input"]},
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_each_mark_is_told_in_its_place_and_once(
    api: Api, server: ScriptedServer, telling: Telling, name: str
) -> None:
    told = telling(capture_content="span", capture_tool_schemas=True)
    method, arguments, replies, expected = CASES[name]
    server.reply(*replies)

    result = await api.call(method, **arguments)
    if arguments.get("stream"):
        await api.drain(result)

    content = on_span(told)
    binary = {"Imag", "Audi"}  # of base64, whose last character may change
    found = [place for place in places(content) if place[0][:4] not in binary]
    assert found == sorted((planted(where), path) for where, path in expected.items())
    assert otlp(told).decode("latin-1").count(PLANTED) == len(places(content))
