"""Texts of failures: nothing that a user wrote without the app's consent, and then the server's message, cut."""

import contextlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry._logs import SeverityNumber

import otel_openai
from expected import asked
from exported import otlp
from server import (
    DONE,
    Body,
    ScriptedServer,
    chat,
    data,
    error_reply,
    json_reply,
    openai_error,
    response_error_event,
    role_chunk,
    sse,
    text_reply,
)
from support import Api, Told


@pytest.fixture
def outspoken() -> Iterator[Told]:
    """Instrumentation that is allowed to tell the server's messages."""
    recorded = Told()
    recorded.instrument(error_messages=True)
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


async def test_the_event_of_a_failure_belongs_to_its_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(400))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    [event] = told.events
    span = told.span
    assert event.event_name == "gen_ai.client.operation.exception"
    assert event.severity_number is SeverityNumber.WARN
    assert event.body is None
    assert event.attributes == {"exception.type": "openai.BadRequestError"}
    assert span.context is not None
    assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
    assert span.start_time is not None
    assert event.timestamp >= span.start_time
    [exported] = told._logs.get_finished_logs()
    assert exported.instrumentation_scope is not None
    assert exported.instrumentation_scope.name == "otel_openai"
    assert span.events == ()


async def test_a_success_has_no_event(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())

    await api.chat()

    assert told.events == []


# Where a server may repeat what a user wrote, or a hostile one put it.
REPEATED: dict[str, Body] = {
    "message": {"message": "Alice"},
    "code": {"message": "", "code": "Alice"},
    "words in the code": {"message": "", "code": "Alice in Wonderland"},
    "type": {"message": "", "type": "Alice"},
    "words in the type": {"message": "", "type": "ask_alice"},
    "parameter": {"message": "", "param": "Alice"},
    "path of a parameter": {"message": "", "param": "messages.Alice"},
    "an unknown parameter": {"message": "", "param": "alice"},
    "fields of its own": {"message": "", "Alice": "Alice", "metadata": {"Alice": "Alice"}},
}


@pytest.mark.parametrize("where", REPEATED)
async def test_what_a_user_wrote_is_not_told(api: Api, server: ScriptedServer, told: Told, where: str) -> None:
    error = REPEATED[where]
    server.reply(
        error_reply(400, {"error": error}),
        json_reply({"error": error}),
        sse(role_chunk(), {"error": error}),
        sse(role_chunk(), data({"object": "error", **error}), DONE),
    )

    for stream in (False, False, True, True):
        with contextlib.suppress(openai.APIError):
            result = await api.chat(stream=stream)
            if stream:
                await api.drain(result)
    server.reply(sse(response_error_event(error["message"], code=error.get("code"), param=error.get("param"))))
    await api.drain(await api.call("responses.create", model="m", input="Hi", stream=True))

    assert [span.status.status_code.name for span in told.spans] == ["ERROR"] * 5
    assert b"alice" not in otlp(told).lower()


async def test_what_an_app_raises_is_told_by_its_class(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(role_chunk(), role_chunk(), DONE))

    class Oops(Exception):  # noqa: N818 - an app may call it so
        code = "Alice in Wonderland"
        type = "Alice"
        status_code = "Alice"

    stream = await api.stream()
    with pytest.raises(Oops):
        await _raise_in_block(api, stream, Oops("Alice"))

    assert told.span.status.description == "Oops"
    assert told.attributes["error.type"] == "Oops"
    assert b"alice" not in otlp(told).lower()


async def _raise_in_block(api: Api, stream: Any, error: Exception) -> None:
    if api.is_async:
        async with stream:
            await api.next(stream)
            raise error
    with stream:
        await api.next(stream)
        raise error


async def test_another_request_that_fails_meanwhile_is_not_taken_for_ours(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(role_chunk(), role_chunk(), DONE), error_reply(404, headers={"x-request-id": "req_other"}))
    stream = await api.stream()

    with pytest.raises(openai.NotFoundError) as raised:
        await api.call("models.retrieve", "nope")
    with pytest.raises(openai.NotFoundError):
        await _raise_in_block(api, stream, raised.value)

    assert told.attributes["http.response.status_code"] == 200
    assert "http.response.header.x-request-id" not in told.attributes


async def test_messages_are_told_where_the_app_allows_it(api: Api, server: ScriptedServer, outspoken: Told) -> None:
    server.reply(error_reply(400, openai_error(400, message="Alice is not a number.")))

    with pytest.raises(openai.BadRequestError) as raised:
        await api.chat()

    summary = "BadRequestError, HTTP 400, type invalid_request_error"
    assert outspoken.span.status.description == f"{summary}: {raised.value}"
    [event] = outspoken.events
    assert event.attributes == {"exception.type": "openai.BadRequestError", "exception.message": str(raised.value)}
    failed = {"error.type": "BadRequestError", "http.response.status_code": 400}
    assert outspoken.attributes == asked(server, failed)


@pytest.mark.parametrize("message", ["x" * 10_000, "é" * 1000, "\ud800" * 300], ids=["long", "wide", "broken"])
async def test_long_messages_are_cut(api: Api, server: ScriptedServer, outspoken: Told, message: str) -> None:
    text = message.encode("unicode_escape").decode() if "\ud800" in message else message
    server.reply(text_reply(f'{{"error": {{"message": "{text}"}}}}', status=400, content_type="application/json"))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    description = outspoken.span.status.description
    assert description is not None
    assert len(description) == len("BadRequestError, HTTP 400: ") + 256
    [event] = outspoken.events
    assert len(event.attributes["exception.message"]) == 256
    assert otlp(outspoken)


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ({"error": {"message": "Alice.", "code": 502}}, "the server reported an error, code 502: Alice."),
        ({"error": "Alice."}, "the server reported an error: Alice."),
        ({"error": {"code": 502}}, "the server reported an error, code 502"),
    ],
    ids=["object", "string", "no message"],
)
async def test_messages_in_answers_are_told_too(
    api: Api, server: ScriptedServer, outspoken: Told, body: Body, description: str
) -> None:
    server.reply(body)

    await api.chat()

    assert outspoken.span.status.description == description


async def test_a_page_is_told_too(api: Api, server: ScriptedServer, outspoken: Told) -> None:
    server.reply(text_reply("<p>Sign in</p>", content_type="text/html"))

    await api.chat()

    description = outspoken.span.status.description
    assert description == "the body is not an answer of this API: <p>Sign in</p>"
