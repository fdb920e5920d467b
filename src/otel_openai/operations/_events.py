"""Streams of typed events whose last one carries the usage: `image_generation.completed`, `transcript.text.done`."""

from typing import Any

from otel_openai.operations._base import Outcome
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_LAST = (".completed", ".done")


class EventsObserver:
    """Watches such a stream."""

    __slots__ = ("_ended", "_error", "_output", "_usage")

    def __init__(self) -> None:
        self._ended = False
        self._error: object = None
        self._output = False
        self._usage: object = None

    def chunk(self, event: Any, /) -> bool:
        """Take note of one event."""
        kind = getattr(event, "type", None)
        if not isinstance(kind, str):
            self._error = body_error(event, answered=False) or self._error
            return False
        if kind == "error":  # one that the client does not raise
            self._error = event
            return False
        if kind.endswith(_LAST):
            self._ended = True
            self._usage = getattr(event, "usage", None) or self._usage
        if self._output or getattr(event, "delta", None) == "":
            return False
        self._output = True
        return True

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return Outcome(
            usage=read_usage(self._usage), reported_usage=self._usage, error=self._error, complete=self._ended
        )
