"""Sets up the OpenTelemetry SDK for applications that did not: `instrument(export="otlp" | "console")`.

Never replaces what the application configured. The SDK, the exporters and rich are imported inside functions, so that
an application that never asks for them does not load them.
"""

from __future__ import annotations

import importlib
import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

from opentelemetry import _logs, metrics, trace

from otel_openai._noop import is_unset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Export = Literal["otlp", "console"]

_logger = logging.getLogger(__name__)


class _Provider(Protocol):
    def shutdown(self) -> None: ...


class _Signal(NamedTuple):
    name: str  # as in OTEL_{NAME}_EXPORTER
    get_provider: Callable[[], object]
    set_provider: Callable[[Any], None]
    otlp_exporter: tuple[str, str]  # module below opentelemetry.exporter.otlp.proto.{http,grpc}, and class


_TRACES = _Signal(
    "traces", trace.get_tracer_provider, trace.set_tracer_provider, ("trace_exporter", "OTLPSpanExporter")
)
_METRICS = _Signal(
    "metrics", metrics.get_meter_provider, metrics.set_meter_provider, ("metric_exporter", "OTLPMetricExporter")
)
_LOGS = _Signal("logs", _logs.get_logger_provider, _logs.set_logger_provider, ("_log_exporter", "OTLPLogExporter"))

_OTLP_PACKAGES = {
    "http/protobuf": ("opentelemetry.exporter.otlp.proto.http", 'pip install "otel-openai[otlp]"'),
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc", "pip install opentelemetry-exporter-otlp-proto-grpc"),
}


def configure(export: Export) -> None:
    """Set the global OpenTelemetry providers that the application has not set.

    "otlp" sends traces, metrics and logs in batches, by exporters that read the standard variables:
    OTEL_EXPORTER_OTLP_* (endpoint, headers, protocol, compression, timeout ...), OTEL_SERVICE_NAME,
    OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_METRIC_EXPORT_INTERVAL (milliseconds, default 60000),
    OTEL_BSP_*, OTEL_BLRP_*. The protocol is "http/protobuf" unless a variable says "grpc". A signal whose
    OTEL_{TRACES,METRICS,LOGS}_EXPORTER is "none" is left alone.

    "console" prints traces and usage to stderr, see `otel_openai.console`.

    OTEL_SDK_DISABLED=true leaves everything alone. What an application has already set up is left as it is, said in one
    line of level INFO.

    Args:
        export: "otlp" or "console".

    Raises:
        ValueError: If `export` is neither of the two, or an OTEL_* variable has a value that the SDK refuses.
        ModuleNotFoundError: If the packages that `export` needs are not installed. The message has the command that
            installs them. This and every other error is raised before anything is set.
    """
    if export not in get_args(Export):
        raise ValueError(f'export must be "otlp", "console" or None, not {export!r}')
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        _logger.info("OTEL_SDK_DISABLED is true: export=%r sets nothing up", export)
        return
    wanted = [_TRACES, _METRICS] if export == "console" else _otlp_signals()
    unset = [signal for signal in wanted if is_unset(signal.get_provider())]
    made = _make_all(unset, _console_provider if export == "console" else _otlp_provider)
    set_now = [signal for signal, provider in made if _set(signal, provider)]
    if kept := [signal.name for signal in wanted if signal not in set_now]:
        _logger.info(
            "OpenTelemetry is already set up for %s: export=%r leaves that as it is", " and ".join(kept), export
        )


def _make_all(signals: Sequence[_Signal], make: Callable[[_Signal], _Provider]) -> Sequence[tuple[_Signal, _Provider]]:
    made: list[tuple[_Signal, _Provider]] = []
    with ExitStack() as undo:
        # At exit, providers shut down in the reverse order of their making: traces first, then the metrics about them.
        for signal in reversed(signals):
            provider = make(signal)
            undo.callback(provider.shutdown)
            made.append((signal, provider))
        undo.pop_all()
    return made


def _set(signal: _Signal, provider: _Provider) -> bool:
    signal.set_provider(provider)
    if signal.get_provider() is provider:
        return True
    provider.shutdown()  # another thread was faster
    return False


def _console_provider(signal: _Signal) -> _Provider:
    try:
        from otel_openai import console
    except ModuleNotFoundError as error:
        raise _missing("console", 'pip install "otel-openai[console]"', error) from error
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    if signal is _METRICS:
        return MeterProvider(metric_readers=[console.UsageTable()])
    provider = TracerProvider()
    # Not in batches: a tree belongs next to what the application printed during the call.
    provider.add_span_processor(SimpleSpanProcessor(console.TraceTree()))
    return provider


def _otlp_signals() -> list[_Signal]:
    def is_wanted(signal: _Signal) -> bool:
        return os.environ.get(f"OTEL_{signal.name.upper()}_EXPORTER", "").strip().lower() != "none"

    return [signal for signal in (_TRACES, _METRICS, _LOGS) if is_wanted(signal)]


def _otlp_provider(signal: _Signal) -> _Provider:
    exporter = _otlp_exporter_class(signal)()
    if signal is _TRACES:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        tracer_provider = TracerProvider()
        tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
        return tracer_provider
    if signal is _METRICS:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        return MeterProvider(metric_readers=[PeriodicExportingMetricReader(exporter)])
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    logger_provider = LoggerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return logger_provider


def _otlp_exporter_class(signal: _Signal) -> Callable[[], Any]:
    variable = f"OTEL_EXPORTER_OTLP_{signal.name.upper()}_PROTOCOL"
    if not os.environ.get(variable):
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = os.environ.get(variable, "").strip().lower() or "http/protobuf"
    if protocol not in _OTLP_PACKAGES:
        raise ValueError(f"{variable} must be one of {', '.join(_OTLP_PACKAGES)}, not {protocol!r}")
    package, command = _OTLP_PACKAGES[protocol]
    module, name = signal.otlp_exporter
    try:
        return getattr(importlib.import_module(f"{package}.{module}"), name)
    except ModuleNotFoundError as error:
        raise _missing("otlp", command, error) from error


def _missing(export: Export, command: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f'export="{export}" needs a package that is not installed ({error.name}): {command}', name=error.name
    )
