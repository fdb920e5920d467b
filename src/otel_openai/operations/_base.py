"""The contract of one API: adding an API is one module of this shape and one row in `_table`.

An `Observer` and `Operation.response` end in the same `Outcome`: a streamed and a plain answer are told in the same
words. Nothing here may raise on odd input by design, and nothing may change or consume what belongs to the app.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from otel_openai import _semconv as names
from otel_openai._content import Limits, Writer
from otel_openai._values import AttributeValue, text
from otel_openai.operations._choices import ToolCalls


@dataclass(slots=True)
class Outcome:
    """What an answer said, whole or as far as it came."""

    response_id: object = None
    """As it came; so is the fingerprint. Only spans tell them."""
    response_model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    usage: dict[str, float] = field(default_factory=dict)
    """Counts of tokens and seconds by attribute name; absent where the server reported none."""
    reported_usage: object = None
    """The usage object itself: some servers tell in it what the call cost."""
    tool_calls: ToolCalls | None = None
    """None where the answer has no choice, or the API knows no tools."""
    service_tier: str | None = None
    system_fingerprint: object = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    error: object = None
    """The error object of a body that came with HTTP 200, or the body itself where it is no answer at all."""
    complete: bool = True
    """False where a stream has ended before the server said how the answer ended."""

    def describe(self, attributes: dict[str, AttributeValue]) -> None:
        """Add the span attributes."""
        attributes.update(self.usage)
        attributes.update(self.attributes)
        if (response_id := text(self.response_id)) is not None:
            attributes[names.RESPONSE_ID] = response_id
        if self.response_model is not None:
            attributes[names.RESPONSE_MODEL] = self.response_model
        if self.service_tier is not None:
            attributes[names.RESPONSE_SERVICE_TIER] = self.service_tier
        if (fingerprint := text(self.system_fingerprint)) is not None:
            attributes[names.RESPONSE_SYSTEM_FINGERPRINT] = fingerprint
        if self.finish_reasons:
            attributes[names.RESPONSE_FINISH_REASONS] = self.finish_reasons
        if (calls := self.tool_calls) is not None:
            attributes[names.TOOL_CALL_COUNT] = calls.count
            if calls.names:
                attributes[names.TOOL_CALL_NAMES] = calls.names


class Observer(Protocol):
    """Watches the chunks of one stream; keeps counts, never the chunks."""

    def chunk(self, chunk: Any, /) -> bool:
        """Take note of one chunk; True when it carries the first output (content, reasoning, a tool call ...)."""
        ...

    def outcome(self) -> Outcome:
        """What was seen until now."""
        ...


class ContentObserver(Protocol):
    """Watches the chunks of one stream for their content; keeps no more than will be exported."""

    def chunk(self, chunk: Any, /) -> None:
        """Take what one chunk says."""
        ...

    def result(self) -> Any:
        """What was said until now, in the shape of a plain answer."""
        ...


@dataclass(frozen=True, slots=True)
class Messages:
    """Where the content of one API is. Used only where the app asked for content."""

    request: Callable[[Writer, Mapping[str, Any]], None]
    """Writes what is asked."""
    response: Callable[[Writer, Any], None] | None = None
    """Writes what an answer says."""
    observer: Callable[[Limits], ContentObserver] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One API of the client."""

    name: str
    """`gen_ai.operation.name`."""
    request: Callable[[Mapping[str, Any]], dict[str, AttributeValue]]
    """Span attributes of the request's arguments, `extra_body` merged in. An argument `model` is not among them."""
    response: Callable[[Any], Outcome]
    observer: Callable[[], Observer]
    positional: tuple[str, ...] = ()
    """Names of the arguments that the method takes by position."""
    billed: bool = True
    """False for a repeated reading of an answer that was counted before: no usage, no counters."""
    usage_on_request: bool = False
    """True where a stream tells its usage only if `stream_options` ask for it."""
    open_ended: bool = False
    """True where a stream may go on after the answer: the app that closes it then has seen all of it."""
    messages: Messages | None = None
    """None where the API has no content that the conventions know."""
