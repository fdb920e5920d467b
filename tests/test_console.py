"""The console view: what is printed for real spans and metrics of the real SDK."""

import io
import logging
import math
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from textwrap import dedent

import pytest
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from otel_openai import _guard
from otel_openai.console import TraceTree, UsageTable

EXPLICIT_BUCKETS = ExplicitBucketHistogramAggregation([2.0**power for power in range(-7, 7)])
EPOCH = 1_700_000_000_000_000_000
NAMED: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-x",
    "gen_ai.response.model": "gpt-x-2",
    "server.address": "api.example.com",
    "server.port": 443,
}


class Traces:
    """A tracer whose spans are printed to a stream, with times in milliseconds that a test sets."""

    def __init__(self, stream: io.TextIOBase | None = None, max_waiting: int = 1000) -> None:
        self.stream = io.StringIO() if stream is None else stream
        self.tree = TraceTree(self.stream, max_waiting=max_waiting)  # pyright: ignore[reportArgumentType]
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.tree))
        self.tracer: Tracer = self.provider.get_tracer("app")

    def start(
        self, name: str, parent: Span | None = None, at: int = 0, attributes: Mapping[str, AttributeValue] | None = None
    ) -> Span:
        context = set_span_in_context(parent) if parent else None
        return self.tracer.start_span(name, context, attributes=attributes, start_time=EPOCH + at * 1_000_000)

    def end(self, span: Span, at: float) -> None:
        span.end(EPOCH + int(at * 1_000_000))

    def printed(self) -> str:
        """What was printed since the last time: each time an empty line, and the trees."""
        assert isinstance(self.stream, io.StringIO)
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text


def block(text: str) -> str:
    """The text of a test without its indentation. What is printed begins with an empty line, as these texts do."""
    return dedent(text)


@pytest.fixture
def traces() -> Traces:
    return Traces()


def test_a_trace_is_one_tree_printed_when_its_root_has_ended(traces: Traces) -> None:
    root = traces.start("GET /answer")
    plain = traces.start(
        "chat gpt-x",
        root,
        at=10,
        attributes={
            **NAMED,
            "gen_ai.usage.input_tokens": 1234,
            "gen_ai.usage.cache_read.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 40,
            "gen_ai.usage.reasoning.output_tokens": 32,
            "gen_ai.response.finish_reasons": ["stop", "stop", "length"],
            "otel_openai.tool_call.count": 0,
            "http.response.status_code": 200,
        },
    )
    http = traces.start("POST", plain, at=11)
    traces.end(http, 1210)
    traces.end(plain, 1250)
    stream = traces.start(
        "chat gpt-x",
        root,
        at=1300,
        attributes={
            **NAMED,
            "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": 0.21,
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.response.finish_reasons": ["tool_calls"],
            "otel_openai.tool_call.count": 3,
            "otel_openai.tool_call.names": ["search", "weather", "search"],
            "otel_openai.stream.outcome": "completed",
        },
    )
    traces.end(stream, 2000)
    assert traces.printed() == ""

    traces.end(root, 2001.4)

    assert traces.printed() == block("""
    GET /answer  2.00 s
    ├── chat gpt-x  1.24 s  tokens 1,234 in (1,000 cached), 40 out (32 reasoning)  finish stop, stop, length
    │   └── POST  1.20 s
    └── chat gpt-x  700 ms  first token 210 ms  tokens 12 in, 7 out  finish tool_calls  tool calls search 2, weather 1
    """)


