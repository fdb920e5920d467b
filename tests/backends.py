"""What a person sees of a trace: one shape for Jaeger, read through its query API, and for our own OTLP receiver."""

import json
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from background import built, fetch, free_port, serving
from collectors import Collector
from otlp import Attributes, OtlpReceiver, attributes

_KINDS = ("", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Shown:
    """One span."""

    service: str
    name: str
    kind: str
    scope: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    """Unix time in seconds."""
    duration: float
    """Seconds."""
    is_error: bool
    description: str
    """Of the status."""
    attributes: Attributes


class Backend(Protocol):
    """Where programs export their spans to, and where people look at them."""

    endpoint: str
    """For OTEL_EXPORTER_OTLP_ENDPOINT."""

    def spans(self, service: str) -> list[Shown]:
        """Every span of a service so far, in the order of their starts."""
        ...


def wait_for_spans(backend: Backend, service: str, count: int, timeout: float = 20) -> list[Shown]:
    """Return the spans of a service as soon as there are `count` of them."""
    deadline = time.monotonic() + timeout
    while len(spans := backend.spans(service)) < count:
        assert time.monotonic() < deadline, f"{len(spans)} of {count} spans arrived: {[span.name for span in spans]}"
        time.sleep(0.05)
    return spans


class Received(OtlpReceiver):
    """The OTLP receiver of the tests as a backend."""

    def spans(self, service: str) -> list[Shown]:
        """Every span of a service so far, in the order of their starts."""
        shown = [
            Shown(
                service=service,
                name=span.name,
                kind=_KINDS[span.kind],
                scope=scope.scope.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex() or None,
                start=span.start_time_unix_nano / 1e9,
                duration=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                description=span.status.message,
                attributes=attributes(span.attributes),
            )
            for resource in self.resource_spans
            if attributes(resource.resource.attributes)["service.name"] == service
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(shown, key=lambda span: span.start)


class Jaeger:
    """A Jaeger that runs: its ports, and its query API, which is what its user interface reads."""

    def __init__(self) -> None:
        self.otlp_grpc = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        self.query = f"http://127.0.0.1:{free_port()}"

    def config(self, max_traces: int = 1000) -> str:
        """Everything in memory, on ports of this test only."""
        config = {
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            },
            "extensions": {
                "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": max_traces}}}},
                "jaeger_query": {
                    "storage": {"traces": "memory"},
                    "http": {"endpoint": self.query.removeprefix("http://")},
                    "grpc": {"endpoint": "127.0.0.1:0"},
                },
            },
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {"endpoint": self.otlp_grpc},
                        "http": {"endpoint": self.endpoint.removeprefix("http://")},
                    }
                }
            },
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        }
        return json.dumps(config)

    def services(self) -> list[str]:
        """The services to choose from."""
        return self._get("services")

    def operations(self, service: str) -> set[str]:
        """The operations of a service to choose from."""
        return {operation["name"] for operation in self._get("operations", service=service)}

    def spans(self, service: str, **having: str) -> list[Shown]:
        """Every span in the traces of a service, or of those with a span that has these attributes."""
        tags = {"tags": json.dumps(having)} if having else {}
        traces: list[Any] = self._get("traces", service=service, limit="1000", lookback="1h", **tags)
        shown = [
            _from_jaeger(span, trace["processes"][span["processID"]]["serviceName"])
            for trace in traces
            for span in trace["spans"]
        ]
        return sorted(shown, key=lambda span: span.start)

    def _get(self, path: str, **query: str) -> Any:
        return json.loads(fetch(f"{self.query}/api/{path}?{urlencode(query)}"))["data"] or []


@contextmanager
def jaeger(folder: Path) -> Generator[Jaeger]:
    """Run Jaeger with its files in a folder; skips where `make jaeger` could not build it."""
    running = Jaeger()
    program, config = built("jaeger", target="jaeger"), folder / "jaeger.json"
    config.write_text(running.config())
    command = [program, "--config", config]
    # It has nothing to keep, and now and then takes ten seconds and more over a graceful end.
    with serving(command, f"{running.query}/api/services", folder / "jaeger.log", stop=signal.SIGKILL):
        yield running


def _from_jaeger(span: Any, service: str) -> Shown:
    tags: Attributes = {tag["key"]: _typed(tag) for tag in span["tags"]}
    is_error = tags.pop("error", False) is True and tags.pop("otel.status_code") == "ERROR"
    parents = [reference["spanID"] for reference in span["references"] if reference["refType"] == "CHILD_OF"]
    return Shown(
        service=service,
        name=span["operationName"],
        kind=tags.pop("span.kind"),
        scope=tags.pop("otel.scope.name"),
        trace_id=span["traceID"],
        span_id=span["spanID"],
        parent_id=parents[0] if parents else None,
        start=span["startTime"] / 1e6,
        duration=span["duration"] / 1e6,
        is_error=is_error,
        description=tags.pop("otel.status_description", ""),
        attributes={key: value for key, value in tags.items() if not key.startswith("otel.scope.")},
    )


def _typed(tag: Any) -> Any:
    """A tag's value; Jaeger shows an array as the text of its JSON."""
    is_array = tag["type"] == "string" and tag["value"].startswith("[")
    return json.loads(tag["value"]) if is_array else tag["value"]


class Collected:
    """What Jaeger shows of what the collector of docker-compose passed on to it."""

    def __init__(self, collector: Collector, shown: Jaeger) -> None:
        self.endpoint = collector.endpoint
        self.spans = shown.spans


@contextmanager
def collected(folder: Path) -> Generator[Collected]:
    """Run Jaeger, and in front of it the collector; skips where make could not build them."""
    with jaeger(folder) as shown:
        collector = Collector("collector", folder / "collector", otlp_grpc__jaeger={"endpoint": shown.otlp_grpc})
        with collector.running():
            yield Collected(collector, shown)


BACKENDS: dict[str, Callable[[Path], Any]] = {
    "OTLP receiver": lambda _: Received(),
    "Jaeger": jaeger,
    "collector and Jaeger": collected,
}
