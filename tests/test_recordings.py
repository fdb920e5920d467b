"""Answers that real servers gave, and answers in the shapes that others document: no id, model, finish reason, tool
call, token or error code of a body is lost or made up.

The expectation is read from the raw JSON, the plain way (`recorded`).
"""

import json
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import openai
import pytest

from expected import Attributes, asked, changed
from recorded import (
    USAGE,
    an_object,
    error_of,
    events,
    exchanges,
    leaves,
    of_chunks,
    of_response,
    of_sound_events,
    said,
)
from server import DONE, ScriptedServer, chat, chat_chunk, finish_chunk, replay, role_chunk, sse
from support import Api, Told, attributes_of
from test_stream_values import without_times
from untold import UNTOLD, UNTOLD_CODES

METHODS = {
    "/v1/chat/completions": "chat.completions.create",
    "/v1/completions": "completions.create",
    "/v1/responses": "responses.create",
    "/v1/embeddings": "embeddings.create",
    "/v1/audio/transcriptions": "audio.transcriptions.create",
    "/v1/audio/translations": "audio.translations.create",
    "/v1/videos": "videos.create",
    "/v1/nothing": "chat.completions.create",
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "chat.completions.create": {"messages": []},
    "completions.create": {"prompt": "Say"},
    "responses.create": {"input": "Hi"},
    "embeddings.create": {"input": "Hi"},
    "audio.transcriptions.create": {"file": ("hello.wav", b"RIFF")},
    "audio.translations.create": {"file": ("hello.wav", b"RIFF")},
    "videos.create": {"prompt": "A cat."},
}
_MEDIA: Attributes = {"gen_ai.operation.name": "generate_content", "openai.api.type": None}
START: dict[str, Attributes] = {
    "chat.completions.create": {},
    "completions.create": {"gen_ai.operation.name": "text_completion", "openai.api.type": None},
    "responses.create": {"openai.api.type": "responses"},
    "embeddings.create": {"gen_ai.operation.name": "embeddings", "openai.api.type": None},
    "audio.transcriptions.create": _MEDIA | {"gen_ai.output.type": "text"},
    "audio.translations.create": _MEDIA | {"gen_ai.output.type": "text"},
    "videos.create": _MEDIA | {"gen_ai.output.type": "video"},
}
RECORDS = exchanges()
DURATION = "otel_openai.usage.duration"
DIALECTS = (
    *("vllm-0.32.0", "llama.cpp", "together", "azure", "groq", "deepseek"),
    *("mistral", "gemini", "openrouter", "ollama", "litellm"),
)
ONE_CHOICE_ONLY = ("groq", "deepseek", "openrouter")


def _is_stream(record: Any) -> bool:
    return bool(an_object(record["request"]["body"]).get("stream"))


def named(*, refused: bool, stream: bool = False) -> list[str]:
    return [
        name
        for name, record in RECORDS.items()
        if (record["response"]["status"] >= 400) is refused and (refused or _is_stream(record) is stream)
    ]


async def ask(api: Api, record: Any) -> Any:
    method = METHODS[record["request"]["path"]]
    body = an_object(record["request"]["body"])
    options = ("stream", "encoding_format", "n", *(["response_format"] if method.startswith("audio.") else []))
    wanted = {name: body[name] for name in options if name in body}
    return await api.call(method, model="m", **ARGUMENTS[method], **wanted)


def start(server: ScriptedServer, record: Any) -> Attributes:
    body = an_object(record["request"]["body"])
    form = body.get("encoding_format")
    given = {
        "gen_ai.request.model": "m",
        "http.response.status_code": record["response"]["status"],
        "gen_ai.request.stream": True if body.get("stream") else None,
        "gen_ai.request.encoding_formats": [form] if form else None,
        "gen_ai.request.choice.count": body.get("n") if body.get("n") != 1 else None,
    }
    method = METHODS[record["request"]["path"]]
    limits = tuple(f"x-ratelimit-{what}-" for what in ("limit", "remaining", "reset"))
    for name, value in record["response"]["headers"]:
        header = name.lower()
        if header in ("x-request-id", "retry-after") or header.startswith(limits):
            given[f"http.response.header.{header}"] = [value]
    return asked(server, given, START[method])


