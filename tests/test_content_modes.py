"""Where content goes: nowhere, on the span, on the event, on both; by argument or by environment."""

import logging
from collections.abc import Callable
from typing import Any

import openai
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_openai
from content import CONTENT, DETAILS, INPUT, OUTPUT, answer, listed_all, on_event, on_span, user
from expected import chatted
from exported import otlp
from server import ScriptedServer, chat, chat_stream, error_reply, openai_error, sse, tool_call
from support import Api, Told

Telling = Callable[..., Told]
VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EXCHANGE = {INPUT: [user("Say hello.")], OUTPUT: [answer("Hello!")]}


def places(told: Told) -> tuple[bool, bool]:
    """Whether content is on the span, and on an event."""
    assert len(told.events) <= 1
    on = any(name in told.attributes for name in CONTENT)
    return on, any(name in event.attributes for event in told.events for name in CONTENT)


NOWHERE, SPAN, EVENT, BOTH = (False, False), (True, False), (False, True), (True, True)
CHOSEN: list[tuple[Any, str | None, tuple[bool, bool]]] = [
    (None, None, NOWHERE),
    (False, None, NOWHERE),
    ("span", None, SPAN),
    ("event", None, EVENT),
    ("both", None, BOTH),
    (True, None, BOTH),
    (None, "", NOWHERE),
    (None, "no_content", NOWHERE),
    (None, "NO_CONTENT", NOWHERE),
    (None, "SPAN_ONLY", SPAN),
    (None, "span_only", SPAN),
    (None, "Event_Only", EVENT),
    (None, "span_and_event", BOTH),
    (None, "SPAN_AND_EVENT", BOTH),
    (None, "true", BOTH),
    (None, "True", BOTH),
    (None, " false ", NOWHERE),
    (False, "span_and_event", NOWHERE),
    ("span", "event_only", SPAN),
    ("event", "no_content", EVENT),
]


@pytest.mark.parametrize("chosen", CHOSEN, ids=str)
async def test_content_goes_where_it_was_asked_for(
    api: Api,
    server: ScriptedServer,
    telling: Telling,
    monkeypatch: pytest.MonkeyPatch,
    chosen: tuple[Any, str | None, tuple[bool, bool]],
) -> None:
    argument, variable, expected = chosen
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    told = telling(capture_content=argument)
    server.reply(chat())

    await api.chat()

    assert places(told) == expected


async def test_the_environment_is_enough(
    api: Api, server: ScriptedServer, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "span_only")
    told = telling()
    server.reply(chat())

    await api.chat()

    assert on_span(told) == EXCHANGE


async def test_a_misspelled_variable_is_said_and_captures_nothing(
    api: Api,
    server: ScriptedServer,
    telling: Telling,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(VARIABLE, "spam_only")
    with caplog.at_level(logging.WARNING, "otel_openai"):
        told = telling()
    server.reply(chat())

    await api.chat()

    assert places(told) == NOWHERE
    [record] = [record for record in caplog.records if record.name == "otel_openai"]
    assert VARIABLE in record.getMessage()


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"capture_content": "spam"}, ValueError),
        ({"capture_content": 5}, ValueError),
        ({"redact": "yes"}, TypeError),
        ({"max_content_length": 0}, ValueError),
        ({"max_content_length": "8192"}, TypeError),
        ({"max_content_length": True}, TypeError),
        ({"max_content_size": 1023}, ValueError),
        ({"capture_tool_schemas": 1}, TypeError),
    ],
)
def test_a_bad_value_raises_at_once(option: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(option))):
        otel_openai.instrument(**option)


def test_an_async_redactor_raises_at_once() -> None:
    async def redact(_: str, text: str) -> str:
        return text

    with pytest.raises(TypeError, match="redact"):
        otel_openai.instrument(redact=redact)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_event_has_all_that_the_span_has_and_belongs_to_it(
    api: Api, server: ScriptedServer, telling: Telling, *, stream: bool
) -> None:
    told = telling(capture_content="both")
    server.reply(sse(*chat_stream("Hel", "lo!")) if stream else chat())

    result = await api.chat(stream=stream)
    if stream:
        await api.drain(result)

    [event] = told.events
    span = told.span
    assert span.context is not None
    assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
    assert (event.event_name, event.severity_number, event.body) == (DETAILS, SeverityNumber.DEBUG, None)
    assert span.start_time is not None
    assert event.timestamp >= span.start_time
    structured = {name: value for name, value in listed_all(event.attributes).items() if name not in CONTENT}
    assert structured == {name: value for name, value in told.attributes.items() if name not in CONTENT}
    assert on_event(told) == on_span(told) == EXCHANGE
    assert otlp(told)


async def test_the_span_has_what_it_has_without_content(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="event")
    server.reply(chat())

    await api.chat()

    assert told.attributes == chatted(server)
    assert on_event(told) == EXCHANGE


