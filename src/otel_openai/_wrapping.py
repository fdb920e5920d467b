"""Wrapping a method so that it looks like the bare one, and telling who else has wrapped it."""

import copy
import functools
from collections.abc import Callable
from pkgutil import resolve_name
from types import CellType, FunctionType
from typing import Any, TypeAlias

import wrapt

Wrapper: TypeAlias = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called with the wrapped function, the instance (None where it is the first argument), and the arguments."""


class _BoundWrapped(wrapt.BoundFunctionWrapper):  # pyright: ignore[reportMissingTypeArgument] - wrapt 1 takes none
    """Copies and pickles by name, as the client's own functions and methods do; wrapt refuses both."""

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        instance = self._self_instance
        return self if instance is None else getattr(copy.deepcopy(instance, memo), self.__name__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        instance = self._self_instance
        if instance is None:
            return resolve_name, (f"{self.__module__}:{self.__qualname__}",)
        return getattr, (instance, self.__name__)


class _Wrapped(wrapt.FunctionWrapper):  # pyright: ignore[reportMissingTypeArgument]
    __bound_function_wrapper__ = _BoundWrapped


def wrap(method: Any, wrapper: Wrapper) -> Any:
    """Wrap a method; of a deprecated one what is inside, as the layer around it warns of the line that calls it."""
    inner = getattr(method, "__wrapped__", None)
    if inner is None or _module_of(method) not in _DEPRECATORS:
        return _Wrapped(method, wrapper)
    wrapped = _Wrapped(inner, wrapper)
    cells = tuple(CellType(wrapped) if cell.cell_contents is inner else cell for cell in method.__closure__)
    layer = FunctionType(method.__code__, method.__globals__, method.__name__, method.__defaults__, cells)
    layer.__kwdefaults__ = method.__kwdefaults__
    functools.update_wrapper(layer, method)
    layer.__wrapped__ = wrapped  # pyright: ignore[reportFunctionMemberAccess]
    return layer


_DEPRECATORS = ("typing_extensions", "warnings")


def layers(method: Any) -> list[Any]:
    """A method and what it wraps, the innermost last."""
    found = [method]
    while (inner := getattr(found[-1], "__wrapped__", None)) is not None:
        found.append(inner)
    return found


def foreign(method: Any) -> str | None:
    """The package that has wrapped a method of the client, if it is another one."""
    module = _module_of(getattr(method, "_self_wrapper", method))
    return None if module.partition(".")[0] in ("openai", "otel_openai", *_DEPRECATORS) else module


def _module_of(function: Any) -> str:
    return getattr(function, "__globals__", {}).get("__name__") or getattr(function, "__module__", None) or ""
