"""Shows in a terminal what an application does with its models: a tree per trace, and a table of the usage.

Reads finished spans and collected metrics, like any other exporter. Writes to stderr unless told otherwise: stdout
belongs to the application.
"""

from __future__ import annotations

import os
from collections import Counter
from threading import RLock
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias, cast
from weakref import WeakSet

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from rich.text import Text
from rich.tree import Tree

from otel_openai import _semconv as sc
from otel_openai._guard import contained
from otel_openai._terminal import counted, dollars, listed, number, render, safe, seconds, write
from otel_openai._usage_table import UsageTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

__all__ = ["TraceTree", "UsageTable"]

_MAX_PRINTED = 10_000  # printed spans that are remembered for children that end later
_MAX_DEPTH = 15  # levels of a tree; deeper spans stand on the last one, where there is room to read them
_MAX_DESCRIPTION = 160  # characters of a status description

_SpanKey: TypeAlias = tuple[int, int]  # trace id, span id


class TraceTree(SpanExporter):
    """Print each trace as a tree, as soon as its local root has ended.

    A span that ends after its parent was printed is printed then, as a tree of its own. What waits for a parent that
    never ends is printed at `force_flush`, at `shutdown`, and when more than `max_waiting` spans wait.

    Args:
        stream: Where to write. Default: what `sys.stderr` is at that moment.
        max_waiting: How many ended spans may wait for their parents. Default: 1000.
    """

    def __init__(self, stream: TextIO | None = None, *, max_waiting: int = 1000) -> None:
        self._stream = stream
        self._max_waiting = max_waiting
        self._printed: dict[_SpanKey, str] = {}  # and their names
        self._wait_for_none()
        _trees.add(self)

    def _wait_for_none(self) -> None:
        self._waiting: dict[_SpanKey, ReadableSpan] = {}
        # Re-entrant: the garbage collector may end somebody's span while this thread is in here.
        self._lock = RLock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take in ended spans, and print the trees that they complete."""
        for span in spans:
            self._export(span)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the SDK's interface
        """Print what still waits for a parent."""
        self._flush()
        return True

    def shutdown(self) -> None:
        """Print what still waits for a parent."""
        self._flush()

    @contained("printing a trace")
    def _export(self, span: ReadableSpan) -> None:
        with self._lock:
            self._waiting[_key(span.context)] = span
            trees: list[Tree] = []
            if _is_local_root(span) or _key(span.parent) in self._printed:
                trees += self._take(self._family(span))
            if len(self._waiting) > self._max_waiting:
                trees += self._take(list(self._waiting))
        self._print(trees)

    @contained("printing a trace")
    def _flush(self) -> None:
        with self._lock:
            trees = self._take(list(self._waiting))
        self._print(trees)

    def _print(self, trees: Sequence[Tree]) -> None:
        if trees:
            # The empty line above ends the application's line, which may be half written: a stream, word by word.
            write(self._stream, render(self._stream, "", *trees))

    def _family(self, root: ReadableSpan) -> list[_SpanKey]:
        """The waiting span, its waiting children, their children ..."""
        children: dict[_SpanKey, list[_SpanKey]] = {}
        for key, span in self._waiting.items():
            children.setdefault(_key(span.parent), []).append(key)
        family = [_key(root.context)]
        for key in family:  # grows while it is read
            family += children.pop(key, ())
        return family

    def _take(self, keys: Collection[_SpanKey]) -> list[Tree]:
        """The trees of these waiting spans, which then wait no longer."""
        spans = sorted((self._waiting.pop(key) for key in keys), key=lambda span: span.start_time or 0)
        children: dict[_SpanKey, list[ReadableSpan]] = {}
        for span in spans:
            children.setdefault(_key(span.parent), []).append(span)
        tops: list[Tree] = []
        queue = [(span, tops, 0) for span in spans if _key(span.parent) not in keys]
        for span, siblings, depth in queue:  # grows while it is read
            tree = Tree(self._line(span, keys))
            siblings.append(tree)
            below = tree.children if depth < _MAX_DEPTH else siblings
            queue += [(child, below, depth + 1) for child in children.get(_key(span.context), ())]
        for span in spans:
            self._printed[_key(span.context)] = safe(span.name)
        while len(self._printed) > _MAX_PRINTED:
            del self._printed[next(iter(self._printed))]
        return tops

    def _line(self, span: ReadableSpan, shown_with: Collection[_SpanKey]) -> Text:
        line = _span_line(span)
        parent = _key(span.parent)
        if parent in self._printed:
            line.append(f"  (part of {self._printed[parent]})", style="dim")
        elif parent not in shown_with and not _is_local_root(span):
            line.append("  (its parent has not ended)", style="dim")
        return line


_trees: WeakSet[TraceTree] = WeakSet()


def _after_fork() -> None:
    """In the child: what waits is the parent's to print, and a lock may be held by a thread that is gone."""
    for tree in _trees:
        tree._wait_for_none()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _key(context: SpanContext | None) -> _SpanKey:
    return (context.trace_id, context.span_id) if context is not None else (0, 0)