def test_failures_retries_and_streams_cut_short_stand_out(traces: Traces) -> None:
    root = traces.start("job")
    for number, (description, attributes) in enumerate(
        [
            (
                "RateLimitError, HTTP 429, code rate_limit_exceeded",
                {
                    "error.type": "rate_limit_exceeded",
                    "http.response.status_code": 429,
                    "http.request.resend_count": 2,
                },
            ),
            (None, {"error.type": "500", "http.response.status_code": 500}),
            ("ValueError: no such thing", {}),
            (None, {}),
        ]
    ):
        failed = traces.start("chat gpt-x", root, at=number, attributes=attributes)
        failed.set_status(Status(StatusCode.ERROR, description))
        traces.end(failed, number + 5)
    closed = traces.start("chat gpt-x", root, at=8, attributes={"otel_openai.stream.outcome": "closed"})
    traces.end(closed, 9.5)
    traces.end(root, 20)

    assert traces.printed() == block("""
        job  20 ms
        ├── chat gpt-x  5.0 ms  retries 2  RateLimitError, HTTP 429, code rate_limit_exceeded
        ├── chat gpt-x  5.0 ms  500, HTTP 500
        ├── chat gpt-x  5.0 ms  ValueError: no such thing
        ├── chat gpt-x  5.0 ms  error
        └── chat gpt-x  1.5 ms  stream closed
        """)


def test_a_span_that_outlives_its_root_is_printed_with_its_own_children(traces: Traces) -> None:
    root = traces.start("GET /answer")
    stream = traces.start("chat gpt-x", root, at=1)
    http = traces.start("POST", stream, at=2)
    traces.end(http, 3)
    traces.end(root, 4)
    assert traces.printed() == "\nGET /answer  4.0 ms\n"

    traces.end(stream, 50)

    assert traces.printed() == "\nchat gpt-x  49 ms  (part of GET /answer)\n└── POST  1.0 ms\n"


