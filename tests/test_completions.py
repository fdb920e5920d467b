"""What legacy completions tell, plain and streamed."""

from typing import Any

import pytest

from expected import CHAT_USAGE, COMPLETION_ID, NO_USAGE, Attributes, at, changed
from server import DONE, Body, ScriptedServer, chat_usage, completion, completion_chunk, completion_stream, data, sse
from support import Api, Told

MODEL = "gpt-3.5-turbo-instruct:20230824-v2"


def completed(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.request.model": "gpt-3.5-turbo-instruct",
        "http.response.status_code": 200,
        "gen_ai.response.id": COMPLETION_ID,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["stop"],
    }
    return changed({**at(server), **answer, **CHAT_USAGE}, *changes)


async def complete(api: Api, **arguments: Any) -> Any:
    return await api.call("completions.create", model="gpt-3.5-turbo-instruct", prompt="Say", **arguments)


def _choices(*reasons: Any) -> list[Body]:
    return [{"text": "Hi", "index": place, "finish_reason": reason} for place, reason in enumerate(reasons)]


ANSWERS: dict[str, tuple[Any, Attributes]] = {
    "text": (completion(), {}),
    "two choices": (
        completion(choices=_choices("stop", "length")),
        {"gen_ai.response.finish_reasons": ["stop", "length"]},
    ),
    "choices out of order": (
        completion(choices=_choices("stop", "length")[::-1]),
        {"gen_ai.response.finish_reasons": ["stop", "length"]},
    ),
    "no reason": (completion(choices=_choices(None)), {"gen_ai.response.finish_reasons": ["error"]}),
    "a fingerprint": (completion(system_fingerprint="fp_1"), {"openai.response.system_fingerprint": "fp_1"}),
    "no usage": (completion(usage=None), NO_USAGE),
    "null choices": (completion(choices=None), {"gen_ai.response.finish_reasons": None}),
    "a null choice": (completion(choices=[None]), {"gen_ai.response.finish_reasons": ["error"]}),
    "nothing": (
        {},
        {
            **NO_USAGE,
            **dict.fromkeys(("gen_ai.response.id", "gen_ai.response.model", "gen_ai.response.finish_reasons")),
        },
    ),
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_an_answer_tells_what_it_holds(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    body, changes = ANSWERS[shape]
    server.reply(body)

    await complete(api)

    assert told.span.name == "text_completion gpt-3.5-turbo-instruct"
    assert told.span.kind.name == "CLIENT"
    assert told.span.status.status_code.name == "UNSET"
    assert told.attributes == completed(server, changes)


STREAMED: Attributes = {
    "gen_ai.request.stream": True,
    "otel_openai.stream.outcome": "completed",
    "otel_openai.stream.chunk.count": 3,
    **NO_USAGE,
}

STREAMS: dict[str, tuple[list[Any], Attributes]] = {
    "text": (completion_stream("Hel", "lo"), {}),
    "with usage": (
        completion_stream("Hel", "lo", usage=chat_usage()),
        {**CHAT_USAGE, "otel_openai.stream.chunk.count": 4},
    ),
    "with usage on the last choice": (
        [completion_chunk("Hel"), completion_chunk("lo"), completion_chunk(finish_reason="stop", usage=chat_usage())],
        CHAT_USAGE,
    ),
    "with running usage": (
        [
            completion_chunk("Hel", usage=chat_usage(9, 1)),
            completion_chunk("lo", usage=chat_usage(9, 2)),
            completion_chunk(finish_reason="stop", usage=chat_usage(9, 3)),
        ],
        {**CHAT_USAGE, "gen_ai.usage.output_tokens": 3},
    ),
    "two choices": (
        [
            completion_chunk("b", index=1, finish_reason="length"),
            completion_chunk("a", index=0),
            completion_chunk(index=0, finish_reason="stop", system_fingerprint="fp_1"),
        ],
        {"gen_ai.response.finish_reasons": ["stop", "length"], "openai.response.system_fingerprint": "fp_1"},
    ),
    "an empty beginning": (
        [
            completion_chunk(choices=[], id="", model=""),
            completion_chunk("a"),
            completion_chunk("b", finish_reason="stop"),
        ],
        {},
    ),
    "an unfinished choice": (
        [
            completion_chunk("a"),
            completion_chunk("b", index=1),
            completion_chunk(finish_reason="stop", index=1),
        ],
        {"gen_ai.response.finish_reasons": ["error", "stop"], "otel_openai.stream.outcome": "truncated"},
    ),
}


@pytest.mark.parametrize("shape", STREAMS)
async def test_a_stream_tells_the_same(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    chunks, changes = STREAMS[shape]
    server.reply(sse(*chunks, DONE))

    await api.drain(await complete(api, stream=True))

    attributes = told.attributes
    assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    assert attributes.pop("otel_openai.stream.max_chunk_gap") >= 0
    assert attributes == completed(server, STREAMED, changes)
    assert told.span.status.status_code.name == "UNSET"


async def test_an_error_of_older_servers_in_a_stream_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    error = {"object": "error", "message": "Engine died.", "type": "InternalServerError", "code": 500, "param": None}
    server.reply(sse(completion_chunk("Hel"), data(error), DONE))

    await api.drain(await complete(api, stream=True))

    assert told.span.status.status_code.name == "ERROR"
    assert told.attributes["error.type"] == "provider_error"
    assert told.attributes["otel_openai.stream.outcome"] == "error"
    assert told.attributes["gen_ai.response.finish_reasons"] == ["error"]
