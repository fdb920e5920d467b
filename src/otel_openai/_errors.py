"""What went wrong, in words that cannot hold what a user wrote: `error.type` and the description of the status.

Servers repeat the user's input in their messages, and hostile ones could put it into any field. So the message is
kept apart (it leaves only where the user allowed it), and of codes and types only those are told that are known, or
that are the name of an error.
"""

import re
from asyncio import CancelledError
from collections.abc import Mapping
from typing import Any, NamedTuple

from otel_openai._values import extra, fields, text

UNEXPECTED_BODY = "unexpected_response_body"  # HTTP 200 with a body that is no answer at all (an HTML page)
PROVIDER_ERROR = "provider_error"  # an error object without a known code, in a body or stream that began with 200

# Low-cardinality codes that say more than the exception's class does.
_KNOWN_CODES = frozenset(
    {
        "rate_limit_exceeded",
        "insufficient_quota",
        "context_length_exceeded",
        "exceed_context_size_error",
        "content_filter",
        "content_policy_violation",
        "invalid_prompt",
        "invalid_api_key",
        "incorrect_api_key_provided",
        "billing_hard_limit_reached",
        "budget_exceeded",
        "account_deactivated",
        "model_not_found",
        "model_not_available",
        "model_decommissioned",
        "dedicated_endpoint_not_running",
        "DeploymentNotFound",
        "unsupported_parameter",
        "unsupported_value",
        "string_above_max_length",
        "tokens_exceeded_error",
        "vector_store_timeout",
        "server_error",
        "server_is_overloaded",
        "slow_down",
        "overloaded_error",
        "engine_overloaded",
        "unsupported_country_region_territory",
        "image_parse_error",
        "invalid_image",
        "tool_use_failed",
        "json_validate_failed",
        "insufficient_system_resource",
        "previous_response_not_found",
        "conversation_already_has_active_response",
        "websocket_connection_limit_reached",
        "session_expired",
        # Turns of agents.
        "max_output_tokens",
        "session_budget_exceeded",
        "usage_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_not_active",
        "credit_balance_exhausted",
        "flex_unavailable",
        "server_overloaded",
        "cyber_policy",
        "misalignment_policy_violation",
        "connection_failed",
        "sandbox_error",
        "executor_version_incompatible",
        "active_turn_not_steerable",
        "request_timeout",
    }
)
# Codes and types that say enough to be in a description, and too much for `error.type`.
_KNOWN_WORDS = _KNOWN_CODES | {
    "requests",
    "tokens",
    "Bad Request",
    "Not Found",
    "Unauthorized",
    "invalid_value",
    "invalid_type",
    "unknown_parameter",
    "missing_required_parameter",
    "unsupported_model",
    "integer_above_max_value",
    "integer_below_min_value",
    "decimal_above_max_value",
    "decimal_below_min_value",
    "array_above_max_length",
    "empty_array",
    "invalid_function_parameters",
    "data_residency_mismatch",
    "bio_policy",
    "image_content_policy_violation",
    "request_too_large",
    "rate_limited",
    "invalid_model",
    "ResponsibleAIPolicyViolation",
}
_ERROR_NAME = re.compile(r"[A-Za-z_]{0,43}[Ee]rror")
_STATUS_CODE = re.compile(r"\d{1,3}", re.ASCII)
_PARAMETER = re.compile(r"[a-z_]+")
# Names of request parameters: the only words of `param` that are told.
_PARAMETERS = frozenset(
    {
        "messages",
        "model",
        "n",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "stream",
        "stream_options",
        "seed",
        "tools",
        "tool_choice",
        "response_format",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "input",
        "instructions",
        "text",
        "reasoning",
        "reasoning_effort",
        "max_output_tokens",
        "previous_response_id",
        "conversation",
        "prompt",
        "dimensions",
        "encoding_format",
        "user",
        "metadata",
        "modalities",
        "audio",
        "functions",
        "function_call",
        "service_tier",
        "parallel_tool_calls",
        "presence_penalty",
        "frequency_penalty",
    }
)
_MAX_MESSAGE = 4096  # more than is told, so that a redactor sees a secret whole that begins before the cut


