"""Runs of assistants: `beta.threads.create_and_run`, `beta.threads.runs.create`, `.submit_tool_outputs`; their streams.

A run that is not streamed has only begun when the answer comes: it tells no usage.
"""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, extra, fields, integer, listed, mapped, number, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._choices import ToolCalls
from otel_openai.operations._request import only_true, output_type
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_RUN_RULES: Mapping[str, Rule] = {
    "assistant_id": (names.AGENT_ID, text),
    "thread_id": (names.CONVERSATION_ID, text),
}
_RULES: Mapping[str, Rule] = {
    **_RUN_RULES,
    "run_id": (names.RESPONSE_ID, text),
    "temperature": (names.REQUEST_TEMPERATURE, number),
    "top_p": (names.REQUEST_TOP_P, number),
    "max_completion_tokens": (names.REQUEST_MAX_TOKENS, integer),
    "reasoning_effort": (names.REQUEST_REASONING_LEVEL, text),
    "response_format": (names.OUTPUT_TYPE, output_type),
    "stream": (names.REQUEST_STREAM, only_true),
}
_REASONS = {
    "completed": "stop",
    "requires_action": "tool_calls",
    "failed": names.FINISH_ERROR,
    "cancelled": "cancelled",
    "expired": "expired",
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return mapped(params, _RULES)


def _response(run: Any) -> Outcome:
    told = fields(run)
    status = told.get("status")
    return Outcome(
        response_id=told.get("id"),
        response_model=text(told.get("model")),
        finish_reasons=_finish_reasons(told, status),
        usage=read_usage(told.get("usage")),
        tool_calls=_tool_calls(told) if status == "requires_action" else None,
        attributes=mapped(told, _RUN_RULES),
        error=told.get("last_error") or {} if status == "failed" else body_error(run, answered=status is not None),
    )


def _finish_reasons(run: Mapping[str, Any], status: object) -> list[str]:
    """A run is one choice, its status told in the words of chat; queued and in progress are no end yet."""
    if status == "incomplete":
        return [text(fields(run.get("incomplete_details")).get("reason"), 64) or "incomplete"]
    reason = _REASONS.get(status) if isinstance(status, str) else None
    return [] if reason is None else [reason]


def _tool_calls(run: Mapping[str, Any]) -> ToolCalls:
    calls = ToolCalls()
    action = fields(fields(run.get("required_action")).get("submit_tool_outputs"))
    for call in listed(action.get("tool_calls")):
        calls.add(fields(fields(call).get("function")).get("name"))
    return calls


class RunObserver:
    """Watches the events of a run."""

    __slots__ = ("_ended", "_error", "_output", "_run")

    def __init__(self) -> None:
        self._run: Any = None  # as the newest event had it
        self._ended = False
        self._error: object = None
        self._output = False

    def chunk(self, event: Any, /) -> bool:
        """Take note of one event."""
        kind = getattr(event, "event", None)
        if not isinstance(kind, str):  # clients of 2025 yield the error event without its name
            is_error = extra(event, "message") is not None
            self._error = body_error(event, answered=False) or (event if is_error else self._error)
        elif kind == "error":
            self._error = getattr(event, "data", None) or event
        elif kind.startswith("thread.run.") and not kind.startswith("thread.run.step."):
            self._run = getattr(event, "data", None) or self._run
            self._ended = self._ended or bool(_finish_reasons(fields(self._run), fields(self._run).get("status")))
        elif kind.endswith(".delta") and not self._output:
            self._output = True
            return True
        return False

    def outcome(self) -> Outcome:
        """What was seen until now."""
        outcome = _response(self._run) if self._run is not None else Outcome()
        outcome.error = self._error or outcome.error
        outcome.complete = self._ended
        if not self._ended and self._run is not None:
            outcome.finish_reasons = [names.FINISH_ERROR]
        return outcome


def _run(*positional: str) -> Operation:
    return Operation(
        name="invoke_agent", request=_request, response=_response, observer=RunObserver, positional=positional
    )


THREAD_RUN = _run()
RUN = _run("thread_id")
RUN_OUTPUTS = _run("run_id")
