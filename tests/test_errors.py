"""How calls that fail are told: `error.type`, the description of the status, and what of the answer is known."""

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from expected import CHAT_USAGE, Attributes, asked, chatted
from server import (
    CUT,
    RESET,
    Reply,
    ScriptedServer,
    chat,
    chat_usage,
    detail_error,
    error_reply,
    hang_up,
    json_reply,
    llamacpp_error,
    old_vllm_error,
    openai_error,
    quota_error,
    raw_reply,
    silence,
    string_error,
    text_reply,
    vllm_error,
)
from support import Api, Told, client

STATUSES: dict[str, tuple[Reply, str, str]] = {
    # What the server sends, `error.type`, and the description.
    "400": (error_reply(400), "BadRequestError", "BadRequestError, HTTP 400, type invalid_request_error"),
    "401": (
        error_reply(401),
        "invalid_api_key",
        "AuthenticationError, HTTP 401, code invalid_api_key, type invalid_request_error",
    ),
    "403": (
        error_reply(403),
        "unsupported_country_region_territory",
        "PermissionDeniedError, HTTP 403, code unsupported_country_region_territory, type invalid_request_error",
    ),
    "404": (
        error_reply(404, openai_error(404, param="model")),
        "model_not_found",
        "NotFoundError, HTTP 404, code model_not_found, type invalid_request_error, param model",
    ),
    "408": (error_reply(408), "server_error", "APIStatusError, HTTP 408, type server_error"),
    "409": (error_reply(409), "ConflictError", "ConflictError, HTTP 409, type invalid_request_error"),
    "422": (
        error_reply(422),
        "UnprocessableEntityError",
        "UnprocessableEntityError, HTTP 422, type invalid_request_error",
    ),
    "429, too fast": (
        error_reply(429),
        "rate_limit_exceeded",
        "RateLimitError, HTTP 429, code rate_limit_exceeded, type requests",
    ),
    "429, out of credit": (
        error_reply(429, quota_error()),
        "insufficient_quota",
        "RateLimitError, HTTP 429, code insufficient_quota, type insufficient_quota",
    ),
    "500": (error_reply(500), "server_error", "InternalServerError, HTTP 500, type server_error"),
    "529": (error_reply(529), "server_error", "InternalServerError, HTTP 529, type server_error"),
    "a code and type that nobody knows": (
        error_reply(500, openai_error(500, kind="odd", code="odder")),
        "InternalServerError",
        "InternalServerError, HTTP 500",
    ),
    "a parameter with a path": (
        error_reply(400, openai_error(400, param="messages.[0].content")),
        "BadRequestError",
        "BadRequestError, HTTP 400, type invalid_request_error, param messages",
    ),
    "context overflow": (
        error_reply(400, openai_error(400, code="context_length_exceeded", param="messages")),
        "context_length_exceeded",
        "BadRequestError, HTTP 400, code context_length_exceeded, type invalid_request_error, param messages",
    ),
    "a code that is a number": (
        error_reply(404, vllm_error(404, kind="NotFoundError", param="model")),
        "NotFoundError",
        "NotFoundError, HTTP 404, code 404, type NotFoundError, param model",
    ),
    "an error that is flat": (
        error_reply(400, old_vllm_error()),
        "BadRequestError",
        "BadRequestError, HTTP 400, code 400, type BadRequestError",
    ),
    "a type that is a code": (
        error_reply(400, llamacpp_error(400, kind="exceed_context_size_error", n_ctx=1024)),
        "exceed_context_size_error",
        "BadRequestError, HTTP 400, code 400, type exceed_context_size_error",
    ),
    "an error that is a string": (
        error_reply(401, string_error()),
        "AuthenticationError",
        "AuthenticationError, HTTP 401",
    ),
    "no error at all": (error_reply(404, detail_error()), "NotFoundError", "NotFoundError, HTTP 404"),
    "odd types": (
        error_reply(400, {"error": {"code": ["a"], "type": {"b": 1}, "param": 3, "message": None}}),
        "BadRequestError",
        "BadRequestError, HTTP 400",
    ),
    "a list": (json_reply([1, 2], status=400), "BadRequestError", "BadRequestError, HTTP 400"),
    "a page": (
        text_reply("<h1>Bad gateway</h1>", status=502, content_type="text/html"),
        "InternalServerError",
        "InternalServerError, HTTP 502",
    ),
    "nothing": (raw_reply(b"", status=503), "InternalServerError", "InternalServerError, HTTP 503"),
}


