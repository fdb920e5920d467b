"""OtlpReceiver: takes traces, metrics and logs by OTLP/HTTP and keeps the decoded requests in the order of arrival."""

import gzip
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from typing_extensions import Self

Attributes = dict[str, Any]


class OtlpReceiver:
    """An OTLP/HTTP receiver in a thread of the test process.

    Example:
        >>> with OtlpReceiver() as receiver:
        ...     run(program, env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint})
        ...     assert receiver.metric_names == {"gen_ai.client.token.usage"}

    Attributes:
        endpoint: For OTEL_EXPORTER_OTLP_ENDPOINT.
        traces: Every export of spans.
        metrics: Every export of metrics.
        logs: Every export of log records.
        headers: The headers of every request.
        is_available: Set to False, everything is refused with 503, which means: send it again later.
        refused: The paths of what was refused.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self.headers: list[Mapping[str, str]] = []
        self.is_available = True
        self.refused: list[str] = []
        self._arrived = threading.Condition()

    @property
    def resource_spans(self) -> list[ResourceSpans]:
        """Spans by resource and scope, of all exports."""
        with self._arrived:
            return [resource for request in self.traces for resource in request.resource_spans]

    @property
    def span_names(self) -> list[str]:
        """The names of all spans, in the order of arrival."""
        scopes = [scope for resource in self.resource_spans for scope in resource.scope_spans]
        return [span.name for scope in scopes for span in scope.spans]

    @property
    def metric_names(self) -> set[str]:
        """The names of all metrics."""
        return {metric.name for _, metric in self.received_metrics()}

    def received_metrics(self) -> list[tuple[Attributes, Metric]]:
        """Every metric of every export, with the attributes of its resource."""
        with self._arrived:
            return [
                (attributes(resource.resource.attributes), metric)
                for request in self.metrics
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            ]

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10) -> None:
        """Return as soon as the condition holds; it is looked at whenever something arrives.

        Raises:
            TimeoutError: It did not hold within `timeout` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(condition, timeout):
                raise TimeoutError(f"not received within {timeout} s; spans so far: {self.span_names}")

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                self.send_response(receiver._take(self.path, body, dict(self.headers)))
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class named it
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, path: str, body: bytes, headers: Mapping[str, str]) -> HTTPStatus:
        with self._arrived:
            self._arrived.notify_all()
            if not self.is_available:
                self.refused.append(path)
                return HTTPStatus.SERVICE_UNAVAILABLE
            self.headers.append(headers)
            if path == "/v1/traces":
                self.traces.append(ExportTraceServiceRequest.FromString(body))
            elif path == "/v1/metrics":
                self.metrics.append(ExportMetricsServiceRequest.FromString(body))
            elif path == "/v1/logs":
                self.logs.append(ExportLogsServiceRequest.FromString(body))
            else:
                return HTTPStatus.NOT_FOUND
            return HTTPStatus.OK


def attributes(pairs: Iterable[KeyValue]) -> Attributes:
    """Attributes as Python values; arrays are lists."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)
