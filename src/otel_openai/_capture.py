"""Opt-in content of one call: what was asked is read when the call begins, what was answered when it ends."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from otel_openai import _guard
from otel_openai import _semconv as names
from otel_openai._content import Limits, Writer
from otel_openai._plain import encode
from otel_openai._values import AttributeValue
from otel_openai.operations._base import Messages

Mode: TypeAlias = Literal["span", "event", "both"]

_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_SPELLED: Mapping[str, Mode | None] = {
    "": None,
    "false": None,
    "no_content": None,
    "true": "both",
    "span_only": "span",
    "event_only": "event",
    "span_and_event": "both",
}
_log = logging.getLogger("otel_openai")


class Capture:
    """What is captured of every call."""

    def __init__(self, mode: Mode, limits: Limits) -> None:
        self.limits = limits
        self.on_span = mode != "event"
        self.on_event = mode != "span"

    @classmethod
    def of(cls, chosen: bool | Mode | None, limits: Limits) -> "Capture | None":  # noqa: FBT001 - what the user wrote
        """What the app chose, else what the environment says; None where that is nothing."""
        mode = _mode(chosen)
        return None if mode is None else cls(mode, limits)


def _mode(chosen: bool | Mode | None) -> Mode | None:  # noqa: FBT001
    if isinstance(chosen, str):
        return chosen
    if chosen is not None:
        return "both" if chosen else None
    spelled = os.environ.get(_VARIABLE, "").strip().lower()
    if spelled not in _SPELLED:
        _log.warning(
            "No content is captured: %s takes no_content, span_only, event_only, span_and_event, true or false.",
            _VARIABLE,
        )
    return _SPELLED.get(spelled)


class CallContent:
    """The content of one call, of bounded size."""

    __slots__ = ("_answer", "_attributes", "_messages", "_on_event", "_on_span", "_writer")

    def __init__(self, capture: Capture, messages: Messages, *, on_span: bool, on_event: bool) -> None:
        self._messages = messages
        self._on_span = on_span
        self._on_event = on_event
        self._writer = Writer(capture.limits)
        self._attributes: dict[str, AttributeValue] = {}
        self._answer: Callable[[], Any] | None = None

    def asked(self, params: Mapping[str, Any], attributes: dict[str, AttributeValue]) -> None:
        """Read what is asked, before the app can change it.

        Args:
            params: The arguments of the app.
            attributes: What the span begins with.
        """
        self._attributes = attributes
        self._messages.request(self._writer, params)

    def answered(self, result: Any) -> None:
        """Take a plain answer, to be read at the end."""
        self._answer = lambda: result

    def watching(self, observe: Callable[[Any], bool]) -> Callable[[Any], bool]:
        """What each chunk of a stream is given to: an observer of content, then the one that is always there."""
        if self._messages.observer is None:
            return observe
        observer = self._messages.observer(self._writer.limits)
        take = observer.chunk
        self._answer = observer.result

        def watch(chunk: Any) -> bool:
            try:
                take(chunk)
            except Exception:
                _guard.contain("reading the content of a chunk")
            return observe(chunk)

        return watch

    def end(self, attributes: dict[str, AttributeValue]) -> dict[str, Any] | None:
        """Read what was answered, and add what goes on the span to the attributes that it ends with.

        Returns:
            The attributes of the event; None where none is due.
        """
        answer, self._answer = self._answer, None
        try:
            if answer is not None and self._messages.response is not None:
                self._messages.response(self._writer, answer())
        except Exception:
            _guard.contain("reading the content of an answer")
        del answer  # what was gathered is in the attributes now
        writer = self._writer
        if writer.cut:
            attributes[names.CONTENT_CUT] = writer.cut
        details = {**self._attributes, **attributes, **writer.attributes} if self._on_event else None
        if self._on_span:
            for name, value in writer.attributes.items():
                attributes[name] = value if isinstance(value, str) else encode(value)
        return details
