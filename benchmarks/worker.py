"""The process that runs under callgrind: started by `counting`, it measures jobs one after the other.

Starts up once with callgrind's instrumentation off, which is five times as fast, switches it on, then forks a process
a job, so that every job begins in the same state. Callgrind dumps its counters at each call of `getppid()`: the
instructions between two marks are those of one run of the program. Standard output gets a line for each job: the id of
the process whose dumps hold its counts.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import sys
import traceback
from typing import TYPE_CHECKING

from benchmarks import callgrind, programs
from benchmarks.canned import Headers
from benchmarks.variants import install

if TYPE_CHECKING:
    from benchmarks.cases import Job

PRELOADED = (
    programs.chat_call,
    programs.chat_call_async,
    programs.chat_chunk,
    programs.chat_chunk_async,
    programs.embedding_call,
    programs.raw_call,
    programs.responses_event,
)


def main() -> None:
    """Measure the jobs that arrive pickled on standard input."""
    jobs: list[Job] = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by our own parent
    _preload()
    callgrind.switch_on()
    _preload()  # again: callgrind translates code anew once it counts
    gc.collect()
    gc.freeze()
    gc.disable()
    for job in jobs:
        print(json.dumps(_measure(job)), flush=True)


def _preload() -> None:
    """Import, and run once, what every job would otherwise do for itself."""
    for program in PRELOADED:
        program(Headers.OPENAI)(2)


def _measure(job: Job) -> int | None:
    """Return the id of the process whose dumps hold the counts, or None if the job failed."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _run(job)
    _, status = os.waitpid(pid, 0)
    return None if status else pid


def _run(job: Job) -> None:
    try:
        run = job.program(job.headers)
        install(job.variant, job.telemetry, dict(job.options))
        for length in job.lengths.warm_up:
            run(length)
        ballast: list[bytes] = []
        for number in range(job.lengths.rounds):
            gc.collect()
            ballast += _shift_heap(number)
            callgrind.mark()
            for length in job.lengths.measured:
                run(length)
                callgrind.mark()
    except BaseException:  # noqa: BLE001 - the process ends here, whatever happened
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _shift_heap(number: int) -> list[bytes]:
    """Allocate some blocks of each small size, so that each round begins elsewhere in the allocator's pools."""
    return [bytes(size) for size in range(1, 1024, 16) for _ in range((7 * number + size // 16) % 37)]


if __name__ == "__main__":
    main()
