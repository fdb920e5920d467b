"""Asks streams for their usage: `instrument(stream_usage=True)`. The chunk that tells it is hidden from the app.

What the app passed is copied, never changed. The copy is made when the app calls, and added to when the call has begun,
which for an async method is later: the client reads it when its coroutine runs.
"""

from collections.abc import Mapping
from typing import Any, cast

from otel_openai import _guard
from otel_openai._call import Call
from otel_openai._raw import raw_mode

_NOT_SAID = ("NotGiven", "Omit")  # the client drops these from a request; it sends None


class Request:
    """The arguments of one request, with room for the option."""

    __slots__ = ("_body", "arguments")

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._body: dict[str, Any] = dict(arguments.get("extra_body") or {})
        self.arguments = {**arguments, "extra_body": self._body}

    def ask(self, call: Call) -> None:
        """Ask for usage, for a call that has begun."""
        self._body["stream_options"] = {"include_usage": True}
        call.hides_usage = True


@_guard.contained("asking a stream for its usage")
def prepare(arguments: Mapping[str, Any]) -> Request | None:
    """The request with room for the option; None where that is not for us to add."""
    return Request(arguments) if _says_nothing(arguments) else None


def _says_nothing(arguments: Mapping[str, Any]) -> bool:
    """Whether this is a stream of which the app has not said if it wants the usage, nor wants to read the bytes."""
    if arguments.get("stream") is not True or raw_mode(arguments) is not None:
        return False
    if "stream_options" in arguments and type(arguments["stream_options"]).__name__ not in _NOT_SAID:
        return False
    body = arguments.get("extra_body")
    return not body or (_is_mapping(body) and "stream_options" not in body and "stream" not in body)


def _is_mapping(value: object) -> bool:
    return isinstance(cast("Any", value), Mapping)
