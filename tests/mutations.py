"""Mutations of a JSON document: what a server could get wrong, drawn by hypothesis."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from hypothesis import strategies as st

_ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 10**7, 2**63, 10**400, 1.5, -0.0, float("nan"), float("inf"), 1e300),
    *(
        "",
        "x",
        "7",
        "stop",
        "\ud800",
        "x" * 255 + "\udfff" * 9,
        "\x00é\ud800",
        "x" * 5000,
        "response.completed",
        "error",
    ),
    *([], [None], [[]], ["x"], [{}], {}, {"id": None}, {"type": "function", "function": None}, {"error": "x"}),
    {"message": ["not", "a", "text"], "code": {"a": 1}, "type": 5, "param": []},
]

_Path = tuple[int | str, ...]


class Mutation(NamedTuple):
    """One thing that is wrong. Numbers choose among what there is, modulo its number."""

    how: str
    where: int
    other: int


MUTATIONS = st.lists(
    st.builds(
        Mutation,
        st.sampled_from(["replace", "replace", "replace", "drop", "double", "reverse", "move", "swap", "rename"]),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=4,
)


def mutated(document: Any, mutations: list[Mutation]) -> Any:
    """A copy of a document with these mutations, one after the other."""
    root = {"": copy.deepcopy(document)}
    for mutation in mutations:
        paths = list(_paths(root.setdefault("", None), ("",)))[::-1]  # the document itself comes last
        path = paths[mutation.where % len(paths)]
        _HOW[mutation.how](root, path, mutation.other, paths)
    return root.get("")


def _paths(value: Any, path: _Path) -> Iterator[_Path]:
    yield path
    for key, item in _items(value):
        yield from _paths(item, (*path, key))


def _items(value: Any) -> list[tuple[int | str, Any]]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).items())
    return list(enumerate(cast("list[Any]", value))) if isinstance(value, list) else []


def _at(root: Any, path: _Path) -> tuple[Any, Any]:
    """The container of a place, and the key of the place in it."""
    for key in path[:-1]:
        root = root[key]
    return root, path[-1]


def _drop(root: Any, path: _Path, _other: int, _paths: list[_Path]) -> None:
    container, key = _at(root, path)
    del container[key]


def _replace(root: Any, path: _Path, other: int, _paths: list[_Path]) -> None:
    container, key = _at(root, path)
    container[key] = copy.deepcopy(_ODD[other % len(_ODD)])


def _double(root: Any, path: _Path, _other: int, _paths: list[_Path]) -> None:
    container, key = _at(root, path)
    if isinstance(key, int):
        cast("list[Any]", container).insert(key, copy.deepcopy(container[key]))
    else:
        container[key] = [container[key], copy.deepcopy(container[key])]


def _reverse(root: Any, path: _Path, _other: int, _paths: list[_Path]) -> None:
    container, key = _at(root, path)
    value = container[key]
    if isinstance(value, dict):
        container[key] = dict(reversed(_items(value)))
    elif isinstance(value, (list, str)):
        container[key] = value[::-1]


def _move(root: Any, path: _Path, other: int, paths: list[_Path]) -> None:
    """Put a copy of a value where another is."""
    container, key = _at(root, path)
    value = copy.deepcopy(container[key])
    container, key = _at(root, paths[other % len(paths)])
    container[key] = value


def _swap(root: Any, path: _Path, other: int, _paths: list[_Path]) -> None:
    """Change places with a neighbour: chunks that arrive in another order, say."""
    container, key = _at(root, path)
    keys = [at for at, _ in _items(container)]
    neighbour = keys[(keys.index(key) + 1 + other) % len(keys)]
    container[key], container[neighbour] = container[neighbour], container[key]


def _rename(root: Any, path: _Path, _other: int, _paths: list[_Path]) -> None:
    container, key = _at(root, path)
    if isinstance(key, str) and key:
        container["renamed"] = cast("dict[Any, Any]", container).pop(key)


_HOW: dict[str, Callable[[Any, _Path, int, list[_Path]], None]] = {
    "drop": _drop,
    "replace": _replace,
    "double": _double,
    "reverse": _reverse,
    "move": _move,
    "swap": _swap,
    "rename": _rename,
}
