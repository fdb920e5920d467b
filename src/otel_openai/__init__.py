"""OpenTelemetry instrumentation for the `openai` client and every server that speaks its protocol.

One line at start-up, before or after `import openai`:

    import otel_openai

    otel_openai.instrument()

Every request becomes one span, and is counted in metrics. Nothing of what is asked or answered leaves the process
unless `capture_content` says so.

Public besides: `otel_openai.console` (exporters for a terminal), `otel_openai.cost` and `otel_openai.redactors`.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, Literal

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, TracerProvider

from otel_openai._instrumentor import OpenAIInstrumentor
from otel_openai._telemetry import __version__
from otel_openai.cost import CostFacts

__all__ = ["OpenAIInstrumentor", "__version__", "instrument", "uninstrument"]


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    export: Literal["otlp", "console"] | None = None,
    capture_content: bool | Literal["span", "event", "both"] | None = None,
    redact: Callable[[str, str], str | None] | None = None,
    max_content_length: int = 8192,
    max_content_size: int = 65_536,
    capture_tool_schemas: bool = False,
    error_messages: bool = False,
    providers: Mapping[str, str] | None = None,
    chunk_timing: bool = False,
    stream_usage: bool = False,
    propagate: bool | Collection[str] = False,
    cost: bool | Callable[[CostFacts], float | Decimal | None] = False,
    request_hook: Callable[[Span, Mapping[str, Any]], Any] | None = None,
    response_hook: Callable[[Span, Any], Any] | None = None,
) -> None:
    """Instrument the `openai` client in this process. Calling it again changes nothing.

    Clients that exist already are instrumented too. `openai` is not imported by this call.

    Args:
        tracer_provider: Where spans go. Default: the global provider, also one that is set later.
        meter_provider: Where metrics go. Default: the global provider, also one that is set later.
        logger_provider: Where events go. Default: the global provider, also one that is set later.
        export: Set up the OpenTelemetry SDK in the same line, for each signal that has no global provider yet: "otlp"
            exports as the standard OTEL_* variables say (extra `otlp`), "console" prints a tree of each trace and a
            table of usage to stderr (extra `console`). Default: None, the app's own set-up is used.
        capture_content: Tell prompts, answers and tool calls: "span" as attributes of the span, "event" on the event
            `gen_ai.client.inference.operation.details`, "both" (or True) on both, False nowhere. Default: what
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says (`no_content`, `span_only`, `event_only`,
            `span_and_event`, `true`, `false`), else nowhere.
        redact: Called as `redact(kind, text)` with every piece of content before it leaves; `kind` is "prompt",
            "answer", "instructions", "tool_arguments", "tool_result", "tool_definition" or "error". What it returns is
            told instead; None drops the piece, and so does an exception. It runs in the call, so it should be quick.
            `otel_openai.redactors.secrets` is one. Default: None, nothing is changed.
        max_content_length: Characters of one piece of content; what is longer is cut, and the cut is marked. Binary
            data above it (as base64) is told as its size, type and SHA-256. Default: 8192.
        max_content_size: Bytes of one content attribute as JSON, 1024 or more. Default: 65,536.
        capture_tool_schemas: Where content is captured, tell tools with their descriptions and parameters, not only
            with their names. Default: False.
        error_messages: Add the server's error text, cut at 256 characters, to the status of the span and to the
            exception event, also where no content is captured. Servers repeat what users sent in their error messages.
            Default: False.
        providers: `gen_ai.provider.name` by host, before all other rules: `{"llm.example.com": "vllm"}`; a key that
            begins with a dot stands for every host below it.
        chunk_timing: Record `gen_ai.client.operation.time_per_output_chunk` (seconds) for every chunk of a stream but
            the first and the usage at the end. This makes a chunk several times as expensive. Default: False.
        stream_usage: Ask for the usage of streamed chat and legacy completions (`stream_options.include_usage`) where
            the app says nothing about `stream_options`, and hide the additional chunk from the app. This changes the
            request; servers that do not know the option may refuse it. Default: False.
        propagate: Send the W3C trace context of the span (`traceparent`, `tracestate`; no baggage) to the server: to
            every one (True), or to a collection of hosts, written as for `providers`. A server that is traced itself,
            such as vLLM, continues the trace; any other learns your trace ids. Default: False.
        cost: Estimate what calls cost, in US dollars: True takes what the server says, else the price in the table of
            genai-prices (extra `cost`); a callable is called as `cost(facts)` with `otel_openai.cost.CostFacts` and
            returns dollars, or None where it does not know. What it raises is contained. Default: False.
        request_hook: Called as `request_hook(span, arguments)` when the span has started; `arguments` is a read-only
            view of what the app passed. What it raises is contained.
        response_hook: Called as `response_hook(span, result)` with the very object that the app is about to get: an
            answer, a stream that nobody has read yet, or a raw response. What it raises is contained.

    Raises:
        TypeError: An argument is of the wrong type, or unknown.
        ValueError: An argument has a value that means nothing.
        ModuleNotFoundError: `export` or `cost` needs an extra that is not installed.
    """
    OpenAIInstrumentor().instrument(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logger_provider=logger_provider,
        export=export,
        capture_content=capture_content,
        redact=redact,
        max_content_length=max_content_length,
        max_content_size=max_content_size,
        capture_tool_schemas=capture_tool_schemas,
        error_messages=error_messages,
        providers=providers,
        chunk_timing=chunk_timing,
        stream_usage=stream_usage,
        propagate=propagate,
        cost=cost,
        request_hook=request_hook,
        response_hook=response_hook,
    )


def uninstrument() -> None:
    """Stop. Methods are unwrapped, and what cannot be unwrapped (methods that the app kept) tells nothing any more.

    Streams that are open go on for the app; their spans end now. Calling it without `instrument` changes nothing.
    """
    OpenAIInstrumentor().uninstrument()
