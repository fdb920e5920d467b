"""Sends the W3C trace context of a call's span with its request: `instrument(propagate=...)`.

It is added to the headers that the client has made, of each attempt, whatever the method. What the app passed is not
touched, and what it says of these headers itself wins.
"""

from typing import Any

from otel_openai import _guard
from otel_openai._call import Call
from otel_openai._providers import keys
from otel_openai._transport import current_call

_TRACE_CONTEXT = ("traceparent", "tracestate")


def build_headers(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wrapper of the client's `_build_headers`, sync and async."""
    headers = wrapped(*args, **kwargs)
    call = current_call.get()
    if isinstance(call, Call):
        _add(call, client, headers, args[0] if args else kwargs.get("options"))
    return headers


@_guard.contained("sending the trace context")
def _add(call: Call, client: Any, headers: Any, options: Any) -> None:
    if not _is_wanted(call, client):
        return
    said = [*headers, *(getattr(options, "headers", None) or ())]  # also what the app has the client leave out
    if any(name.lower() in _TRACE_CONTEXT for name in said):
        return
    carrier: dict[str, Any] = {}
    call.inject(carrier)
    for name, value in carrier.items():  # baggage may not leave
        if name.lower() in _TRACE_CONTEXT and _can_be_sent(value):
            headers[name] = value


def _is_wanted(call: Call, client: Any) -> bool:
    wanted = call.telemetry.config.propagate
    if isinstance(wanted, bool):
        return wanted
    host = (call.telemetry.servers.of(client).address or "").lower()
    return any(key in wanted for key in keys(host))


def _can_be_sent(value: object) -> bool:
    """What HTTP cannot carry would cost the app its request."""
    return isinstance(value, str) and value.isascii() and value.isprintable()
