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
    decision,
    function_call,
    images,
    json_reply,
    moderation,
    output_message,
    raw_reply,
    reasoning_item,
    response,
    response_stream,
    search_page,
    sse,
    transcription,
    transcription_stream,
    video,
)
from server.sockets import Await, SocketServer
from spoken import RESPONSES as SPOKEN_RESPONSES
from spoken import Spoken, cases
from support import Api, Told, need, need_argument
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
            yield found.rstrip("=\n"), path


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


# The other APIs: where each mark of the arguments and of the answer is told.
PROMPT = {"prompt": "input.messages.0.parts.0.content"}
UPLOAD = {"file name": "input.messages.0.parts.1.filename"}
FILE = (mark("file name"), mark("bytes").encode(), "image/png")
DRAWN = images(data=[{"url": f"https://{mark('address')}", "revised_prompt": mark("revised prompt"), "id": mark("id")}])
DRAWN_TOLD = {
    "address": "output.messages.0.parts.0.uri",
    "revised prompt": "output.messages.0.parts.1.content",
}
HEARD = transcription(mark("heard"), words=[{"word": mark("word"), "start": 0, "end": 1}], language=mark("language"))
HEARD_TOLD = {"heard": "output.messages.0.parts.0.content"}
FILMED = {"prompt": mark("prompt"), "extra_body": {"secret": mark("extra body")}}
FOUND = search_page(
    data=[
        {
            "file_id": mark("file id"),
            "filename": mark("file name"),
            "score": 0.5,
            "attributes": {mark("attribute"): mark("value")},
            "content": [{"type": "text", "text": mark("chunk")}],
        }
    ],
    search_query=[mark("rewritten")],
)
QUESTION = {
    "type": "choice",
    "name": mark("name"),
    "question": mark("question"),
    "choices": [{"value": mark("choice"), "description": mark("description")}],
}
CHOSEN = {"type": "choice", "name": mark("name of an answer"), "choice": mark("chosen"), "confidence": 1}
OTHERS: dict[str, tuple[str, Body, list[Reply], dict[str, str]]] = {
    "an image": (
        "images.generate",
        {"model": "m", "prompt": mark("prompt"), "user": mark("user")},
        [json_reply(DRAWN)],
        {**PROMPT, **DRAWN_TOLD},
    ),
    "an edited image": (
        "images.edit",
        {"prompt": mark("prompt"), "image": FILE, "mask": (mark("mask name"), b"PNG")},
        [json_reply(DRAWN)],
        {**PROMPT, **UPLOAD, "mask name": "input.messages.0.parts.2.filename", **DRAWN_TOLD},
    ),
    "a variation": (
        "images.create_variation",
        {"image": FILE},
        [json_reply(DRAWN)],
        {"file name": "input.messages.0.parts.0.filename", **DRAWN_TOLD},
    ),
    "speech": (
        "audio.speech.create",
        {"model": "m", "voice": "alloy", "input": mark("prompt"), "instructions": mark("instructions")},
        [raw_reply(mark("sound").encode(), content_type="audio/wav")],
        {**PROMPT, "instructions": "system_instructions.0.content"},
    ),
    "a transcription": (
        "audio.transcriptions.create",
        {"model": "m", "file": FILE, "prompt": mark("prompt")},
        [json_reply(HEARD)],
        {**PROMPT, **UPLOAD, **HEARD_TOLD},
    ),
    "a streamed transcription": (
        "audio.transcriptions.create",
        {"model": "m", "file": FILE, "prompt": mark("prompt"), "stream": True},
        [sse(*transcription_stream(mark("heard")))],
        {**PROMPT, **UPLOAD, **HEARD_TOLD},
    ),
    "a translation": (
        "audio.translations.create",
        {"model": "m", "file": FILE, "prompt": mark("prompt")},
        [json_reply(HEARD)],
        {**PROMPT, **UPLOAD, **HEARD_TOLD},
    ),
    "a moderation": (
        "moderations.create",
        {
            "input": [
                {"type": "text", "text": mark("text")},
                {"type": "image_url", "image_url": {"url": f"https://{mark('address')}"}},
            ]
        },
        [json_reply(moderation())],
        {"text": "input.messages.0.parts.0.content", "address": "input.messages.0.parts.1.uri"},
    ),
    "a video": (
        "videos.create",
        {**FILMED, "input_reference": FILE},
        [json_reply(video(prompt=mark("repeated")))],
        {**PROMPT, **UPLOAD},
    ),
    "a remix": ("videos.remix", {**FILMED, "video_id": "v"}, [json_reply(video())], PROMPT),
    "an edited video": ("videos.edit", {**FILMED, "video": FILE}, [json_reply(video())], {**PROMPT, **UPLOAD}),
    "an extended video": (
        "videos.extend",
        {**FILMED, "video": FILE, "seconds": "8"},
        [json_reply(video())],
        {**PROMPT, **UPLOAD},
    ),
    "a search": (
        "vector_stores.search",
        {
            "vector_store_id": "vs",
            "query": [mark("query"), mark("other query")],
            "filters": {"type": "eq", "key": mark("key"), "value": mark("filter")},
        },
        [json_reply(FOUND)],
        {
            "query": "retrieval.query.text",
            "other query": "retrieval.query.text",
            "file id": "retrieval.documents.0.id",
            "file name": "retrieval.documents.0.filename",
            "chunk": "retrieval.documents.0.content",
        },
    ),
    "a decision": (
        "decisions.create",
        {
            "model": "gpt-6-luna",
            "input": [{"role": "user", "content": mark("input")}],
            "questions": [QUESTION],
            "safety_identifier": mark("user"),
        },
        [json_reply(decision(answers=[CHOSEN]))],
        {
            "input": "input.messages.0.parts.0.content",
            "name": "input.messages.1.parts.0.content.name",
            "question": "input.messages.1.parts.0.content.question",
            "choice": "input.messages.1.parts.0.content.choices.0.value",
            "description": "input.messages.1.parts.0.content.choices.0.description",
            "name of an answer": "output.messages.0.parts.0.content.name",
            "chosen": "output.messages.0.parts.0.content.choice",
        },
    ),
}


