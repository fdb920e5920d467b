"""Answers that real servers gave: no id, model, finish reason, tool call or token of a body is lost or made up.

The expectation is read from the raw JSON, the plain way (`recorded`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openai
import pytest

from expected import Attributes, asked, changed
from recorded import an_object, events, of_chunks, of_response, said
from server import ScriptedServer, replay
from support import Api, Told, attributes_of
from test_stream_values import without_times

FOLDER = Path(__file__).parent / "recordings"
METHODS = {
    "/v1/chat/completions": "chat.completions.create",
    "/v1/completions": "completions.create",
    "/v1/responses": "responses.create",
    "/v1/embeddings": "embeddings.create",
    "/v1/nothing": "chat.completions.create",
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "chat.completions.create": {"messages": []},
    "completions.create": {"prompt": "Say"},
    "responses.create": {"input": "Hi"},
    "embeddings.create": {"input": "Hi"},
}
START: dict[str, Attributes] = {
    "chat.completions.create": {},
    "completions.create": {"gen_ai.operation.name": "text_completion", "openai.api.type": None},
    "responses.create": {"openai.api.type": "responses"},
    "embeddings.create": {"gen_ai.operation.name": "embeddings", "openai.api.type": None},
}
RECORDS: dict[str, Any] = {
    f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*/*.json"))
}


def _is_stream(record: Any) -> bool:
    return bool(an_object(record["request"]["body"]).get("stream"))


def named(status: Iterable[int], *, stream: bool) -> list[str]:
    return [
        name
        for name, record in RECORDS.items()
        if record["response"]["status"] in status and (_is_stream(record) is stream or 200 not in status)
    ]


async def ask(api: Api, record: Any) -> Any:
    method = METHODS[record["request"]["path"]]
    body = an_object(record["request"]["body"])
    wanted = {name: body[name] for name in ("stream", "encoding_format") if name in body}
    return await api.call(method, model="m", **ARGUMENTS[method], **wanted)


def start(server: ScriptedServer, record: Any) -> Attributes:
    body = an_object(record["request"]["body"])
    form = body.get("encoding_format")
    given = {
        "gen_ai.request.model": "m",
        "http.response.status_code": record["response"]["status"],
        "gen_ai.request.stream": True if body.get("stream") else None,
        "gen_ai.request.encoding_formats": [form] if form else None,
    }
    method = METHODS[record["request"]["path"]]
    headers = {name.lower(): value for name, value in record["response"]["headers"]}
    request_id = headers.get("x-request-id")
    given["http.response.header.x-request-id"] = [request_id] if request_id else None
    return asked(server, given, START[method])


@pytest.mark.parametrize("name", named([200], stream=False))
async def test_a_plain_answer_is_told_whole(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    record = RECORDS[name]
    server.reply(replay(record))

    await ask(api, record)

    body = json.loads(record["response"]["body"])
    assert told.attributes == changed(start(server, record), said(record["request"]["path"], body))
    assert told.span.status.status_code.name == "UNSET"


@pytest.mark.parametrize("name", named([200], stream=True))
async def test_a_stream_is_told_whole(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    record = RECORDS[name]
    server.reply(replay(record))
    frames = events(record)
    chunks = [frame for frame in frames if "error" not in frame]
    broken = len(chunks) < len(frames) or "truncated" in record["response"]

    stream = await ask(api, record)
    if broken:
        with pytest.raises(Exception) as raised:  # noqa: PT011 - clients before 3.4 let those of the HTTP library out
            await api.drain(stream)
        assert type(raised.value).__name__ in ("APIError", "APIConnectionError", "RemoteProtocolError")
    else:
        await api.drain(stream)

    path = record["request"]["path"]
    if path == "/v1/responses":
        expected = of_response(chunks[-1]["response"])
    else:
        expected = of_chunks(chunks, may_call=path == "/v1/chat/completions")
    outcome = {
        "otel_openai.stream.outcome": "error" if broken else "completed",
        "otel_openai.stream.chunk.count": len(chunks),
    }
    attributes = without_times(told)
    assert ("error.type" in attributes) is broken
    attributes.pop("error.type", None)
    assert attributes == changed(start(server, record), expected, outcome)


@pytest.mark.parametrize("name", named([400, 401, 404, 500, 501], stream=False))
async def test_an_error_is_told(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    record = RECORDS[name]
    server.reply(replay(record))

    with pytest.raises(openai.APIStatusError) as raised:
        await ask(api, record)

    body = json.loads(record["response"]["body"])
    error: Any = body.get("error", body)
    known = {"server_error", "exceed_context_size_error"}
    kind = None if isinstance(error, str) else error.get("type")
    failed = {"error.type": kind if kind in known else type(raised.value).__name__}
    assert told.attributes == changed(start(server, record), failed)
    assert told.span.status.status_code.name == "ERROR"


async def test_a_plain_answer_and_a_stream_of_the_same_are_told_in_the_same_words(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    plain = RECORDS["vllm-0.32.0/tools_auto_n2"]
    streamed = RECORDS["vllm-0.32.0/tools_auto_n2_stream"]
    server.reply(replay(plain), replay(streamed))

    await ask(api, plain)
    await api.drain(await ask(api, streamed))

    first, second = map(attributes_of, told.spans)
    same = ("gen_ai.response.finish_reasons", "otel_openai.tool_call.names", "gen_ai.usage.output_tokens")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
