"""Which methods of which classes are wrapped, and the wrappers: sync and async share all but the `await`.

Classes are patched, never client objects, so every client sees it, also one that exists already. The wrappers ask
whether instrumentation is on: the client keeps bound wrapped methods beyond `uninstrument()`.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, NamedTuple

import wrapt

from otel_openai import _guard
from otel_openai._call import Call, begin
from otel_openai._propagation import build_headers
from otel_openai._raw import observe_raw, observe_unread, raw_mode
from otel_openai._reaper import reaper
from otel_openai._stream_usage import Request, prepare
from otel_openai._streams import exit_behind, observe_answer
from otel_openai._table import TABLE
from otel_openai._telemetry import Telemetry
from otel_openai._transport import process_response
from otel_openai._websocket import MODULES, wrappers
from otel_openai._wrapping import Wrapper, foreign, layers, wrap
from otel_openai.operations._base import Operation

_log = logging.getLogger("otel_openai")
_CLIENT_MODULE = "openai._base_client"


class _Patched(NamedTuple):
    owner: type
    method: str
    wrapper: Any
    original: Any


class _State:
    """What is switched on, and what was wrapped."""

    telemetry: Telemetry | None = None
    has_looked_above = False  # whether others have wrapped over us is looked at once, with the first call
    patched: list[_Patched] = []  # noqa: RUF012 - one process, one state
    hooked: set[str] = set()  # noqa: RUF012


def install(telemetry: Telemetry) -> None:
    """Switch on, and wrap what is imported; the rest is wrapped when the app imports it."""
    _State.telemetry = telemetry
    _State.has_looked_above = False
    for module in dict.fromkeys((_CLIENT_MODULE, *(row.module for row in TABLE), *MODULES)):
        if module in sys.modules:
            _patch_imported(module)
        elif module not in _State.hooked:
            _State.hooked.add(module)  # hooks cannot be removed: they look at the switch
            wrapt.register_post_import_hook(_patch_module, module)


def uninstall() -> None:
    """Switch off, unwrap what nobody has wrapped over since, and end the telemetry of living streams."""
    _State.telemetry = None
    for entry in list(_State.patched):
        if entry.owner.__dict__.get(entry.method) is entry.wrapper:
            setattr(entry.owner, entry.method, entry.original)
            _State.patched.remove(entry)
    reaper.end_all()


@_guard.contained("patching the openai client")
def _patch_imported(name: str) -> None:
    _patch_module(import_module(name))  # waits for another thread that is in the middle of importing it


@_guard.contained("patching the openai client")
def _patch_module(module: Any) -> None:
    if _State.telemetry is None:
        return
    if module.__name__ == _CLIENT_MODULE:
        for name in ("SyncAPIClient", "AsyncAPIClient"):
            _wrap(getattr(module, name, None), "_process_response", process_response)
        if _State.telemetry.config.propagate:
            _wrap(getattr(module, "BaseClient", None), "_build_headers", build_headers)
        _wrap(getattr(module, "AsyncPaginator", None), "_get_page", _get_page)
    for row in TABLE:
        if row.module == module.__name__:
            sync_wrapper, async_wrapper = _WRAPPERS[row.gives]
            _wrap(getattr(module, row.name, None), row.method, sync_wrapper(row.operation), warn=True)
            _wrap(getattr(module, f"Async{row.name}", None), row.method, async_wrapper(row.operation), warn=True)
    for owner, method, wrapper in wrappers(module, _current):
        _wrap(owner, method, wrapper)


def _wrap(owner: type | None, method: str, wrapper: Wrapper, *, warn: bool = False) -> None:
    """Wrap a method, where this version of the client has it and we have not yet."""
    original = owner.__dict__.get(method) if owner is not None else None
    if owner is None or original is None:
        return
    for entry in [entry for entry in _State.patched if entry.owner is owner and entry.method == method]:
        if not _is_gone(entry):
            return
        _State.patched.remove(entry)
    if warn and (other := foreign(original)) is not None:
        _warn_of(other)
    wrapped = wrap(original, wrapper)
    setattr(owner, method, wrapped)
    _State.patched.append(_Patched(owner, method, wrapped, original))


def _is_gone(entry: _Patched) -> bool:
    """Whether somebody has taken our wrapper away. Where layers cannot be seen, ours may be one of them."""
    found = layers(entry.owner.__dict__[entry.method])
    all_seen = found[-1] is layers(entry.wrapper)[-1] or foreign(found[0]) is None
    return all_seen and all(layer is not entry.wrapper for layer in found)


@_guard.contained("looking for other instrumentations")
def _look_above() -> None:
    """Warn of those that have wrapped over us, as they came later, and of those that wrap what sends every request."""
    for owner, method, wrapper, _ in _State.patched:
        outermost = owner.__dict__.get(method)
        if outermost is not wrapper and (other := foreign(outermost)) is not None:
            _warn_of(other)
    for client in map(vars(sys.modules["openai"]).get, ("OpenAI", "AsyncOpenAI")):
        request = vars(client).get("request")  # the client's own is inherited
        if request is not None and (other := foreign(request)) is not None:
            _warn_of(other)


def _warn_of(other: str) -> None:
    package = other.rpartition(".")[0] or other
    if package not in _warned:  # some have a module for each API
        _warned.add(package)
        with contextlib.suppress(Exception):  # a log handler that raises
            _log.warning(
                "%s instruments the openai client too: every request is told twice. Switch one of them off.", other
            )


_warned: set[str] = set()


def _current() -> Telemetry | None:
    """The telemetry to use for a call: None when switched off, or when there is nothing to record with."""
    telemetry = _State.telemetry
    if telemetry is None or not telemetry.ready():
        return None
    if not _State.has_looked_above:
        _State.has_looked_above = True
        _look_above()
    return telemetry


def _sync(operation: Operation) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        telemetry = _current()
        if telemetry is None:
            return wrapped(*args, **kwargs)
        call = begin(telemetry, operation, instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        sent = kwargs
        if telemetry.config.stream_usage and operation.usage_on_request and (request := prepare(kwargs)) is not None:
            request.ask(call)
            sent = request.arguments
        entered = call.enter()
        try:
            result = wrapped(*args, **sent)
        except BaseException as error:
            call.leave(entered)
            call.failed(error)
            raise
        call.leave(entered)
        _returned(call, result, kwargs)
        return result

    return wrapper


def _async(operation: Operation) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        telemetry = _current()
        asks = telemetry is not None and telemetry.config.stream_usage and operation.usage_on_request
        request = prepare(kwargs) if asks else None
        # The client's own coroutine is made here and now: what it raises at once, it raises at once with us too.
        try:
            inner = wrapped(*args, **(kwargs if request is None else request.arguments))
        except BaseException as error:
            _refused(error, operation, instance, args, kwargs)
            raise
        return inner if telemetry is None else _awaitable(inner, operation, instance, args, kwargs, request=request)

    return wrapper


def _refused(
    error: BaseException, operation: Operation, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Tell of a call that has failed at once, for its arguments: there is nothing to be awaited or entered."""
    telemetry = _current()
    if telemetry is not None:
        call = begin(telemetry, operation, instance, args, kwargs)
        if call is not None:
            call.failed(error)