@pytest.mark.parametrize("what", STATUSES)
async def test_an_error_status_is_told(api: Api, server: ScriptedServer, told: Told, what: str) -> None:
    reply, error_type, description = STATUSES[what]
    server.reply(reply)

    with pytest.raises(openai.APIStatusError) as raised:
        await api.chat(stream=True)

    assert told.span.status.status_code.name == "ERROR"
    assert told.span.status.description == description
    failed = {"gen_ai.request.stream": True, "http.response.status_code": reply.status, "error.type": error_type}
    assert told.attributes == asked(server, failed)
    [event] = told.events
    assert event.attributes == {"exception.type": f"openai.{type(raised.value).__name__}"}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (hang_up(), openai.APIConnectionError),
        (hang_up(RESET), openai.APIConnectionError),
        (json_reply(chat(), halfway=CUT), openai.APIConnectionError),
        (silence(), openai.APITimeoutError),
    ],
    ids=["hang up", "reset", "cut", "silence"],
)
async def test_an_answer_that_never_comes_is_told(
    api: Api, server: ScriptedServer, told: Told, reply: Reply, error: type[Exception]
) -> None:
    server.reply(reply)

    with pytest.raises(error):
        await api.chat(timeout=0.1)

    assert told.attributes == asked(server, {"error.type": error.__name__})
    assert told.span.status.description == error.__name__
    [event] = told.events
    assert event.attributes == {"exception.type": f"openai.{error.__name__}"}


async def test_a_server_that_is_not_there_is_told(server: ScriptedServer, told: Told) -> None:
    server.close()

    with client("sync", server.base_url) as alone, pytest.raises(openai.APIConnectionError):
        alone.chat.completions.create(model="gpt-4o-mini", messages=[])

    assert told.attributes == asked(server, {"error.type": "APIConnectionError"})


async def test_a_call_that_is_cancelled_is_told(server: ScriptedServer, told: Told) -> None:
    server.reply(silence())

    async with client("async", server.base_url) as patient:
        call = asyncio.ensure_future(patient.chat.completions.create(model="gpt-4o-mini", messages=[]))
        await asyncio.to_thread(server.wait_for)
        call.cancel("the user went away")
        with pytest.raises(asyncio.CancelledError):
            await call

    assert told.attributes == asked(server, {"error.type": "CancelledError"})
    assert told.span.status.description == "CancelledError"
    [event] = told.events
    assert event.attributes == {"exception.type": "asyncio.exceptions.CancelledError"}


async def test_an_answer_that_the_client_cannot_read_is_told(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(raw_reply(b'{"id": "chatcmpl'))

    with pytest.raises(ValueError, match="Unterminated"):
        await api.chat()

    assert told.attributes == asked(server, {"error.type": "JSONDecodeError", "http.response.status_code": 200})
    assert told.span.status.description == "JSONDecodeError"
    [event] = told.events
    assert event.attributes == {"exception.type": "json.decoder.JSONDecodeError"}


async def test_an_answer_that_the_client_finds_invalid_is_told(server: ScriptedServer, told: Told) -> None:
    server.reply(chat(choices=[{"finish_reason": "eos"}]))

    strict = client("sync", server.base_url, _strict_response_validation=True)
    with strict, pytest.raises(openai.APIResponseValidationError):
        strict.chat.completions.create(model="gpt-4o-mini", messages=[])

    invalid = {"error.type": "APIResponseValidationError", "http.response.status_code": 200}
    assert told.attributes == asked(server, invalid)
    assert told.span.status.description == "APIResponseValidationError, HTTP 200"


class Person(BaseModel):
    name: str


async def parse(api: Api) -> Any:
    try:
        return await api.call(
            "chat.completions.parse", model="gpt-4o-mini", messages=[], response_format=Person, tools=[]
        )
    except AttributeError:
        return await api.call(
            "beta.chat.completions.parse", model="gpt-4o-mini", messages=[], response_format=Person, tools=[]
        )


@pytest.mark.parametrize(
    ("reason", "error"),
    [("length", openai.LengthFinishReasonError), ("content_filter", openai.ContentFilterFinishReasonError)],
)
async def test_an_answer_that_cannot_be_parsed_is_billed_all_the_same(
    api: Api, server: ScriptedServer, told: Told, reason: str, error: type[Any]
) -> None:
    server.reply(chat('{"na', finish_reason=reason, usage=chat_usage(9, 12)))

    with pytest.raises(error) as raised:
        await parse(api)

    failed: Attributes = {"error.type": error.__name__, "gen_ai.output.type": "json"}
    if getattr(raised.value, "completion", None) is not None:
        assert told.attributes == chatted(server, failed, {"gen_ai.response.finish_reasons": [reason]})
        assert told.total("gen_ai.client.inference.usage.output_tokens") == CHAT_USAGE["gen_ai.usage.output_tokens"]
        assert told.total("otel_openai.finish_reasons", otel_openai__finish_reason=reason) == 1
    else:  # older clients keep nothing of a filtered answer
        assert reason == "content_filter"
        assert told.attributes["error.type"] == error.__name__
    assert told.span.status.description == error.__name__
