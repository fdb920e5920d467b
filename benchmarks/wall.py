"""Wall clock: how much longer a program takes with the instrumentation, from pairs of blocks that take turns.

The garbage collector is on and the machine is what it is; the median of the pair ratios says what an application sees.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.answers import CHAT_STREAM
from benchmarks.canned import CannedServer
from benchmarks.cases import CALLS, Job
from benchmarks.lanes import pairs
from benchmarks.programs import open_chat_stream
from benchmarks.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.cases import Case

PAIRS = 40
CALLS_A_BLOCK = 10
CHUNKS_A_BLOCK = 100
MICROSECONDS = 1e6


def ratio(case: Case) -> float:
    """Return the time of the instrumented client over the time of the bare one."""
    taken = pairs(case.whole_job(Variant.BARE), case.whole_job(Variant.OURS), _timed_block, PAIRS)
    return median(ours / bare for bare, ours in taken)


def _timed_block(job: Job) -> Callable[[], float]:
    run = job.program(job.headers)
    length = CALLS_A_BLOCK if job.lengths is CALLS else CHUNKS_A_BLOCK
    for warm_up in job.lengths.warm_up:
        run(warm_up)

    def block() -> float:
        started = perf_counter()
        run(length)
        return perf_counter() - started

    return block


def end_of_stream(case: Case) -> tuple[float, float]:
    """Return the microseconds from the last chunk to StopIteration: bare, and instrumented (medians)."""
    taken = pairs(case.job(Variant.BARE), case.job(Variant.OURS), _timed_end, PAIRS)
    bare, ours = zip(*taken, strict=True)
    return median(bare) * MICROSECONDS, median(ours) * MICROSECONDS


def _timed_end(job: Job) -> Callable[[], float]:
    server = CannedServer(CHAT_STREAM, job.headers)
    open_stream = open_chat_stream(server)

    def end() -> float:
        last = 0.0
        for _ in open_stream():
            last = perf_counter()
        return perf_counter() - last

    for _ in range(20):
        end()
    return end