def test_a_span_with_a_remote_parent_is_a_root_here(traces: Traces) -> None:
    caller = SpanContext(trace_id=1, span_id=2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    span = traces.start("GET /answer", NonRecordingSpan(caller))
    traces.end(span, 7)

    assert traces.printed() == "\nGET /answer  7.0 ms\n"


@pytest.mark.parametrize("flush", ["force_flush", "shutdown"])
def test_what_waits_for_a_root_that_never_ends_is_printed_when_flushed(traces: Traces, flush: str) -> None:
    forever = traces.start("worker")
    step = traces.start("step", forever, at=1)
    call = traces.start("chat gpt-x", step, at=2)
    traces.end(call, 3)
    traces.end(step, 5)
    assert traces.printed() == ""

    getattr(traces.tree, flush)()

    assert traces.printed() == "\nstep  4.0 ms  (its parent has not ended)\n└── chat gpt-x  1.0 ms\n"


def test_memory_stays_bounded_under_a_root_that_never_ends() -> None:
    traces = Traces(max_waiting=50)
    forever = traces.start("worker")
    for number in range(1000):
        step = traces.start(f"step {number}", forever, at=number)
        traces.end(step, number + 1)
    traces.end(forever, 1000)

    lines = traces.printed().splitlines()
    steps = [line.split("  ")[0].lstrip("├└─ ") for line in lines if "step" in line]
    assert steps == [f"step {number}" for number in range(1000)]
    assert lines[1] == "step 0  1.0 ms  (its parent has not ended)"
    assert lines[51] == "step 50  1.0 ms  (its parent has not ended)"
    assert not traces.tree._waiting


def test_the_memory_of_printed_spans_is_bounded(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_openai.console._MAX_PRINTED", 20)
    for number in range(100):
        traces.end(traces.start("call"), number)

    assert len(traces.tree._printed) == 20


def test_names_are_shown_and_never_obeyed(traces: Traces) -> None:
    span = traces.start(
        "chat [red]x[/red]\x1b[31m\r\n\x9b1m\u202e:smile:\ud800",
        attributes={
            "gen_ai.response.finish_reasons": ["[bold]stop", "\x1b]0;owned\x07"],
            "otel_openai.tool_call.count": 1,
            "otel_openai.tool_call.names": ["[link=http://evil]tool\x08"],
            "error.type": "\x1b[2J",
        },
    )
    traces.end(span, 1)

    assert traces.printed() == block(r"""
        chat [red]x[/red]\x1b[31m\r\n\x9b1m\u202e:smile:\ud800  1.0 ms  finish [bold]stop, \x1b]0;owned\x07  tool calls
        [link=http://evil]tool\x08 1  \x1b[2J
        """)


def test_long_names_and_long_lists_are_cut(traces: Traces) -> None:
    span = traces.start("x" * 500, attributes={"gen_ai.response.finish_reasons": ["stop"] * 20})
    traces.end(span, 1)

    assert traces.printed() == block(f"""
        {"x" * 77}...  1.0 ms  finish stop, stop, stop, stop,
        stop, stop, stop, stop, ...
        """)


def test_values_of_unexpected_types_are_shown_as_they_are(traces: Traces) -> None:
    span = traces.start(
        "chat",
        attributes={
            "gen_ai.usage.input_tokens": "12",
            "gen_ai.usage.cache_read.input_tokens": "many",
            "gen_ai.usage.output_tokens": True,
            "gen_ai.response.time_to_first_chunk": "soon",
            "gen_ai.response.finish_reasons": "stop",
            "otel_openai.tool_call.count": "two",
            "http.request.resend_count": "few",
            "http.response.status_code": "teapot",
        },
    )
    traces.end(span, 1)

    assert traces.printed() == block("""
        chat  1.0 ms  first token soon  tokens 12 in (many cached), 1 out  finish stop  tool calls two  retries few
        """)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "\njob  2.0 ms\n`-- chat \\u6a21\\u578b-\\xe9  1.0 ms\n"),
        ("latin-1", "\njob  2.0 ms\n`-- chat \\u6a21\\u578b-é  1.0 ms\n"),
        ("utf-8", "\njob  2.0 ms\n└── chat 模型-é  1.0 ms\n"),
    ],
)
def test_any_encoding_of_the_stream_will_do(encoding: str, expected: str) -> None:
    written = io.BytesIO()
    traces = Traces(io.TextIOWrapper(written, encoding=encoding, newline=""))
    root = traces.start("job")
    traces.end(traces.start("chat 模型-é", root), 1)
    traces.end(root, 2)

    assert written.getvalue().decode(encoding) == expected


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("no_color", "expected"),
    [
        (None, "\n\x1b[1;31mchat\x1b[0m\x1b[36m  1.0 ms\x1b[0m\x1b[31m  500, HTTP 500\x1b[0m\n"),
        ("1", "\n\x1b[1mchat\x1b[0m  1.0 ms  500, HTTP 500\n"),
    ],
)
def test_colours_are_for_terminals_and_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, expected: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    for variable in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(variable, raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    traces = Traces(Terminal())
    failed = traces.start("chat", attributes={"error.type": "500", "http.response.status_code": 500})
    traces.end(failed, 1)

    assert traces.printed() == expected


def test_stdout_belongs_to_the_application(capsys: pytest.CaptureFixture[str]) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TraceTree()))
    provider.get_tracer("app").start_span("job", start_time=EPOCH).end(EPOCH + 5_000_000)

    assert capsys.readouterr() == ("", "\njob  5.0 ms\n")


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError("the pipe is gone")


@pytest.mark.parametrize("stream", [Broken(), None], ids=["broken", "no stderr at all"])
def test_a_stream_that_fails_is_not_the_applications_problem(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: io.StringIO | None
) -> None:
    monkeypatch.setattr(_guard, "reraise", False)
    monkeypatch.setattr(_guard, "_reported", set[str]())
    monkeypatch.setattr(sys, "stderr", stream)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(TraceTree()))
    meters = MeterProvider([UsageTable()], shutdown_on_exit=False)
    record_calls(meters.get_meter("otel_openai"), [0.1])

    with caplog.at_level(logging.WARNING):
        for name in ("one", "two"):
            provider.get_tracer("app").start_span(name).end()
        provider.shutdown()
        meters.force_flush()
        meters.shutdown()

    lost = "Telemetry was lost while printing {}; the application is not affected."
    expected = [lost.format("a trace"), lost.format("the usage table")] if stream else []
    assert [record.getMessage() for record in caplog.records] == expected


