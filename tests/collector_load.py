"""What the collectors need for a span: CPU time, memory and bytes, on this machine. No test: docs/scaling.md quotes it.

Run with `python tests/collector_load.py` after `make jaeger collector`; it takes about a minute. CPU time does not
depend on what else the machine does, unlike spans per second.
"""

import copy
import http.client
import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import openai
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from backends import Jaeger, Received
from background import built, serving
from collectors import Collector
from server import ScriptedServer, chat_stream, chat_usage, sse
from support import Told

TRACES = 50_000
TRACES_A_REQUEST = 256
SPANS_A_TRACE = 2
TICKS = os.sysconf("SC_CLK_TCK")


def a_trace() -> list[Span]:
    """A web request with a streamed call in it, as the SDK exports them."""
    told = Told()
    told.instrument()
    with ScriptedServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        server.reply(sse(*chat_stream("Hel", "lo!", usage=chat_usage())))
        with told.tracer_provider.get_tracer("web").start_as_current_span("POST /ask"):
            list(client.chat.completions.create(model="gpt-4o-mini", messages=[], stream=True))
    scopes = encode_spans(told.spans).resource_spans[0].scope_spans
    spans = [span for scope in scopes for span in scope.spans]
    assert len(spans) == SPANS_A_TRACE
    return spans


def requests(trace: list[Span]) -> Iterator[bytes]:
    """Exports of whole traces with ids of their own."""
    chance = random.Random(0)  # noqa: S311 - not for secrets
    for _ in range(TRACES // TRACES_A_REQUEST):
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add().scope_spans.add().spans
        for _ in range(TRACES_A_REQUEST):
            trace_id, root = chance.randbytes(16), chance.randbytes(8)
            for span in copy.deepcopy(trace):
                span.trace_id = trace_id
                if span.parent_span_id:
                    span.parent_span_id, span.span_id = root, chance.randbytes(8)
                else:
                    span.span_id = root
                spans.append(span)
        yield request.SerializeToString()


def send(endpoint: str, bodies: list[bytes]) -> None:
    """Export one after the other."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    for body in bodies:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        assert response.status == http.HTTPStatus.OK, response.status
    connection.close()


class Used:
    """What a process uses from now on."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._proc = Path(f"/proc/{process.pid}")
        self._before = self._seconds()

    def report(self, name: str, spans: int) -> None:
        """Print it for each span."""
        seconds = self._seconds() - self._before
        peak = next(line for line in (self._proc / "status").read_text().splitlines() if line.startswith("VmHWM"))
        mebibytes = int(peak.split()[1]) / 1024
        print(f"{name:<10} {seconds / spans * 1e6:5.1f} µs CPU a span, {mebibytes:4.0f} MiB at most")  # noqa: T201

    def _seconds(self) -> float:
        fields = (self._proc / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Measure the collector of docker-compose with Jaeger behind it, then an agent and a gateway."""
    bodies = list(requests(a_trace()))
    spans = len(bodies) * TRACES_A_REQUEST * SPANS_A_TRACE
    print(f"{spans} spans of {sum(map(len, bodies)) / spans:.0f} bytes")  # noqa: T201
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, jaeger = Path(name), Jaeger()
        (folder / "jaeger.json").write_text(jaeger.config(max_traces=TRACES))
        command = [built("jaeger", target="jaeger"), "--config", folder / "jaeger.json"]
        backend = Used(
            stack.enter_context(
                serving(command, f"{jaeger.query}/api/services", folder / "jaeger.log", stop=signal.SIGKILL)
            )
        )
        one = Collector("collector", folder / "one", otlp_grpc__jaeger={"endpoint": jaeger.otlp_grpc})
        collector = Used(stack.enter_context(one.running()))
        send(one.endpoint, bodies)
        collector.report("collector", spans)
        backend.report("Jaeger", spans)
    with tempfile.TemporaryDirectory() as name, Received() as receiver, ExitStack() as stack:
        gateway = Collector("gateway", Path(name, "gateway"), otlp_http__jaeger={"endpoint": receiver.endpoint})
        static = {"dns": None, "static": {"hostnames": [gateway.grpc]}}
        agent = Collector("agent", Path(name, "agent"), load_balancing={"resolver": static})
        second, first = Used(stack.enter_context(gateway.running())), Used(stack.enter_context(agent.running()))
        send(agent.endpoint, bodies)
        receiver.wait_until(lambda: len(receiver.span_names) > spans * 0.04, timeout=60)  # it keeps five percent
        first.report("agent", spans)
        second.report("gateway", spans)


if __name__ == "__main__":
    main()
