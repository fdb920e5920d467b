"""Which WebSocket connections of the client are observed, and the wrappers: sync and async share all but the `await`.

The app gets the client's own connection, and a `Session` learns what goes through it. A connection that never comes to
be is told by a span; one that does has none of its own, however long it lives.
"""

import sys
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from opentelemetry.context import get_current

from otel_openai import _guard
from otel_openai._call import is_suppressed
from otel_openai._propagation import handshake_headers
from otel_openai._sessions import Protocol, Session, identifier
from otel_openai._streams import exit_behind
from otel_openai._telemetry import Telemetry
from otel_openai._values import fields
from otel_openai._wrapping import Wrapper
from otel_openai.operations.realtime import REALTIME
from otel_openai.operations.responses import RESPONSES_WEBSOCKET

_Current: TypeAlias = Callable[[], Telemetry | None]
_Observed: TypeAlias = tuple[Callable[[Any], None], Callable[[BaseException], None]]
"""What is to be told of a call when it has returned, and when it has raised."""
_Begin: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], _Observed | None]


def _realtime_arguments(told: dict[str, Any]) -> dict[str, Any]:
    return fields(told.get("response"))


def _metadata(told: dict[str, Any]) -> object:
    """What the app gives to a request to know its response by; the server repeats it."""
    return dict(fields(fields(told.get("response")).get("metadata")))


def _response_id(told: dict[str, Any]) -> str | None:
    return identifier(fields(told.get("response")).get("id"))


def _responses_arguments(told: dict[str, Any]) -> dict[str, Any]:
    return told


def _lane(told: dict[str, Any]) -> str | None:
    return identifier(told.get("stream_id"))


_REALTIME = Protocol(REALTIME, _realtime_arguments, _metadata, _response_id, "response_id", in_lanes=False)
_RESPONSES = Protocol(RESPONSES_WEBSOCKET, _responses_arguments, _lane, _lane, "stream_id", in_lanes=True)


class Socket(NamedTuple):
    """One API of the client that opens WebSockets."""

    module: str
    name: str
    """Its classes are `{name}Connection` and `{name}ConnectionManager`; the async ones have the prefix `Async`."""
    protocol: Protocol


SOCKETS = (
    Socket("openai.resources.realtime.realtime", "Realtime", _REALTIME),  # since 1.103
    Socket("openai.resources.beta.realtime.realtime", "Realtime", _REALTIME),
    Socket("openai.resources.responses.responses", "Responses", _RESPONSES),  # since 2.22
    Socket("openai.resources.beta.responses.responses", "Responses", _RESPONSES),  # since 2.45
)


_LANES = "openai.lib.responses_websocket._session"  # newer clients: shares a connection of Responses among lanes
MODULES = (*(socket.module for socket in SOCKETS), _LANES)

_SESSION = "_otel_openai_session"  # an attribute of the connections that are observed, and of their managers


def wrappers(module: Any, current: _Current) -> Iterator[tuple[type, str, Wrapper]]:
    """What to wrap in a module of the client, where this version has it: class, method and wrapper.

    Args:
        module: The imported module.
        current: The telemetry to use now; None where nothing is to be told.
    """
    for socket in SOCKETS:
        if socket.module == module.__name__:
            yield from _connections(socket, module, current)
    if module.__name__ == _LANES:
        yield from _lanes(module)


def _connections(socket: Socket, module: Any, current: _Current) -> Iterator[tuple[type, str, Wrapper]]:
    for prefix, made, enter, leave in (
        ("", _sync, "__enter__", "__exit__"),
        ("Async", _async, "__aenter__", "__aexit__"),
    ):
        connection = getattr(module, f"{prefix}{socket.name}Connection", None)
        manager = getattr(module, f"{prefix}{socket.name}ConnectionManager", None)
        if connection is None or manager is None:
            continue
        opens = made(partial(_open, socket.protocol, current, f"_{manager.__name__}__"))
        yield manager, enter, opens
        yield manager, "enter", opens
        yield manager, leave, _ending(_leave)
        yield connection, "send", made(_send, 1)
        yield connection, "recv", made(_recv)
        yield connection, "recv_bytes", made(_recv_bytes)
        # Newer clients define it in a base class, which the connections of other APIs have too.
        yield next(base for base in connection.__mro__ if "close" in base.__dict__), "close", _ending(_close)


def _lanes(module: Any) -> Iterator[tuple[type, str, Wrapper]]:
    """Lanes receive through the connection, and send past it. The session that they belong to closes it."""
    for prefix, made, leave in (("", _sync, "__exit__"), ("Async", _async, "__aexit__")):
        lane = getattr(module, f"{prefix}ResponsesWebSocketLane", None)
        session = getattr(module, f"{prefix}ResponsesWebSocketSession", None)
        if lane is not None and session is not None:
            yield lane, "send", made(_send_in_lane, 1)
            yield session, leave, _ending(_leave_lanes)


