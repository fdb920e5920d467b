"""Chat completions: `chat.completions.create` and `.parse` (`.stream` calls `create`)."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, extra, fields, integer, listed, mapped, text
from otel_openai.operations._base import Operation, Outcome
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
    if (limit := integer(params.get("max_completion_tokens"))) is not None:
        attributes[names.REQUEST_MAX_TOKENS] = limit
    modalities = params.get("modalities")
    if isinstance(modalities, (list, tuple)) and "audio" in modalities:
        attributes[names.OUTPUT_TYPE] = "speech"
    return attributes


def _response(result: Any) -> Outcome:
    reasons = FinishReasons()
    calls = ToolCalls()
    usage = getattr(result, "usage", None)
    for position, choice in enumerate(listed(getattr(result, "choices", None))):
        key = reasons.choice(getattr(choice, "index", None), position)
        reasons.finished(key, getattr(choice, "finish_reason", None))
        _add_tool_calls(calls, getattr(choice, "message", None))
        usage = usage or extra(choice, "usage")  # Moonshot
    return Outcome(
        response_id=text(getattr(result, "id", None)),
        response_model=text(getattr(result, "model", None)),
        finish_reasons=reasons.as_list(),
        usage=read_usage(usage),
        tool_calls=calls if reasons else None,
        service_tier=text(getattr(result, "service_tier", None)),
        system_fingerprint=text(getattr(result, "system_fingerprint", None)),
        error=body_error(result, answered=bool(reasons)),
    )


def _add_tool_calls(calls: ToolCalls, message: Any) -> None:
    for call in listed(getattr(message, "tool_calls", None)):
        calls.add(_tool_name(call))
    if (function_call := getattr(message, "function_call", None)) is not None:  # the predecessor of tool calls
        calls.add(getattr(function_call, "name", None))


def _tool_name(call: Any) -> object:
    function = getattr(call, "function", None) or getattr(call, "custom", None) or extra(call, "custom")
    return fields(function).get("name")


def body_error(result: Any, *, answered: bool) -> object:
    """The error that a body carries although the status was 200: None, an error object, or the text of a body."""
    if isinstance(result, str):
        return result
    error = extra(result, "error")
    if error is None and not answered and getattr(result, "object", None) == "error":  # vLLM before 0.6
        error = result
    return error or fields(extra(result, "x_groq")).get("error")


class ChatObserver:
    """Watches the chunks of a chat completion."""

    __slots__ = (
        "_begun",
        "_calls",
        "_error",
        "_fingerprint",
        "_id",
        "_model",
        "_output",
        "_reasons",
        "_tier",
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
        self._begun = False
        self._output = False

    def chunk(self, chunk: Any, /) -> bool:  # noqa: C901 - split up, every chunk would pay for the calls
        """Hot path: a chunk that only carries more content costs a few attribute reads."""
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = usage  # the last one counts: some servers send a running total, others one for each choice
        choices = getattr(chunk, "choices", None)
        if choices.__class__ is not list or not choices:
            self._look_around(chunk)
            return False
        output = False
        only_content = self._begun
        known = self._reasons.by_index
        for position, choice in enumerate(choices):
            key = getattr(choice, "index", None)
            if key.__class__ is not int or key not in known:
                key = self._reasons.choice(key, position)
            delta = getattr(choice, "delta", None)
            if getattr(delta, "content", None):
                output = True
            else:
                only_content = False
                output = self._other_output(key, delta) or output
            tool_calls = getattr(delta, "tool_calls", None)
            if tool_calls:
                output = True
                for call in listed(tool_calls):
                    self._calls.delta(key, getattr(call, "index", None), getattr(call, "id", None), _tool_name(call))
            reason = getattr(choice, "finish_reason", None)
            if reason is not None:
                only_content = False
                self._reasons.finished(key, reason)
                self._usage = extra(choice, "usage") or self._usage  # Moonshot
        if not only_content:
            self._look_around(chunk)
        if output and not self._output:
            self._output = True
            return True
        return False

    def _other_output(self, key: int, delta: Any) -> bool:
        """Output other than text and tool calls: the predecessor of tool calls, a refusal, reasoning, audio."""
        function_call = getattr(delta, "function_call", None)
        if function_call is not None:
            self._calls.delta(key, -1, None, getattr(function_call, "name", None))
            return True
        if self._output:
            return False
        return bool(
            getattr(delta, "refusal", None)
            or extra(delta, "reasoning_content")
            or extra(delta, "reasoning")
            or extra(delta, "audio")
        )

    def _look_around(self, chunk: Any) -> None:
        """Read what is beside the choices, on the chunks that begin or end something."""
        self._begun = True
        self._id = self._id or getattr(chunk, "id", None)
        self._model = self._model or getattr(chunk, "model", None)
        self._tier = self._tier or getattr(chunk, "service_tier", None)
        self._fingerprint = self._fingerprint or getattr(chunk, "system_fingerprint", None)
        if (groq := extra(chunk, "x_groq")) is not None:
            self._usage = fields(groq).get("usage") or self._usage
        self._error = body_error(chunk, answered=bool(self._reasons)) or self._error

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return Outcome(
            response_id=text(self._id),
            response_model=text(self._model),
            finish_reasons=self._reasons.as_list(),
            usage=read_usage(self._usage),
            tool_calls=self._calls.calls if self._reasons else None,
            service_tier=text(self._tier),
            system_fingerprint=text(self._fingerprint),
            error=self._error,
            complete=self._reasons.complete,
        )


CHAT = Operation(name="chat", request=_request, response=_response, observer=ChatObserver)