class Problem(NamedTuple):
    """One failure."""

    error_type: str
    exception_type: str | None
    """Qualified name of the exception's class; None where the client raised none."""
    summary: str
    """Holds no text of the user's."""
    message: str | None
    """May hold text of the user's."""


UNREADABLE = Problem("_OTHER", None, "an exception that cannot be read", None)


def from_exception(error: BaseException) -> Problem:
    """The failure that an exception stands for."""
    kind = type(error)
    answered: Any = getattr(error, "response", None)  # one that has no status of its own: a refused WebSocket
    status = getattr(error, "status_code", None) or getattr(answered, "status_code", None)
    own = vars(error)  # to ask a closed WebSocket for its `code` makes it warn
    body = {name: own.get(name) for name in ("code", "type", "param")}
    summary = _summary(kind.__name__, status, body)
    if type(closed_with := getattr(own.get("rcvd"), "code", None)) is int:
        summary += f", close code {closed_with}"
    return Problem(
        error_type=_known_code(body) or kind.__name__,
        exception_type=f"{kind.__module__}.{kind.__qualname__}",
        summary=summary,
        message=text(str(error), _MAX_MESSAGE),
    )


def from_body(error: object) -> Problem:
    """The failure that an error object, or a body that is no answer, stands for."""
    if isinstance(error, str):
        return Problem(UNEXPECTED_BODY, None, "the body is not an answer of this API", text(error, _MAX_MESSAGE))
    body = fields(error)
    return Problem(
        error_type=_known_code(body) or PROVIDER_ERROR,
        exception_type=None,
        summary=_summary("the server reported an error", None, body),
        message=text(body.get("message"), _MAX_MESSAGE),
    )


def is_cancellation(error: BaseException) -> bool:
    """True for what asyncio, or trio (which is not imported here), raises in a task that is to end."""
    kind = type(error)
    return isinstance(error, CancelledError) or (kind.__name__ == "Cancelled" and kind.__module__ == "trio")


def has_own_reason(error: BaseException) -> bool:
    """True for a cancellation, and for what the client raises for an error in a stream, the last word of the server."""
    is_from_stream = getattr(error, "status_code", None) is None  # else it is of another request
    return is_cancellation(error) or (is_from_stream and getattr(error, "body", None) is not None)


def billed_answer(error: BaseException) -> Any:
    """The answer that an exception of the client's own checks carries: it came, and it is billed."""
    completion = getattr(error, "completion", None)
    return completion if extra(completion, "error") is None else None


def _known_code(body: Mapping[str, Any]) -> str | None:
    for name in ("code", "type"):
        value = body.get(name)
        if isinstance(value, str) and value in _KNOWN_CODES:
            return value
    return None


def _summary(what: str, status: object, body: Mapping[str, Any]) -> str:
    parts = [what]
    if isinstance(status, int):
        parts.append(f"HTTP {status}")
    words = ((name, _harmless(body.get(name))) for name in ("code", "type"))
    parts.extend(f"{name} {word}" for name, word in words if word is not None)
    parameter = body.get("param")
    if isinstance(parameter, str) and (root := _PARAMETER.match(parameter)) and root.group() in _PARAMETERS:
        parts.append(f"param {root.group()}")
    return ", ".join(parts)


def _harmless(value: object) -> str | None:
    """A code or type that no user has written: a known one, the name of an error, or a number like a status."""
    word = str(value) if type(value) is int else value
    if not isinstance(word, str):
        return None
    known = word in _KNOWN_WORDS or _ERROR_NAME.fullmatch(word) or _STATUS_CODE.fullmatch(word)
    return word if known else None
