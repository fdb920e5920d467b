"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import callgrind, counting, limits, report, wall
from benchmarks.cases import LONG_STREAM, Case, available

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = "limits"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print it; return 1 if a target is missed or a measurement failed."""
    cases = {case.name: case for case in available()}
    options = _parser([*cases, LIMITS]).parse_args(arguments)
    chosen = [case for case in cases.values() if not options.only or case.name in options.only]
    with_limits = not options.only or LIMITS in options.only
    counted = _count(chosen, with_limits=with_limits, options=options)
    rows = [report.row(case, counted or {}, _ratio(case, options)) for case in chosen]
    checks: list[limits.Limit] = []
    if with_limits:
        if counted is not None:
            checks += limits.flat_streams(counted)
        for measure in (limits.open_streams, limits.start_up, limits.stream_end):
            print(f"  measuring {measure.__name__}", file=sys.stderr)
            checks += measure()
    print(report.markdown(rows, checks))
    if options.json:
        Path(options.json).write_text(json.dumps(report.as_json(rows, checks), indent=2) + "\n", encoding="utf-8")
    missed = any(row.verdict in ("MISS", "FAILED") for row in rows) or any(check.holds is False for check in checks)
    return int(missed)


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the instrumentation costs.")
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help="one or more of: " + ", ".join(names))
    parser.add_argument("--wall-only", action="store_true", help="measure time and memory, count no instructions")
    parser.add_argument("--counts-only", action="store_true", help="count instructions, skip the wall ratios")
    parser.add_argument("--json", metavar="FILE", help="write the result to FILE, too")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep callgrind's dumps, for callgrind_annotate")
    return parser


def _count(chosen: Sequence[Case], *, with_limits: bool, options: argparse.Namespace) -> counting.Totals | None:
    if options.wall_only:
        return None
    missing = callgrind.missing_tool()
    if missing:
        print(f"{missing} is not installed: no instruction counts, wall clock only", file=sys.stderr)
        return None
    cases = [*chosen, LONG_STREAM] if with_limits else chosen
    return counting.count([job for case in cases for job in case.jobs()], options.keep)


def _ratio(case: Case, options: argparse.Namespace) -> float | None:
    if options.counts_only:
        return None
    print(f"  timing {case.name}", file=sys.stderr)
    return wall.ratio(case)


if __name__ == "__main__":
    sys.exit(main())
