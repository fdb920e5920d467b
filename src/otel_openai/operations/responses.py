"""Responses: `responses.create`, `.parse`, `.compact` and `.retrieve` (`.stream` calls one of them)."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, extra, fields, integer, listed, mapped, number, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._choices import MAX_CHOICES, ToolCalls
from otel_openai.operations._request import (
    identifier,
    not_auto,
    only_true,
    output_type,
    prompt_template,
    reasoning_level,
)
from otel_openai.operations._responses_content import FETCH_MESSAGES, RESPONSES_MESSAGES
from otel_openai.operations._responses_finish import UNDER_WAY, as_object, finish_reasons
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_RULES: Mapping[str, Rule] = {
    "temperature": (names.REQUEST_TEMPERATURE, number),
    "top_p": (names.REQUEST_TOP_P, number),
    "top_k": (names.REQUEST_TOP_K, integer),
    "max_output_tokens": (names.REQUEST_MAX_TOKENS, integer),
    "stream": (names.REQUEST_STREAM, only_true),
    "reasoning": (names.REQUEST_REASONING_LEVEL, reasoning_level),
    "service_tier": (names.REQUEST_SERVICE_TIER, not_auto),
    "text_format": (names.OUTPUT_TYPE, output_type),
    "conversation": (names.CONVERSATION_ID, identifier),
    "previous_response_id": (names.REQUEST_PREVIOUS_RESPONSE_ID, text),
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    attributes = mapped(params, _RULES)
    attributes[names.API_TYPE] = "responses"
    if "prompt" in params:
        attributes.update(prompt_template(params["prompt"]))
    if "text" in params and names.OUTPUT_TYPE not in attributes:
        form = output_type(fields(params["text"]).get("format"))
        if form is not None:
            attributes[names.OUTPUT_TYPE] = form
    return attributes


def read_response(result: Any) -> Outcome:
    """What a response object says."""
    calls = ToolCalls()
    output = getattr(result, "output", None)
    usage = getattr(result, "usage", None)
    for item in listed(output):
        _count_tool_call(calls, item)
    status = getattr(result, "status", None)
    return Outcome(
        response_id=getattr(result, "id", None),
        response_model=text(getattr(result, "model", None)),
        finish_reasons=finish_reasons(result, status, has_calls=calls.count > 0),
        usage=read_usage(usage),
        reported_usage=usage,
        tool_calls=calls if isinstance(output, list) and status not in UNDER_WAY else None,
        service_tier=text(getattr(result, "service_tier", None)),
        system_fingerprint=extra(result, "system_fingerprint"),
        error=_error(result, status),
    )


def _count_tool_call(calls: ToolCalls, item: Any) -> bool:
    """Count an output item that is a call of a tool, the server's own tools included (`web_search_call` ...)."""
    kind = getattr(item, "type", None)
    if not isinstance(kind, str) or not kind.endswith("_call"):
        return False
    calls.add(getattr(item, "name", None) or kind.removesuffix("_call"))
    return True


def _error(result: Any, status: object) -> object:
    error = getattr(result, "error", None)
    if error is not None and (status == "failed" or status is None):
        return {"message": error} if isinstance(error, str) else error
    if status == "failed":
        return {}
    return body_error(result, answered=status is not None)


