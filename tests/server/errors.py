"""Error bodies in the shapes that servers really send, and OpenAI's usual response headers."""

from typing import Any

from .fields import Body

_OPENAI: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "We could not parse the JSON body of your request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: test-key."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Country not supported."),
    404: ("invalid_request_error", "model_not_found", "The model `nope` does not exist."),
    408: ("server_error", None, "Request timed out."),
    409: ("invalid_request_error", None, "The resource was updated by another request."),
    422: ("invalid_request_error", None, "Unprocessable entity."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for gpt-4o-mini on requests per min (RPM): Limit 3."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}


def openai_error(
    status: int = 400, *, message: str | None = None, kind: str | None = None, code: Any = None, param: Any = None
) -> Body:
    """Return ``{"error": {"message", "type", "param", "code"}}`` as OpenAI sends it with this status."""
    usual_kind, usual_code, usual_message = _OPENAI.get(status, ("server_error", None, f"Error {status}."))
    error = {
        "message": usual_message if message is None else message,
        "type": kind or usual_kind,
        "param": param,
        "code": usual_code if code is None else code,
    }
    return {"error": error}


def quota_error() -> Body:
    """Return the other 429: not too fast, but out of credit."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return openai_error(429, message=message, kind="insufficient_quota", code="insufficient_quota")


def vllm_error(
    code: int = 400, *, message: str = "Bad request.", kind: str = "BadRequestError", param: Any = None
) -> Body:
    """Return an error of vLLM: `code` is the status, as a number."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def old_vllm_error(code: int = 400, *, message: str = "Bad request.", kind: str = "BadRequestError") -> Body:
    """Return an error of older vLLM: flat, known by ``"object": "error"``; in a stream the client does not raise."""
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def llamacpp_error(
    code: int = 500, *, message: str = "Internal error.", kind: str = "server_error", **fields: Any
) -> Body:
    """Return an error of llama.cpp; `fields` stand beside the message."""
    return {"error": {"code": code, "message": message, "type": kind, **fields}}


def detail_error(detail: Any = "Not Found") -> Body:
    """Return an error of FastAPI's own: no ``error`` at all."""
    return {"detail": detail}


def string_error(text: str = "Unauthorized") -> Body:
    """Return an error that is a string, as vLLM's 401."""
    return {"error": text}


def openai_headers(**overrides: str) -> dict[str, str]:
    """Return OpenAI's usual response headers; ``x_request_id="req_1"`` overrides ``x-request-id``."""
    usual = {
        "x-request-id": "req_5ee8a1f3c7e04b0c9a8d6d9a0d1f2b3c",
        "openai-processing-ms": "412",
        "openai-version": "2020-10-01",
        "openai-organization": "org-test",
        "openai-project": "proj_test",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "199967",
        "x-ratelimit-reset-requests": "8.64s",
        "x-ratelimit-reset-tokens": "9ms",
        "set-cookie": "__cf_bm=not-to-be-recorded; path=/; HttpOnly; Secure",
    }
    return usual | {name.replace("_", "-"): value for name, value in overrides.items()}
