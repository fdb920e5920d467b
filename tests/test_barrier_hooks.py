"""Hooks of the user's and handlers of logs may do what they like: the app's calls go on."""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import wrapt
from opentelemetry.trace import Span

import otel_openai
from otel_openai import _guard
from programs import every_mode, settle
from seen import KINDS, Kind, seen_by_both
from server import ScriptedServer, chat, chat_stream, embeddings, sse
from support import Api, Told, attributes_of

PROGRAMS = every_mode()
LOST = "Telemetry was lost while running the hook fails; the application is not affected."


@pytest.fixture(autouse=True)
def faults_are_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "reraise", False)
    monkeypatch.setattr(_guard, "_reported", set[str]())


@pytest.fixture
def told_by() -> Iterator[Callable[..., Told]]:
    """Switch on with options."""
    told = Told()

    def switch_on(**options: Any) -> Told:
        told.instrument(**options)
        return told

    yield switch_on
    otel_openai.uninstrument()
    told.shutdown()


def fails(*_: object) -> None:
    raise RuntimeError("the hook's own")


fails.__qualname__ = "fails"


class Raising(logging.Handler):
    """A handler of the app's that cannot write."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(record.getMessage())


@pytest.fixture
def raising_handler() -> Iterator[None]:
    logger, handler = logging.getLogger("otel_openai"), Raising()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("raising_handler")
async def test_hooks_and_log_handlers_that_raise_are_not_seen(name: str, kind: Kind) -> None:
    bare, instrumented, spans = await seen_by_both(PROGRAMS[name], kind, request_hook=fails, response_hook=fails)

    assert instrumented.beside(bare) == []
    assert len(spans) == PROGRAMS[name].spans
    assert {span.status.status_code.name for span in spans} == {"UNSET"}
    assert all("gen_ai.operation.name" in (span.attributes or {}) for span in spans)


async def test_a_failing_hook_is_reported_aloud_once(
    api: Api, server: ScriptedServer, told_by: Callable[..., Told], caplog: pytest.LogCaptureFixture
) -> None:
    told_by(request_hook=fails)
    server.always(chat())

    with caplog.at_level(logging.DEBUG, "otel_openai"):
        for _ in range(3):
            await api.chat()

    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "otel_openai"] == [
        ("WARNING", LOST),
        ("DEBUG", LOST),
        ("DEBUG", LOST),
    ]
    assert all(record.exc_info for record in caplog.records if record.name == "otel_openai")


class Nameless:
    """A hook that fails, and cannot be told by its text."""

    def __call__(self, *_: object) -> None:
        raise RuntimeError("the hook's own")

    def __repr__(self) -> str:
        raise RuntimeError("no text")


async def test_a_failing_hook_need_not_have_a_name(
    api: Api, server: ScriptedServer, told_by: Callable[..., Told]
) -> None:
    _guard.reraise = False
    told = told_by(request_hook=Nameless(), response_hook=Nameless())
    server.reply(chat())
    await api.chat()

    assert told.attributes["http.response.status_code"] == 200
    assert told.total("otel_openai.active_requests") == 0


async def test_the_request_hook_cannot_change_the_request(
    api: Api, server: ScriptedServer, told_by: Callable[..., Told]
) -> None:
    seen: list[dict[str, Any]] = []

    def meddles(span: Span, arguments: Mapping[str, Any]) -> None:
        seen.append(dict(arguments))
        span.set_attribute("app.team", "blue")
        arguments["model"] = "other"  # type: ignore[index] # pyright: ignore[reportIndexIssue]

    told = told_by(request_hook=meddles)
    server.reply(chat())
    await api.chat(temperature=0.5)

    assert server.last.json == {**seen[0]}
    assert server.last.json["model"] == "gpt-4o-mini"
    assert told.attributes["app.team"] == "blue"
    assert told.span.name == "chat gpt-4o-mini"


@pytest.mark.parametrize("how", ["plain", "stream", "raw", "raw stream"])
async def test_the_response_hook_gets_the_apps_own_object(
    how: str, api: Api, server: ScriptedServer, told_by: Callable[..., Told]
) -> None:
    seen: list[Any] = []

    def keeps(span: Span, result: Any) -> None:
        seen.extend([span, result])

    told = told_by(response_hook=keeps)
    streamed = "stream" in how
    server.reply(sse(*chat_stream("Hello!")) if streamed else chat())

    method = "chat.completions.with_raw_response.create" if "raw" in how else "chat.completions.create"
    result = await api.call(method, model="gpt-4o-mini", messages=[], stream=streamed)

    assert seen[1] is result
    assert seen[0].is_recording() == (streamed or (how == "plain" and False))
    if streamed:
        await api.drain(result.parse() if "raw" in how else result)
    assert told.span.context == seen[0].get_span_context()


async def test_a_result_that_the_hook_has_ruined_is_told_as_far_as_it_goes(
    api: Api, server: ScriptedServer, told_by: Callable[..., Told]
) -> None:
    def ruins(_span: Span, result: Any) -> None:
        result.choices, result.usage, result.id, result.model = {1: 2}, "none", object(), ["x"]

    told = told_by(response_hook=ruins)
    server.reply(chat())

    assert (await api.chat()).choices == {1: 2}
    assert "gen_ai.response.id" not in told.attributes


async def test_a_hook_that_ends_the_span_ends_it_alone(
    api: Api, server: ScriptedServer, told_by: Callable[..., Told], caplog: pytest.LogCaptureFixture
) -> None:
    def ends(span: Span, _arguments: Any) -> None:
        span.end()

    told = told_by(request_hook=ends)
    server.reply(chat())
    caplog.set_level(logging.WARNING)
    await api.chat()

    assert told.span.name == "chat gpt-4o-mini"
    assert told.total("otel_openai.active_requests") == 0
    assert "attribute on ended span" not in caplog.text


async def test_a_hook_may_make_calls(api: Api, server: ScriptedServer, told_by: Callable[..., Told]) -> None:
    def embeds(span: Span, _result: Any) -> None:
        if (attributes := getattr(span, "attributes", {})) and attributes["gen_ai.operation.name"] == "chat":
            pending.append(api.client.embeddings.create(model="e", input="x", encoding_format="float"))

    pending: list[Any] = []
    told = told_by(response_hook=embeds)
    server.reply(chat(), embeddings())
    await api.chat()
    for result in pending:
        await settle(result)

    assert sorted(span.name for span in told.spans) == ["chat gpt-4o-mini", "embeddings e"]
    assert all(attributes_of(span)["http.response.status_code"] == 200 for span in told.spans)


def given_more(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that calls what it decorates with an argument of its own."""

    @functools.wraps(function)
    def decorated(*args: Any) -> Any:
        return function("blue", *args)

    return decorated


def given_more_to_a_method(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def decorated(self: object, *args: Any) -> Any:
        return function(self, "blue", *args)

    return decorated


@wrapt.decorator
def given_more_too(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
    return wrapped("blue", *args, **kwargs)


def of_a_team(team: str, span: Span, arguments: object) -> None:
    del arguments
    span.set_attribute("app.team", team)


class OfATeam:
    """A hook whose method is decorated."""

    @given_more_to_a_method
    def __call__(self, team: str, span: Span, arguments: object) -> None:
        of_a_team(team, span, arguments)


HOOKS = {"function": given_more(of_a_team), "wrapt": given_more_too(of_a_team), "object": OfATeam()}


@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
async def test_a_hook_takes_what_its_decorator_takes(
    hook: Any, api: Api, server: ScriptedServer, told_by: Callable[..., Told]
) -> None:
    _guard.reraise = True
    told = told_by(request_hook=hook)
    server.reply(chat())
    await api.chat()

    assert told.attributes["app.team"] == "blue"
