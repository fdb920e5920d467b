"""Instruction counts: runs the worker under callgrind and turns its totals into costs per call or chunk."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import ROOT, callgrind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.cases import Job

Totals = dict["Job", list[list[int]] | None]
"""Instructions by job, round and length; None for a job that failed."""


def count(jobs: Iterable[Job], keep: Path | None = None) -> Totals:
    """Return the instructions of each job in each of its rounds, at each of its lengths.

    `keep` is a folder in which the dumps stay, for `callgrind_annotate`.
    """
    ordered = list(dict.fromkeys(jobs))
    totals: Totals = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        command = callgrind.command(folder, "benchmarks.worker")
        with subprocess.Popen(
            command, cwd=ROOT, env=callgrind.clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as worker:
            if worker.stdin is None or worker.stdout is None:
                raise RuntimeError("the worker has no pipes")
            worker.stdin.write(pickle.dumps(ordered))
            worker.stdin.close()
            for job, line in zip(ordered, worker.stdout, strict=False):
                pid: int | None = json.loads(line)
                totals[job] = None if pid is None else _read_rounds(folder, pid, job)
                program = f"{job.program.__module__}.{job.program.__name__}".partition(".")[2]
                print(f"  counted {program}, {job.variant.value}, {job.telemetry.value}", file=sys.stderr)
    return totals


def _read_rounds(folder: Path, pid: int, job: Job) -> list[list[int]]:
    """Return the instructions of each round, at each length."""
    width = len(job.lengths.measured)
    # A part ends at its mark: the first one of each round is what happened before the round.
    numbers = range(1, job.lengths.rounds * (width + 1) + 1)
    parts = [callgrind.total(folder / f"callgrind.out.{pid}.{number}") for number in numbers]
    return [parts[start + 1 : start + 1 + width] for start in range(0, len(parts), width + 1)]


def per_unit(totals: Totals, job: Job, longer: int = 1) -> float | None:
    """Return the instructions of one more call or chunk.

    That is the difference between two lengths, so that everything else cancels out; the median of the rounds.

    Args:
        totals: What `count` returned.
        job: Which job.
        longer: Position of the longer one of the two lengths; the shorter one is before it.
    """
    rounds = totals.get(job)
    if rounds is None:
        return None
    units = job.lengths.measured[longer] - job.lengths.measured[longer - 1]
    return median((counted[longer] - counted[longer - 1]) / units for counted in rounds)
