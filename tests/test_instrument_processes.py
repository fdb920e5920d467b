"""`instrument()` in programs of their own: the order of imports, no SDK, an SDK that comes late, and zero code."""

import json
from importlib.metadata import entry_points
from pathlib import Path
from sys import executable

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import otel_openai
from processes import run
from server import Reply, Request, ScriptedServer, chat, chat_stream, embeddings, json_reply, raw_reply, response, sse

SDK = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, reader = InMemorySpanExporter(), InMemoryMetricReader()

def set_up():
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
    metrics.set_meter_provider(MeterProvider([reader]))

def told():
    return [span.name for span in spans.get_finished_spans()]
"""
APP = """
import os, openai
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="k", max_retries=0)
def ask(n=1):
    for _ in range(n):
        client.chat.completions.create(model="gpt-4o-mini", messages=[])
"""
HINT = "A request was made and nothing recorded: no OpenTelemetry SDK is configured."
INSTRUMENT = str(Path(executable).with_name("opentelemetry-instrument"))


@pytest.fixture(autouse=True)
def answers(server: ScriptedServer) -> None:
    """Answer every API, and take what is exported."""

    def answer(request: Request) -> Reply:
        if not request.path.endswith(("/completions", "/embeddings", "/responses")):
            return raw_reply(b"", content_type="application/x-protobuf")
        if request.path.endswith("/embeddings"):
            return json_reply(embeddings())
        if request.path.endswith("/responses"):
            return json_reply(response())
        return sse(*chat_stream("a")) if request.json.get("stream") else json_reply(chat())

    server.always(answer)


def exported_spans(server: ScriptedServer) -> list[str]:
    """The names of the spans that came by OTLP."""
    bodies = [request.body for request in server.requests if request.path == "/v1/traces"]
    sent = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    scopes = [scope for each in sent for resource in each.resource_spans for scope in resource.scope_spans]
    assert {scope.scope.name for scope in scopes} <= {"otel_openai"}
    return [span.name for scope in scopes for span in scope.spans]


def exported_metrics(server: ScriptedServer) -> set[str]:
    """The names of the metrics that came by OTLP."""
    bodies = [request.body for request in server.requests if request.path == "/v1/metrics"]
    sent = [ExportMetricsServiceRequest.FromString(body) for body in bodies]
    scopes = [scope for each in sent for resource in each.resource_metrics for scope in resource.scope_metrics]
    return {metric.name for scope in scopes for metric in scope.metrics}


def test_nothing_is_imported_until_the_app_imports_it(server: ScriptedServer) -> None:
    printed, errors = run(
        f"""
        import socket, sys
        connect, socket.socket.connect = socket.socket.connect, None
        import otel_openai
        otel_openai.instrument()
        heavy = {{"openai", "httpx", "httpx2", "pydantic", "requests", "rich", "google"}}
        print(sorted(heavy & {{name.partition(".")[0] for name in sys.modules}}))
        socket.socket.connect = connect
        {_indented(SDK)}
        set_up()
        {_indented(APP)}
        ask()
        client.embeddings.create(model="e", input="x", encoding_format="float")
        client.responses.create(model="r", input="x")
        openai.base_url, openai.api_key = client.base_url, "k"
        openai.completions.create(model="c", prompt="x")
        print(told())
        """,
        server,
    )

    assert printed.splitlines() == [
        "[]",
        "['chat gpt-4o-mini', 'embeddings e', 'chat r', 'text_completion c']",
    ]
    assert errors == ""


def test_modules_and_clients_that_are_there_already_are_instrumented(server: ScriptedServer) -> None:
    printed, errors = run(
        f"""
        {_indented(SDK)}
        set_up()
        from openai.resources.chat.completions import Completions
        {_indented(APP)}
        chat, embeddings = client.chat.completions, client.embeddings
        ask()
        import otel_openai
        otel_openai.instrument()
        chat.create(model="one", messages=[])
        Completions(client).create(model="two", messages=[])
        embeddings.create(model="three", input="x", encoding_format="float")
        client.with_options(timeout=5).responses.create(model="four", input="x")
        print(told())
        otel_openai.uninstrument()
        ask()
        print(len(told()))
        """,
        server,
    )

    assert printed.splitlines() == ["['chat one', 'chat two', 'embeddings three', 'chat four']", "4"]
    assert errors == ""


def test_a_module_that_another_thread_is_importing_is_instrumented(server: ScriptedServer) -> None:
    out, _ = run(
        SDK
        + """
import sys, threading, time
import otel_openai

BEING_IMPORTED = "openai.resources.chat.completions.completions"

def imports():
    import openai.resources.chat.completions.completions