class ResponsesObserver:
    """Watches the events of a response."""

    __slots__ = ("_calls", "_ended", "_error", "_items", "_last", "_output")

    def __init__(self) -> None:
        self._calls = ToolCalls()
        self._items: set[object] = set()
        self._last: Any = None  # the newest response object that an event carried
        self._ended = False
        self._error: object = None
        self._output = False

    def chunk(self, event: Any, /) -> bool:
        """Take note of one event. Hot path: most events are deltas, and only their type is looked at."""
        try:
            if event.__dict__["type"] not in _HANDLERS and self._output:
                return False
        except (AttributeError, KeyError, TypeError):
            pass
        kind = getattr(event, "type", None)
        handle = _HANDLERS.get(kind) if type(kind) is str or kind is None else None
        if handle is not None:
            handle(self, event)
        if self._output or type(kind) is not str:
            return False
        self._output = kind.endswith(".delta") or (kind == "response.output_item.added" and self._calls.count > 0)
        return self._output

    def state(self, event: Any) -> None:
        """An event that carries the response as it stands."""
        response = getattr(event, "response", None)
        self._last = (as_object(response) if response.__class__ is dict else response) or self._last

    def end(self, event: Any) -> None:
        """The last event."""
        self.state(event)
        self._ended = True

    def item(self, event: Any) -> None:
        """An output item that begins or is done."""
        item = getattr(event, "item", None)
        key = text(getattr(item, "id", None)) or getattr(event, "output_index", None)
        is_key = isinstance(key, (str, int))
        if is_key and key in self._items:
            return
        known = is_key and len(self._items) < 8 * MAX_CHOICES
        if known and _count_tool_call(self._calls, item):
            self._items.add(key)
        elif not known and getattr(event, "type", None) == "response.output_item.done":  # told twice, counted once
            _count_tool_call(self._calls, item)

    def failed(self, event: Any) -> None:
        """An error event, which the client does not raise. Over WebSocket the error is an object of its own."""
        self._error = getattr(event, "error", None) or event

    def untyped(self, event: Any) -> None:
        """An event of no type: an error of some servers, or of clients of 2025, which yield `error` wrapped."""
        sent = extra(event, "data")
        wrapped = sent if fields(sent).get("type") == "error" else None
        self._error = body_error(event, answered=False) or wrapped or self._error

    def outcome(self) -> Outcome:
        """What was seen until now."""
        outcome = read_response(self._last) if self._last is not None else Outcome()
        streamed = self._calls
        if outcome.tool_calls is None or streamed.count > outcome.tool_calls.count:
            outcome.tool_calls = streamed if self._last is not None or streamed.count else None
        outcome.error = self._error or outcome.error
        outcome.complete = self._ended
        if not self._ended and self._last is not None:
            outcome.finish_reasons = [names.FINISH_ERROR]
        return outcome


_HANDLERS = {
    "response.created": ResponsesObserver.state,
    "response.queued": ResponsesObserver.state,
    "response.in_progress": ResponsesObserver.state,
    "response.output_item.added": ResponsesObserver.item,
    "response.output_item.done": ResponsesObserver.item,
    "response.completed": ResponsesObserver.end,
    "response.incomplete": ResponsesObserver.end,
    "response.failed": ResponsesObserver.end,
    "response.cancelled": ResponsesObserver.end,
    "response.done": ResponsesObserver.end,  # Realtime
    "error": ResponsesObserver.failed,
    None: ResponsesObserver.untyped,
}


def _fetch_request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {names.API_TYPE: "responses"}
    if (response_id := text(params.get("response_id"))) is not None:
        attributes[names.RESPONSE_ID] = response_id
    return attributes


def _fetched(outcome: Outcome) -> Outcome:
    """A response that is read again: its usage, tool calls and failure belong to the call that made it."""
    outcome.usage = {}
    outcome.reported_usage = None
    outcome.tool_calls = None
    outcome.error = outcome.error if isinstance(outcome.error, str) else None
    return outcome


def _fetch_response(result: Any) -> Outcome:
    return _fetched(read_response(result))


class FetchObserver(ResponsesObserver):
    """Watches a response that is streamed again."""

    __slots__ = ()

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return _fetched(ResponsesObserver.outcome(self))


def _compact_response(result: Any) -> Outcome:
    outcome = read_response(result)
    outcome.tool_calls = None  # calls in a compacted output were made, and counted, before
    return outcome


def _websocket_request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {**_request(params), names.REQUEST_STREAM: True}  # which nobody sends: there is no other way


RESPONSES_WEBSOCKET = Operation(
    name="chat",
    request=_websocket_request,
    response=read_response,
    observer=ResponsesObserver,
    messages=RESPONSES_MESSAGES,
)
RESPONSES = Operation(
    name="chat", request=_request, response=read_response, observer=ResponsesObserver, messages=RESPONSES_MESSAGES
)
COMPACT = Operation(
    name="chat", request=_request, response=_compact_response, observer=ResponsesObserver, messages=RESPONSES_MESSAGES
)
FETCH_RESPONSE = Operation(
    name="fetch_response",
    request=_fetch_request,
    response=_fetch_response,
    observer=FetchObserver,
    positional=("response_id",),
    billed=False,
    messages=FETCH_MESSAGES,
)
