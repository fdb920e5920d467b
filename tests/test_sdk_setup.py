"""`instrument(export=...)`: sets up what the application has not, and nothing else.

A global provider can be set once per process, so each of these tests is a program of its own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from textwrap import dedent

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from otel_openai._noop import is_noop, is_unset
from otlp import OtlpReceiver, attributes

PREAMBLE = """
import logging, sys, warnings
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
from opentelemetry import _logs, metrics, trace
from otel_openai.sdk import configure

def show():
    for provider in trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider():
        print(type(provider).__module__.split(".")[1], type(provider).__name__)

def use():
    with trace.get_tracer("app").start_as_current_span("work"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SDK 1.37 warns about its own use of a log record
        _logs.get_logger("app").emit(_logs.LogRecord(body="said"))
    metrics.get_meter("app").create_counter("jobs").add(3)
"""
UNSET = "trace ProxyTracerProvider\nmetrics _ProxyMeterProvider\n_logs ProxyLoggerProvider\n"
ALL_SET = "sdk TracerProvider\nsdk MeterProvider\nsdk LoggerProvider\n"


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This environment without settings of OpenTelemetry, plus these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return {**clean, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


def complete(program: str, env: Mapping[str, str] | None = None) -> tuple[str, str]:
    """What the program writes to stdout and to stderr."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-c", PREAMBLE + dedent(program)],
        env=environment(env or {}),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def run(program: str, env: Mapping[str, str] | None = None) -> str:
    """What the program prints; nothing may appear on stderr."""
    stdout, stderr = complete(program, env)
    assert stderr == ""
    return stdout


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def test_otlp_sends_every_signal_as_the_standard_variables_say(collector: OtlpReceiver) -> None:
    printed = run(
        """
        configure("otlp")
        show()
        use()
        """,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue",
            "OTEL_SERVICE_NAME": "shop",
        },
    )

    assert printed == ALL_SET
    assert collector.span_names == ["work"]
    (traces,), (counted,), (logs,) = collector.traces, collector.metrics, collector.logs
    (metric,) = counted.resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.sum.data_points[0].as_int) == ("jobs", 3)
    assert logs.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "said"
    resources = (traces.resource_spans[0], counted.resource_metrics[0], logs.resource_logs[0])
    services = [attributes(sent.resource.attributes)["service.name"] for sent in resources]
    assert services == ["shop"] * 3
    assert [headers["x-team"] for headers in collector.headers] == ["blue"] * 3


def test_otlp_takes_the_sampler_from_the_environment(collector: OtlpReceiver) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_TRACES_SAMPLER": "always_off"}
    run('configure("otlp")\nuse()', env)

    assert (len(collector.traces), len(collector.metrics), len(collector.logs)) == (0, 1, 1)


def test_otlp_takes_the_export_interval_from_the_environment(collector: OtlpReceiver) -> None:
    program = PREAMBLE + 'configure("otlp")\nuse()\nsys.stdin.read()'
    env = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "50"})
    with subprocess.Popen([sys.executable, "-c", program], env=env, stdin=subprocess.PIPE) as process:  # noqa: S603
        try:
            collector.wait_until(lambda: len(collector.metrics) >= 3, timeout=30)
        finally:
            process.kill()  # what arrived did not wait for the end of the program


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("OTEL_TRACES_EXPORTER", "trace ProxyTracerProvider\nsdk MeterProvider\nsdk LoggerProvider\n"),
        ("OTEL_METRICS_EXPORTER", "sdk TracerProvider\nmetrics _ProxyMeterProvider\nsdk LoggerProvider\n"),
        ("OTEL_LOGS_EXPORTER", "sdk TracerProvider\nsdk MeterProvider\n_logs ProxyLoggerProvider\n"),
    ],
)
def test_a_signal_whose_exporter_is_none_is_left_alone(collector: OtlpReceiver, variable: str, expected: str) -> None:
    program = 'configure("otlp")\nshow()'

    assert run(program, {variable: "none", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}) == expected