set_up()
thread = threading.Thread(target=imports)
thread.start()
while BEING_IMPORTED not in sys.modules:
    time.sleep(0.0001)
otel_openai.instrument()
thread.join()
"""
        + APP
        + "ask()\nprint(told())",
        server,
    )

    assert out == "['chat gpt-4o-mini']\n"


def test_without_an_sdk_one_hint_is_given_and_an_sdk_may_come_late(server: ScriptedServer) -> None:
    printed, errors = run(
        f"""
        import otel_openai
        otel_openai.instrument()
        {_indented(SDK)}
        {_indented(APP)}
        ask(3)
        list(client.chat.completions.create(model="m", messages=[], stream=True))
        import threading
        print(threading.active_count(), told())
        set_up()
        ask()
        print(told(), len(reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics) > 5)
        """,
        server,
    )

    assert printed.splitlines() == ["1 []", "['chat gpt-4o-mini'] True"]
    (line,) = errors.splitlines()
    assert line.startswith(HINT)
    assert all(way in line for way in ("instrument(export='console')", "export='otlp'", "an SDK of your own"))


def test_no_hint_is_given_where_the_user_has_switched_the_sdk_off(server: ScriptedServer) -> None:
    _, errors = run(
        f"""
        import os
        os.environ["OTEL_SDK_DISABLED"] = "true"
        import otel_openai
        otel_openai.instrument(export="otlp")
        {_indented(APP)}
        ask()
        """,
        server,
    )

    assert errors == ""


def test_a_hint_that_cannot_be_logged_is_not_seen_by_the_app(server: ScriptedServer) -> None:
    printed, errors = run(
        f"""
        import logging
        class Raising(logging.Handler):
            def emit(self, record):
                raise OSError("the app's log is full")
        logging.getLogger().addHandler(Raising())
        import otel_openai
        otel_openai.instrument()
        {_indented(APP)}
        ask(2)
        print("asked")
        """,
        server,
    )

    assert (printed, errors) == ("asked\n", "")


def test_one_line_exports_by_otlp_until_the_end_of_the_program(server: ScriptedServer) -> None:
    printed, errors = run(
        f"""
        import otel_openai
        otel_openai.instrument(export="otlp")
        {_indented(APP)}
        ask(2)
        """,
        server,
    )

    assert (printed, errors) == ("", "")
    assert exported_spans(server) == ["chat gpt-4o-mini"] * 2
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= exported_metrics(server)


def test_zero_code_instruments_a_program_that_knows_nothing_of_it(server: ScriptedServer) -> None:
    console = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}

    printed, _ = run(APP + "ask()", server, command=[INSTRUMENT], env=console, warnings="default")
    span = json.loads(printed)
    assert (span["name"], span["kind"]) == ("chat gpt-4o-mini", "SpanKind.CLIENT")
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 12


OTLP = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}


def test_zero_code_sets_the_sdk_up_by_the_environment_alone(server: ScriptedServer) -> None:
    run(APP + "ask(3)", server, command=[INSTRUMENT], env=OTLP, warnings="default")

    assert exported_spans(server) == ["chat gpt-4o-mini"] * 3
    assert "gen_ai.client.operation.duration" in exported_metrics(server)


def test_zero_code_and_instrument_in_one_program_tell_a_request_once(server: ScriptedServer) -> None:
    program = "import otel_openai\notel_openai.instrument(export='otlp')" + APP + "ask()"

    _, errors = run(program, server, command=[INSTRUMENT], env=OTLP, warnings="default")

    assert errors == "Attempting to instrument while already instrumented\n"
    assert exported_spans(server) == ["chat gpt-4o-mini"]


@pytest.mark.parametrize(("disabled", "patched"), [("otel_openai", False), ("a,otel_openai", False), ("a", True)])
def test_zero_code_leaves_the_client_alone_where_it_is_disabled(
    disabled: str, server: ScriptedServer, *, patched: bool
) -> None:
    program = APP + "ask()\nprint(hasattr(openai.resources.chat.Completions.create, '_self_wrapper'))"
    env = {**OTLP, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled}

    printed, _ = run(program, server, command=[INSTRUMENT], env=env, warnings="default")

    assert printed == f"{patched}\n"
    assert exported_spans(server) == ["chat gpt-4o-mini"] * patched
    assert bool(exported_metrics(server)) == patched


def test_the_entry_point_is_the_instrumentor() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="otel_openai")

    assert found.load() is otel_openai.OpenAIInstrumentor
    assert found.load()().instrumentation_dependencies() == ("openai >= 1.66, < 4",)


def _indented(text: str) -> str:
    return text.strip().replace("\n", "\n        ")