def _is_local_root(span: ReadableSpan) -> bool:
    return span.parent is None or span.parent.is_remote


def _span_line(span: ReadableSpan) -> Text:
    attributes = span.attributes or {}
    error = _error(span, attributes)
    line = Text.assemble((safe(span.name), "bold red" if error else "bold"))
    line.append(f"  {seconds(((span.end_time or 0) - (span.start_time or 0)) / 1e9)}", style="cyan")
    for words, style in (*_facts(attributes), (error, "red")):
        if words:
            line.append(f"  {words}", style=style)
    return line


def _facts(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a GenAI span tells, in words, with a style. Anybody's span: the values may be of any type."""
    if sc.REQUEST_MODEL not in attributes and sc.RESPONSE_MODEL in attributes:  # else it is in the span's name
        yield f"model {safe(attributes[sc.RESPONSE_MODEL])}", ""
    if sc.RESPONSE_TIME_TO_FIRST_CHUNK in attributes:
        yield f"first token {seconds(attributes[sc.RESPONSE_TIME_TO_FIRST_CHUNK])}", "cyan"
    yield _tokens(attributes), ""
    if sc.USAGE_DURATION in attributes:
        yield f"media {seconds(attributes[sc.USAGE_DURATION])}", ""
    if sc.COST in attributes:
        yield f"cost {dollars(attributes[sc.COST])}", "yellow"
    if reasons := attributes.get(sc.RESPONSE_FINISH_REASONS):
        yield f"finish {listed(_items(reasons))}", "green"
    if calls := attributes.get(sc.TOOL_CALL_COUNT):
        names = Counter(safe(name) for name in _items(attributes.get(sc.TOOL_CALL_NAMES, ())))
        yield f"tool calls {counted(names) if names else number(calls)}", "magenta"
    if retries := attributes.get(sc.HTTP_RESEND_COUNT):
        yield f"retries {number(retries)}", "yellow"
    if (outcome := attributes.get(sc.STREAM_OUTCOME, "completed")) != "completed":
        yield f"stream {safe(outcome)}", "yellow"


def _tokens(attributes: Mapping[str, Any]) -> str:
    def part(total: str, word: str, subset: str, subset_word: str) -> str:
        if total not in attributes:
            return ""
        inside = f" ({number(attributes[subset])} {subset_word})" if attributes.get(subset) else ""
        return f"{number(attributes[total])} {word}{inside}"

    parts = (
        part(sc.USAGE_INPUT, "in", sc.USAGE_CACHE_READ, "cached"),
        part(sc.USAGE_OUTPUT, "out", sc.USAGE_REASONING, "reasoning"),
    )
    return "tokens " + ", ".join(filter(None, parts)) if any(parts) else ""


def _error(span: ReadableSpan, attributes: Mapping[str, Any]) -> str:
    if span.status.status_code is not StatusCode.ERROR and sc.ERROR_TYPE not in attributes:
        return ""
    description = safe(span.status.description or "", _MAX_DESCRIPTION)
    status = attributes.get(sc.HTTP_STATUS_CODE)
    facts = (safe(attributes.get(sc.ERROR_TYPE, "")), f"HTTP {safe(status)}" if status else "")
    # Our own descriptions say these already, others may not.
    return ", ".join([*(fact for fact in facts if fact not in description), description]).strip(", ") or "error"


def _items(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else (value,)