@pytest.mark.parametrize(
    ("app", "name", "expected"),
    [
        ("trace.set_tracer_provider(Own())", "traces", "__main__ Own\nsdk MeterProvider\nsdk LoggerProvider\n"),
        ("metrics.set_meter_provider(Own())", "metrics", "sdk TracerProvider\n__main__ Own\nsdk LoggerProvider\n"),
        ("_logs.set_logger_provider(Own())", "logs", "sdk TracerProvider\nsdk MeterProvider\n__main__ Own\n"),
    ],
)
def test_a_provider_of_the_application_is_never_replaced(
    collector: OtlpReceiver, app: str, name: str, expected: str
) -> None:
    program = f"""
    class Own(trace.TracerProvider, metrics.MeterProvider, _logs.LoggerProvider):
        get_tracer = get_meter = get_logger = None
        __module__ = "app.__main__"

    {app}
    configure("otlp")
    show()
    """
    said = f"INFO otel_openai.sdk: OpenTelemetry is already set up for {name}: export='otlp' leaves that as it is\n"

    assert run(program, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}) == said + expected


def test_where_everything_is_set_up_nothing_is_needed_and_one_line_says_so() -> None:
    printed = run(
        """
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.metrics import MeterProvider
        trace.set_tracer_provider(trace.NoOpTracerProvider())  # switched off on purpose
        metrics.set_meter_provider(MeterProvider())
        _logs.set_logger_provider(LoggerProvider())
        sys.modules["opentelemetry.exporter.otlp.proto.http"] = None
        configure("otlp")
        show()
        """
    )

    assert printed == (
        "INFO otel_openai.sdk: OpenTelemetry is already set up for traces and metrics and logs: "
        "export='otlp' leaves that as it is\n"
        "trace NoOpTracerProvider\nsdk MeterProvider\nsdk LoggerProvider\n"
    )


@pytest.mark.parametrize(
    ("absent", "export", "env", "command"),
    [
        ("opentelemetry.exporter.otlp.proto.http", "otlp", {}, 'pip install "otel-openai[otlp]"'),
        (
            "opentelemetry.exporter.otlp.proto.grpc",
            "otlp",
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "pip install opentelemetry-exporter-otlp-proto-grpc",
        ),
        ("rich", "console", {}, 'pip install "otel-openai[console]"'),
    ],
)
def test_a_missing_package_is_named_before_anything_is_set(
    absent: str, export: str, env: Mapping[str, str], command: str
) -> None:
    printed = run(
        f"""
        import threading
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == {absent!r}:
                    raise ModuleNotFoundError(f"No module named {{name}}", name=name)
        sys.meta_path.insert(0, Absent())
        try:
            configure({export!r})
        except ModuleNotFoundError as error:
            print(error)
        show()
        print(threading.active_count())
        """,
        env,
    )

    said = f'export="{export}" needs a package that is not installed ({absent}): {command}\n'
    assert printed == said + UNSET + "1\n"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL must be one of http/protobuf, grpc, not 'http/json'",
        ),
        (
            {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "carrier-pigeon", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL must be one of http/protobuf, grpc, not 'carrier-pigeon'",
        ),
        (
            {"OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"},
            "max_export_batch_size must be less than or equal to max_queue_size.",
        ),
    ],
)
def test_a_bad_setting_is_an_error_that_leaves_nothing_behind(env: Mapping[str, str], message: str) -> None:
    printed = run(
        """
        import threading
        try:
            configure("otlp")
        except ValueError as error:
            print(error)
        show()
        print(threading.active_count())
        """,
        env,
    )

    assert printed == f"{message}\n{UNSET}1\n"


def test_grpc_is_used_where_its_exporter_is_installed() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="needs opentelemetry-exporter-otlp-proto-grpc")
    printed = run(
        """
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter
        class Known(trace_exporter.OTLPSpanExporter):
            def __init__(self):
                super().__init__()
                print("made")
        trace_exporter.OTLPSpanExporter = Known
        configure("otlp")
        show()
        """,
        {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        },
    )

    assert printed == "made\nsdk TracerProvider\nmetrics _ProxyMeterProvider\n_logs ProxyLoggerProvider\n"


