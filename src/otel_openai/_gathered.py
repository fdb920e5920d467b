"""Text of a stream, kept as far as it will be exported: the pieces beyond are counted and forgotten."""

from typing import Any, cast

from otel_openai._content import Clipped, Limits
from otel_openai._plain import members

_JOIN_AT = 256  # a short text is ten times as large as its characters: pieces are joined now and then
_MAX_ITEMS = 1024
_NEVER_TOLD = frozenset({"encrypted_content", "logprobs", "annotations"})  # so they take no room either


class Room:
    """What all texts of one stream may hold together."""

    __slots__ = ("left", "window")

    def __init__(self, limits: Limits) -> None:
        self.left = limits.attribute + limits.margin
        """Characters."""
        self.window = limits.window
        """Characters of one text."""


class Gathered:
    """One text."""

    __slots__ = ("_joined", "_pieces", "_room", "_window", "total")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._window = room.window
        self._joined: list[str] = []
        self._pieces: list[str] = []
        self.total = 0

    def add(self, piece: object) -> None:
        """Take one piece; what is no text is not taken."""
        if not isinstance(piece, str) or not piece:
            return
        length = len(piece)
        space = min(self._window - self.total, self._room.left)
        self.total += length
        if space <= 0:
            return
        if length > space:
            piece = piece[:space]
        self._room.left -= len(piece)
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) == _JOIN_AT:
            self._joined.append("".join(pieces))
            pieces.clear()

    def forget(self) -> None:
        """Give the room back."""
        self._room.left += len(self._kept())
        self._joined.clear()
        self._pieces.clear()
        self.total = 0

    def _kept(self) -> str:
        return "".join([*self._joined, *self._pieces])

    def value(self) -> str | None:
        """The text, or its beginning; None where nothing came."""
        if not self.total:
            return None
        kept = self._kept()
        if len(kept) < self.total:
            kept = Clipped(kept)
            kept.total = self.total
        self._joined = [kept]  # one copy is enough
        self._pieces.clear()
        return kept


def clipped(value: Any, room: Room, depth: int = 8) -> Any:
    """A copy of an object of the client's, as dicts and lists, that holds no more than will be exported."""
    if isinstance(value, str):
        gathered = Gathered(room)
        gathered.add(value)
        return gathered.value() or ""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth == 0:
        return None
    if isinstance(value, list):
        return [clipped(item, room, depth - 1) for item in cast("list[Any]", value)[:_MAX_ITEMS]]
    told = members(value)
    left_out = _NEVER_TOLD if isinstance(told.get("type"), str) else ()  # else these are names that the app gave
    named = list(told.items())[:_MAX_ITEMS]
    return {key: clipped(item, room, depth - 1) for key, item in named if item is not None and key not in left_out}
