"""Nothing that users wrote, that models said, or that opens a door leaves the process. Marks are planted everywhere."""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from exported import otlp
from server import (
    CUT,
    DONE,
    Body,
    Item,
    Reply,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    choice,
    completion,
    completion_stream,
    data,
    embeddings,
    error_reply,
    finish_chunk,
    function_call,
    json_reply,
    output_message,
    raw_reply,
    reasoning_chunk,
    reasoning_item,
    refusal_chunk,
    response,
    response_error_event,
    response_stream,
    response_tool_stream,
    retry_after,
    sse,
    text_reply,
    tool_call,
    tool_chunk,
)
from support import Api, Told, client

# Letters only, as a word that a server could mistake for a code of its own.
PLANTED = "Zyxwv"


def mark(where: str) -> str:
    """A mark that says where it was planted."""
    return f"{PLANTED}{where.title().replace(' ', '')}"


def found(told: Told, logged: str) -> set[str]:
    """The marks that left the process, each with what follows it."""
    everything = otlp(told).decode("latin-1") + logged
    return {part[:24] for part in everything.lower().split(PLANTED.lower())[1:]}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that we log, down to DEBUG; the client's own DEBUG log is the app's affair."""
    with caplog.at_level(logging.DEBUG, "otel_openai"):
        yield caplog


def ours(logged: pytest.LogCaptureFixture) -> str:
    lines = [record.getMessage() for record in logged.records if record.name.startswith(("otel_openai", "opentel"))]
    return "\n".join([*lines, *(str(record.exc_info) for record in logged.records if record.exc_info)])


@pytest.fixture(params=["sync", "async"])
async def api(request: pytest.FixtureRequest, server: ScriptedServer) -> AsyncIterator[Api]:
    """A client with marks in every place that it has."""
    url = f"http://{mark('user name')}:{mark('password')}@127.0.0.1:{server.port}/{mark('path')}/v1"
    made = client(
        request.param,
        url,
        api_key=mark("api key"),
        organization=mark("organization"),
        project=mark("project"),
        default_headers={"x-secret": mark("default header"), "x-request-id": mark("request id")},
        default_query={"key": mark("default query")},
        max_retries=1,
    )
    opened = Api(request.param, made)
    yield opened
    await opened.close(made)


TOOL: Body = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": mark("tool description"),
        "parameters": {"type": "object", "properties": {mark("tool parameter"): {"enum": [mark("tool enum")]}}},
    },
}
EVERYWHERE: dict[str, Any] = {
    "user": mark("user"),
    "metadata": {mark("metadata key"): mark("metadata")},
    "extra_headers": {"x-more": mark("extra header"), "authorization": f"Bearer {mark('bearer')}"},
    "extra_query": {"token": mark("extra query")},
    "extra_body": {mark("extra key"): mark("extra body"), "guided_choice": [mark("extra list")]},
    "timeout": 5,
}
CHAT: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "content": mark("system"), "name": mark("name")},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": mark("text")},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{mark('image')}"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [tool_call("get_weather", mark("old arguments"))]},
        {"role": "tool", "tool_call_id": mark("call id"), "content": mark("tool result")},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": mark("tool choice")}},
    "logit_bias": {"50256": -100},
    "prediction": {"type": "content", "content": mark("prediction")},
    **EVERYWHERE,
}
RESPONSES: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "input": [{"role": "user", "content": mark("input")}],
    "instructions": mark("instructions"),
    "tools": [{"type": "function", "strict": True, **TOOL["function"]}],
    **EVERYWHERE,
    "extra_body": {"prompt": {"id": "pmpt_1", "variables": {"city": mark("variable")}}, "secret": mark("extra body")},
}
COMPLETION: dict[str, Any] = {"model": "m", "prompt": mark("prompt"), "suffix": mark("suffix"), **EVERYWHERE}
EMBEDDING: dict[str, Any] = {"model": "m", "input": [mark("input")], **EVERYWHERE}
del COMPLETION["metadata"], EMBEDDING["metadata"]

HEADERS = {
    "set-cookie": mark("cookie"),
    "x-secret": mark("answer header"),
    "location": f"http://{mark('location')}",
    "openai-organization": mark("organization of the answer"),
    "www-authenticate": mark("challenge"),
}
ERROR: Body = {
    "message": f"'{mark('message')}' is not a number",
    "code": mark("code"),
    "type": mark("type"),
    "param": mark("param"),
    "input": mark("input of the error"),
    "metadata": {"raw": mark("raw error")},
}

_MESSAGE: Body = {
    "content": mark("answer"),
    "refusal": mark("refusal"),
    "reasoning_content": mark("reasoning"),
    "audio": {"id": "a", "data": mark("audio"), "transcript": mark("transcript"), "expires_at": 1},
    "annotations": [{"type": "url_citation", "url_citation": {"url": mark("citation"), "title": mark("title")}}],
}
_CALL = tool_call("get_weather", mark("arguments"), id=mark("id of a call"))
_ANSWER = chat(choices=[choice(tool_calls=[_CALL], message=_MESSAGE, logprobs={"content": mark("logprobs")})])
_EVENTS = response_stream(mark("delta"), output=[reasoning_item(mark("summary")), output_message(mark("output"))])
_PIECES: list[Item] = [
    chat_chunk(mark("piece"), delta={"audio": {"transcript": mark("transcript")}}),
    reasoning_chunk(mark("thought")),
    refusal_chunk(mark("refusal")),
    tool_chunk(mark("arguments"), name="get_weather", call_id=mark("id of a call")),
]
_CALLED = response(output=[function_call(arguments=mark("arguments"), call_id=mark("id of a call"))])

# Method, arguments, and the answers of the server.
PROGRAMS: dict[str, tuple[str, dict[str, Any], list[Reply]]] = {
    "chat": ("chat.completions.create", CHAT, [json_reply(_ANSWER, headers=HEADERS)]),
    "chat after a retry": (
        "chat.completions.create",
        CHAT,
        [retry_after(body={"error": ERROR}), json_reply(_ANSWER, headers=HEADERS)],
    ),
    "a stream": (
        "chat.completions.create",
        {**CHAT, "stream": True},
        [sse(*_PIECES, finish_chunk("tool_calls"), DONE, headers=HEADERS)],
    ),
    "a cut stream": ("chat.completions.create", {**CHAT, "stream": True}, [sse(*_PIECES, CUT)]),
    "a broken stream": ("chat.completions.create", {**CHAT, "stream": True}, [sse(*_PIECES, f"data: {PLANTED}\n\n")]),
    "an error in a stream": ("chat.completions.create", {**CHAT, "stream": True}, [sse(*_PIECES, {"error": ERROR})]),
    "a flat error in a stream": (
        "chat.completions.create",
        {**CHAT, "stream": True},
        [sse(*_PIECES, data({"object": "error", **ERROR}), DONE)],
    ),
    "an error in an extension": (
        "chat.completions.create",
        {**CHAT, "stream": True},
        [sse(*_PIECES, chat_chunk(x_groq={"error": mark("groq")}), DONE)],
    ),
    "an error status": (
        "chat.completions.create",
        CHAT,
        [json_reply({"error": ERROR}, status=400, headers=HEADERS)],
    ),
    "a string for an error": ("chat.completions.create", CHAT, [error_reply(401, {"error": mark("error")})]),
    "an error of a framework": ("chat.completions.create", CHAT, [error_reply(422, {"detail": [ERROR]})]),
    "an error body with 200": ("chat.completions.create", CHAT, [json_reply({"error": ERROR})]),
    "a page": ("chat.completions.create", CHAT, [text_reply(f"<p>{mark('page')}", content_type="text/html")]),
    "broken JSON": ("chat.completions.create", CHAT, [raw_reply(f'{{"{mark("broken")}'.encode())]),
    "a response": ("responses.create", RESPONSES, [json_reply(_CALLED, headers=HEADERS)]),
    "a streamed response": ("responses.create", {**RESPONSES, "stream": True}, [sse(*_EVENTS, headers=HEADERS)]),
    "a streamed call": (
        "responses.create",
        {**RESPONSES, "stream": True},
        [sse(*response_tool_stream(function_call(arguments=mark("arguments"))))],
    ),
    "a failed response": ("responses.create", RESPONSES, [json_reply(response(status="failed", error=ERROR))]),
    "an error event": (
        "responses.create",
        {**RESPONSES, "stream": True},
        [sse(*_EVENTS[:4], response_error_event(mark("message"), code=mark("code"), param=mark("param")))],
    ),
    "a completion": ("completions.create", COMPLETION, [json_reply(completion(mark("text")))]),
    "a streamed completion": (
        "completions.create",
        {**COMPLETION, "stream": True},
        [sse(*completion_stream(mark("text")))],
    ),
    "embeddings": ("embeddings.create", EMBEDDING, [json_reply(embeddings(), headers=HEADERS)]),
    "an error of embeddings": ("embeddings.create", EMBEDDING, [error_reply(400, {"error": ERROR})]),
}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_no_mark_leaves_the_process(
    api: Api, server: ScriptedServer, told: Told, logged: pytest.LogCaptureFixture, name: str
) -> None:
    method, arguments, replies = PROGRAMS[name]
    server.reply(*replies)

    with contextlib.suppress(Exception):  # whatever this version of the client makes of it
        result = await api.call(method, **arguments)
        if arguments.get("stream"):
            await api.drain(result)

    assert len(told.spans) == 1
    assert PLANTED.encode() in server.last.head
    assert PLANTED.encode() in server.last.body
    assert found(told, ours(logged)) == set()


class Secret(BaseModel):
    Zyxwv: str


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_no_mark_leaves_where_an_answer_is_parsed(
    api: Api, server: ScriptedServer, told: Told, logged: pytest.LogCaptureFixture, reason: str
) -> None:
    server.reply(chat(f'{{"Zyxwv": 5, "{mark("answer")}": ', finish_reason=reason))
    parse = "chat.completions.parse" if hasattr(api.client.chat.completions, "parse") else "beta.chat.completions.parse"
    arguments = {key: value for key, value in CHAT.items() if key not in ("tools", "tool_choice")}

    with pytest.raises((openai.LengthFinishReasonError, ValueError)):
        await api.call(parse, response_format=Secret, **arguments)

    assert told.span.status.status_code.name == "ERROR"
    assert found(told, ours(logged)) == set()


async def test_no_mark_leaves_where_the_app_raises(
    api: Api, server: ScriptedServer, told: Told, logged: pytest.LogCaptureFixture
) -> None:
    server.always(sse(*chat_stream(mark("text"))))

    for error in (RuntimeError(mark("error")), SystemExit(mark("exit"))):
        stream = await api.call("chat.completions.create", **CHAT, stream=True)
        with pytest.raises(type(error)):
            await _raise_within(api, stream, error)

    assert [span.status.description for span in told.spans] == ["RuntimeError", "SystemExit"]
    assert found(told, ours(logged)) == set()


async def _raise_within(api: Api, stream: Any, error: BaseException) -> None:
    if api.is_async:
        async with stream:
            raise error
    with stream:
        raise error
