"""Runs a function in a process of its own, so that what it installs is gone afterwards."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")
_FORK = multiprocessing.get_context("fork")


class _End(Protocol):
    """One end of a pipe."""

    def send(self, obj: Any, /) -> None: ...


def isolated(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what the function returns in a forked process.

    Raises:
        RuntimeError: The process ended without a result; its own traceback is on standard error.
    """
    ours, theirs = _FORK.Pipe(duplex=False)

    def send_result(end: _End) -> None:
        end.send(function(*args, **kwargs))

    process = _FORK.Process(target=send_result, args=(theirs,))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} ended early") from None
    finally:
        process.join()
