# pyright: strict, reportUnnecessaryTypeIgnoreComment=error
"""What a strict type checker must accept of the public API, and (where an error is ignored) what it must reject.

Checked, never run.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import Span, TracerProvider

import otel_openai
from otel_openai import OpenAIInstrumentor, __version__, instrument, uninstrument
from otel_openai.cost import CostFacts, list_price
from otel_openai.redactors import secrets


def accepted(tracers: TracerProvider, meters: MeterProvider, loggers: LoggerProvider, table: Mapping[str, str]) -> None:
    """Every option, alone and together."""
    instrument()
    instrument(tracer_provider=tracers, meter_provider=meters, logger_provider=loggers)
    instrument(tracer_provider=SdkTracerProvider(), meter_provider=SdkMeterProvider())
    instrument(tracer_provider=None, meter_provider=None, logger_provider=None, export=None, providers=None)
    instrument(export="otlp")
    instrument(export="console")
    instrument(error_messages=True, chunk_timing=True, providers={".example.com": "vllm"})
    instrument(capture_content="span", redact=secrets, max_content_length=100, max_content_size=10_000)
    instrument(capture_content=True, redact=None, capture_tool_schemas=True)
    instrument(capture_content=None, redact=lambda kind, text: text if kind == "answer" else None)
    instrument(providers=table, request_hook=on_request, response_hook=on_response)
    instrument(request_hook=lambda span, arguments: span.set_attribute("n", len(arguments)))
    instrument(stream_usage=True, propagate=True, cost=True)
    instrument(propagate=["llm.example.com", ".example.org"], cost=priced)
    instrument(propagate=table.keys(), cost=list_price)
    instrument(cost=lambda call: Decimal(call.output_tokens) / 1000)
    otel_openai.instrument(response_hook=None)
    uninstrument()
    OpenAIInstrumentor().instrument(tracer_provider=tracers)
    OpenAIInstrumentor().uninstrument()
    version: str = __version__
    print(version)  # noqa: T201


def on_request(span: Span, arguments: Mapping[str, Any]) -> None:
    """Be a request hook."""
    span.set_attribute("user", str(arguments.get("user")))


def on_response(span: Span, result: object) -> None:
    """Be a response hook."""
    span.set_attribute("type", type(result).__name__)


def priced(call: CostFacts) -> float | None:
    """Be a price."""
    return call.input_tokens * 1e-6 if call.provider == "vllm" else call.reported_cost


def rejected(tracers: TracerProvider, meters: MeterProvider) -> None:
    """One mistake a line."""
    instrument(tracers)  # pyright: ignore[reportCallIssue]
    instrument(tracer=tracers)  # pyright: ignore[reportCallIssue]
    instrument(tracer_provider=meters)  # pyright: ignore[reportArgumentType]
    instrument(meter_provider=tracers)  # pyright: ignore[reportArgumentType]
    instrument(export="jaeger")  # pyright: ignore[reportArgumentType]
    instrument(error_messages="yes")  # pyright: ignore[reportArgumentType]
    instrument(capture_content="events")  # pyright: ignore[reportArgumentType]
    instrument(redact=lambda text: text)  # pyright: ignore[reportArgumentType]
    instrument(max_content_length="8 KiB")  # pyright: ignore[reportArgumentType]
    instrument(chunk_timing=None)  # pyright: ignore[reportArgumentType]
    instrument(providers={"example.com": 5})  # pyright: ignore[reportArgumentType]
    instrument(request_hook="hook")  # pyright: ignore[reportArgumentType]
    instrument(request_hook=uninstrument)  # pyright: ignore[reportArgumentType]
    instrument(response_hook=lambda span: span.end())  # pyright: ignore[reportArgumentType]
    instrument(stream_usage="yes")  # pyright: ignore[reportArgumentType]
    instrument(propagate=5)  # pyright: ignore[reportArgumentType]
    instrument(cost="openai")  # pyright: ignore[reportArgumentType]
    instrument(cost=lambda call: call.model)  # pyright: ignore[reportArgumentType]
    uninstrument(force=True)  # pyright: ignore[reportCallIssue]
    _: int = __version__  # pyright: ignore[reportAssignmentType]
    otel_openai.Config()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
