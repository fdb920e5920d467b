"""Runs the workloads against an instrumented client and a real Prometheus, and asks it everything that we ask it."""

import math
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id
from prometheus_client import CollectorRegistry, start_http_server

import otel_openai
from otel_openai.cost import CostFacts
from prometheus import queries, workload
from prometheus.running import Prometheus, find, until, version
from prometheus.tally import USAGE, Tally
from prometheus.workload import Step
from server import ScriptedServer
from support import client

Way: TypeAlias = Literal["scrape", "otlp"]
"""How metrics get into Prometheus."""

WORKLOADS: dict[str, Sequence[Step]] = {"success": workload.SUCCESS, "failure": workload.FAILURE}
_DURATION = "gen_ai_client_operation_duration_seconds"
DOLLARS_PER_TOKEN = 0.25  # of the output
_ROUNDS = 3  # a rate needs two values, and does not see how the first came about


@dataclass
class Answers:
    """What Prometheus said after a workload.

    Attributes:
        values: By the place of an expression.
        labels: Values of the dashboard's variables.
        firing: Names of alerts.
        served: What the server says that it has served up to then.
        counted: The same, as Prometheus has it.
        cost: In US dollars.
    """

    values: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    labels: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    firing: set[str] = field(default_factory=set[str])
    served: Tally = field(default_factory=Tally)
    counted: Tally = field(default_factory=Tally)
    cost: float = 0

    @property
    def without_data(self) -> dict[str, list[float]]:
        """Places that have no value, or one that is not a number."""
        return {place: said for place, said in self.values.items() if not said or any(map(math.isnan, said))}


@dataclass
class Report:
    """What was seen on one way into Prometheus.

    Attributes:
        version: Of Prometheus.
        after: The answers after each workload.
        exemplars: Ids of traces that Prometheus has beside durations.
        traces: Ids of all traces.
    """

    version: str
    after: dict[str, Answers]
    exemplars: set[str]
    traces: set[str]


def missing(way: Way) -> str | None:
    """Why this way cannot be tried here."""
    if find("prometheus", at_least_3=way == "otlp"):
        return None
    if way == "otlp":
        return "no Prometheus 3, which receives OTLP: `make prometheus3` builds it with Go"
    return "no Prometheus: `make prometheus` fetches Debian's"


def check(way: Way, folder: Path) -> Report:
    """Run both workloads in one instrumented program, and ask after each."""
    program = find("prometheus", at_least_3=way == "otlp")
    assert program
    spans, tally = InMemorySpanExporter(), Tally()
    with _metrics_to(way, program, folder, spans) as prometheus, ScriptedServer() as served:
        after = {name: _asked(prometheus, served, steps, tally) for name, steps in WORKLOADS.items()}
        found = prometheus.get("query_exemplars", query=f"{_DURATION}_bucket", start=0, end=int(time.time()) + 60)
    exemplars = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    traces = {format_trace_id(span.context.trace_id) for span in spans.get_finished_spans() if span.context}
    return Report(version(program), after, exemplars, traces)


@contextmanager
def _metrics_to(way: Way, program: Path, folder: Path, spans: InMemorySpanExporter) -> Generator[Prometheus]:
    """A running Prometheus that gets what the instrumentation of this process tells."""
    with ExitStack() as stack:
        if way == "scrape":
            registry = CollectorRegistry()
            server, thread = start_http_server(0, "127.0.0.1", registry)
            for stop in (thread.join, server.server_close, server.shutdown):  # undone in the reverse order
                stack.callback(stop)
            scrape = f"127.0.0.1:{server.server_port}"
            prometheus = stack.enter_context(Prometheus(program, folder, rules=queries.rule_files(), scrape=scrape))
            reader: MetricReader = PrometheusMetricReader(registry=registry)
        else:
            prometheus = stack.enter_context(Prometheus(program, folder, rules=queries.rule_files(), scrape=None))
            exporter = OTLPMetricExporter(prometheus.otlp_metrics)
            reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000)
        meter_provider = MeterProvider([reader], resource=Resource.create({"service.name": "shop"}))
        stack.callback(meter_provider.shutdown)
        tracer_provider = TracerProvider()
        tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
        stack.callback(tracer_provider.shutdown)
        otel_openai.instrument(meter_provider=meter_provider, tracer_provider=tracer_provider, cost=_cost)
        stack.callback(otel_openai.uninstrument)
        yield prometheus


def _cost(facts: CostFacts) -> float:
    return facts.output_tokens * DOLLARS_PER_TOKEN


def _asked(prometheus: Prometheus, served: ScriptedServer, steps: Sequence[Step], tally: Tally) -> Answers:
    """Run the workload a few times, which Prometheus sees one by one, and ask everything while a stream is open."""
    with client("sync", served.base_url, max_retries=2) as api:
        for _ in range(_ROUNDS):
            workload.run(served, api, steps, tally)
            until(lambda: sum(prometheus.totals(f"{_DURATION}_count", "job").values()) == tally.calls)
        with workload.open_stream(served, api, tally):
            time.sleep(3)  # rules on top of rules, each evaluated every second
            return _answers(prometheus, tally)


def _answers(prometheus: Prometheus, tally: Tally) -> Answers:
    expressions = [*queries.panels(), *queries.rules()]
    return Answers(
        values={place: [value for _, value in prometheus.query(expr)] for place, expr in expressions},
        labels={
            name: prometheus.get(f"label/{label}/values", **{"match[]": selector})
            for name, selector, label in queries.variables()
        },
        firing=prometheus.firing(),
        served=deepcopy(tally),
        counted=_counted(prometheus),
        cost=prometheus.totals("otel_openai_cost_total", "job")["shop"],
    )


def _counted(prometheus: Prometheus) -> Tally:
    def total(metric: str, by: str) -> Counter[str]:
        return Counter({label: int(value) for label, value in prometheus.totals(metric, by).items() if label})

    reasons = total("otel_openai_finish_reasons_total", "otel_openai_finish_reason")
    del reasons["error"]  # stands where the server has not said any
    tokens = {kind: f"gen_ai_client_inference_usage_{kind}_tokens_total" for kind in USAGE}
    return Tally(
        calls=total(f"{_DURATION}_count", "job")["shop"],
        retries=total("otel_openai_retries_total", "job")["shop"],
        errors=total(f"{_DURATION}_count", "error_type"),
        tokens=Counter({kind: total(metric, "job")["shop"] for kind, metric in tokens.items()}),
        seconds=total("otel_openai_usage_duration_seconds_total", "job")["shop"],
        finish_reasons=reasons,
        tools=total("otel_openai_tool_calls_total", "gen_ai_tool_name"),
        streams=total("otel_openai_streams_total", "otel_openai_stream_outcome"),
    )
