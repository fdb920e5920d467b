"""Streams that are open when the process forks or exits, in processes of their own."""

import os

import pytest

from processes import run
from server import Gate, ScriptedServer, sse
from streamed import CHAT

# What every program begins with. It prints a line for each span, and one when the SDK shuts down.
PROGRAM = """
import asyncio, gc, os, sys, time
import openai, otel_openai
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
)

PARENT = os.getpid()

def say(*words):
    print("parent" if os.getpid() == PARENT else "child", *words, flush=True)

class Spans(SpanExporter):
    def export(self, spans):
        time.sleep(PAUSE)
        for span in spans:
            say(span.attributes.get("otel_openai.stream.outcome") or span.attributes["error.type"])
        return SpanExportResult.SUCCESS

    def shutdown(self):
        say("shutdown")

class Metrics(MetricExporter):
    def export(self, data, timeout_millis=0, **_):
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            if metric.name in ("otel_openai.streams", "otel_openai.active_requests"):
                say(metric.name, sum(point.value for point in metric.data.data_points))
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=0):
        return True

    def shutdown(self, timeout_millis=0, **_):
        pass

def instrument(processor, pause=0, **more):
    global PAUSE
    PAUSE = pause
    tracers = TracerProvider()
    tracers.add_span_processor(processor(Spans()))
    otel_openai.instrument(tracer_provider=tracers, **more)

QUESTION = {"model": "m", "messages": [], "stream": True}
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="k", max_retries=0, timeout=10)

def create(**question):
    return client.chat.completions.create(**question)
"""


def said_by(server: ScriptedServer, program: str) -> list[str]:
    """Run a program to its end: the lines that it printed."""
    server.always(sse(*CHAT.begin, Gate()))
    out, err = run(PROGRAM + program, server, warnings="ignore")  # sockets are left open on purpose
    assert err == ""
    return out.splitlines()


def test_what_is_open_at_the_exit_is_told_before_the_sdk_shuts_down(server: ScriptedServer) -> None:
    said = said_by(
        server,
        """
instrument(BatchSpanProcessor, meter_provider=MeterProvider([PeriodicExportingMetricReader(Metrics(), 60000)]))
read = create(**QUESTION)
next(read)
unread = create(**QUESTION)
unparsed = client.chat.completions.with_raw_response.create(**QUESTION)
response = client.chat.completions.with_streaming_response.create(**QUESTION).__enter__()
loop = asyncio.new_event_loop()
async_client = openai.AsyncOpenAI(base_url=os.environ["BASE_URL"], api_key="k")
async_stream = loop.run_until_complete(async_client.chat.completions.create(**QUESTION))
loop.run_until_complete(async_stream.__anext__())
""",
    )

    assert [line for line in said if "otel_openai" not in line] == [*["parent abandoned"] * 5, "parent shutdown"]
    assert "parent otel_openai.streams 5" in said
    assert "parent otel_openai.active_requests 0" in said


def test_a_coroutine_destroyed_in_a_process_without_streams_is_told(server: ScriptedServer) -> None:
    said = said_by(
        server,
        """
async def main():
    coroutine = openai.AsyncOpenAI(base_url=os.environ["BASE_URL"], api_key="k").chat.completions.create(**QUESTION)
    coroutine.send(None)
    coroutine.close()

instrument(SimpleSpanProcessor)
asyncio.run(main())
""",
    )

    assert said == ["parent GeneratorExit", "parent shutdown"]


def test_the_exit_waits_for_the_reaper(server: ScriptedServer) -> None:
    said = said_by(
        server,
        """
instrument(SimpleSpanProcessor, pause=0.3)
stream = create(**QUESTION)
next(stream)
del stream
gc.collect()
time.sleep(0.1)  # the reaper is exporting now
""",
    )

    assert said == ["parent abandoned", "parent shutdown"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_stream_is_told_by_the_process_that_opened_it(server: ScriptedServer) -> None:
    said = said_by(
        server,
        """
from otel_openai._reaper import reaper

def respond(**question):
    return client.chat.completions.with_streaming_response.create(**question).__enter__()

def read(opened):
    next(opened if hasattr(opened, "_iterator") else opened.iter_lines())

def close(opened):
    opened.close()

def drop(opened):
    pass

instrument(SimpleSpanProcessor)
for open_ in create, respond:
    for act in read, close, drop:
        stream = open_(**QUESTION)
        if os.fork() == 0:
            act(stream)
            del stream
            gc.collect()
            own = create(**QUESTION)
            next(own)
            del own
            gc.collect()
            assert reaper.flush()
            sys.exit()
        os.wait()
        stream.close()
""",
    )

    assert said == [*["child abandoned", "child shutdown", "parent closed"] * 6, "parent shutdown"]
