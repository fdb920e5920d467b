"""How every builder of a body takes overrides: a keyword sets a field, ABSENT leaves it out."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

Body = dict[str, Any]


class Absent(Enum):
    """The type of ABSENT."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
"""The value of a field that is not in the body at all; None is null."""


def merge(defaults: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Body:
    """Return the defaults with the overrides, without the fields that are ABSENT."""
    return {name: value for name, value in {**defaults, **(overrides or {})}.items() if value is not ABSENT}