def _awaitable(
    inner: Any,
    operation: Operation,
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    request: Request | None = None,
) -> Coroutine[Any, Any, Any]:
    outer = _await(_Unawaited(inner, request), operation, instance, args, kwargs)
    outer.__name__ = getattr(inner, "__name__", outer.__name__)  # another tool's wrapper may return any awaitable
    outer.__qualname__ = getattr(inner, "__qualname__", outer.__qualname__)
    return outer


class _Unawaited:
    """Holds the client's coroutine. Where the app never awaits ours, Python warns once, of ours, as without us."""

    __slots__ = ("coroutine", "request")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], request: Request | None) -> None:
        self.coroutine = coroutine
        self.request = request  # where it may be asked for usage when it is awaited

    def __del__(self) -> None:
        if hasattr(self.coroutine, "close"):
            self.coroutine.close()


async def _await(
    unawaited: _Unawaited, operation: Operation, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    telemetry = _current()
    call = begin(telemetry, operation, instance, args, kwargs) if telemetry is not None else None
    if call is None:
        return await unawaited.coroutine
    reaper.stand_by()
    if unawaited.request is not None:
        unawaited.request.ask(call)
    entered = call.enter()
    try:
        result = await unawaited.coroutine
    except BaseException as error:
        if (destroyed := exit_behind(error)) is not None:
            call.leave_if_entered(entered)
            reaper.put(lambda: call.failed(destroyed))
        else:
            call.leave(entered)
            call.failed(error)
        raise
    call.leave(entered)
    _returned(call, result, kwargs)
    return result


def _returned(call: Call, result: Any, params: dict[str, Any]) -> None:
    """Observe what the app is about to get. Whatever fails here costs telemetry; the result is not touched."""
    try:
        call.respond(result)
    finally:
        _observe_result(call, result, params)


def _observe_result(call: Call, result: Any, params: dict[str, Any]) -> None:
    try:
        mode = raw_mode(params)
        if mode == "true":
            observe_raw(call, result)
        elif mode is not None:
            observe_unread(call, result)
        else:
            observe_answer(call, result)
    except Exception:
        call.end(None)
        _guard.contain("observing a result")


def _later(prepare: Callable[..., None]) -> Callable[[Operation], Wrapper]:
    """For methods that return at once what sends the request later: the app gets that very object, prepared."""

    def of(operation: Operation) -> Wrapper:
        def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                _refused(error, operation, instance, args, kwargs)
                raise
            if _current() is not None:
                try:
                    prepare(result.__dict__, operation, instance, args, kwargs)
                except Exception:
                    _guard.contain("preparing to observe a request")
            return result

        return wrapper

    return of


def _mark(paginator: dict[str, Any], *asked: Any) -> None:
    paginator[_ASKED] = asked


_ASKED = "_otel_openai_asked"


def _get_page(wrapped: Any, paginator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wrapper of the paginator's request, which is made each time that it is awaited or iterated over."""
    request = wrapped(*args, **kwargs)
    asked = paginator.__dict__.get(_ASKED)
    return request if asked is None or _current() is None else _awaitable(request, *asked)


def _observe_request(
    manager: dict[str, Any], operation: Operation, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """The manager calls what it holds when the app enters it."""
    request = manager[_REQUEST]
    send, params = _sync(operation), {**kwargs, "stream": True}

    def request_now(*_: Any, **__: Any) -> Any:
        return request()

    manager[_REQUEST] = lambda: send(request_now, instance, args, params)


def _observe_awaited_request(
    manager: dict[str, Any], operation: Operation, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """The async one awaits what it holds."""
    params = {**kwargs, "stream": True}
    manager[_ASYNC_REQUEST] = _awaitable(manager[_ASYNC_REQUEST], operation, instance, args, params)


_REQUEST = "_AssistantStreamManager__api_request"
_ASYNC_REQUEST = "_AsyncAssistantStreamManager__api_request"

_WRAPPERS = {
    "answer": (_sync, _async),
    "page": (_sync, _later(_mark)),
    "manager": (_later(_observe_request), _later(_observe_awaited_request)),
}
