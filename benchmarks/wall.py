"""Wall clock: how much longer a program takes with the instrumentation.

One process runs the program in short blocks, in turns without and with the instrumentation, so that both see the same
machine and the same heap. The garbage collector is on. The median of the pair ratios is what an application sees.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.answers import CHAT_STREAM
from benchmarks.canned import CannedServer
from benchmarks.cases import CALLS
from benchmarks.isolated import isolated
from benchmarks.programs import open_chat_stream
from benchmarks.variants import Variant, install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cases import Case, Job

PAIRS = 80
CALLS_A_BLOCK = 4
CHUNKS_A_BLOCK = 60
SETTLE = 2  # calls or chunks after each turn, not timed: the interpreter specialises its code again
MICROSECONDS = 1e6

Pair = tuple[float, float]
Measure = Callable[[int], float]


def ratio(case: Case) -> float:
    """Return the time of the instrumented client over the time of the bare one."""
    pairs = isolated(_take_pairs, case.whole_job(Variant.OURS), _timed_block)
    return median(ours / bare for bare, ours in pairs)


def end_of_stream(case: Case) -> Pair:
    """Return the microseconds from the last chunk to StopIteration: bare, and instrumented (medians)."""
    bare, ours = zip(*isolated(_take_pairs, case.job(Variant.OURS), _timed_end), strict=True)
    return median(bare) * MICROSECONDS, median(ours) * MICROSECONDS


def _take_pairs(job: Job, prepare: Callable[[Job], Measure]) -> list[Pair]:
    job.program(job.headers)(1)  # imports what the client imports late
    patches = _install(job)
    length = CALLS_A_BLOCK if job.lengths is CALLS else CHUNKS_A_BLOCK
    measures: dict[bool, Measure] = {}
    for patched in (False, True):
        _switch(patches, patched=patched)
        measures[patched] = prepare(job)  # a client each: it keeps bound methods
    pairs: list[Pair] = []
    gc.collect()
    gc.freeze()
    for number in range(PAIRS):
        times: dict[bool, float] = {}
        for patched in (False, True) if number % 2 else (True, False):
            _switch(patches, patched=patched)
            measures[patched](SETTLE)
            times[patched] = measures[patched](length)
        pairs.append((times[False], times[True]))
    return pairs


class _Patch(NamedTuple):
    owner: type
    name: str
    original: Any
    patched: Any


def _install(job: Job) -> list[_Patch]:
    """Instrument the client, and return what that changed on its classes."""
    before = {owner: dict(vars(owner)) for owner in _client_classes()}
    install(job.variant, job.telemetry, dict(job.options))
    return [
        _Patch(owner, name, attributes[name], value)
        for owner, attributes in before.items()
        for name, value in list(vars(owner).items())
        if name in attributes and attributes[name] is not value
    ]


def _client_classes() -> Iterator[type]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "openai" and "types" not in name:
            # Not isinstance: it would wake the client's placeholders for modules that are not installed.
            yield from (value for value in vars(module).values() if issubclass(type(value), type))


def _switch(patches: list[_Patch], *, patched: bool) -> None:
    for patch in patches:
        setattr(patch.owner, patch.name, patch.patched if patched else patch.original)


def _timed_block(job: Job) -> Measure:
    run = job.program(job.headers)
    for warm_up in job.lengths.warm_up:
        run(warm_up)

    def block(length: int) -> float:
        started = perf_counter()
        run(length)
        return perf_counter() - started

    return block


def _timed_end(job: Job) -> Measure:
    server = CannedServer(CHAT_STREAM, job.headers)
    open_stream = open_chat_stream(server)

    def end(length: int) -> float:
        server.chunks = length
        last = 0.0
        for _ in open_stream():
            last = perf_counter()
        return perf_counter() - last

    for _ in range(20):
        end(1)
    return end
