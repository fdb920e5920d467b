"""Marks at the beginning and the end of functions, so that instructions can be told apart by Python function.

Callgrind sees one C function, the interpreter's loop, whatever Python function runs. So the package's functions are
rewritten at import to call `enter` and `leave`, which set marks (see `callgrind`). `sequence` tells
what each dump belongs to. Generators and coroutines are not rewritten: they count for their caller.
"""

from __future__ import annotations

import ast
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any

from benchmarks.callgrind import mark

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec

PROGRAM = "(program)"
"""Label of everything outside of marked functions."""


class Recorder:
    """What runs between two dumps."""

    def __init__(self) -> None:
        self.on = False
        self.sequence: list[str | None] = []
        """The label of each dump; None for the recorder's own instructions."""
        self.calls: list[tuple[str, str]] = []
        """Caller and callee of each call that was marked."""
        self._stack = [PROGRAM]

    def enter(self, label: str) -> None:
        """End the caller's part and begin the function's."""
        mark()
        self.sequence += (self._stack[-1], None)
        self.calls.append((self._stack[-1], label))
        self._stack.append(label)
        mark()

    def leave(self) -> None:
        """End the function's part and begin the caller's again."""
        mark()
        self.sequence += (self._stack.pop(), None)
        mark()

    def start(self) -> None:
        """Begin to record; what ran before is nobody's."""
        self.sequence.clear()
        self.sequence.append(None)
        self.calls.clear()
        self.on = True
        mark()

    def stop(self) -> None:
        """End the recording."""
        mark()
        self.sequence.append(PROGRAM)
        self.on = False


recorder = Recorder()


def enter(label: str) -> None:
    """Beginning of a marked function."""
    if recorder.on:
        recorder.enter(label)


def leave() -> None:
    """End of a marked function."""
    if recorder.on:
        recorder.leave()


def mark_method(owner: Any, name: str, label: str) -> None:
    """Mark a method of somebody else's class; what it calls counts for it."""
    method: Callable[..., Any] = getattr(owner, name)

    def marked(*args: Any, **kwargs: Any) -> Any:
        enter(label)
        try:
            return method(*args, **kwargs)
        finally:
            leave()

    setattr(owner, name, marked)


def mark_source(source: str | bytes, path: str, module: str) -> types.CodeType:
    """Compile source whose functions are marked."""
    tree = _Marking(module).visit(ast.parse(source, path))
    tree.body[1:1] = ast.parse("from benchmarks.marks import enter as _mark_enter, leave as _mark_leave").body
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


def mark_package(package: str) -> None:
    """Mark all functions of a package that is not imported yet."""
    sys.meta_path.insert(0, _Finder(package))


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self._package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:
        return mark_source(self.get_data(self.path), self.path, fullname.partition(".")[2])  # never from a cached file


class _Marking(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self._names = [module]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._names.append(node.name)
        self.generic_visit(node)
        label = ".".join(self._names)
        self._names.pop()
        if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in _own(node)):
            return node
        first = ast.parse(f"_mark_enter({label!r})").body
        node.body = [*first, ast.Try(node.body, [], [], ast.parse("_mark_leave()").body)]
        return node


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What belongs to a function itself, not to functions inside it."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            todo += ast.iter_child_nodes(node)