def test_very_deep_and_very_wide_traces_are_printed(traces: Traces) -> None:
    spans = [traces.start("root")]
    for depth in range(300):
        spans.append(traces.start(f"deep {depth}", spans[-1]))
    for width in range(300):
        traces.end(traces.start(f"wide {width}", spans[0], at=1), 1)
    for span in reversed(spans):
        traces.end(span, 2)

    assert traces.printed().count("ms") == 601


def test_threads_print_whole_trees_and_lose_none(traces: Traces) -> None:
    def work(number: int) -> None:
        for _ in range(25):
            root = traces.start(f"root {number}")
            traces.end(traces.start(f"child {number}", root), 1)
            traces.end(root, 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = traces.printed().splitlines()
    pairs = sorted(zip(lines[1::3], lines[2::3], strict=True))
    assert set(lines[::3]) == {""}
    assert pairs == [(f"root {n}  1.0 ms", f"└── child {n}  1.0 ms") for n in range(8) for _ in range(25)]


def record_calls(meter: Meter, durations: list[float], attributes: Mapping[str, AttributeValue] = NAMED) -> None:
    histogram = meter.create_histogram("gen_ai.client.operation.duration", "s")
    for duration in durations:
        histogram.record(duration, attributes)


def observe(meter: Meter, name: str, *counts: tuple[float, Mapping[str, AttributeValue]]) -> None:
    def callback(_: CallbackOptions) -> Iterator[Observation]:
        return (Observation(count, {**NAMED, **attributes}) for count, attributes in counts)

    meter.create_observable_counter(name, [callback])


def usage_of(*views: View) -> tuple[io.StringIO, MeterProvider]:
    stream = io.StringIO()
    return stream, MeterProvider([UsageTable(stream)], shutdown_on_exit=False, views=views)


def test_the_usage_table_is_read_from_the_metrics() -> None:
    stream, provider = usage_of()
    meter = provider.get_meter("otel_openai")
    record_calls(meter, [0.5, 1.0, 2.5])
    record_calls(meter, [0.25], {**NAMED, "error.type": "rate_limit_exceeded"})
    embeddings: dict[str, AttributeValue] = {**NAMED, "gen_ai.request.model": "embed", "server.port": 8080}
    record_calls(meter, [0.0123], {**embeddings, "gen_ai.operation.name": "embeddings"})
    meter.create_histogram("gen_ai.client.operation.time_to_first_chunk", "s").record(0.3, NAMED)
    usage = "gen_ai.client.inference.usage."
    tier: dict[str, AttributeValue] = {"openai.response.service_tier": "flex"}
    observe(meter, usage + "input_tokens", (12_000, {}), (345, tier), (9, embeddings))
    observe(meter, usage + "output_tokens", (678, {}))
    observe(meter, usage + "cache_read.input_tokens", (10_000, {}))
    observe(meter, usage + "reasoning.output_tokens", (0, {}))
    reason = "otel_openai.finish_reason"
    observe(meter, "otel_openai.finish_reasons", (4, {reason: "stop"}), (1, {reason: "length"}))
    observe(meter, "otel_openai.tool_calls", (2, {"gen_ai.tool.name": "[b]weather"}))
    observe(meter, "otel_openai.streams", (1, {"otel_openai.stream.outcome": "closed"}))
    observe(meter, "otel_openai.retries", (2, {}))
    observe(meter, "otel_openai.usage.duration", (2.5, {}), (0.25, tier))
    observe(meter, "otel_openai.active_requests", (1, {"gen_ai.request.model": "open"}))

    provider.shutdown()

    assert stream.getvalue() == block("""
    Usage by model
    model  server                calls  errors      in  cached  out  reasoning  time p50     p95  first token
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────
    gpt-x  api.example.com           4       1  12,345  10,000  678          0    500 ms  2.50 s       300 ms
    embed  api.example.com:8080      1       0       9       -    -          -     12 ms   12 ms            -

    gpt-x at api.example.com
      media       2.75 s
      finish      stop 4, length 1
      tool calls  [b]weather 2
      streams     closed 1
      retries     2
      errors      rate_limit_exceeded 1
    """)


def test_a_terminal_that_is_too_narrow_for_the_table_gets_its_numbers_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    provider = MeterProvider([UsageTable(stream)], shutdown_on_exit=False)
    meter = provider.get_meter("otel_openai")
    record_calls(meter, [2.5, 2.5, 2.5])
    named = {**NAMED, "gen_ai.request.model": "meta-llama/Llama-3.3-70B-Instruct-Turbo"}
    record_calls(meter, [0.25], {**named, "error.type": "rate_limit_exceeded"})
    meter.create_histogram("gen_ai.client.operation.time_to_first_chunk", "s").record(0.3, NAMED)
    observe(meter, "gen_ai.client.inference.usage.input_tokens", (12_000, {}))
    observe(meter, "gen_ai.client.inference.usage.output_tokens", (678, {}))
    observe(meter, "otel_openai.finish_reasons", (3, {"otel_openai.finish_reason": "stop"}))

    provider.shutdown()

    assert stream.getvalue() == block("""
    Usage by model

    gpt-x at api.example.com
      calls        3
      tokens       12,000 in, 678 out
      time         p50 2.50 s, p95 2.50 s
      first token  300 ms
      finish       stop 3

    meta-llama/Llama-3.3-70B-Instruct-Turbo at api.example.com
      calls   1
      time    p50 250 ms, p95 250 ms
      errors  rate_limit_exceeded 1
    """)


def test_streams_without_usage_are_explained() -> None:
    stream, provider = usage_of()
    meter = provider.get_meter("otel_openai")
    outcome = "otel_openai.stream.outcome"
    asked: dict[str, AttributeValue] = {**NAMED, "gen_ai.request.model": "asked"}
    closed: dict[str, AttributeValue] = {**NAMED, "gen_ai.request.model": "closed"}
    heard: dict[str, AttributeValue] = {**NAMED, "gen_ai.request.model": "heard"}
    for attributes in (NAMED, asked, closed, heard):
        record_calls(meter, [1.0], attributes)
    observe(
        meter,
        "otel_openai.streams",
        (1, {outcome: "completed"}),
        (1, {**asked, outcome: "completed"}),
        (1, {**closed, outcome: "closed"}),
        (1, {**heard, outcome: "completed"}),
    )
    observe(meter, "otel_openai.usage.duration", (2.5, heard))
    observe(meter, "gen_ai.client.inference.usage.input_tokens", (9, asked))

    provider.shutdown()

    assert stream.getvalue().split("\n\n")[1:] == [
        "asked at api.example.com\n  streams  completed 1",
        "closed at api.example.com\n  streams  closed 1",
        (
            "gpt-x at api.example.com\n"
            "  tokens   none: streams tell them only where asked (stream_usage=True)\n"
            "  streams  completed 1"
        ),
        "heard at api.example.com\n  media    2.50 s\n  streams  completed 1\n",
    ]


def test_calls_that_name_no_model_are_told_under_the_one_that_answered_or_by_what_they_did() -> None:
    stream, provider = usage_of()
    meter = provider.get_meter("otel_openai")
    unnamed = {name: value for name, value in NAMED.items() if not name.endswith(".model")}
    record_calls(meter, [1.0])
    record_calls(meter, [1.0], {**unnamed, "gen_ai.operation.name": "invoke_agent", "gen_ai.response.model": "gpt-x"})
    record_calls(meter, [1.0], {**unnamed, "gen_ai.operation.name": "retrieval"})
    provider.shutdown()

    rows = [line.split()[:3] for line in stream.getvalue().splitlines() if "example.com" in line]
    assert rows == [["gpt-x", "api.example.com", "2"], ["retrieval", "api.example.com", "1"]]


def test_the_model_that_answered_is_printed_where_none_was_named(traces: Traces) -> None:
    answered = {"gen_ai.operation.name": "invoke_agent", "gen_ai.response.model": "gpt-x"}
    traces.end(traces.start("invoke_agent", attributes=answered), 10)
    assert traces.printed() == "\ninvoke_agent  10 ms  model gpt-x\n"


def test_seconds_of_sound_and_video_are_printed(traces: Traces) -> None:
    used = {**NAMED, "otel_openai.usage.duration": 12.5}
    traces.end(traces.start("generate_content whisper-1", attributes=used), 10)
    assert traces.printed() == "\ngenerate_content whisper-1  10 ms  media 12.50 s\n"


def test_what_calls_cost_is_printed_where_it_is_known(traces: Traces) -> None:
    for cost in (0.000195, 0, 0.0000001, 1234.5):
        traces.end(traces.start("chat gpt-x", attributes={**NAMED, "otel_openai.cost": cost}), 10)
    assert traces.printed().split("\n\n") == [
        "\nchat gpt-x  10 ms  cost $0.000195\n".rstrip("\n"),
        "chat gpt-x  10 ms  cost $0.000000",
        "chat gpt-x  10 ms  cost < $0.000001",
        "chat gpt-x  10 ms  cost $1,234.50\n",
    ]

    stream, provider = usage_of()
    meter = provider.get_meter("otel_openai")
    record_calls(meter, [0.5])
    tier: dict[str, AttributeValue] = {"openai.response.service_tier": "flex"}
    observe(meter, "otel_openai.cost", (0.25, {}), (0.5, tier))
    observe(meter, "otel_openai.unpriced_calls", (3, {}))
    provider.shutdown()

    assert stream.getvalue().endswith(
        block("""
    gpt-x at api.example.com
      cost      $0.750000
      unpriced  3
    """)
    )


def test_the_usage_table_is_printed_again_only_when_it_has_changed() -> None:
    stream, provider = usage_of()
    meter = provider.get_meter("otel_openai")
    provider.force_flush()
    assert stream.getvalue() == ""

    record_calls(meter, [1.0])
    provider.force_flush()
    provider.force_flush()
    assert stream.getvalue().count("Usage by model") == 1

    record_calls(meter, [1.0])
    provider.shutdown()
    assert stream.getvalue().count("Usage by model") == 2


def test_metrics_of_other_packages_are_not_counted() -> None:
    stream, provider = usage_of()
    record_calls(provider.get_meter("some.other.instrumentation"), [1.0])
    provider.shutdown()

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("views", "tolerance"),
    [
        ((), 0.05),
        ((View(instrument_name="*", aggregation=EXPLICIT_BUCKETS),), 0.3),
    ],
    ids=["exponential buckets", "explicit buckets"],
)
def test_percentiles_are_close_to_the_true_ones(views: tuple[View, ...], tolerance: float) -> None:
    stream, provider = usage_of(*views)
    durations = [random.Random(seed).lognormvariate(0, 0.6) for seed in range(500)]  # noqa: S311 - no secret
    # Two series of one row: the percentile is that of both together.
    meter = provider.get_meter("otel_openai")
    record_calls(meter, durations[:250])
    record_calls(meter, durations[250:], {**NAMED, "gen_ai.response.model": "another"})
    provider.shutdown()

    row = stream.getvalue().splitlines()[4].split()
    shown = [float(row[8]) * (0.001 if row[9] == "ms" else 1), float(row[10])]
    true = [sorted(durations)[249], sorted(durations)[474]]
    assert all(math.isclose(a, b, rel_tol=tolerance) for a, b in zip(shown, true, strict=True)), (shown, true)
