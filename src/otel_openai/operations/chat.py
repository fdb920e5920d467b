"""Chat completions: `chat.completions.create` and `.parse` (`.stream` calls `create`)."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, extra, fields, integer, listed, mapped, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._chat_content import CHAT_MESSAGES
from otel_openai.operations._choices import FinishReasons, ToolCallDeltas, ToolCalls
from otel_openai.operations._request import SAMPLING, not_auto, not_one, only_true, output_type
from otel_openai.operations._usage import read_usage

_RULES: Mapping[str, Rule] = {
    **SAMPLING,
    "max_tokens": (names.REQUEST_MAX_TOKENS, integer),
    "n": (names.REQUEST_CHOICE_COUNT, not_one),
    "stream": (names.REQUEST_STREAM, only_true),
    "reasoning_effort": (names.REQUEST_REASONING_LEVEL, text),
    "service_tier": (names.REQUEST_SERVICE_TIER, not_auto),
    "response_format": (names.OUTPUT_TYPE, output_type),
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    attributes = mapped(params, _RULES)
    attributes[names.API_TYPE] = "chat_completions"
    if "max_completion_tokens" in params and (limit := integer(params["max_completion_tokens"])) is not None:
        attributes[names.REQUEST_MAX_TOKENS] = limit
    if "modalities" in params and "audio" in listed(params["modalities"]):
        attributes[names.OUTPUT_TYPE] = "speech"
    return attributes


def _response(result: Any) -> Outcome:
    told = fields(result)
    reasons = FinishReasons()
    calls = ToolCalls()
    usage = told.get("usage")
    error: object = None
    for position, item in enumerate(listed(told.get("choices"))):
        choice = fields(item)
        key = reasons.whole(choice.get("index"), position)
        reasons.finished(key, choice.get("finish_reason"))
        if "seed" in choice:
            reasons.seeded(key, choice["seed"])
        _add_tool_calls(calls, fields(choice.get("message")))
        usage = usage or choice.get("usage")  # Moonshot
        error = error or choice.get("error")  # OpenRouter
    return Outcome(
        response_id=told.get("id"),
        response_model=text(told.get("model")),
        finish_reasons=reasons.as_list(),
        usage=read_usage(usage),
        reported_usage=usage,
        tool_calls=calls if reasons.by_index else None,
        service_tier=text(told.get("service_tier")),
        system_fingerprint=told.get("system_fingerprint"),
        attributes=reasons.attributes(),
        error=body_error(result, answered=bool(reasons.by_index)) or _as_object(error) or reasons.error,
    )


def _add_tool_calls(calls: ToolCalls, message: Mapping[str, Any]) -> None:
    if tool_calls := message.get("tool_calls"):
        for call in listed(tool_calls):
            calls.add(_tool_name(call))
    if (function_call := message.get("function_call")) is not None:  # the predecessor of tool calls
        calls.add(fields(function_call).get("name"))


def _tool_name(call: Any) -> object:
    function = getattr(call, "function", None) or getattr(call, "custom", None) or extra(call, "custom")
    return fields(function).get("name")


def body_error(result: Any, *, answered: bool) -> object:
    """The error that a body carries although the status was 200: None, an error object, or the text of a body."""
    if isinstance(result, str):
        return result
    error: object = None
    if unknown := getattr(result, "__pydantic_extra__", None):
        error = unknown.get("error") or fields(unknown.get("x_groq")).get("error")
    if error is None and not answered and getattr(result, "object", None) == "error":  # vLLM before 0.6
        error = result
    return _as_object(error)


def choice_error(choice: Any) -> object:
    """The error that one choice has ended in (OpenRouter): None or an error object."""
    return _as_object(extra(choice, "error"))


def _as_object(error: object) -> object:
    return {"message": error} if error and isinstance(error, str) else error or None


class ChatObserver:
    """Watches the chunks of a chat completion."""

    __slots__ = (
        "_begun",
        "_calls",
        "_error",
        "_fingerprint",
        "_id",
        "_model",
        "_reasons",
        "_tier",
        "_under_way",
        "_usage",
    )

    def __init__(self) -> None:
        self._reasons = FinishReasons()
        self._calls = ToolCallDeltas()
        self._usage: object = None
        self._id: object = None
        self._model: object = None
        self._tier: object = None
        self._fingerprint: object = None
        self._error: object = None
        self._under_way: dict[int, str | None] = {}  # the choices, once any output was seen

    def chunk(self, chunk: Any, /) -> bool:
        """Take note of one chunk.

        Hot path: most chunks carry one more piece of one choice's content and nothing else. They are told by their
        fields alone (a getattr on a model is slow), and any surprise leads to the patient way.
        """
        try:
            told = chunk.__dict__
            (choice,) = told["choices"]
            piece = choice.__dict__
            delta = piece["delta"].__dict__
            if (
                delta["content"]
                and delta["tool_calls"] is None
                and piece["finish_reason"] is None
                and told["usage"] is None
                and piece["index"] in self._under_way
            ):
                return False
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        return self._chunk(chunk)

    def _chunk(self, chunk: Any) -> bool:
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = usage  # the last one counts: some servers send a running total, others one for each choice
        output = False
        for position, choice in enumerate(listed(getattr(chunk, "choices", None))):
            key = self._reasons.choice(getattr(choice, "index", None), position)
            output = self._delta(key, getattr(choice, "delta", None)) or output
            if (reason := getattr(choice, "finish_reason", None)) is not None:
                self._reasons.finished(key, reason)
                self._reasons.seeded(key, extra(choice, "seed"))
                self._error = choice_error(choice) or self._error
            self._usage = extra(choice, "usage") or self._usage  # Moonshot
        self._look_around(chunk)
        if output and not self._under_way:
            self._under_way = self._reasons.by_index
            return True
        return False

    def _delta(self, choice: int, delta: Any) -> bool:
        """Count the tool calls of a delta; True where it carries output of any kind."""
        output = bool(getattr(delta, "content", None) or getattr(delta, "refusal", None))
        for call in listed(getattr(delta, "tool_calls", None)):
            output = True
            self._calls.delta(choice, getattr(call, "index", None), getattr(call, "id", None), _tool_name(call))
        function_call = getattr(delta, "function_call", None)  # the predecessor of tool calls
        if function_call is not None:
            output = True
            self._calls.delta(choice, -1, None, getattr(function_call, "name", None))
        output = output or bool(extra(delta, "reasoning_content") or extra(delta, "reasoning"))
        return output or bool(getattr(delta, "audio", None))  # newer clients know this field, older ones do not

    def _look_around(self, chunk: Any) -> None:
        """Read what is beside the choices."""
        self._id = self._id or getattr(chunk, "id", None)
        self._model = self._model or getattr(chunk, "model", None)
        self._tier = self._tier or getattr(chunk, "service_tier", None)
        self._fingerprint = self._fingerprint or getattr(chunk, "system_fingerprint", None)
        if (groq := extra(chunk, "x_groq")) is not None:
            self._usage = fields(groq).get("usage") or self._usage
        self._error = body_error(chunk, answered=bool(getattr(chunk, "choices", None))) or self._error

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return Outcome(
            response_id=self._id,
            response_model=text(self._model),
            finish_reasons=self._reasons.as_list(),
            usage=read_usage(self._usage),
            reported_usage=self._usage,
            tool_calls=self._calls.calls if self._reasons.by_index else None,
            service_tier=text(self._tier),
            system_fingerprint=self._fingerprint,
            attributes=self._reasons.attributes(),
            error=self._error or self._reasons.error,
            complete=self._reasons.complete,
        )


CHAT = Operation(
    name="chat",
    request=_request,
    response=_response,
    observer=ChatObserver,
    usage_on_request=True,
    messages=CHAT_MESSAGES,
)
