"""Limits that hold whatever a call costs: flat streams, bounded memory, a quick `instrument()` and a quick end."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from benchmarks import ROOT, wall
from benchmarks.answers import CHAT_STREAM, RESPONSES_STREAM, TOOL_CALL_STREAM, Sse
from benchmarks.callgrind import clean_environment
from benchmarks.canned import CannedServer
from benchmarks.cases import CASES, LONG_STREAM
from benchmarks.counting import per_unit
from benchmarks.isolated import isolated
from benchmarks.programs import open_chat_stream, open_responses_stream
from benchmarks.ready import hand_out_chunks
from benchmarks.variants import Variant, install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cases import Job
    from benchmarks.counting import Totals

SHORT, LONG = 1_000, 10_000
MAX_GROWTH = 1.05
MAX_BYTES_A_CHUNK = 0.5
MAX_INSTRUMENT_MS = 5
MAX_END_US = 1_000
START_UPS = 5
MILLISECONDS = 1e3
START_UP = """
import json, sys
from time import perf_counter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
providers = dict(tracer_provider=TracerProvider(), meter_provider=MeterProvider())
begun = perf_counter()
import otel_openai
imported = perf_counter()
otel_openai.instrument(**providers)
done = perf_counter()
print(json.dumps([imported - begun, done - imported, "openai" in sys.modules]))
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what was measured, what is allowed, and whether it holds (None: not decided by a number)."""

    name: str
    measured: str
    allowed: str
    holds: bool | None


def flat_streams(totals: Totals) -> Iterator[Limit]:
    """Compare the cost of the 100th and the 10,000th chunk, the client's own parsing left out."""
    bare = _early_and_late(totals, Variant.BARE)
    for variant in (Variant.FLOOR, Variant.OURS):
        name = f"100th and 10,000th chunk, {variant.value}"
        costs = _early_and_late(totals, variant)
        if bare is None or costs is None:
            yield Limit(name, "not measured", "flat", holds=False)
            continue
        early, late = costs[0] - bare[0], costs[1] - bare[1]
        measured = f"{early:,.0f} and {late:,.0f} instructions added, ratio {late / early:.3f}"
        holds = late / early < MAX_GROWTH if variant is Variant.OURS else None
        yield Limit(name, measured, f"ratio < {MAX_GROWTH}", holds)


def _early_and_late(totals: Totals, variant: Variant) -> tuple[float, float] | None:
    job = LONG_STREAM.job(variant)
    early, late = per_unit(totals, job, longer=1), per_unit(totals, job, longer=3)
    return None if early is None or late is None else (early, late)


def open_streams() -> Iterator[Limit]:
    """Measure the memory that an open stream gains from its 1,000th to its 10,000th chunk."""
    streams = (("chat text", CHAT_STREAM), ("chat tool call", TOOL_CALL_STREAM), ("Responses", RESPONSES_STREAM))
    for name, answer in streams:
        growth: dict[Variant, float] = {}
        for variant in (Variant.BARE, Variant.OURS):
            growth[variant] = isolated(_growth, CASES[0].job(variant), answer)
        added = growth[Variant.OURS] - growth[Variant.BARE]
        measured = f"{added:.3f} bytes a chunk (bare: {growth[Variant.BARE]:.3f})"
        yield Limit(
            f"memory of an open stream, {name}",
            measured,
            f"< {MAX_BYTES_A_CHUNK} bytes a chunk",
            added < MAX_BYTES_A_CHUNK,
        )


def _growth(job: Job, answer: Sse) -> float:
    install(job.variant, job.telemetry, dict(job.options))
    server = CannedServer(answer, job.headers)
    open_stream = open_responses_stream(server) if answer is RESPONSES_STREAM else open_chat_stream(server)
    hand_out_chunks(server, len(answer.start), list(open_stream()), fresh=True)
    server.chunks = LONG + 1
    tracemalloc.start()
    stream = open_stream()
    early = _memory_after(stream, SHORT)
    late = _memory_after(stream, LONG - SHORT)
    return (late - early) / (LONG - SHORT)


def _memory_after(stream: Iterator[object], chunks: int) -> int:
    for _ in islice(stream, chunks):
        pass
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def start_up() -> Iterator[Limit]:
    """Measure `import otel_openai` and `instrument()` in fresh processes; the quickest one counts."""
    imports: list[float] = []
    instruments: list[float] = []
    imports_openai = False
    for _ in range(START_UPS):
        answer = subprocess.run(
            [sys.executable, "-c", START_UP], cwd=ROOT, env=clean_environment(), capture_output=True, check=True
        )
        importing, instrumenting, openai_loaded = json.loads(answer.stdout)
        imports.append(importing * MILLISECONDS)
        instruments.append(instrumenting * MILLISECONDS)
        imports_openai = imports_openai or openai_loaded
    instrumenting = min(instruments)
    yield Limit(
        "instrument()", f"{instrumenting:.2f} ms", f"< {MAX_INSTRUMENT_MS} ms", instrumenting < MAX_INSTRUMENT_MS
    )
    yield Limit("import otel_openai, the SDK imported before", f"{min(imports):.0f} ms", "", holds=None)
    yield Limit("openai imported by instrument()", "yes" if imports_openai else "no", "no", holds=not imports_openai)


def stream_end() -> Iterator[Limit]:
    """Measure how long the end of a stream keeps the application waiting."""
    bare, ours = wall.end_of_stream(CASES[0])
    measured = f"{ours:.0f} µs (bare: {bare:.0f} µs)"
    yield Limit("last chunk to StopIteration", measured, f"< {MAX_END_US:,} µs added", ours - bare < MAX_END_US)