def error_type(error: Any, otherwise: str) -> str:
    """The code of an error, or its type where that says more than the exception, or the exception."""
    told = an_object(error) if isinstance(error, dict) else {}
    if isinstance(told.get("code"), str) and told["code"] not in UNTOLD_CODES:
        return told["code"]
    return told["type"] if told.get("type") in TELLING_TYPES else otherwise


TELLING_TYPES = ("server_error", "exceed_context_size_error", "budget_exceeded")

KNOWN_REASONS = {
    *("stop", "length", "tool_calls", "content_filter", "eos", "error", "repetition"),
    *("max_output_tokens", "insufficient_system_resource", "model_length"),
}


def check_metrics(told: Told, expected: Attributes) -> None:
    """What the metrics counted is what the span tells."""
    usage = "gen_ai.usage."
    for kind in ("input_tokens", "output_tokens"):
        tokens = told.total("gen_ai.client.token.usage", gen_ai__token__type=kind.removesuffix("_tokens"))
        assert tokens == (expected.get(usage + kind) or 0), kind
    parts = ("cache_read.input_tokens", "cache_write.input_tokens", "reasoning.output_tokens")
    for kind in ("input_tokens", "output_tokens", *parts):
        assert told.total(f"gen_ai.client.inference.usage.{kind}") == (expected.get(usage + kind) or 0), kind
    assert told.total(DURATION) == (expected.get(DURATION) or 0)
    reasons: list[str] = expected.get("gen_ai.response.finish_reasons") or []
    known = Counter(reason if reason in KNOWN_REASONS else "other" for reason in reasons)
    assert counted(told, "otel_openai.finish_reasons", "otel_openai.finish_reason") == known
    names = Counter(expected.get("otel_openai.tool_call.names") or [])
    assert counted(told, "otel_openai.tool_calls", "gen_ai.tool.name") == names


def counted(told: Told, metric: str, attribute: str) -> dict[str, int]:
    return {point[attribute]: value for point, value in told.points(metric)}


