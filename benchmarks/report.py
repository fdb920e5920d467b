"""The result: rows for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.counting import per_unit
from benchmarks.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.cases import Case
    from benchmarks.counting import Totals
    from benchmarks.limits import Limit

THOUSAND = 1e3
PACKAGES = ("openai", "opentelemetry-sdk", "wrapt")


@dataclass(frozen=True, slots=True)
class Row:
    """One case: thousands of instructions of the bare client, those added by floor and ours, and the wall ratio."""

    case: str
    bare: float | None
    floor: float | None
    ours: float | None
    target: float | None
    wall_ratio: float | None

    @property
    def verdict(self) -> str:
        """Tell whether the target is met."""
        if self.ours is None:
            return "" if self.bare is None else "FAILED"
        if self.target is None:
            return ""
        return "pass" if self.ours <= self.target else "MISS"


def row(case: Case, totals: Totals, wall_ratio: float | None) -> Row:
    """Make the row of a case from what was measured."""
    whole = per_unit(totals, case.whole_job(Variant.BARE))
    bare = per_unit(totals, case.job(Variant.BARE))

    def added(variant: Variant) -> float | None:
        counted = per_unit(totals, case.job(variant))
        return None if counted is None or bare is None else (counted - bare) / THOUSAND

    client = None if whole is None else whole / THOUSAND
    return Row(case.name, client, added(Variant.FLOOR), added(Variant.OURS), case.target, wall_ratio)


def environment() -> dict[str, str]:
    """Return the versions that the result belongs to."""
    return {"python": platform.python_version(), "machine": platform.machine()} | {
        package: version(package) for package in PACKAGES
    }


def markdown(rows: Sequence[Row], limits: Sequence[Limit]) -> str:
    """Return the result as Markdown tables."""
    tables = [", ".join(f"{name} {value}" for name, value in environment().items())]
    if rows:
        header = ("case", "bare", "floor adds", "ours adds", "target", "", "wall ratio")
        lines = [
            (
                entry.case,
                _number(entry.bare),
                _number(entry.floor),
                _number(entry.ours),
                "" if entry.target is None else f"{entry.target:g}",
                entry.verdict,
                "" if entry.wall_ratio is None else f"{entry.wall_ratio:.3f}",
            )
            for entry in rows
        ]
        tables.append("Thousands of instructions a call or chunk:\n\n" + _table(header, lines))
    if limits:
        verdicts = {True: "pass", False: "MISS", None: ""}
        checks = [(limit.name, limit.measured, limit.allowed, verdicts[limit.holds]) for limit in limits]
        tables.append(_table(("limit", "measured", "allowed", ""), checks))
    return "\n\n".join(tables)


def as_json(rows: Iterable[Row], limits: Iterable[Limit]) -> dict[str, object]:
    """Return the result as plain data."""
    return {
        "environment": environment(),
        "thousands_of_instructions": [asdict(entry) | {"verdict": entry.verdict} for entry in rows],
        "limits": [asdict(limit) for limit in limits],
    }


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004 - three digits are enough


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]

    def text(line: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"

    rule = ["-" * width for width in widths]
    return "\n".join(text(line) for line in (header, rule, *lines))
