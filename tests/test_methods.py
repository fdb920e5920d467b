"""docs/methods.md knows every method of the installed client, and what it calls traced is."""

import re
import warnings
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import openai
import pytest

from otel_openai._table import TABLE
from otel_openai._wrapping import foreign, layers
from support import Told, client, need

PAGE = Path(__file__).parent.parent / "docs" / "methods.md"
NEWEST = "3.54.0"
"""The version that the page was last compared with as a whole."""


def rows(section: str) -> Iterator[list[list[str]]]:
    """The rows of the table under a heading: of each cell what is set as code, or else its text."""
    _, _, text = PAGE.read_text("utf-8").partition(f"\n## {section}\n")
    for line in text.partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            yield [re.findall(r"`([^`]+)`", cell) or [cell.strip()] for cell in line.strip("|").split("|")]


TRACED = {method: told for methods, (told,), _ in rows("Traced") for method in methods}
"""By method: the name of its operation, or the method that it calls."""
OVER_WEBSOCKETS = {method for methods, *_ in rows("Traced over WebSockets") for method in methods}
"""They open a connection, whose messages are observed."""
NOT_TRACED = {
    f"{resource}.{method}" for (resource,), methods, _ in rows("Not traced") for method in methods if method != "all"
}


def methods_of(resource: Any, path: str = "") -> Iterator[str]:
    """The methods of a resource and of the resources below it."""
    for name in dir(resource):
        if name.startswith(("_", "with_")):
            continue
        value = getattr(resource, name)
        if type(value).__module__.startswith("openai.resources") and hasattr(value, "_client"):
            yield from methods_of(value, f"{path}{name}.")
        elif path and callable(value):
            yield path + name


@pytest.fixture(params=["sync", "async"])
def any_client(request: pytest.FixtureRequest) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older resources are called deprecated
        return client(request.param, "http://127.0.0.1/v1")


def test_the_page_knows_every_method_of_the_client(any_client: Any) -> None:
    there = {method for method in methods_of(any_client) if not method.startswith("admin.")}

    assert len(there) > 90
    assert sorted(there - TRACED.keys() - OVER_WEBSOCKETS - NOT_TRACED) == []
    assert sorted((TRACED.keys() | OVER_WEBSOCKETS) & NOT_TRACED) == []


def test_the_page_knows_no_method_that_never_was(any_client: Any) -> None:
    if openai.__version__ != NEWEST:
        pytest.skip(f"openai {openai.__version__} is another version than the page was made for, {NEWEST}")

    assert sorted((TRACED.keys() | OVER_WEBSOCKETS | NOT_TRACED) - set(methods_of(any_client))) == []


@pytest.mark.parametrize("method", TRACED)
def test_what_the_page_calls_traced_is(method: str, any_client: Any, told: Told) -> None:
    del told
    need(method)
    operation = TRACED[method]
    *path, name = method.split(".")
    resource: Any = reduce(getattr, path, any_client)
    owner: Any = resource.__class__
    observed = any(hasattr(layer, "_self_wrapper") and foreign(layer) is None for layer in layers(getattr(owner, name)))
    this = (owner.__module__, owner.__name__.removeprefix("Async"), name)

    if operation in TRACED:
        assert TRACED[operation] not in TRACED
        assert not observed, "it has a span of its own beside that of what it calls"
    else:
        assert observed
        assert [row.operation.name for row in TABLE if (row.module, row.name, row.method) == this] == [operation]


def test_every_row_of_the_table_is_on_the_page() -> None:
    operations = set(TRACED.values()) - TRACED.keys()
    assert operations == {row.operation.name for row in TABLE}