@pytest.mark.parametrize("name", [*CASES, *OTHERS])
async def test_each_mark_is_told_in_its_place_and_once(
    api: Api, server: ScriptedServer, telling: Telling, name: str
) -> None:
    told = telling(capture_content="span", capture_tool_schemas=True)
    method, arguments, replies, expected = {**CASES, **OTHERS}[name]
    need(method)
    for argument in arguments:
        need_argument(method, argument)
    server.reply(*replies)

    result = await api.call(method, **arguments)
    if arguments.get("stream"):
        await api.drain(result)

    each_in_its_place(told, expected)


@pytest.mark.parametrize("spoken", cases(SPOKEN_RESPONSES))
async def test_over_websocket_each_mark_is_told_where_it_is_over_http(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken
) -> None:
    told = telling(capture_content="span", capture_tool_schemas=True)
    asked = {key: value for key, value in RESPONSES.items() if not key.startswith(("extra_", "timeout"))}
    begin, *_, end = response_stream()
    sockets.script(Await(), begin, {**end, "response": response(output=ITEMS)})

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, **asked})
        await line.take(2)

    each_in_its_place(told, CASES["a response"][-1])


def each_in_its_place(told: Told, expected: dict[str, str]) -> None:
    content = on_span(told)
    binary = {"Imag", "Audi"}  # of base64, whose last character may change
    found = [place for place in places(content) if place[0][:4] not in binary]
    assert found == sorted((planted(where), path) for where, path in expected.items())
    assert otlp(told).decode("latin-1").count(PLANTED) == len(places(content))
