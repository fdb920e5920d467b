"""Any value of an app or a server as plain JSON of bounded size, and JSON text as a value that OTLP can carry.

Nothing is called or iterated but dicts, lists and tuples: a generator, a file or a lazy proxy is told by its type.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import date, time
from types import SimpleNamespace
from typing import Any, NoReturn, cast

from otel_openai._binary import from_data_url, is_data_url
from otel_openai._values import MAX_INT, fields

# Each level of JSON is three levels of OTLP, and receivers refuse messages of more than a hundred.
MAX_DEPTH = 24
_STEP = 16_384
_SURROGATE = re.compile("[\ud800-\udfff]")

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def clean(text: str) -> str:
    """The text without lone surrogates, which no exporter can encode. A plain `str`, also of an enum's member."""
    text = text if type(text) is str else str.__str__(text)
    return text if text.isascii() or _SURROGATE.search(text) is None else _SURROGATE.sub("\ufffd", text)


def size(value: object) -> int:
    """Bytes of a plain value as JSON. A long text in it is encoded in steps: there is never a second copy of it."""
    if isinstance(value, str) and len(value) > _STEP:
        return sum(size(value[start : start + _STEP]) - 2 for start in range(0, len(value), _STEP)) + 2
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        texts = {name: text for name, text in members.items() if isinstance(text, str) and len(text) > _STEP}
        if texts:
            return size({**members, **dict.fromkeys(texts, "")}) + sum(size(text) - 2 for text in texts.values())
    encoded = encode(value)
    return len(encoded) if encoded.isascii() else len(encoded.encode())


def plain(value: object, room: int) -> Any:
    """A value as plain JSON.

    Args:
        value: Anything, cyclic or not.
        room: Characters to spend; what is beyond is told as `…`.
    """
    return _Plain(room).of(value, 0)


class _Plain:
    def __init__(self, room: int) -> None:
        self.room = room

    def of(self, value: Any, depth: int) -> Any:
        self.room -= 1
        if self.room < 0 or depth > MAX_DEPTH:
            return "…"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _without_data(value) if is_data_url(value) else self._text(value)
        if isinstance(value, int):
            return int(value) if -MAX_INT <= value < MAX_INT else self._text(hex(value))
        if isinstance(value, float):
            return float(value) if abs(value) < float("inf") else self._text(float.__repr__(value))
        if isinstance(value, (bytes, bytearray)):
            return f"<{len(value)} bytes>"
        if isinstance(value, (date, time)):  # a datetime is a date
            return value.isoformat()
        if isinstance(value, (list, tuple)):
            return self._list(cast("Sequence[Any]", value), depth)
        if isinstance(value, dict):
            return self._dict(cast("dict[Any, Any]", value), depth)
        named = _named(value)
        return f"<{type(value).__name__}>" if named is None else self._dict(named, depth)

    def _text(self, text: str) -> str:
        kept = text if len(text) <= self.room else text[: self.room] + "…"
        self.room -= len(text)
        return clean(kept)

    def _list(self, values: Sequence[Any], depth: int) -> list[Any]:
        told: list[Any] = []
        for value in values:
            told.append(self.of(value, depth + 1))
            if self.room < 0:
                break
        return told

    def _dict(self, named: dict[Any, Any], depth: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for key, value in list(named.items()):
            name = self._text(key) if isinstance(key, str) else str(self.of(key, depth + 1))
            told[name or " "] = self.of(value, depth + 1)
            if self.room < 0:
                break
        return told


def _without_data(url: str) -> dict[str, Any]:
    data, mime_type = from_data_url(url)
    return data.part("document", mime_type, whole=False)


def members(value: object) -> dict[str, Any]:
    """The fields of a dict, a model or another object, the unknown ones of a server included; of a value: none."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if value is None or isinstance(value, (str, int, float, list, tuple, type)):
        return {}
    try:
        return fields(value)
    except Exception:  # an object of the app's that raises wherever it is touched
        return {}


def _named(value: object) -> dict[str, Any] | None:
    """The fields of a pydantic object, a namespace or a dataclass; None for anything else."""
    if hasattr(type(value), "model_fields") or type(value) is SimpleNamespace:
        return {name: member for name, member in members(value).items() if member is not None}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclass_fields(value)}
    return None


def parsed(text: str) -> Any:
    """JSON text as a value; the text itself where it is no JSON, or holds what exporters cannot carry."""
    if not text or text[0] not in _BEGINNINGS:
        return text
    try:
        value: Any = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
        return value if _is_exportable(value, 0) else text
    except (ValueError, RecursionError):
        return text


_BEGINNINGS = frozenset('{["-0123456789tfn \t\r\n')


def _integer(digits: str) -> int:
    value = int(digits)
    return value if -MAX_INT <= value < MAX_INT else _refuse(digits)


def _float(digits: str) -> float:
    value = float(digits)
    return value if abs(value) < float("inf") else _refuse(digits)


def _refuse(what: str) -> NoReturn:
    raise ValueError(what)


def _is_exportable(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        return value.isascii() or _SURROGATE.search(value) is None
    if isinstance(value, list):
        return depth < MAX_DEPTH and all(_is_exportable(item, depth + 1) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return depth < MAX_DEPTH and all(
            key and _is_exportable(key, depth) and _is_exportable(item, depth + 1) for key, item in members.items()
        )
    return True
