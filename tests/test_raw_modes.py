"""`with_raw_response`: the app gets the objects and bytes that it gets without us, and a plain call's telemetry."""

import gc
import json
from typing import Any

import openai
import pytest
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

import otel_openai
from raw_modes import PLAIN, Model, Plain, raw
from seen import describe
from server import ScriptedServer, chat, json_reply, raw_reply, sse
from streamed import CHAT, STREAMED, Streamed, described, one_stream_was_told
from support import Api, Told, collect


@pytest.mark.parametrize("call", PLAIN, ids=str)
async def test_a_raw_call_tells_what_a_plain_call_tells(
    api: Api, server: ScriptedServer, told: Told, call: Plain
) -> None:
    server.always(json_reply(call.body, headers={"x-request-id": "req_1"}))

    await api.call(call.method, **call.arguments)
    answer = await raw(api, call)
    parsed = answer.parse()

    plain, same = told.spans
    assert described(same) == described(plain)
    assert parsed is answer.parse()
    assert answer.headers["x-request-id"] == "req_1"
    assert json.loads(answer.content) == call.body


@pytest.mark.parametrize("call", [*PLAIN, *STREAMED], ids=lambda call: getattr(call, "name", None) or str(call))
async def test_a_raw_call_gives_what_the_bare_client_gives(
    api: Api, server: ScriptedServer, told: Told, call: Plain | Streamed
) -> None:
    streams: dict[str, Any] = {} if isinstance(call, Plain) else {"stream": True}
    server.always(json_reply(call.body) if isinstance(call, Plain) else sse(*call.frames))

    async def seen() -> tuple[Any, ...]:
        answer: Any = await raw(api, call, **streams)
        parsed: Any = answer.parse()
        content = await api.drain(parsed) if streams else parsed
        kinds: list[Any] = [type(answer), type(parsed)]
        return kinds, describe(content), answer.status_code, answer.retries_taken

    instrumented = await seen()
    otel_openai.uninstrument()

    assert instrumented == await seen()
    assert len(told.spans) == 1


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_a_raw_stream_tells_what_a_stream_tells(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.frames))

    answer = await raw(api, streamed, stream=True)
    assert told.spans == []
    assert answer.parse() is answer.parse()
    await api.drain(answer.parse())

    assert described(told.span) == streamed.expected("completed", streamed.chunks, server=server, finished=True)
    one_stream_was_told(told, "completed")


async def test_a_raw_stream_parsed_into_a_type_of_the_app_is_told_without_chunks(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.frames))

    answer = await raw(api, CHAT, stream=True)
    stream = answer.parse(to=AsyncStream[ChatCompletionChunk] if api.is_async else Stream[ChatCompletionChunk])
    del answer
    await collect()
    assert len(await api.drain(stream)) == CHAT.chunks

    attributes = described(told.span)
    assert attributes["otel_openai.stream.outcome"] == "completed"
    assert "otel_openai.stream.chunk.count" not in attributes
    one_stream_was_told(told, "completed")


async def test_a_raw_answer_parsed_into_a_type_of_the_app(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat(id="chatcmpl-1"))

    answer = await raw(api, PLAIN[0])

    assert type(answer.parse(to=Model)) is Model
    assert answer.parse(to=Model).id == "chatcmpl-1"
    assert described(told.span)["gen_ai.response.id"] == "chatcmpl-1"


async def test_a_raw_answer_that_is_no_json_is_the_apps_to_parse(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(raw_reply(b'{"id": '))

    answer = await raw(api, PLAIN[0])
    for _ in range(2):
        with pytest.raises(json.JSONDecodeError):
            answer.parse()

    attributes = described(told.span)
    assert attributes["http.response.status_code"] == 200
    assert "gen_ai.response.id" not in attributes
    assert told.total("otel_openai.active_requests") == 0


async def test_a_refused_parse_raises_from_the_apps_own_call(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat('{"id": "1', finish_reason="length"))

    answer = await api.call("beta.chat.completions.with_raw_response.parse", **CHAT.arguments, response_format=Model)
    for _ in range(2):
        with pytest.raises(openai.LengthFinishReasonError):
            answer.parse()

    attributes = described(told.span)
    assert attributes["gen_ai.response.finish_reasons"] == ["length"]
    assert attributes["gen_ai.usage.output_tokens"] == 12
    assert told.span.status.status_code.name == "UNSET"
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 12


async def test_code_of_the_app_runs_once_for_each_of_its_own_parses(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    made: list[int] = []

    class Counted(openai.BaseModel):
        id: str

        def model_post_init(self, _: Any, /) -> None:
            made.append(1)

    server.reply(chat('{"id": "1"}'))
    answer = await api.call("beta.chat.completions.with_raw_response.parse", **CHAT.arguments, response_format=Counted)
    gc.collect()
    assert made == []

    assert answer.parse().choices[0].message.parsed.id == "1"
    assert made == [1]
    assert told.span.status.status_code.name == "UNSET"
