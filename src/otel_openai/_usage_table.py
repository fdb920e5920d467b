"""The usage table: what this package's own metrics say of each model and server, printed for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    MetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from rich import box
from rich.table import Table
from rich.text import Text

from otel_openai import _semconv as sc
from otel_openai._guard import contained
from otel_openai._terminal import counted, dollars, number, render, safe, seconds, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from rich.console import Console, ConsoleOptions, RenderableType

_SCOPE = "otel_openai"
_HTTPS = 443
_UNKNOWN = "-"
_ANY_WIDTH = 10_000

_Histogram: TypeAlias = HistogramDataPoint | ExponentialHistogramDataPoint
_DataPoint: TypeAlias = _Histogram | NumberDataPoint

# Columns of tokens, and the metrics that tell them.
_TOKENS = {
    "in": sc.METRIC_INFERENCE_USAGE + "input_tokens",
    "cached": sc.METRIC_INFERENCE_USAGE + "cache_read.input_tokens",
    "out": sc.METRIC_INFERENCE_USAGE + "output_tokens",
    "reasoning": sc.METRIC_INFERENCE_USAGE + "reasoning.output_tokens",
}

# What a row is named after: the first of these that is told. A run names no model in its request, a search none at all.
_NAMES = (sc.REQUEST_MODEL, sc.RESPONSE_MODEL, sc.OPERATION_NAME)

# The metrics that are read, and the attribute that tells the numbers of one metric apart, if there is one.
_LABELS = {
    sc.METRIC_DURATION: "",
    sc.METRIC_TIME_TO_FIRST_CHUNK: "",
    **dict.fromkeys(_TOKENS.values(), ""),
    sc.METRIC_USAGE_DURATION: "",
    sc.METRIC_FINISH_REASONS: sc.FINISH_REASON,
    sc.METRIC_TOOL_CALLS: sc.TOOL_NAME,
    sc.METRIC_STREAMS: sc.STREAM_OUTCOME,
    sc.METRIC_RETRIES: "",
    sc.METRIC_COST: "",
    sc.METRIC_UNPRICED_CALLS: "",
}


class _Usage:
    """What the metrics say of one model on one server."""

    def __init__(self) -> None:
        self.histograms: defaultdict[str, list[_Histogram]] = defaultdict(list)
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by metric, then by its own label
        self.errors: Counter[str] = Counter()
        self.cost: float | None = None
        self.media: float | None = None  # seconds

    def add(self, metric: str, point: _DataPoint) -> None:
        attributes: Mapping[str, Any] = point.attributes or {}
        if isinstance(point, (HistogramDataPoint, ExponentialHistogramDataPoint)):
            self.histograms[metric].append(point)
            if metric == sc.METRIC_DURATION and sc.ERROR_TYPE in attributes:
                self.errors[str(attributes[sc.ERROR_TYPE])] += point.count
        elif metric == sc.METRIC_COST:
            self.cost = (self.cost or 0.0) + point.value
        elif metric == sc.METRIC_USAGE_DURATION:
            self.media = (self.media or 0.0) + point.value
        else:
            self.counts[metric][str(attributes.get(_LABELS[metric], ""))] += int(point.value)

    def calls(self) -> int:
        return sum(point.count for point in self.histograms[sc.METRIC_DURATION])

    def tokens(self, kind: str) -> str:
        counts = self.counts.get(_TOKENS[kind])
        return _UNKNOWN if counts is None else number(counts.total())

    def duration(self, quantile: float) -> str:
        points = self.histograms[sc.METRIC_DURATION]
        return seconds(_quantile(points, quantile)) if points else _UNKNOWN

    def first_token(self) -> str:
        points = self.histograms[sc.METRIC_TIME_TO_FIRST_CHUNK]
        count = sum(point.count for point in points)
        return seconds(sum(point.sum for point in points) / count) if count else _UNKNOWN

    def columns(self) -> Iterator[tuple[str, str]]:
        """What the columns tell, in words: for a terminal that has no room for them."""
        yield "calls", number(self.calls())
        told = {kind: self.tokens(kind) for kind in _TOKENS}
        yield "tokens", ", ".join(f"{tokens} {kind}" for kind, tokens in told.items() if tokens != _UNKNOWN)
        yield "time", f"p50 {self.duration(0.5)}, p95 {self.duration(0.95)}"
        yield "first token", self.first_token()

    def notes(self) -> Iterator[tuple[str, str]]:
        """What has no column, because most models have little of it."""
        if self.media is not None:
            yield "media", seconds(self.media)
        elif self.tokens("in") == _UNKNOWN and self.counts[sc.METRIC_STREAMS]["completed"]:
            yield "tokens", "none: streams tell them only where asked (stream_usage=True)"
        if self.cost is not None:
            yield "cost", dollars(self.cost)
        kinds = (
            ("finish", self.counts[sc.METRIC_FINISH_REASONS]),
            ("tool calls", self.counts[sc.METRIC_TOOL_CALLS]),
            ("streams", self.counts[sc.METRIC_STREAMS]),
            ("retries", self.counts[sc.METRIC_RETRIES]),
            ("unpriced", self.counts[sc.METRIC_UNPRICED_CALLS]),
            ("errors", self.errors),
        )
        yield from ((kind, counted(counts)) for kind, counts in kinds if counts.total())


class UsageTable(MetricReader):
    """Print a table of the usage per model and server, read from this package's metrics.

    Printed at `force_flush` and at `shutdown` (which the SDK calls at exit), unless nothing has changed since the last
    time. The numbers count from the start of the process. The durations at the 50th and 95th percentile are estimates
    from the histogram, the time to the first token is a mean.

    Args:
        stream: Where to write. Default: what `sys.stderr` is at that moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        # Exponential buckets: good percentiles at any scale.
        super().__init__(preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()})
        self._stream = stream
        self._printed = ""

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ARG002 - the SDK's interface
        """Print the last state."""
        self._collect_last(timeout_millis)

    @contained("printing the usage table")
    def _collect_last(self, timeout_millis: float) -> None:
        self.collect(timeout_millis)

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the SDK's interface
        **kwargs: Any,  # noqa: ARG002 - the SDK's interface
    ) -> None:
        self._print(metrics_data)

    @contained("printing the usage table")
    def _print(self, metrics_data: MetricsData) -> None:
        usage = _read(metrics_data)
        if usage and (text := render(self._stream, "", _Report(usage))) != self._printed:
            self._printed = text
            write(self._stream, text)


