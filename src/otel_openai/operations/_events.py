"""Streams of typed events whose last one carries the usage: `image_generation.completed`, `transcript.text.done`."""

from typing import Any

from otel_openai._values import text
from otel_openai.operations._base import Outcome
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_LAST = (".completed", ".done")


class EventsObserver:
    """Watches such a stream."""

    __slots__ = ("_ended", "_error", "_model", "_output", "_usage")

    def __init__(self) -> None:
        self._ended = False
        self._error: object = None
        self._model: object = None
        self._output = False
        self._usage: object = None

    def chunk(self, event: Any, /) -> bool:
        """Take note of one event."""
        kind = getattr(event, "type", None)
        if not isinstance(kind, str):
            return self._untyped(event)
        if kind == "error":  # one that the client does not raise
            self._error = event
            return False
        if kind.endswith(_LAST):
            self._ended = True
            self._model = getattr(event, "model", None)  # Mistral
            self._usage = getattr(event, "usage", None) or self._usage
        return getattr(event, "delta", None) != "" and self._is_first()

    def _is_first(self) -> bool:
        """True once, for the first output."""
        is_first = not self._output
        self._output = True
        return is_first

    def _untyped(self, event: Any) -> bool:
        self._error = body_error(event, answered=False) or self._error
        return False

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return Outcome(
            response_model=text(self._model),
            usage=read_usage(self._usage),
            reported_usage=self._usage,
            error=self._error,
            complete=self._ended,
        )
