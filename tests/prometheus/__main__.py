"""Prints every panel and rule, and what a real Prometheus said to it: `make dashboards-check`."""

import sys
import tempfile
from pathlib import Path
from typing import get_args

from prometheus.checking import Report, Way, check, missing


def main() -> None:
    """Check both ways into Prometheus.

    Raises:
        SystemExit: Something has no data, or a total is wrong; or there is no Prometheus at all.
    """
    good: list[bool] = []
    ways: tuple[Way, ...] = get_args(Way)
    for way in ways:
        if reason := missing(way):
            print(f"\n{way}: not tried, {reason}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            good.append(_print(way, check(way, Path(folder))))
    sys.exit(0 if good and all(good) else 1)


def _print(way: Way, report: Report) -> bool:
    for workload, answers in report.after.items():
        print(f"\nPrometheus {report.version}, {way}, {workload} workload of {answers.served.calls} calls")
        for place, values in answers.values.items():
            said = ", ".join(f"{value:.4g}" for value in sorted(values, reverse=True)) or "NO DATA"
            print(f"  {place:56} {said}")
        for name, labels in answers.labels.items():
            print(f"  ${name:55} {', '.join(labels) or 'NO DATA'}")
        print(f"  {'alerts that fire':56} {', '.join(sorted(answers.firing)) or 'none'}")
        print(f"  served by the server: {answers.served}")
        print(f"  {'the same in Prometheus' if answers.counted == answers.served else f'WRONG: {answers.counted}'}")
    return all(not one.without_data and one.served == one.counted for one in report.after.values())


if __name__ == "__main__":
    main()
