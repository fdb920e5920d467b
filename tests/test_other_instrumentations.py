"""Living with others that wrap the same methods: each is warned of once, and switching off and on takes only ours."""

import functools
import logging
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest
import wrapt
from openai import AsyncOpenAI, OpenAI
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import Embeddings
from opentelemetry.instrumentation.utils import unwrap

import otel_openai
from otel_openai import _patching
from programs import settle
from server import ScriptedServer, chat
from support import MESSAGES, Api, Told

WARNING = "%s instruments the openai client too: every request is told twice. Switch one of them off."


def of_module(function: Any, module: str) -> Any:
    """A function as if it were defined in another module."""
    return FunctionType(
        function.__code__,
        {**globals(), "__name__": module},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


class Other:
    """Another instrumentation; it counts the calls that it has seen."""

    def __init__(self, owner: Any, how: str, module: str) -> None:
        self.owner = owner
        self.how = how
        self.module = module
        self.calls = 0

    def install(self) -> None:
        self.before = self.owner.__dict__["create"]

        def seen(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
            self.calls += 1
            return wrapped(*args, **kwargs)

        def create(resource: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return self.before(resource, *args, **kwargs)

        if self.how == "wrapt":
            self.owner.create = wrapt.FunctionWrapper(self.before, of_module(seen, self.module))
        else:
            wrapper = of_module(create, self.module)
            self.owner.create = functools.wraps(self.before)(wrapper) if self.how == "functools" else wrapper

    def remove(self) -> None:
        self.owner.create = self.before


@pytest.fixture(params=["wrapt", "functools", "plain"])
def other(request: pytest.FixtureRequest, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    """Another instrumentation of chat completions, not installed yet."""
    owner: Any = AsyncCompletions if api.is_async else Completions
    bare = owner.__dict__["create"]
    monkeypatch.setattr(_patching, "_warned", set[str]())
    yield Other(owner, request.param, "tracer_of_others.openai")
    otel_openai.uninstrument()
    owner.create = bare


@pytest.fixture
def off(other: Other) -> Iterator[Told]:
    """Telemetry to switch on."""
    del other
    told = Told()
    yield told
    otel_openai.uninstrument()
    told.shutdown()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "otel_openai" and r.levelno == logging.WARNING]


@pytest.mark.parametrize("first", ["theirs", "ours"])
async def test_another_instrumentation_is_warned_of_once(
    *, first: str, other: Other, api: Api, server: ScriptedServer, off: Told, caplog: pytest.LogCaptureFixture
) -> None:
    server.always(chat())
    for install in [other.install, off.instrument] if first == "theirs" else [off.instrument, other.install]:
        install()
    for _ in range(2):
        await api.chat()
    otel_openai.uninstrument()
    off.instrument()
    await api.chat()

    assert warnings(caplog) == [WARNING % "tracer_of_others.openai"]
    assert other.calls == 3
    assert len(off.spans) == 3


@pytest.mark.parametrize("first", ["theirs", "ours"])
async def test_one_that_wraps_what_sends_every_request_is_warned_of_once(
    *,
    first: str,
    api: Api,
    server: ScriptedServer,
    telling: Callable[..., Told],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def seen(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    def install() -> None:
        wrapper = wrapt.FunctionWrapper(client.request, of_module(seen, "tracer_of_requests.openai"))
        monkeypatch.setattr(client, "request", wrapper)

    client: Any = AsyncOpenAI if api.is_async else OpenAI
    monkeypatch.setattr(_patching, "_warned", set[str]())
    server.always(chat())
    for install_one in [install, telling] if first == "theirs" else [telling, install]:
        install_one()
    for _ in range(2):
        await api.chat()

    assert warnings(caplog) == [WARNING % "tracer_of_requests.openai"]


def test_one_of_several_modules_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, telling: Callable[..., Told], caplog: pytest.LogCaptureFixture
) -> None:
    def seen(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    modules: list[tuple[str, Any]] = [("of_others.chats", Completions), ("of_others.vectors", Embeddings)]
    for module, owner in modules:
        monkeypatch.setattr(owner, "create", wrapt.FunctionWrapper(owner.create, of_module(seen, module)))
    monkeypatch.setattr(_patching, "_warned", set[str]())
    telling()

    assert warnings(caplog) == [WARNING % "of_others.chats"]


async def test_without_another_nobody_is_warned_of(
    api: Api, server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply(chat())
    await api.chat()

    assert len(told.spans) == 1
    assert warnings(caplog) == []


async def test_switching_off_leaves_the_others_wrapper(
    other: Other, api: Api, server: ScriptedServer, off: Told
) -> None:
    server.always(chat())
    off.instrument()
    other.install()
    otel_openai.uninstrument()

    await api.chat()
    assert (other.calls, len(off.spans)) == (1, 0)
    off.instrument()
    await api.chat()
    assert (other.calls, len(off.spans)) == (2, 1)
    other.remove()
    await api.chat()
    assert (other.calls, len(off.spans)) == (2, 2)
    otel_openai.uninstrument()
    await api.chat()
    assert len(off.spans) == 2


async def test_what_was_there_before_us_is_there_after_us(
    other: Other, api: Api, server: ScriptedServer, off: Told
) -> None:
    server.always(chat())
    other.install()
    theirs = other.owner.__dict__["create"]
    off.instrument()
    otel_openai.uninstrument()

    assert other.owner.__dict__["create"] is theirs
    await api.chat()
    assert (other.calls, len(off.spans)) == (1, 0)


async def test_switching_on_again_works_though_another_took_our_wrapper_away(
    other: Other, api: Api, server: ScriptedServer, off: Told
) -> None:
    server.always(chat())
    other.install()
    off.instrument()
    unwrap(other.owner, "create")  # takes the outermost wrapper, whose it may be
    assert len(off.spans) == 0

    otel_openai.uninstrument()
    off.instrument()
    await api.chat()
    assert (other.calls, len(off.spans)) == (1, 1)

    other.remove()  # puts the client's own method back
    otel_openai.uninstrument()
    off.instrument()
    await api.chat()
    assert (other.calls, len(off.spans)) == (1, 2)


async def test_a_handler_of_logs_that_raises_does_not_keep_us_from_wrapping(
    other: Other, api: Api, server: ScriptedServer, off: Told
) -> None:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(record.getMessage())

    logger, handler = logging.getLogger("otel_openai"), Raising()
    logger.addHandler(handler)
    try:
        other.install()
        off.instrument()
    finally:
        logger.removeHandler(handler)
    server.reply(chat())
    result = api.client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    assert (await settle(result)).object == "chat.completion"
    assert len(off.spans) == 1