@pytest.mark.parametrize("name", named(refused=False))
async def test_a_plain_answer_is_told_whole(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    record = RECORDS[name]
    server.reply(replay(record))

    await ask(api, record)

    body = json.loads(record["response"]["body"])
    expected = said(record["request"]["path"], body)
    failed = {"error.type": error_type(error_of(body), "provider_error") if error_of(body) else None}
    assert told.attributes == changed(start(server, record), expected, failed)
    assert told.span.status.status_code.name == ("ERROR" if error_of(body) else "UNSET")
    check_metrics(told, expected)


@pytest.mark.parametrize("name", named(refused=False, stream=True))
async def test_a_stream_is_told_whole(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    record = RECORDS[name]
    server.reply(replay(record))
    frames = events(record)
    chunks = [frame for frame in frames if "error" not in frame]  # the client keeps the others to itself, and raises
    cut = "truncated" in record["response"]
    errors = [error for frame in frames if (error := error_of(frame))]

    stream = await ask(api, record)
    raised: str | None = None
    if cut or len(chunks) < len(frames):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - clients before 3.4 let those of the HTTP library out
            await api.drain(stream)
        raised = type(caught.value).__name__
        assert raised in (("APIConnectionError", "RemoteProtocolError") if cut else ("APIError",))
    else:
        await api.drain(stream)

    path = record["request"]["path"]
    if path == "/v1/responses":
        expected = of_response(chunks[-1]["response"])
    elif path == "/v1/audio/transcriptions":
        expected = of_sound_events(chunks)
    else:
        expected = of_chunks(chunks, may_call=path == "/v1/chat/completions")
    broken = cut or bool(errors)
    outcome = {
        "otel_openai.stream.outcome": "error" if broken else "completed",
        "otel_openai.stream.chunk.count": len(chunks),
        "error.type": error_type(errors[0] if errors else None, raised or "provider_error") if broken else None,
    }
    assert without_times(told) == changed(start(server, record), expected, outcome)
    check_metrics(told, expected)


@pytest.mark.parametrize("name", named(refused=True))
async def test_an_error_is_told(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    record = RECORDS[name]
    server.reply(replay(record))

    with pytest.raises(openai.APIStatusError) as raised:
        await ask(api, record)

    body = json.loads(record["response"]["body"])
    error = None if isinstance(body, list) else body.get("error", body)  # Gemini's is a list of one
    failed = {"error.type": error_type(error, type(raised.value).__name__)}
    assert told.attributes == changed(start(server, record), failed)
    assert told.span.status.status_code.name == "ERROR"
    check_metrics(told, {})


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


@pytest.mark.parametrize("path", USAGE)
async def test_a_count_is_told_wherever_it_stands(api: Api, server: ScriptedServer, told: Told, path: str) -> None:
    *objects, field = path.split(".")
    counted: Any = {field: 7}
    for name in reversed(objects):
        counted = {name: counted}
    server.reply(chat(usage=counted), sse(role_chunk(), chat_chunk("Hi"), finish_chunk(usage=counted), DONE))

    await api.chat()
    await api.drain(await api.stream())

    usages = [{name: n for name, n in attributes_of(span).items() if "usage" in name} for span in told.spans]
    assert usages == [{USAGE[path]: 7}] * 2


# Nothing of a body is forgotten: what the expectations above do not read is listed, with the reason.

READ = {
    *("id", "model", "service_tier", "system_fingerprint", "choices.index", "choices.finish_reason", "choices.seed"),
    *(f"choices.{where}.tool_calls.function.name" for where in ("message", "delta")),
    *(f"response.{what}" for what in ("id", "model", "service_tier", "output.name")),
    *(f"{where}.{count}" for where in ("usage", "response.usage", "choices.usage", "x_groq.usage") for count in USAGE),
    *("output.name", "finish_reason", "seconds"),
}
TELLING_STRINGS = ("id", "model", "name", "code", "_id", "_reason", "_tier", "_fingerprint")


def bodies(record: Any) -> Iterable[Any]:
    text = record["response"]["body"]
    return [json.loads(text)] if text[:1] in ("{", "[") else events(record)


def telling(body: Any) -> set[str]:
    """Paths of the numbers, and of the strings that are an id or the like."""
    return {
        path
        for path, value in leaves(body)
        if (isinstance(value, int | float) and not isinstance(value, bool))
        or (isinstance(value, str) and path.endswith(TELLING_STRINGS))
    }


PATHS = {name: {path for body in bodies(record) for path in telling(body)} for name, record in RECORDS.items()}


@pytest.mark.parametrize("name", RECORDS)
def test_every_number_and_id_of_a_body_is_told_or_has_a_reason(name: str) -> None:
    unknown = {path for path in PATHS[name] - READ if not any(fnmatchcase(path, untold) for untold in UNTOLD)}

    assert unknown == set()


def test_every_reason_has_a_body() -> None:
    paths = {path for paths in PATHS.values() for path in paths}

    assert [untold for untold in UNTOLD if not any(fnmatchcase(path, untold) for path in paths - READ)] == []
    assert [count for count in USAGE if not any(path.endswith(f"usage.{count}") for path in paths)] == []
    codes = {value for record in RECORDS.values() for body in bodies(record) for _, value in leaves(body)}
    assert [code for code in UNTOLD_CODES if code not in codes] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_every_kind_of_answer(dialect: str) -> None:
    names = " ".join(name for name in RECORDS if name.startswith(f"{dialect}/"))
    kinds = ["plain", "stream", "tools", "reasoning", "error_"]

    assert [kind for kind in kinds if kind not in names] == []
    assert ("n2" in names) is (dialect not in ONE_CHOICE_ONLY)