def test_the_console_view_ends_with_the_last_traces_and_then_the_usage() -> None:
    printed = complete(
        """
        configure("console")
        configure("console")
        show()
        tracer = trace.get_tracer("app")
        root = tracer.start_span("never ended", start_time=0)
        tracer.start_span("step", trace.set_span_in_context(root), start_time=0).end(5_000_000)
        durations = metrics.get_meter("otel_openai").create_histogram("gen_ai.client.operation.duration", "s")
        durations.record(0.5, {"gen_ai.request.model": "gpt-x", "server.address": "api.example.com"})
        """,
        {"PYTHONIOENCODING": "utf-8"},
    )

    again = "OpenTelemetry is already set up for traces and metrics: export='console' leaves that as it is"
    stdout = f"INFO otel_openai.sdk: {again}\nsdk TracerProvider\nsdk MeterProvider\n_logs ProxyLoggerProvider\n"
    stderr = """
step  5.0 ms  (its parent has not ended)

Usage by model
model  server           calls  errors  in  cached  out  reasoning  time p50     p95  first token
─────────────────────────────────────────────────────────────────────────────────────────────────
gpt-x  api.example.com      1       0   -       -    -          -    500 ms  500 ms            -
"""
    assert printed == (stdout, stderr)


def test_nothing_is_set_up_where_the_sdk_is_disabled() -> None:
    program = 'configure("otlp")\nshow()'
    said = "INFO otel_openai.sdk: OTEL_SDK_DISABLED is true: export='otlp' sets nothing up\n"

    assert run(program, {"OTEL_SDK_DISABLED": "True"}) == said + UNSET


def test_an_unknown_export_is_an_error_that_names_the_values() -> None:
    program = """
    try:
        configure("jaeger")
    except ValueError as error:
        print(error)
    show()
    """

    assert run(program) == f'export must be "otlp", "console" or None, not \'jaeger\'\n{UNSET}'


def test_importing_loads_no_sdk_no_exporter_and_no_rich() -> None:
    program = """
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "rich", "requests")
    print(sorted(name for name in sys.modules if name.startswith(heavy)))
    """

    assert run(program) == "[]\n"


def test_api_objects_are_noop_until_a_real_provider_is_set() -> None:
    printed = run(
        """
        from otel_openai._noop import is_noop
        def all_objects():
            meter = metrics.get_meter("m")
            return [
                trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider(),
                trace.get_tracer("t"), meter, _logs.get_logger("l"),
                meter.create_counter("c"), meter.create_histogram("h"), trace.get_tracer("t").start_span("s"),
            ]
        proxies = all_objects()
        print(*map(is_noop, proxies))

        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        metrics.set_meter_provider(MeterProvider())
        _logs.set_logger_provider(LoggerProvider())
        print(*map(is_noop, proxies))  # they forward now; the span that was begun before does not
        print(*map(is_noop, all_objects()))
        """
    )

    assert printed.splitlines() == [
        " ".join(["True"] * 9),
        " ".join(["False"] * 8 + ["True"]),
        " ".join(["False"] * 9),
    ]


def test_a_disabled_sdk_gives_out_noop_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    providers = TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False), LoggerProvider()
    tracers, meters, loggers = providers

    assert [is_noop(provider) for provider in providers] == [False] * 3
    assert is_noop(tracers.get_tracer("t"))
    assert is_noop(meters.get_meter("m"))
    assert is_noop(meters.get_meter("m").create_counter("c"))
    assert is_noop(loggers.get_logger("l"))


def test_providers_of_others_are_real() -> None:
    class Vendor(trace.TracerProvider):
        def get_tracer(self, *args: object, **kwargs: object) -> trace.Tracer:
            raise NotImplementedError

    class Quiet(trace.NoOpTracerProvider):
        pass

    class ProxyMeterProvider(metrics.NoOpMeterProvider):
        pass

    for provider in (Vendor(), Quiet(), ProxyMeterProvider()):
        assert (is_noop(provider), is_unset(provider)) == (False, False)
    assert (is_noop(trace.NoOpTracerProvider()), is_unset(trace.NoOpTracerProvider())) == (True, False)
