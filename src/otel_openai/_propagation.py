"""Sends the W3C trace context of a call's span with its request: `instrument(propagate=...)`.

It is added to the headers that the client has made, of each attempt, whatever the method. What the app passed is not
touched, and what it says of these headers itself wins. The handshake of a WebSocket belongs to no call: it carries the
context of the caller, in which all that is told of the connection is told.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context

from otel_openai import _guard
from otel_openai._call import Call
from otel_openai._providers import Server, keys
from otel_openai._telemetry import Telemetry
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
    if not _is_wanted(call.telemetry, call.telemetry.servers.of(client)):
        return
    said = [*headers, *(getattr(options, "headers", None) or ())]  # also what the app has the client leave out
    for name, value in _written(call.inject, said).items():
        headers[name] = value


@_guard.contained("sending the trace context over WebSocket")
def handshake_headers(
    telemetry: Telemetry, server: Server, client: Any, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The app's headers of a handshake with the caller's trace context; None where none is to be sent.

    Args:
        telemetry: Where the connection is told.
        server: Where it goes.
        client: The app's.
        given: The app's headers, which are not changed.
    """
    caller = trace.get_current_span()
    if not (caller.get_span_context().is_valid and _is_wanted(telemetry, server)):
        return None
    said = [*given, *(getattr(client, "_custom_headers", None) or ())]
    written = _written(lambda carrier: propagate.inject(carrier, trace.set_span_in_context(caller, Context())), said)
    return {**given, **written} if written else None


def _is_wanted(telemetry: Telemetry, server: Server) -> bool:
    wanted = telemetry.config.propagate
    if isinstance(wanted, bool):
        return wanted
    host = (server.address or "").lower()
    return any(key in wanted for key in keys(host))


def _written(inject: Callable[[dict[str, Any]], None], said: Iterable[str]) -> dict[str, str]:
    """What the configured propagator writes of the trace context, unless the app says any of it; no baggage."""
    if any(name.lower() in _TRACE_CONTEXT for name in said):
        return {}
    carrier: dict[str, Any] = {}
    inject(carrier)
    return {name: value for name, value in carrier.items() if name.lower() in _TRACE_CONTEXT and _can_be_sent(value)}


def _can_be_sent(value: object) -> bool:
    """What HTTP cannot carry would cost the app its request."""
    return isinstance(value, str) and value.isascii() and value.isprintable()
