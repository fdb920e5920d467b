"""What the errors of other servers tell, each in its own shape."""

import openai
import pytest

from expected import asked
from server import ScriptedServer, dialects
from support import Api, Told

# Status, `error.type`, description.
ERRORS: dict[str, tuple[int, str, str]] = {
    "hosted.azure_content_filter": (
        400,
        "content_filter",
        "BadRequestError, HTTP 400, code content_filter, param prompt",
    ),
    "llamacpp.embeddings_off": (
        501,
        "InternalServerError",
        "InternalServerError, HTTP 501, code 501, type not_supported_error",
    ),
    "llamacpp.grammar_error": (500, "server_error", "InternalServerError, HTTP 500, code 500, type server_error"),
    "llamacpp.context_overflow": (
        400,
        "exceed_context_size_error",
        "BadRequestError, HTTP 400, code 400, type exceed_context_size_error",
    ),
    "llamacpp.wrong_key": (
        401,
        "AuthenticationError",
        "AuthenticationError, HTTP 401, code 401, type authentication_error",
    ),
    "vllm.unknown_model": (404, "NotFoundError", "NotFoundError, HTTP 404, code 404, type NotFoundError, param model"),
    "vllm.context_overflow": (
        400,
        "BadRequestError",
        "BadRequestError, HTTP 400, code 400, type BadRequestError, param max_tokens",
    ),
    "vllm.validation_error": (400, "BadRequestError", "BadRequestError, HTTP 400, code 400, type Bad Request"),
    "vllm.unauthorized": (401, "AuthenticationError", "AuthenticationError, HTTP 401"),
    "vllm.no_such_route": (404, "NotFoundError", "NotFoundError, HTTP 404"),
}


def test_every_dialect_has_its_expectation() -> None:
    assert ERRORS.keys() == dialects.ERRORS.keys()


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    status, error_type, description = ERRORS[name]
    server.reply(dialects.ERRORS[name]())

    with pytest.raises(openai.APIStatusError):
        await api.chat()

    assert told.attributes == asked(server, {"http.response.status_code": status, "error.type": error_type})
    assert told.span.status.description == description
