"""Reading values that may be anything: absent, None, of a foreign type, absurdly large, not encodable.

Whatever these functions return can be exported by OTLP; everything else becomes None and is not recorded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str]

MAX_TEXT = 256
MAX_ITEMS = 32
MAX_INT = 2**63  # OTLP carries 64 bits

# How one request argument becomes one attribute: its name, and the reader of its value.
Rule: TypeAlias = tuple[str, Callable[[Any], AttributeValue | None]]

_EMPTY: dict[str, Any] = {}


def text(value: object, limit: int = MAX_TEXT) -> str | None:
    """A non-empty string of at most `limit` characters, lone surrogates replaced (OTLP cannot encode them)."""
    if type(value) is str and 0 < len(value) <= limit and value.isascii():
        return value  # nearly always
    if not isinstance(value, str) or not value:
        return None
    if type(value) is not str:
        value = str.__str__(value)  # an enum member's own str() is its name, not what is sent
    if len(value) > limit:
        value = value[:limit]
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def integer(value: object) -> int | None:
    """An int of 64 bits; booleans are none, integral floats are."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            return None
        value = int(value)
    return value if -MAX_INT <= value < MAX_INT else None


def count(value: object) -> int | None:
    """An int of 64 bits that is not negative."""
    whole = value if type(value) is int else integer(value)
    return whole if whole is not None and 0 <= whole < MAX_INT else None


def number(value: object) -> float | None:
    """A float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def texts(value: object) -> Sequence[str] | None:
    """A list of strings, or one string as a list of one; anything else (a generator above all) is not touched."""
    if isinstance(value, str):
        value = [value]
    read = [item for item in map(text, listed(value)[:MAX_ITEMS]) if item is not None]
    return read or None


def listed(value: object) -> list[Any]:
    """A list or tuple as a list, anything else as an empty one."""
    if isinstance(value, tuple):
        return list(cast("tuple[Any, ...]", value))
    return cast("list[Any]", value) if isinstance(value, list) else []


def fields(value: Any) -> dict[str, Any]:
    """The fields of a model, the unknown ones of a compatible server included; a dict as it is; else nothing."""
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    try:
        own: dict[str, Any] = value.__dict__
        unknown: Any = value.__pydantic_extra__
    except AttributeError:
        return getattr(value, "__dict__", _EMPTY)
    return {**own, **unknown} if unknown else own


def extra(value: object, name: str) -> Any:
    """A field that the client's model does not know, or None. Cheaper than getattr, which searches before it fails."""
    unknown = getattr(value, "__pydantic_extra__", None)
    return unknown.get(name) if unknown else None


def mapped(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, AttributeValue]:
    """The attributes of those values that have a rule and can be read."""
    attributes: dict[str, AttributeValue] = {}
    for key, value in values.items():
        rule = rules.get(key)
        if rule is not None and (read := rule[1](value)) is not None:
            attributes[rule[0]] = read
    return attributes
