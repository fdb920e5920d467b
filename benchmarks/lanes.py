"""Lanes: forked processes, each with its own variant installed, that measure on command.

Two lanes that take turns see the same machine at the same time, and the bare lane is really bare: nothing of the
instrumentation is loaded into its client.
"""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.variants import install

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from benchmarks.cases import Job

    Measure = Callable[[], float]
    Prepare = Callable[[Job], Measure]

_FORK = multiprocessing.get_context("fork")


class _End(Protocol):
    """One end of a pipe."""

    def send(self, obj: Any, /) -> None: ...
    def recv(self) -> Any: ...


class LaneError(RuntimeError):
    """A lane's process ended before it had answered; its own traceback is on standard error."""


class Lane:
    """A process that measures whenever it is asked to."""

    def __init__(self, connection: _End) -> None:
        self._connection = connection

    def measure(self) -> float:
        """Measure once and return the result."""
        try:
            self._connection.send(None)
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise LaneError("the lane ended early") from error


@contextmanager
def lane(job: Job, prepare: Prepare) -> Generator[Lane]:
    """Fork a process, install the job's variant in it and let `prepare` make its measuring function."""
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=_serve, args=(job, prepare, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Lane(ours)
    finally:
        ours.close()
        process.join(timeout=10)
        if process.is_alive():
            process.terminate()


def _serve(job: Job, prepare: Prepare, connection: _End) -> None:
    install(job.variant, job.telemetry, dict(job.options))
    measure = prepare(job)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(measure())


def pairs(first: Job, second: Job, prepare: Prepare, count: int) -> list[tuple[float, float]]:
    """Return `count` pairs of measurements, taken in turns; which lane begins a pair changes each time."""
    with lane(first, prepare) as one, lane(second, prepare) as other:
        taken: list[tuple[float, float]] = []
        for number in range(count):
            if number % 2:
                late = other.measure()
                taken.append((one.measure(), late))
            else:
                early = one.measure()
                taken.append((early, other.measure()))
        return taken
