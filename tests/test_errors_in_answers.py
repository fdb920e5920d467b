"""Errors that come with status 200, in a body or in a stream: the app may see no exception, the telemetry tells."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from expected import Attributes, at, changed, chatted
from server import (
    DONE,
    Body,
    Item,
    Reply,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_usage,
    choice,
    completion,
    data,
    finish_chunk,
    json_reply,
    llamacpp_error,
    old_vllm_error,
    role_chunk,
    sse,
    text_reply,
    usage_chunk,
    vllm_error,
)
from support import Api, Told
from test_stream_values import without_times

BODIES: dict[str, tuple[Reply, str, str]] = {
    "an error object": (
        json_reply({"error": {"message": "Provider returned error", "code": 502}}),
        "provider_error",
        "the server reported an error, code 502",
    ),
    "an error with a code": (
        json_reply({"error": {"message": "Slow down", "code": "rate_limit_exceeded", "type": "requests"}}),
        "rate_limit_exceeded",
        "the server reported an error, code rate_limit_exceeded, type requests",
    ),
    "an error that is a string": (
        json_reply({"error": "Unauthorized"}),
        "provider_error",
        "the server reported an error",
    ),
    "a flat error": (
        json_reply(old_vllm_error(400)),
        "provider_error",
        "the server reported an error, code 400, type BadRequestError",
    ),
    "a page": (
        text_reply("<!doctype html><title>Sign in</title>", content_type="text/html"),
        "unexpected_response_body",
        "the body is not an answer of this API",
    ),
    "text": (text_reply("OK"), "unexpected_response_body", "the body is not an answer of this API"),
}


CALLS: dict[str, tuple[dict[str, Any], Attributes]] = {
    "chat.completions.create": (
        {"messages": []},
        {"gen_ai.operation.name": "chat", "openai.api.type": "chat_completions"},
    ),
    "responses.create": ({"input": "Hi"}, {"gen_ai.operation.name": "chat", "openai.api.type": "responses"}),
    "completions.create": ({"prompt": "Say"}, {"gen_ai.operation.name": "text_completion"}),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("method", CALLS)
async def test_an_error_for_an_answer_is_told(
    api: Api, server: ScriptedServer, told: Told, method: str, what: str
) -> None:
    reply, error_type, description = BODIES[what]
    arguments, start = CALLS[method]
    server.reply(reply)

    await api.call(method, model="m", **arguments)

    failed = {"gen_ai.request.model": "m", "http.response.status_code": 200, "error.type": error_type}
    assert told.attributes == changed(at(server), start, failed)
    assert told.span.status.status_code.name == "ERROR"
    assert told.span.status.description == description
    [event] = told.events
    assert event.attributes == {"exception.type": error_type}


async def test_an_error_beside_an_answer_is_told_with_the_answer(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat(choices=[choice(finish_reason="error")], error={"code": 502, "message": "It broke."}))

    await api.chat()

    failed = {"error.type": "provider_error", "gen_ai.response.finish_reasons": ["error"]}
    assert told.attributes == chatted(server, failed)


async def test_an_error_in_a_choice_is_told_with_the_others(api: Api, server: ScriptedServer, told: Told) -> None:
    failed = choice(finish_reason="error", index=1, error={"code": "rate_limit_exceeded", "message": "Slow down"})
    server.reply(chat(choices=[choice("Hi"), failed]))

    await api.chat()

    expected = {"error.type": "rate_limit_exceeded", "gen_ai.response.finish_reasons": ["stop", "error"]}
    assert told.attributes == chatted(server, expected)
    assert told.span.status.description == "the server reported an error, code rate_limit_exceeded"


async def test_an_error_in_a_choice_of_a_legacy_completion(api: Api, server: ScriptedServer, told: Told) -> None:
    body = completion()
    body["choices"][0] |= {"finish_reason": "error", "error": "It broke."}
    server.reply(body)

    await api.call("completions.create", model="m", prompt="Say")

    assert told.attributes["error.type"] == "provider_error"
    assert told.attributes["gen_ai.response.finish_reasons"] == ["error"]


@pytest.mark.parametrize("error", [None, {}, ""])
async def test_no_error_is_no_error(api: Api, server: ScriptedServer, told: Told, error: Any) -> None:
    server.reply(chat(choices=[choice(error=error)], error=error))

    await api.chat()

    assert told.attributes == chatted(server)


def _in_choice(chunk: Body, **fields: Any) -> Body:
    chunk["choices"][0] |= fields
    return chunk


# What ends the stream after two chunks; the exception that the app gets; `error.type`; the description.
BROKEN: dict[str, tuple[list[Item], type[Exception] | None, str, str]] = {
    "an error event": (
        [{"error": {"message": "It broke.", "code": "server_error", "type": "server_error"}}],
        openai.APIError,
        "server_error",
        "APIError, code server_error, type server_error",
    ),
    "an error event with a number": (
        [vllm_error(500, kind="InternalServerError"), DONE],
        openai.APIError,
        "APIError",
        "APIError, code 500, type InternalServerError",
    ),
    "an error event of llama.cpp": (
        [llamacpp_error(500)],
        openai.APIError,
        "server_error",
        "APIError, code 500, type server_error",
    ),
    "an error beside a choice": (
        [chat_chunk("", finish_reason="error", error={"code": 502, "message": "It broke."})],
        openai.APIError,
        "APIError",
        "APIError, code 502",
    ),
    "an error that is a string": ([{"error": "It broke."}], openai.APIError, "APIError", "APIError"),
    "a flat error, which the client does not raise": (
        [data(old_vllm_error(500, kind="InternalServerError")), DONE],
        None,
        "provider_error",
        "the server reported an error, code 500, type InternalServerError",
    ),
    "an error in an extension": (
        [chat_chunk(x_groq={"error": "over capacity"}), DONE],
        None,
        "provider_error",
        "the server reported an error",
    ),
    "an error in an extension, beside text": (
        [chat_chunk("lo", x_groq={"error": "over capacity"}), DONE],
        None,
        "provider_error",
        "the server reported an error",
    ),
    "an error in a choice": (
        [_in_choice(finish_chunk("error"), error={"code": 502, "message": "It broke."}), DONE],
        None,
        "provider_error",
        "the server reported an error, code 502",
    ),
    "broken JSON": ([data('{"id": ')], json.JSONDecodeError, "JSONDecodeError", "JSONDecodeError"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_stream_that_fails_tells_what_came_before(
    api: Api, server: ScriptedServer, told: Told, what: str
) -> None:
    ending, raised, error_type, description = BROKEN[what]
    server.reply(sse(role_chunk(), chat_chunk("Hel", usage=chat_usage(9, 1)), *ending))

    stream = await api.stream()
    if raised is None:
        await api.drain(stream)
    else:
        with pytest.raises(raised):
            await api.drain(stream)

    expected = {
        "gen_ai.request.stream": True,
        "gen_ai.usage.output_tokens": 1,
        "gen_ai.response.finish_reasons": ["error"],
        "otel_openai.stream.outcome": "error",
        "otel_openai.stream.chunk.count": 2 if raised else 3,
        "error.type": error_type,
    }
    assert without_times(told) == chatted(server, expected)
    assert told.span.status.status_code.name == "ERROR"
    assert told.span.status.description == description
    assert len(told.events) == 1


async def test_an_error_after_the_finish_is_an_error_too(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(chat_chunk("Hel"), finish_chunk(), usage_chunk(), {"error": {"message": "It broke."}}))

    with pytest.raises(openai.APIError):
        await api.drain(await api.stream())

    assert told.attributes["otel_openai.stream.outcome"] == "error"
    assert told.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert told.attributes["error.type"] == "APIError"


async def test_an_error_after_a_choice_that_ended_with_one_is_the_reason(
    api: Api, server: ScriptedServer, telling: Callable[..., Told]
) -> None:
    told = telling(error_messages=True)
    reason = {"error": {"code": "rate_limit_exceeded", "message": "Wait."}}
    server.reply(sse(chat_chunk(delta={"content": "Hel"}), finish_chunk("error"), reason))

    with pytest.raises(openai.APIError, match="Wait"):
        await api.drain(await api.stream())

    assert told.attributes["error.type"] == "rate_limit_exceeded"
    assert told.span.status.description == "APIError, code rate_limit_exceeded: Wait."
