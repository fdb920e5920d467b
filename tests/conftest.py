"""Fixtures: the scripted server, the real client of both kinds, and what the instrumentation told."""

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import otel_openai
from otel_openai import _guard
from otel_openai.operations import _once
from server import ScriptedServer
from server.sockets import SocketServer
from support import Api, Told, client


@pytest.fixture(autouse=True)
def faults_are_seen() -> Iterator[None]:
    """The barrier lets our own bugs through, unless a test turns that off."""
    _guard.reraise = True
    yield
    _guard.reraise = False


@pytest.fixture(autouse=True)
def nothing_was_counted() -> None:
    """What is counted once in a process is counted once in a test."""
    _once._seen.clear()


@pytest.fixture(scope="module", autouse=True)
def collections_are_short() -> None:
    """What is imported by now need not be looked at by every run of the garbage collector that a test makes."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def told() -> Iterator[Told]:
    """Instrumentation is on, and tells everything to what the test gets."""
    recorded = Told()
    recorded.instrument()
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


@pytest.fixture
def telling() -> Iterator[Callable[..., Told]]:
    """Switch the instrumentation on with options: `telling(capture_content="span")`."""
    made: list[Told] = []

    def tell(**options: Any) -> Told:
        recorded = Told(**({"sampler": options.pop("sampler")} if "sampler" in options else {}))
        made.append(recorded)
        recorded.instrument(**options)
        return recorded

    yield tell
    otel_openai.uninstrument()
    for recorded in made:
        recorded.shutdown()


@pytest.fixture(params=["sync", "async"])
async def api(request: pytest.FixtureRequest, server: ScriptedServer) -> AsyncIterator[Api]:
    """The real client, sync and async in turn."""
    made = client(request.param, server.base_url)
    async with made if request.param == "async" else _Entered(made):
        yield Api(request.param, made)


@pytest.fixture
def sockets() -> Iterator[SocketServer]:
    with SocketServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
async def talker(request: pytest.FixtureRequest, sockets: SocketServer) -> AsyncIterator[Api]:
    """The real client, sync and async in turn, to speak over WebSocket."""
    made = client(request.param, sockets.base_url, websocket_base_url=sockets.websocket_base_url)
    async with made if request.param == "async" else _Entered(made):
        yield Api(request.param, made)


class _Entered:
    """A sync context manager that can be entered from a coroutine."""

    def __init__(self, entered: object) -> None:
        self._entered = entered

    async def __aenter__(self) -> object:
        return self._entered.__enter__()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]

    async def __aexit__(self, *exc: object) -> None:
        self._entered.__exit__(*exc)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
