"""What leaves the process: metrics as the SDK hands them to exporters, and everything as OTLP puts it on the wire."""

import logging
from typing import Any

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import Metric

from support import Told


def metrics(told: Told) -> dict[str, Metric]:
    """Every metric, by name."""
    data = told._reader.get_metrics_data()
    if data is None:
        return {}
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return {metric.name: metric for scope in scopes for metric in scope.metrics}


def otlp(told: Told) -> bytes:
    """Everything that was told, as OTLP. The encoder drops an attribute that it cannot encode, and logs that."""
    complaints = _Complaints()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(complaints)
    try:
        messages: list[Any] = [encode_spans(told.spans), encode_logs(told._logs.get_finished_logs())]
        if (data := told._reader.get_metrics_data()) is not None:
            messages.append(encode_metrics(data))
        wire = b"".join(message.SerializeToString() for message in messages)
    finally:
        logger.removeHandler(complaints)
    assert complaints.seen == []
    return wire


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())