def _sync(begin: _Begin, takes: int = 0) -> Wrapper:
    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(args) + len(kwargs) != takes:
            return wrapped(*args, **kwargs)  # the client will refuse it
        observed = begin(instance, args, kwargs)
        if observed is None:
            return wrapped(*args, **kwargs)
        returned, raised = observed
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            raised(error)
            raise
        returned(result)
        return result

    return wrapper


def _async(begin: _Begin, takes: int = 0) -> Wrapper:
    async def observe(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        observed = begin(instance, args, kwargs)
        if observed is None:
            return await wrapped(*args, **kwargs)
        returned, raised = observed
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            raised(error)
            raise
        returned(result)
        return result

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        if len(args) + len(kwargs) != takes:
            return wrapped(*args, **kwargs)
        coroutine = observe(wrapped, instance, args, kwargs)
        coroutine.__name__ = getattr(wrapped, "__name__", coroutine.__name__)
        coroutine.__qualname__ = getattr(wrapped, "__qualname__", coroutine.__qualname__)
        return coroutine

    return wrapper


@_guard.contained("observing a WebSocket that is opened")
def _open(
    protocol: Protocol, current: _Current, private: str, manager: Any, _: tuple[Any, ...], __: dict[str, Any]
) -> _Observed | None:
    telemetry = current()
    client = getattr(manager, private + "client", None)  # `private` is what the names of private attributes begin with
    if telemetry is None or client is None or is_suppressed(get_current()):
        return None
    query = fields(getattr(manager, private + "extra_query", None))
    model = query.get("model", getattr(manager, private + "model", None))
    server = telemetry.servers.of_websocket(client)
    session = Session(protocol, current, server, model)
    headers = private + "extra_headers"
    given: Any = getattr(manager, headers, None)
    sent = handshake_headers(telemetry, server, client, given) if telemetry.config.propagate else None

    def restore() -> None:
        if sent is not None:
            setattr(manager, headers, given)

    def opened(connection: Any) -> None:
        restore()
        setattr(manager, _SESSION, session)
        setattr(connection, _SESSION, session)
        session.opened(connection)

    def unopened(error: BaseException) -> None:
        restore()
        session.unopened(error)

    if sent is not None:
        setattr(manager, headers, sent)
    return opened, unopened


def _send(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Observed | None:
    return _sending(_session_of(connection), _event(args, kwargs))


def _send_in_lane(lane: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Observed | None:
    connection = getattr(getattr(lane, "_session", None), "connection", None)
    stream_id = getattr(getattr(lane, "_state", None), "stream_id", None)
    return _sending(_session_of(connection), {**fields(_event(args, kwargs)), "stream_id": stream_id})


def _event(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("event")


def _sending(session: Session | None, event: Any) -> _Observed | None:
    waiting = None if session is None else session.sending(event)
    return None if session is None or waiting is None else (_nothing, partial(session.unsent, waiting))


def _recv(connection: Any, *_: Any) -> _Observed | None:
    session = _session_of(connection)
    if session is None:
        return None
    session.is_parsing = True
    return session.received, session.failed


def _recv_bytes(connection: Any, *_: Any) -> _Observed | None:
    session = _session_of(connection)
    if session is None:
        return None
    if session.is_parsing:  # `recv` has called it
        session.is_parsing = False
        return None
    return session.received_bytes, session.failed


def _ending(tell: Callable[[Any, tuple[Any, ...], dict[str, Any]], None]) -> Wrapper:
    def wrapper(wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            tell(owner, args, kwargs)
        except BaseException as error:  # KeyboardInterrupt, SystemExit ... of the app's redactor or price
            closing = wrapped(*args, **kwargs)
            if hasattr(closing, "__await__"):
                return _raise_when(closing, error)
            raise
        return wrapped(*args, **kwargs)

    return wrapper


async def _raise_when(closed: Any, error: BaseException) -> None:
    await closed
    raise error


def _close(connection: Any, _: tuple[Any, ...], __: dict[str, Any]) -> None:
    session = _session_of(connection)
    if session is not None:
        session.closed(exit_behind(sys.exc_info()[1]))


def _leave(manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    session = _session_of(manager)
    if session is not None:
        session.closed(args[1] if len(args) > 1 else kwargs.get("exc"))


def _leave_lanes(lanes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _leave(getattr(lanes, "connection", None), args, kwargs)


def _session_of(owner: Any) -> Session | None:
    return getattr(owner, _SESSION, None)


def _nothing(_: object) -> None:
    pass
