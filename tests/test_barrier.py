"""A fault of telemetry, wherever it is, costs the telemetry of that call at most: the app sees nothing of it."""

import asyncio
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import Logger, LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, Meter, MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, Tracer, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import StaticSampler

import otel_openai
from otel_openai import _guard
from programs import STREAMS, call, drain, every_mode
from seen import Kind, Program, Seen, seen
from server import ScriptedServer, chat, chat_stream, error_reply, sse
from support import Api, InMemoryLogRecordExporter, Told

CREATE = "chat.completions.create"
EVERY = every_mode()
PROGRAMS: dict[str, Program] = {
    **{
        name: program for name, program in EVERY.items() if " " not in name or name.startswith((CREATE, "responses.cr"))
    },
    **{f"{method} stream": EVERY[f"{method} stream"] for method in STREAMS},
    "refused": call(CREATE, error_reply(429)),
    "a broken stream": drain(CREATE, sse(*chat_stream("Hel")[:2], {"error": {"message": "x", "code": "server_error"}})),
}
BARE: dict[tuple[str, Kind], Seen] = {}


class InjectedError(Exception):
    """What the faults raise."""


class Fault:
    """Makes one function of OpenTelemetry raise while it is on."""

    def __init__(self, owner: Any, name: str, *, ends: bool = True) -> None:
        self.owner = owner
        self.name = name
        self.ends = ends
        """Whether spans can end all the same."""
        self.on = False
        self.raised = 0

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = getattr(self.owner, self.name)
        self.raised = 0

        def faulty(*args: Any, **kwargs: Any) -> Any:
            if self.on:
                self.raised += 1
                raise InjectedError(self.name)
            return original(*args, **kwargs)

        monkeypatch.setattr(self.owner, self.name, faulty)


class Bystander(SpanProcessor):
    """Another span processor of the app."""


FAULTS = [
    Fault(TracerProvider, "get_tracer"),
    Fault(Tracer, "start_span"),
    Fault(StaticSampler, "should_sample"),
    Fault(Bystander, "on_start", ends=False),
    Fault(Span, "is_recording"),
    Fault(Span, "set_attributes"),
    Fault(Span, "set_status"),
    Fault(Span, "get_span_context"),
    Fault(Span, "end", ends=False),
    Fault(Bystander, "on_end"),
    Fault(InMemorySpanExporter, "export"),
    Fault(MeterProvider, "get_meter"),
    Fault(Meter, "create_histogram"),
    Fault(Meter, "create_observable_counter"),
    Fault(Meter, "create_observable_gauge"),
    Fault(Histogram, "record"),
    Fault(Observation, "__init__"),
    Fault(LoggerProvider, "get_logger"),
    Fault(Logger, "emit"),
    Fault(SimpleLogRecordProcessor, "on_emit"),
    Fault(InMemoryLogRecordExporter, "export"),
    Fault(type(context._RUNTIME_CONTEXT), "attach", ends=False),  # the SDK itself needs it to export
    Fault(type(context._RUNTIME_CONTEXT), "detach"),
    Fault(type(context._RUNTIME_CONTEXT), "get_current"),
]


class Counting(SpanProcessor):
    """Counts starts and ends."""

    def __init__(self) -> None:
        self.started = self.ended = 0

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        del span, parent_context
        self.started += 1

    def on_end(self, span: ReadableSpan) -> None:
        del span
        self.ended += 1


@pytest.fixture(autouse=True)
def faults_are_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "reraise", False)


async def bare(name: str, kind: Kind) -> Seen:
    """What the bare client's app sees. Instrumentation is off meanwhile."""
    if (name, kind) not in BARE:
        BARE[name, kind] = await seen(PROGRAMS[name], kind)
    return BARE[name, kind]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_fault_is_not_seen_by_the_app(
    fault: Fault, api: Api, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Kind = "async" if api.is_async else "sync"
    expected = {name: await bare(name, kind) for name in PROGRAMS}
    fault.install(monkeypatch)
    told = Told()
    counted = Counting()
    for processor in (counted, Bystander()):
        told.tracer_provider.add_span_processor(processor)
    told.instrument()
    try:
        fault.on = True
        for name, program in PROGRAMS.items():
            # In a task, so in a context of its own: a context that cannot be detached stays behind in it.
            instrumented = await asyncio.create_task(seen(program, kind))
            assert instrumented.beside(expected[name]) == [], name
        told.points("gen_ai.client.operation.duration")
        assert fault.raised
        fault.on = False

        assert trace.get_current_span() is trace.INVALID_SPAN
        server.reply(chat())
        told.clear()
        with told.tracer_provider.get_tracer("app").start_as_current_span("the app's") as parent:
            await api.chat()

        call, _ = told.spans
        assert (call.name, call.status.status_code.name) == ("chat gpt-4o-mini", "UNSET")
        assert call.parent == parent.get_span_context()
        assert told.total("otel_openai.active_requests") == 0
        assert counted.started == counted.ended or not fault.ends
    finally:
        otel_openai.uninstrument()
        told.shutdown()
