"""Finish reasons and tool calls: what every API with choices has in common, bounded against hostile servers."""

from typing import TypeAlias

from otel_openai._semconv import FINISH_ERROR, OTHER, RESPONSE_SEEDS
from otel_openai._values import MAX_ITEMS, AttributeValue, text

MAX_CHOICES = 128  # what OpenAI allows for `n`
_MAX_SEED = 2**64
_MAX_NAMES = 128
_MAX_OPEN_CALLS = 512


_CallKey: TypeAlias = tuple[int, int | str | None]  # choice; index, or id, or nothing


class FinishReasons:
    """One finish reason a choice, by the choice's index; `error` where one was due and never came."""

    __slots__ = ("by_index", "seeds")

    def __init__(self) -> None:
        self.by_index: dict[int, str | None] = {}
        """Reasons of the choices that were seen."""
        self.seeds: dict[int, str] | None = None

    def choice(self, index: object, position: int) -> int:
        """Note that a choice exists, and return its key: its index, or its position where the index is none."""
        key = index if type(index) is int and index >= 0 else position
        if key not in self.by_index and len(self.by_index) < MAX_CHOICES:
            self.by_index[key] = None
        return key

    def whole(self, index: object, position: int) -> int:
        """Like `choice`, for a whole answer: a second choice under the same index is told by its position."""
        return self.choice(None if type(index) is int and index in self.by_index else index, position)

    def finished(self, key: int, reason: object) -> None:
        """Note the reason that a choice has ended for, as the server spelled it."""
        if key in self.by_index and (spelled := text(reason, 64)) is not None:
            self.by_index[key] = spelled

    def seeded(self, key: int, seed: object) -> None:
        """Note the seed that a choice was generated with. Together's take 64 bits, one more than an attribute has."""
        if type(seed) is int and 0 <= seed < _MAX_SEED and key in self.by_index:
            self.seeds = {**(self.seeds or {}), key: str(seed)}

    def attributes(self) -> dict[str, AttributeValue]:
        """What few servers tell of their choices."""
        return {RESPONSE_SEEDS: [seed for _, seed in sorted(self.seeds.items())]} if self.seeds else {}

    @property
    def complete(self) -> bool:
        """True when there was a choice and every choice had a reason."""
        return bool(self.by_index) and None not in self.by_index.values()

    @property
    def error(self) -> object:
        """An error that says nothing more, where the server itself gave `error` for a reason (Together); else None."""
        return {"message": None} if FINISH_ERROR in self.by_index.values() else None

    def as_list(self) -> list[str]:
        """Reasons by position. Gaps are told too, unless a server numbers its choices absurdly high."""
        if len(self.by_index) == 1 and 0 in self.by_index:  # nearly always
            return [self.by_index[0] or FINISH_ERROR]
        highest = max(self.by_index, default=-1)
        positions = range(highest + 1) if highest < MAX_CHOICES else sorted(self.by_index)
        return [self.by_index.get(position) or FINISH_ERROR for position in positions]


class ToolCalls:
    """How many tool calls an answer made, and of which tools. Names are no content; arguments are never looked at."""

    __slots__ = ("by_name", "count", "names")

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []
        """The first names, in order."""
        self.by_name: dict[str, int] = {}

    def add(self, name: object) -> None:
        """One more call, of a tool whose name is known now or comes later (None)."""
        self.count += 1
        self.named(name)

    def named(self, name: object) -> None:
        """The name of a call that was added without one."""
        tool = text(name, 128)
        if tool is None:
            return
        if len(self.names) < MAX_ITEMS:
            self.names.append(tool)
        if tool not in self.by_name and len(self.by_name) >= _MAX_NAMES:
            tool = OTHER
        self.by_name[tool] = self.by_name.get(tool, 0) + 1


class ToolCallDeltas:
    """Tool calls of a stream, put together from deltas.

    A call is known by its choice and its index. Where a server sends no index, by its id; where it sends neither, a
    delta that names a tool begins a call. A new id under a used index is a new call (some servers repeat index 0).
    """

    __slots__ = ("_nameless", "_open", "calls")

    def __init__(self) -> None:
        self.calls = ToolCalls()
        self._open: dict[_CallKey, str | None] = {}  # key -> id of the call that it stands for
        self._nameless: set[_CallKey] = set()

    def delta(self, choice: int, index: object, call_id: object, name: object) -> tuple[_CallKey, bool]:
        """Take note of one delta. Memory is bounded: past the bound a delta with an id or a name begins a call.

        Returns:
            What the call is known by from now on, and whether it has begun with this delta.
        """
        identity = text(call_id)
        key: _CallKey
        if type(index) is int:
            key = (choice, index)
            known = key in self._open and (identity is None or self._open[key] in (None, identity))
        elif identity is not None:
            key = (choice, identity)
            known = key in self._open
        else:
            key = (choice, None)
            known = key in self._open and not name
        if known:
            self._open[key] = self._open[key] or identity
            if name and key in self._nameless:
                self._nameless.discard(key)
                self.calls.named(name)
            return key, False
        if key not in self._open and len(self._open) >= _MAX_OPEN_CALLS:
            begun = identity is not None or bool(name)
            if begun:
                self.calls.add(name)
            return key, begun
        self._open[key] = identity
        self._open.setdefault((choice, None), None)  # what comes with neither index, id nor name goes on with a call
        self.calls.add(name)
        if name:
            self._nameless.discard(key)
        else:
            self._nameless.add(key)
        return key, True
