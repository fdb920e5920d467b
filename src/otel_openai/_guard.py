"""The error barrier: a fault of telemetry costs at most the telemetry of one call, never the app's call.

Only `Exception` is contained: KeyboardInterrupt, SystemExit and cancellation belong to the app.
"""

import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

_log = logging.getLogger("otel_openai")
_reported: set[str] = set()

# Our own test suite sets this, so that the barrier never hides a bug of ours.
reraise = False


def contain(doing: str) -> None:
    """Report the exception being handled: WARNING the first time that `doing` fails, DEBUG afterwards."""
    if reraise:
        raise  # noqa: PLE0704 - called from within an except block, by contract
    level = logging.DEBUG if doing in _reported else logging.WARNING
    _reported.add(doing)
    with contextlib.suppress(Exception):  # a log handler that raises is no reason to break the app either
        _log.log(level, "Telemetry was lost while %s; the application is not affected.", doing, exc_info=True)


def contained(doing: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R | None]]:
    """Decorate a function so that it returns None instead of raising."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
        @functools.wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
            try:
                return function(*args, **kwargs)
            except Exception:
                contain(doing)
                return None

        return guarded

    return decorate


def run_hook(hook: Callable[..., Any], *args: object) -> None:
    """Call a hook of the user's; what it raises is contained."""
    try:
        hook(*args)
    except Exception:
        contain(f"running the hook {getattr(hook, '__qualname__', type(hook).__qualname__)}")


def report(doing: str, why: str) -> None:
    """Report a fault of the user's own function without what it raised, which may repeat what it was given."""
    level = logging.DEBUG if doing in _reported else logging.WARNING
    _reported.add(doing)
    with contextlib.suppress(Exception):
        _log.log(level, "Content was dropped while %s: %s; the application is not affected.", doing, why)
