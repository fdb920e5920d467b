"""Writes to a terminal what models and servers named: readable, whole, and never obeyed by the terminal."""

import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TextIO

from rich.console import Console, RenderableType

_WIDTH = 120  # columns, where there is no terminal to ask
_MAX_TEXT = 80  # characters of one name
_MAX_ITEMS = 8  # names in one list
_LEAST_DOLLARS = 0.000001


def render(stream: TextIO | None, *parts: RenderableType) -> str:
    """The parts below one another, as the stream (default: stderr) can show them: width, colours, line characters."""
    console = Console(file=stream or sys.stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))


def write(stream: TextIO | None, text: str) -> None:
    """Write to the stream (default: stderr) in one piece, so that no other thread's lines get in between."""
    stream = stream or sys.stderr
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison] - as under pythonw
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def safe(value: object, limit: int = _MAX_TEXT) -> str:
    """The value as text that a terminal shows and does not obey: escape sequences and the like become visible."""
    text = str(value)
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def seconds(value: object) -> str:
    """A duration in readable units."""
    if not isinstance(value, (int, float)):
        return safe(value)
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"  # noqa: PLR2004 - three digits


def number(value: object) -> str:
    """A number with its thousands apart."""
    return f"{value:,}" if isinstance(value, (int, float)) else safe(value)


def dollars(value: object) -> str:
    """US dollars; calls cost little."""
    if not isinstance(value, (int, float)):
        return safe(value)
    if 0 < value < _LEAST_DOLLARS:
        return f"< ${_LEAST_DOLLARS:.6f}"
    return f"${value:,.2f}" if value >= 1 else f"${value:.6f}"


def listed(values: Iterable[object]) -> str:
    """Names, the first of them if they are many."""
    texts = [safe(value) for value in islice(values, _MAX_ITEMS + 1)]
    return ", ".join([*texts[:_MAX_ITEMS], "..."] if len(texts) > _MAX_ITEMS else texts)


def counted(counts: Mapping[str, int]) -> str:
    """Names with their numbers, the largest first."""
    largest = sorted(counts.items(), key=lambda item: -item[1])
    return listed(f"{name} {count:,}".strip() for name, count in largest)
