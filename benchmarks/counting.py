"""Instruction counts: runs the worker under callgrind and turns its totals into costs per call or chunk."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import ROOT, SOURCE
from benchmarks.worker import MARK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.cases import Job

Totals = dict["Job", list[list[int]] | None]
"""Instructions by job, round and length; None for a job that failed."""


def missing_tool() -> str | None:
    """Return the name of a program that counting needs and that is not installed."""
    return next((tool for tool in ("valgrind", "vgdb") if shutil.which(tool) is None), None)


def clean_environment() -> dict[str, str]:
    """Return this environment without the settings of OpenTelemetry and OpenAI, and with a fixed hash seed."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
    paths = [str(ROOT), str(SOURCE), *filter(None, [settings.get("PYTHONPATH")])]
    return settings | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)}


def count(jobs: Iterable[Job], keep: Path | None = None) -> Totals:
    """Return the instructions of each job in each of its rounds, at each of its lengths.

    `keep` is a folder in which the dumps stay, for `callgrind_annotate`.
    """
    ordered = list(dict.fromkeys(jobs))
    totals: Totals = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            "valgrind",
            "--tool=callgrind",
            "--quiet",
            "--instr-atstart=no",
            f"--dump-before={MARK}",
            f"--callgrind-out-file={folder}/callgrind.out.%p",
            f"--log-file={folder}/valgrind.%p.log",
            *(sys.executable, "-m", "benchmarks.worker"),
        ]
        with subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as worker:
            if worker.stdin is None or worker.stdout is None:
                raise RuntimeError("the worker has no pipes")
            worker.stdin.write(pickle.dumps(ordered))
            worker.stdin.close()
            for job, line in zip(ordered, worker.stdout, strict=False):
                pid: int | None = json.loads(line)
                totals[job] = None if pid is None else _read_rounds(folder, pid, job)
                print(f"  counted {job.program.__name__}, {job.variant.value}, {job.telemetry.value}", file=sys.stderr)
    return totals


def _read_rounds(folder: Path, pid: int, job: Job) -> list[list[int]]:
    """Return the instructions of each round, at each length."""
    width = len(job.lengths.measured)
    # A part ends at its mark: the first one of each round is what happened before the round.
    parts = [_total(folder / f"callgrind.out.{pid}.{part + 1}") for part in range(job.lengths.rounds * (width + 1))]
    return [parts[start + 1 : start + 1 + width] for start in range(0, len(parts), width + 1)]


def _total(dump: Path) -> int:
    with dump.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("summary:"):  # it is in the head; the same number is at the end
                return int(line.split()[1])
    raise ValueError(f"no total in {dump}")


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
