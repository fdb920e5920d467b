"""Call: the life of one request, from its first attribute to the one end of its span.

A call is the only owner of its span. It is current in the context only while the client's own method runs, never
between the chunks of a stream.
"""

import threading
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import dataclass
from time import perf_counter, time_ns
from types import MappingProxyType
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, detach, get_current
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_openai import _errors, _guard
from otel_openai import _semconv as names
from otel_openai._capture import CallContent
from otel_openai._providers import Server
from otel_openai._telemetry import Telemetry
from otel_openai._transport import current_call
from otel_openai._values import AttributeValue, text
from otel_openai.operations._base import Operation, Outcome

_SUPPRESSED = (_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation", "suppress_language_model_instrumentation")


@dataclass(slots=True)
class StreamFacts:
    """How a stream went."""

    outcome: str
    """completed, closed, abandoned, truncated, cancelled or error."""
    chunks: int | None = None
    """None where the app read the stream past us."""
    first_at: float | None = None
    """`perf_counter` at the first output, seconds."""
    max_gap: float | None = None
    """Seconds."""

    def describe(self, attributes: dict[str, AttributeValue], started: float) -> None:
        """Add the span attributes of a stream whose request began at a `perf_counter`, seconds."""
        attributes[names.STREAM_OUTCOME] = self.outcome
        if self.chunks is not None:
            attributes[names.STREAM_CHUNK_COUNT] = self.chunks
        if self.first_at is not None:
            attributes[names.RESPONSE_TIME_TO_FIRST_CHUNK] = self.first_at - started
        if self.max_gap is not None:
            attributes[names.STREAM_MAX_CHUNK_GAP] = self.max_gap


class Call:
    """One request."""

    __slots__ = (
        "_active",
        "_content",
        "_context",
        "_key",
        "_once",
        "_span",
        "_started",
        "_started_ns",
        "hides_usage",
        "http",
        "operation",
        "streaming",
        "telemetry",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        operation: Operation,
        server: Server,
        params: Mapping[str, Any],
        *,
        context: Context,
        started: float | None = None,
    ) -> None:
        """Start the span.

        Args:
            telemetry: Where it is told.
            operation: The API that is called.
            server: Where the request goes.
            params: The arguments of the app, neither changed nor iterated.
            context: The parent's.
            started: `perf_counter` at the start, seconds; now by default.
        """
        self.telemetry = telemetry
        self.operation = operation
        self.http = telemetry.http_facts()
        self.hides_usage = False  # the app did not ask for the chunk that tells it
        self._once = threading.Lock()
        attributes = operation.request(params)
        model = text(params.get("model")) or text(attributes.get(names.REQUEST_MODEL))
        self.streaming = attributes.get(names.REQUEST_STREAM) is True or params.get("stream") is True
        attributes[names.OPERATION_NAME] = operation.name
        attributes[names.PROVIDER_NAME] = server.provider
        if model is not None:
            attributes[names.REQUEST_MODEL] = model
        if server.address is not None:
            attributes[names.SERVER_ADDRESS] = server.address
            if server.port is not None:
                attributes[names.SERVER_PORT] = server.port
        self._key = (operation.name, server.provider, model, server.address, server.port)
        subject = model if model is not None else attributes.get(names.DATA_SOURCE_ID)
        self._started_ns = time_ns()
        self._started = perf_counter()
        if started is not None:
            self._started_ns -= int((self._started - started) * 1e9)
            self._started = started
        self._span = telemetry.tracer.start_span(
            operation.name if subject is None else f"{operation.name} {subject}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=self._started_ns,
            context=context,
        )
        self._context = trace.set_span_in_context(self._span, context)
        self._content: CallContent | None = None
        self._active: list[int] | None = None
        if telemetry.metrics is not None:
            try:
                self._active = telemetry.metrics.started(self._key)
            except Exception:
                _guard.contain("counting a call")
        try:
            if telemetry.capture is not None:
                self._content = self._asked(params, attributes)
            if (hook := telemetry.config.request_hook) is not None:
                _guard.run_hook(hook, self._span, MappingProxyType(params))
        except BaseException as error:  # KeyboardInterrupt, SystemExit ... of the app's redactor or hook
            self.failed(error)
            raise

    def _asked(self, params: Mapping[str, Any], attributes: dict[str, AttributeValue]) -> CallContent | None:
        """Read the content of the request, where it will go anywhere."""
        capture = self.telemetry.capture
        if capture is None or self.operation.messages is None:
            return None
        try:
            on_span = capture.on_span and self._span.is_recording()
            on_event = capture.on_event and self.telemetry.logger() is not None
            if not (on_span or on_event):
                return None
            content = CallContent(capture, self.operation.messages, on_span=on_span, on_event=on_event)
            content.asked(params, attributes)
        except Exception:
            _guard.contain("reading the content of a request")
            return None
        return content

    def watching(self, observe: Callable[[Any], bool]) -> Callable[[Any], bool]:
        """What each chunk of a stream is given to."""
        return observe if self._content is None else self._content.watching(observe)

    def chunk_timer(self) -> Callable[[float], None] | None:
        """What records the seconds between two chunks; None where nobody asked for it."""
        metrics = self.telemetry.metrics
        if metrics is None or not self.telemetry.config.chunk_timing:
            return None
        return metrics.chunk_timer(self._key, self._context)

    def inject(self, carrier: dict[str, Any]) -> None:
        """Write the span's own context, without the baggage of the caller's, as the configured propagator does."""
        propagate.inject(carrier, trace.set_span_in_context(self._span, Context()))

    def enter(self) -> "_Entered":
        """Make the span current, and this call the one that HTTP facts belong to."""
        current = current_call.set(self)
        try:
            return current, attach(self._context)
        except Exception:
            _guard.contain("making a span current")
            return current, None

    def leave(self, entered: "_Entered") -> None:
        """Undo `enter`, in the context in which it was done."""
        current, token = entered
        try:
            current_call.reset(current)
            if token is not None:
                detach(token)
        except Exception:
            _guard.contain("giving the caller its context back")

    def leave_if_entered(self, entered: "_Entered") -> None:
        """Undo `enter` for a coroutine that is being destroyed, perhaps in a context that knows nothing of it."""
        if get_current() is self._context and current_call.get() is self:
            self.leave(entered)

    def answered(self, result: Any) -> None:
        """End with a plain answer."""
        self.end(self.read(result))

    def failed(self, error: BaseException, outcome: Outcome | None = None, stream: StreamFacts | None = None) -> None:
        """End with an exception that the app gets to see."""
        problem = _errors.UNREADABLE
        try:
            problem = _errors.from_exception(error)
            if outcome is not None and outcome.error is not None and not _errors.has_own_reason(error):
                problem = _errors.from_body(outcome.error)  # what the app was told, and has raised for
            if self.http.status is None:  # else the answer had come, and the exception may tell of another request
                self.http.read_error(error)
            answer = _errors.billed_answer(error)
            if outcome is None and answer is not None:
                outcome = self.read(answer)
        except Exception:
            _guard.contain("reading an exception")
        self.end(outcome, problem, stream)

    def end(
        self,
        outcome: Outcome | None,
        problem: _errors.Problem | None = None,
        stream: StreamFacts | None = None,
        at: float | None = None,
    ) -> None:
        """End once; a second end, from any thread, does nothing.

        What functions of the app's (`cost`, `redact`) raise besides an Exception is raised when all is told.

        Args:
            outcome: What the answer said; None where none came or it could not be read.
            problem: What went wrong.
            stream: How the stream went; None for a plain answer.
            at: `perf_counter` at the end, seconds; now by default.
        """
        if not self._once.acquire(blocking=False):
            return
        ended = perf_counter() if at is None else at
        outcome = outcome or Outcome()
        try:
            if problem is None and outcome.error is not None:
                problem = _errors.from_body(outcome.error)
                if stream is not None:
                    stream.outcome = "error"
            self._measure(outcome, problem, stream, ended)
        except Exception:
            _guard.contain("recording metrics")
        finally:
            try:
                if self._content is not None or problem is not None or self._span.is_recording():
                    self._describe(outcome, problem, stream)
            except Exception:
                _guard.contain("describing a span")
            finally:
                self._end_span(ended)

    def _end_span(self, ended: float) -> None:
        try:
            self._span.end(self._started_ns + int((ended - self._started) * 1e9))
        except Exception:
            _guard.contain("ending a span")

    def respond(self, result: Any) -> None:
        """Run the user's response hook on what the app is about to get."""
        if (hook := self.telemetry.config.response_hook) is not None:
            _guard.run_hook(hook, self._span, result)

    def read(self, result: Any) -> Outcome | None:
        """What an answer says; None where it cannot be read."""
        if self._content is not None:
            self._content.answered(result)  # its content is read at the end
        try:
            return self.operation.response(result)
        except Exception:
            _guard.contain("reading an answer")
            return None

    def _measure(
        self, outcome: Outcome, problem: _errors.Problem | None, stream: StreamFacts | None, ended: float
    ) -> None:
        cost = None
        try:
            if (costs := self.telemetry.costs) is not None:
                cost = costs.price(self._key, outcome, self.http, is_stream=stream is not None)
        finally:
            if (metrics := self.telemetry.metrics) is not None and self._active is not None:
                first_at = stream.first_at if stream is not None else None
                metrics.ended(
                    self._active,
                    self._key,
                    outcome,
                    duration=ended - self._started,
                    http=self.http,
                    error_type=problem.error_type if problem is not None else None,
                    time_to_first_chunk=first_at - self._started if first_at is not None else None,
                    stream_outcome=stream.outcome if stream is not None else None,
                    billed=self.operation.billed,
                    cost=cost,
                    context=self._context,
                )

    def _describe(self, outcome: Outcome, problem: _errors.Problem | None, stream: StreamFacts | None) -> None:
        attributes = self.http.attributes()
        outcome.describe(attributes)
        if stream is not None:
            stream.describe(attributes, self._started)
        if problem is not None:
            attributes[names.ERROR_TYPE] = problem.error_type
        try:
            if self._content is not None:
                self._describe_content(self._content, attributes)
        finally:
            self._span.set_attributes(attributes)
            if problem is not None:
                self._tell(problem)

    def _describe_content(self, content: CallContent, attributes: dict[str, AttributeValue]) -> None:
        self._content = None
        try:
            details = content.end(attributes)
        except Exception:
            _guard.contain("telling content")
            return
        if details is not None:
            self._emit(names.EVENT_DETAILS, SeverityNumber.DEBUG, details)

    def _tell(self, problem: _errors.Problem) -> None:
        """Say what went wrong: in the status of the span, and in an event."""
        on_span = on_event = None
        try:
            on_span, on_event = self.telemetry.messages(problem, is_recording=self._span.is_recording())
        finally:
            description = problem.summary if on_span is None else f"{problem.summary}: {on_span}"
            self._span.set_status(Status(StatusCode.ERROR, description))
            attributes: dict[str, AttributeValue] = {names.EXCEPTION_TYPE: problem.exception_type or problem.error_type}
            if on_event is not None:
                attributes[names.EXCEPTION_MESSAGE] = on_event
            self._emit(names.EVENT_EXCEPTION, SeverityNumber.WARN, attributes)

    def _emit(self, name: str, severity: SeverityNumber, attributes: Mapping[str, Any]) -> None:
        """Emit an event in the span's context, where the app collects logs."""
        logger = self.telemetry.logger()
        if logger is not None:
            record = LogRecord(
                timestamp=time_ns(),
                context=self._context,
                severity_number=severity,
                event_name=name,
                attributes=attributes,
            )
            logger.emit(record)


_Entered = tuple[Token[Any], Token[Context] | None]


def is_suppressed(context: Context) -> bool:
    """Whether nothing may be told in a context."""
    return any(map(context.get, _SUPPRESSED))


def begin(
    telemetry: Telemetry, operation: Operation, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    """Begin a call, unless instrumentation is suppressed in the caller's context.

    Args:
        telemetry: Where it is told.
        operation: The API that is called.
        instance: The client's resource whose method is called; None where it is the first argument.
        args: The arguments that the app gave by position, neither changed nor iterated; so are the others.
        kwargs: Those that it gave by name.
    """
    try:
        caller = get_current()
        if caller and is_suppressed(caller):
            return None
        if args:
            if instance is None:  # another tool's wrapper calls ours as a plain function
                instance, args = args[0], args[1:]
            kwargs = {**dict(zip(operation.positional, args, strict=False)), **kwargs}
        body = kwargs.get("extra_body")
        if isinstance(body, dict):
            kwargs = {**kwargs, **body}  # the client lets it win over the arguments
        return Call(telemetry, operation, telemetry.servers.of(instance._client), kwargs, context=caller)
    except Exception:
        _guard.contain("starting a span")
        return None
