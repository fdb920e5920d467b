"""Where the instrumentation's instructions go: `python -m benchmarks.explain CASE`, one line a function.

The lines leave out what the marks themselves cost (it is measured), and with it what a call of a Python function costs,
some 300 instructions: the sum is smaller than the case's figure by that.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import ROOT, callgrind, marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHERS = ("client", "SDK")
CALIBRATIONS = 20
CALIBRATION = '"""Empty."""\ndef empty(): pass\ndef caller():\n' + "    empty()\n" * CALIBRATIONS
THOUSAND = 1e3

Recording = tuple[int, list[str | None], list[tuple[str, str]]]
"""A length, and what the recorder has recorded."""


def main() -> None:
    """Run the case under callgrind and print the ranking."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explain", description=__doc__)
    parser.add_argument("case")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options.case)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = callgrind.command(Path(folder), "benchmarks.explain", options.case, "--worker")
        environment = callgrind.clean_environment()
        answer = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
        recordings: list[Recording] = json.loads(answer.stdout)
        costs = [callgrind.total(dump) for dump in _dumps(Path(folder))]
    _print(_per_unit(recordings, costs))


def _work(name: str) -> None:
    """Under callgrind: record an empty function, then the case at two lengths."""
    marks.mark_package("otel_openai")
    from benchmarks.cases import CALLS, CASES, READY_CALLS  # noqa: PLC0415 - it imports the package, whose functions are marked now
    from benchmarks.variants import Variant, install  # noqa: PLC0415

    case = next(case for case in CASES if case.name == name)
    job = case.job(Variant.OURS)
    run = job.program(job.headers)
    _mark_others()
    install(job.variant, job.telemetry, dict(job.options))
    empty: dict[str, Callable[[], None]] = {}
    exec(marks.mark_source(CALIBRATION, "calibration", "calibration"), empty)  # noqa: S102 - our own four lines
    logging.disable()
    gc.disable()
    callgrind.switch_on()
    for length in job.lengths.warm_up:
        run(length)
        empty["caller"]()
    short, long = (1, 3) if job.lengths in (CALLS, READY_CALLS) else (5, 25)
    print(json.dumps([_record(lambda _: empty["caller"](), 1), _record(run, short), _record(run, long)]))


def _record(run: Callable[[int], None], length: int) -> Recording:
    recorder = marks.recorder
    recorder.start()
    run(length)
    recorder.stop()
    return length, recorder.sequence.copy(), recorder.calls.copy()


def _mark_others() -> None:
    from openai import _base_client  # noqa: PLC0415
    from openai.resources import embeddings, responses  # noqa: PLC0415
    from openai.resources.chat import completions  # noqa: PLC0415
    from opentelemetry.sdk import metrics, trace  # noqa: PLC0415

    for owner in (completions.Completions, responses.Responses, embeddings.Embeddings):
        marks.mark_method(owner, "create", "client create")
    marks.mark_method(_base_client.SyncAPIClient, "_process_response", "client _process_response")
    marks.mark_method(metrics.Histogram, "record", "SDK Histogram.record")
    marks.mark_method(trace.Tracer, "start_span", "SDK Tracer.start_span")
    for method in ("set_attribute", "set_attributes", "end"):
        marks.mark_method(trace.Span, method, f"SDK Span.{method}")


def _dumps(folder: Path) -> Iterator[Path]:
    numbered = {int(path.suffix[1:]): path for path in folder.glob("callgrind.out.*.*")}
    return (numbered[number] for number in sorted(numbered))


def _per_unit(recordings: list[Recording], costs: list[int]) -> dict[str, tuple[float, float]]:
    """Return the instructions and the number of calls of each function, for one more call or chunk."""
    spent: list[Counter[str]] = []
    position = 0
    for _, sequence, _ in recordings:
        spent.append(Counter())
        for label, cost in zip(sequence, costs[position : position + len(sequence)], strict=True):
            spent[-1][label or ""] += cost
        position += len(sequence)
    (_, _, _), (short, _, fewer), (long, _, more) = recordings
    calibration, cost_of, cost_of_long = spent
    cost_of_long.subtract(cost_of)
    called = Counter(callee for _, callee in more) - Counter(callee for _, callee in fewer)
    calls_made = Counter(caller for caller, _ in more) - Counter(caller for caller, _ in fewer)
    calling = calibration["calibration.caller"] / CALIBRATIONS
    being_called = calibration["calibration.empty"] / CALIBRATIONS
    units = long - short
    return {
        label: ((cost - called[label] * being_called - calls_made[label] * calling) / units, called[label] / units)
        for label, cost in cost_of_long.items()
        if label == marks.PROGRAM or called[label] >= units  # the rest belongs to the stream, or to chance
    }


def _print(costs: dict[str, tuple[float, float]]) -> None:
    own = sdk = 0.0
    for label, (cost, calls) in sorted(costs.items(), key=lambda item: -item[1][0]):
        print(f"{cost / THOUSAND:10.2f}  {calls:6.2f} x  {label}")
        sdk += cost if label.startswith("SDK") else 0
        own += cost if label != marks.PROGRAM and not label.startswith(OTHERS) else 0
    print(f"Thousands of instructions: the package itself {own / THOUSAND:.1f}, the SDK {sdk / THOUSAND:.1f}.")


if __name__ == "__main__":
    main()