async def test_the_event_does_not_depend_on_the_sampler(api: Api, server: ScriptedServer, telling: Telling) -> None:
    """The conventions: the event stores details independently of traces."""
    told = telling(capture_content="both", sampler=ALWAYS_OFF)
    server.reply(chat(), sse(*chat_stream("Hel", "lo!")))

    await api.chat()
    await api.drain(await api.stream())

    assert told.spans == []
    contents = [listed_all(event.attributes)[OUTPUT] for event in told.events]
    assert contents == [[answer("Hello!")], [answer("Hello!")]]
    assert all(event.trace_id and event.span_id for event in told.events)
    assert told.total("gen_ai.client.operation.duration") > 0


async def test_nothing_is_read_where_it_goes_nowhere(api: Api, server: ScriptedServer, telling: Telling) -> None:
    seen: list[str] = []

    def redact(_: str, text: str) -> str:
        seen.append(text)
        return text

    told = telling(capture_content="span", redact=redact, sampler=ALWAYS_OFF)
    server.reply(chat(), sse(*chat_stream("Hel", "lo!")))

    await api.chat()
    await api.drain(await api.stream())

    assert (seen, told.spans, told.events) == ([], [], [])


async def test_a_failed_call_tells_what_was_asked(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    server.reply(error_reply(400))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    assert on_span(told) == {INPUT: [user("Say hello.")]}
    assert on_event_of(told, DETAILS)[INPUT] == [user("Say hello.")]
    assert on_event_of(told, DETAILS)["error.type"] == "BadRequestError"


def on_event_of(told: Told, name: str) -> dict[str, Any]:
    [attributes] = [listed_all(event.attributes) for event in told.events if event.event_name == name]
    return attributes


@pytest.mark.parametrize(
    ("mode", "expected"), [("span", (True, False)), ("event", (False, True)), ("both", (True,) * 2)]
)
async def test_the_servers_message_is_content(
    api: Api, server: ScriptedServer, telling: Telling, mode: str, expected: tuple[bool, bool]
) -> None:
    told = telling(capture_content=mode)
    server.reply(error_reply(400, openai_error(400, message="Alice is not a number.")))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    exception = on_event_of(told, "gen_ai.client.operation.exception")
    assert (
        "Alice" in str(told.span.status.description),
        "Alice" in str(exception.get("exception.message")),
    ) == expected


async def test_raw_responses_are_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(chat())

    raw = await api.call("chat.completions.with_raw_response.create", model="m", messages=user_says())
    raw.parse()

    assert on_span(told) == EXCHANGE


async def test_a_body_that_the_app_has_not_read_is_not_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(chat())

    opened = api.client.chat.completions.with_streaming_response.create(model="m", messages=user_says())
    if api.is_async:
        async with opened:
            pass
    else:
        with opened:
            pass

    assert on_span(told) == {INPUT: [user("Say hello.")]}


async def test_a_body_that_the_app_has_parsed_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(chat())

    opened = api.client.chat.completions.with_streaming_response.create(model="m", messages=user_says())
    if api.is_async:
        async with opened as response:
            await response.parse()
    else:
        with opened as response:
            response.parse()

    assert on_span(told) == EXCHANGE


def user_says() -> list[Any]:
    return [{"role": "user", "content": "Say hello."}]


async def test_what_was_asked_is_told_as_it_was_then(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    messages = user_says()
    server.reply(sse(*chat_stream("Hel", "lo!")))

    stream = await api.stream(messages=messages)
    messages[0]["content"] = "Changed."
    messages.append({"role": "assistant", "content": "Added."})
    await api.drain(stream)

    assert on_span(told)[INPUT] == on_event(told)[INPUT] == [user("Say hello.")]


async def test_no_logs_no_event(api: Api, server: ScriptedServer) -> None:
    """An app that collects no logs has no event, and loses nothing else."""
    told = Told()
    otel_openai.instrument(tracer_provider=told.tracer_provider, capture_content="both")
    server.reply(chat(tool_calls=[tool_call()]))

    await api.chat()

    otel_openai.uninstrument()
    assert on_span(told)[OUTPUT][0]["finish_reason"] == "tool_call"
    assert told.events == []


async def test_an_app_with_nothing_but_logs_gets_the_event(
    api: Api, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    otel_openai.instrument(logger_provider=told.logger_provider, capture_content="event")
    server.reply(chat("Hello!"), error_reply(429, openai_error(429)))
    try:
        await api.chat()
        assert on_event(told) == EXCHANGE
        with pytest.raises(openai.RateLimitError):
            await api.chat()
    finally:
        otel_openai.uninstrument()
        told.shutdown()

    assert [event.event_name for event in told.events] == [DETAILS, DETAILS, "gen_ai.client.operation.exception"]
    assert [record.message for record in caplog.records if record.name == "otel_openai"] == []