def _read(data: MetricsData) -> list[tuple[str, str, _Usage]]:
    """Model, server and usage, the most called first."""
    usage: defaultdict[tuple[str, str], _Usage] = defaultdict(_Usage)
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    for metric in (metric for scope in scopes if scope.scope.name == _SCOPE for metric in scope.metrics):
        if metric.name in _LABELS:
            for point in metric.data.data_points:
                attributes: Mapping[str, Any] = point.attributes or {}
                port = attributes.get(sc.SERVER_PORT, _HTTPS)
                server = f"{attributes.get(sc.SERVER_ADDRESS, '-')}" + (f":{port}" if port != _HTTPS else "")
                model = next((attributes[name] for name in _NAMES if name in attributes), _UNKNOWN)
                usage[safe(model), safe(server)].add(metric.name, point)
    rows = [(model, server, used) for (model, server), used in usage.items()]
    return sorted(rows, key=lambda row: (-row[2].calls(), row[:2]))


class _Report:
    """The table, and below it what has no column; everything there, where the terminal is narrower than the table."""

    def __init__(self, usage: Sequence[tuple[str, str, _Usage]]) -> None:
        self._usage = usage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = _table(self._usage)
        fits = console.measure(table, options=options.update_width(_ANY_WIDTH)).maximum <= options.max_width
        yield table if fits else Text("Usage by model", style="bold")
        yield from _notes(self._usage, with_columns=not fits)


def _table(usage: Sequence[tuple[str, str, _Usage]]) -> Table:
    table = Table(
        title="Usage by model",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for title in ("model", "server"):
        table.add_column(title, overflow="fold")
    for title in ("calls", "errors", *_TOKENS, "time p50", "p95", "first token"):
        table.add_column(title, justify="right", no_wrap=True)
    for model, server, used in usage:
        table.add_row(
            Text(model, style="bold"),
            Text(server),
            number(used.calls()),
            Text(number(used.errors.total()), style="red" if used.errors else ""),
            *map(used.tokens, _TOKENS),
            used.duration(0.5),
            used.duration(0.95),
            used.first_token(),
        )
    return table


def _notes(usage: Sequence[tuple[str, str, _Usage]], *, with_columns: bool) -> Iterator[RenderableType]:
    for model, server, used in usage:
        columns = used.columns() if with_columns else ()
        if notes := [(kind, words) for kind, words in (*columns, *used.notes()) if words not in {"", _UNKNOWN}]:
            grid = Table.grid(padding=(0, 2, 0, 0))
            for kind, words in notes:
                grid.add_row(f"  {kind}", Text(words))
            yield Text.assemble("\n", (model, "bold"), f" at {server}")
            yield grid


def _quantile(points: Sequence[_Histogram], quantile: float) -> float:
    """Estimate a quantile of everything that was recorded in these histograms, by interpolation within a bucket."""
    buckets = sorted(bucket for point in points for bucket in _buckets(point))
    rank = quantile * sum(count for _, _, count in buckets)
    for low, high, count in buckets:
        if rank <= count:
            return low + (high - low) * rank / count
        rank -= count
    return buckets[-1][1]


def _buckets(point: _Histogram) -> Iterator[tuple[float, float, int]]:
    """Lower edge, upper edge and count of the buckets that hold something."""
    if isinstance(point, HistogramDataPoint):
        edges, counts = [0.0, *point.explicit_bounds, point.max], point.bucket_counts
    else:
        base = 2.0 ** (2.0**-point.scale)
        edges = [base ** (point.positive.offset + i) for i in range(len(point.positive.bucket_counts) + 1)]
        counts = point.positive.bucket_counts
        if point.zero_count:
            yield 0.0, 0.0, point.zero_count
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            yield max(low, point.min), min(max(high, low), point.max), count
