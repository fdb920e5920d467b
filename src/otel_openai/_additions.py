"""What two options of the user's add to requests: `stream_usage` and `propagate`. Nothing else changes a request.

What the app passed is copied, never changed. The copies are made when the app calls, and added to when the call has
begun, which for an async method is later: the client reads them when its coroutine runs.
"""

from collections.abc import Mapping
from typing import Any, cast

from otel_openai import _guard
from otel_openai._call import Call
from otel_openai._providers import keys
from otel_openai._raw import raw_mode
from otel_openai._telemetry import Telemetry
from otel_openai.operations._base import Operation

_TRACE_CONTEXT = ("traceparent", "tracestate")
_NOT_SAID = ("NotGiven", "Omit")  # the client drops these from a request; it sends None


class Request:
    """The arguments of one request, with room for what is added to it."""

    __slots__ = ("_body", "_headers", "arguments")

    def __init__(self, arguments: Mapping[str, Any], *, headers: bool, body: bool) -> None:
        self.arguments = dict(arguments)
        self._headers = self._copy("extra_headers") if headers else None
        self._body = self._copy("extra_body") if body else None

    def _copy(self, name: str) -> dict[str, Any]:
        copied = self.arguments[name] = dict(self.arguments.get(name) or {})
        return copied

    @_guard.contained("adding to a request")
    def complete(self, call: Call) -> None:
        """Add what belongs to a call that has begun."""
        if self._body is not None:
            self._body["stream_options"] = {"include_usage": True}
            call.hides_usage = True
        if self._headers is not None:
            carrier: dict[str, Any] = {}
            call.inject(carrier)
            self._headers.update((name, value) for name, value in carrier.items() if _is_trace_context(name, value))


@_guard.contained("adding to a request")
def prepare(telemetry: Telemetry, operation: Operation, resource: Any, arguments: Mapping[str, Any]) -> Request | None:
    """The request with room for what the options add to it; None where that is nothing."""
    headers = _wants_context(telemetry, resource._client, arguments.get("extra_headers"))
    body = telemetry.config.stream_usage and operation.usage_on_request and _wants_usage(arguments)
    return Request(arguments, headers=headers, body=body) if headers or body else None


def _wants_usage(arguments: Mapping[str, Any]) -> bool:
    if arguments.get("stream") is not True or raw_mode(arguments) is not None:
        return False
    if "stream_options" in arguments and type(arguments["stream_options"]).__name__ not in _NOT_SAID:
        return False
    body = arguments.get("extra_body")
    return not body or (_is_mapping(body) and "stream_options" not in body and "stream" not in body)


def _wants_context(telemetry: Telemetry, client: Any, headers: object) -> bool:
    wanted = telemetry.config.propagate
    if not isinstance(wanted, bool):
        host = (telemetry.servers.of(client).address or "").lower()
        wanted = any(key in wanted for key in keys(host))
    if not wanted or (headers and not _is_mapping(headers)):
        return False
    given = (headers, getattr(client, "_custom_headers", None))  # of this request, and of all of the client's
    return not any(_has_trace_context(own) for own in given if own)


def _has_trace_context(headers: Any) -> bool:
    return any(name.lower() in _TRACE_CONTEXT for name in headers)


def _is_trace_context(name: str, value: object) -> bool:
    """Whether this may leave. Baggage may not; what HTTP cannot carry would cost the app its request."""
    return name.lower() in _TRACE_CONTEXT and isinstance(value, str) and value.isascii() and value.isprintable()


def _is_mapping(value: object) -> bool:
    return isinstance(cast("Any", value), Mapping)
