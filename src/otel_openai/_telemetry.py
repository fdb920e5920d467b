"""Where telemetry goes: tracer, instruments and logger of the app's OpenTelemetry set-up, found when they are there.

The set-up may come after `instrument()`, or never. Until a signal has an implementation a call only asks for it, and
without any implementation the instrumentation stays out of the call.
"""

import contextlib
import logging
import os
import threading
from importlib.metadata import version
from weakref import WeakKeyDictionary

from opentelemetry import _logs, metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import NoOpTracerProvider, Tracer

from otel_openai import _guard
from otel_openai._capture import Capture
from otel_openai._config import Config
from otel_openai._content import Limits
from otel_openai._cost import CostedHttpFacts, Costs
from otel_openai._errors import Problem
from otel_openai._metrics import Metrics
from otel_openai._noop import is_noop
from otel_openai._providers import Servers
from otel_openai._semconv import SCHEMA_URL
from otel_openai._transport import HttpFacts
from otel_openai._values import text

__version__ = version("otel-openai")
SCOPE = "otel_openai"

_log = logging.getLogger("otel_openai")
_hinted = threading.Lock()  # taken once, never released: test and set
_missed_usage = threading.Lock()  # likewise
_metrics_of: WeakKeyDictionary[MeterProvider, Metrics] = WeakKeyDictionary()


class Telemetry:
    """One instrumentation: its options, and the signals that have an implementation by now."""

    _lock = threading.RLock()  # of all of them: they share the instruments of a provider

    def __init__(self, config: Config) -> None:
        self.config = config
        self.costs: Costs | None = None
        self.http_facts: type[HttpFacts] = HttpFacts
        if config.cost:
            self.costs = Costs(config.cost)
            self.http_facts = CostedHttpFacts
        self._limits = Limits(
            part=config.max_content_length,
            attribute=config.max_content_size,
            redact=config.redact,
            tool_schemas=config.capture_tool_schemas,
        )
        self.capture = Capture.of(config.capture_content, self._limits)
        self.servers = Servers(config.providers or {})
        self.tracer: Tracer = NoOpTracerProvider().get_tracer(SCOPE)
        self.metrics: Metrics | None = None
        self._recording = False  # some signal has an implementation
        self._found_traces = False
        self._found_metrics = False
        self._looked_at: tuple[object, object] | None = None  # the global providers, when something was missing

    def ready(self) -> bool:
        """Look for what is still missing; True when there is anything to record with."""
        if not (self._found_traces and self._found_metrics):
            try:
                self._look()
            except Exception:
                _guard.contain("looking for the OpenTelemetry set-up")
        return self._recording

    def _look(self) -> None:
        # Each costs a look at the environment: a logs pipeline is looked for with the first call, and with the others.
        looked_at = trace.get_tracer_provider(), metrics.get_meter_provider()
        if looked_at == self._looked_at:  # no set-up has come since: there is nothing new to be found
            return
        with self._lock:
            traces = self.config.tracer_provider or looked_at[0]
            if not self._found_traces and not is_noop(traces):
                self.tracer = traces.get_tracer(SCOPE, __version__, schema_url=SCHEMA_URL)
                self._found_traces = True
                self._recording = self._recording or not is_noop(self.tracer)
            meters = self.config.meter_provider or looked_at[1]
            if not self._found_metrics and not is_noop(meters):
                self.metrics = _metrics_for(meters)
                self._found_metrics = True
                self._recording = self._recording or self.metrics is not None
            found_logs = self.logger() is not None
            self._recording = self._recording or found_logs
            self._looked_at = looked_at
        is_wanted = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        found = self._found_traces or self._found_metrics or found_logs
        if is_wanted and not found and _hinted.acquire(blocking=False):
            _log.warning(
                "A request was made and nothing recorded: no OpenTelemetry SDK is configured. To see requests in the "
                "terminal, call otel_openai.instrument(export='console'); to send them to a collector or Jaeger, "
                "export='otlp'; or set up an SDK of your own. This is said once."
            )

    def missed_usage(self) -> None:
        """A stream has completed without usage: say once how to get it."""
        if not self.config.stream_usage and _missed_usage.acquire(blocking=False):
            with contextlib.suppress(Exception):  # a log handler that raises
                _log.info(
                    "A stream ended without usage: its tokens are counted nowhere. To have them, pass "
                    "stream_options={'include_usage': True}, or call otel_openai.instrument(stream_usage=True), which "
                    "asks for all streams and hides the extra chunk from the application. This is said once."
                )

    def messages(self, problem: Problem, *, is_recording: bool) -> tuple[str | None, str | None]:
        """The text of a failure for the span and for the event: only where the app allowed it, redacted and cut.

        It may repeat what users sent.
        """
        capture, allowed = self.capture, self.config.error_messages
        on_span = is_recording and (allowed or (capture is not None and capture.on_span))
        on_event = (allowed or (capture is not None and capture.on_event)) and self.logger() is not None
        if problem.message is None or not (on_span or on_event):
            return None, None
        redacted = self._limits.redacted("error", problem.message)
        told = None if redacted is None else text(redacted)
        return told if on_span else None, told if on_event else None

    def logger(self) -> _logs.Logger | None:
        """The logger for events, if the app has a set-up for logs. Events are rare: it is looked up each time."""
        provider = self.config.logger_provider or _logs.get_logger_provider()
        if is_noop(provider):
            return None
        logger = provider.get_logger(SCOPE, __version__, schema_url=SCHEMA_URL)
        return None if is_noop(logger) else logger  # OTEL_SDK_DISABLED


def _after_fork() -> None:
    """In the child: what was counted is the parent's to tell, and a lock may be held by a thread that is gone."""
    Telemetry._lock = threading.RLock()
    for known in _metrics_of.values():
        known.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _metrics_for(provider: MeterProvider) -> Metrics | None:
    """One set of instruments for a provider, kept over uninstrument() and instrument(); none if it is disabled."""
    known = _metrics_of.get(provider)
    if known is None:
        meter = provider.get_meter(SCOPE, __version__, schema_url=SCHEMA_URL)
        if is_noop(meter):  # OTEL_SDK_DISABLED
            return None
        known = _metrics_of[provider] = Metrics(meter)
    return known
