"""What tests share: what was told (spans, metrics, log records), and one way to write a program for both clients."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import reduce
from inspect import signature
from typing import Any, Literal

import openai
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

import otel_openai
from otel_openai._reaper import reaper
from otel_openai._values import listed

MESSAGES = [{"role": "user", "content": "Say hello."}]
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading them is most of the time that a client takes


class Told:
    """Everything that the instrumentation told. Real SDK providers with exporters in memory."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(sampler=sampler)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._reader])
        self.logger_provider = LoggerProvider()
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ended spans, in the order of their ends. What the collector has found is ended first."""
        assert reaper.flush()
        return list(self._spans.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The only span."""
        spans = self.spans
        assert len(spans) == 1, [span.name for span in spans]
        return spans[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the only span, whole: sequences as lists."""
        return attributes_of(self.span)

    @property
    def events(self) -> list[Any]:
        """Log records."""
        return [data.log_record for data in self._logs.get_finished_logs()]

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Data points of one metric: attributes, and the value (of a histogram: the count and the sum)."""
        assert reaper.flush()
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            (dict(point.attributes or {}), _value(point))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def total(self, name: str, **having: object) -> Any:
        """Sum of a metric's values over the points with these attributes (dots as double underscores)."""
        wanted = {key.replace("__", "."): value for key, value in having.items()}
        values = [value for attributes, value in self.points(name) if wanted.items() <= attributes.items()]
        return sum(_number(value) for value in values)

    def clear(self) -> None:
        """Forget spans and log records. Metrics are cumulative."""
        self._spans.clear()
        self._logs.clear()

    def instrument(self, **options: Any) -> None:
        """Switch on, telling here."""
        otel_openai.instrument(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            **options,
        )

    def shutdown(self) -> None:
        """Release what the providers hold."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()


def _value(point: Any) -> Any:
    return point.value if hasattr(point, "value") else (point.count, point.sum)


def _number(value: Any) -> Any:
    return value[1] if value.__class__ is tuple else value


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Attributes of a span, sequences as lists."""
    given: Mapping[str, Any] = span.attributes or {}
    return {key: listed(value) if value.__class__ is tuple else value for key, value in given.items()}


class Api:
    """The real client, sync or async, driven by one program.

    A test is a coroutine either way. The sync client blocks the loop, which nobody minds: the server has a thread.
    """

    def __init__(self, kind: Literal["sync", "async"], client: Any) -> None:
        self.kind = kind
        self.client = client

    @property
    def is_async(self) -> bool:
        return self.kind == "async"

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call `chat.completions.create`, say, and await what it returns where the client is async."""
        target = self.client
        for name in method.split("."):
            target = getattr(target, name)
        result = target(*args, **kwargs)
        return await result if self.is_async and hasattr(result, "__await__") else result

    async def chat(self, **kwargs: Any) -> Any:
        """Call `chat.completions.create`; model and messages are given unless the test gives them."""
        return await self.call("chat.completions.create", **{"model": "gpt-4o-mini", "messages": MESSAGES, **kwargs})

    async def stream(self, **kwargs: Any) -> Any:
        """Open a chat stream."""
        return await self.chat(stream=True, **kwargs)

    async def next(self, stream: Any) -> Any:
        """Read one chunk."""
        return await stream.__anext__() if self.is_async else next(stream)

    async def drain(self, stream: Any) -> list[Any]:
        """Read every chunk."""
        return [chunk async for chunk in self.iterate(stream)]

    async def iterate(self, stream: Any) -> AsyncIterator[Any]:
        """Iterate over a stream of either client."""
        if self.is_async:
            async for chunk in stream:
                yield chunk
        else:
            for chunk in stream:
                yield chunk

    async def close(self, closable: Any) -> None:
        """Close a stream or response."""
        result = closable.close()
        if hasattr(result, "__await__"):
            await result


async def collect() -> None:
    """Run the garbage collector, and what it has scheduled on the loop."""
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)


def client(kind: Literal["sync", "async"], base_url: str, **options: Any) -> Any:
    """A client of either kind, without retries unless the test wants them."""
    if "http_client" not in options:
        http_client = openai.DefaultAsyncHttpxClient if kind == "async" else openai.DefaultHttpxClient
        options["http_client"] = http_client(verify=_NO_CERTIFICATES)
    made: Any = openai.AsyncOpenAI if kind == "async" else openai.OpenAI
    return made(**{"base_url": base_url, "api_key": "sk-test", "max_retries": 0, "timeout": 10, **options})


_ANY_CLIENT = client("sync", "http://127.0.0.1/v1")


def has(method: str) -> bool:
    """Whether this version of the client has a method: `chat.completions.parse`, say."""
    try:
        return callable(reduce(getattr, method.split("."), _ANY_CLIENT))
    except AttributeError:
        return False


def takes(method: str, argument: str) -> bool:
    """Whether a method of this version of the client takes an argument."""
    return has(method) and argument in signature(reduce(getattr, method.split("."), _ANY_CLIENT)).parameters


def streams(method: str) -> bool:
    """Whether a method of this version of the client streams."""
    return takes(method, "stream")


def need(method: str) -> None:
    """Skip the test where this version of the client lacks a method."""
    if not has(method):
        pytest.skip(f"openai {openai.__version__} has no {method}")


def need_argument(method: str, argument: str) -> None:
    """Skip the test where this version of the client does not take an argument."""
    if not takes(method, argument):
        pytest.skip(f"openai {openai.__version__} does not take {argument} in {method}")


def need_stream(method: str) -> None:
    """Skip the test where this version of the client does not stream a method."""
    if not streams(method):
        pytest.skip(f"openai {openai.__version__} does not stream {method}")


def raw_form(method: str, kind: Literal["raw", "streaming"]) -> str:
    """The path of a method's form that returns a raw or a streaming response."""
    resource, _, name = method.rpartition(".")
    return f"{resource}.with_{kind}_response.{name}"
