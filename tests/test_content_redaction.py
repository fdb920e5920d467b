"""What a redactor sees, and what it does: every piece, before it is cut and before it leaves."""

import base64
import logging
from collections.abc import Callable
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from content import INPUT, INSTRUCTIONS, OUTPUT, TOOLS, answer, message, on_event, on_span, on_spans, user
from exported import otlp
from otel_openai.redactors import secrets
from server import (
    ScriptedServer,
    chat,
    chat_stream,
    choice,
    error_reply,
    function_call,
    openai_error,
    output_message,
    reasoning_item,
    response,
    sse,
    tool_call,
)
from support import Api, Told, client

Telling = Callable[..., Told]


class Seen:
    """A redactor that writes down what it sees."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, str]] = []

    def __call__(self, kind: str, text: str) -> str | None:
        self.pieces.append((kind, text))
        return f"<{text}>"


async def test_every_piece_of_chat_is_seen_with_its_kind(api: Api, server: ScriptedServer, telling: Telling) -> None:
    seen = Seen()
    told = telling(capture_content="both", redact=seen, capture_tool_schemas=True)
    said = {"reasoning": "thought", "refusal": "refused", "tool_calls": [tool_call("f", '{"a":1}', id="call_2")]}
    server.reply(chat(choices=[choice("answered", message=said)]))

    await api.chat(
        messages=[
            {"role": "system", "content": "system"},
            {
                "role": "user",
                "name": "alice",
                "content": [{"type": "text", "text": "text"}, _image("https://x.example")],
            },
            {"role": "assistant", "tool_calls": [tool_call("f", "{}", id="call_1")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "result"},
        ],
        tools=[{"type": "function", "function": {"name": "f", "description": "described", "parameters": {}}}],
    )

    assert sorted(seen.pieces) == sorted(
        [
            ("instructions", "system"),
            ("prompt", "alice"),
            ("prompt", "text"),
            ("prompt", "https://x.example"),
            ("tool_arguments", "call_1"),
            ("tool_arguments", "{}"),
            ("tool_result", "call_1"),
            ("tool_result", "result"),
            ("tool_definition", "described"),
            ("tool_definition", "{}"),
            ("answer", "thought"),
            ("answer", "answered"),
            ("answer", "refused"),
            ("tool_arguments", "call_2"),
            ("tool_arguments", '{"a":1}'),
        ]
    )
    call = {"type": "tool_call", "id": "<call_2>", "name": "f", "arguments": '<{"a":1}>'}
    thought = {"type": "reasoning", "content": "<thought>"}
    assert on_span(told)[OUTPUT] == [answer(thought, "<answered>", {"type": "refusal", "content": "<refused>"}, call)]
    assert on_event(told) == on_span(told)


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


async def test_every_piece_of_a_response_is_seen(api: Api, server: ScriptedServer, telling: Telling) -> None:
    seen = Seen()
    telling(capture_content="span", redact=seen)
    output = [reasoning_item("thought"), function_call("f", "{}", call_id="call_1"), output_message("answered")]
    server.reply(response(output=output))

    await api.call("responses.create", model="m", input="asked", instructions="instructed")

    assert sorted(seen.pieces) == sorted(
        [
            ("prompt", "asked"),
            ("instructions", "instructed"),
            ("answer", "thought"),
            ("answer", "answered"),
            ("tool_arguments", "call_1"),
            ("tool_arguments", "{}"),
        ]
    )


async def test_a_stream_is_seen_in_whole_texts(api: Api, server: ScriptedServer, telling: Telling) -> None:
    seen = Seen()
    told = telling(capture_content="span", redact=seen)
    server.reply(sse(*chat_stream("sec", "ret")))

    await api.drain(await api.stream())

    assert seen.pieces == [("prompt", "Say hello."), ("answer", "secret")]
    assert on_span(told)[OUTPUT] == [answer("<secret>")]


async def test_what_is_none_is_dropped(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both", redact=_only("answer"))
    server.reply(chat("Hello!"))

    await api.chat()

    assert on_span(told) == on_event(told) == {INPUT: [user()], OUTPUT: [answer("Hello!")]}


def _only(told: str) -> Callable[[str, str], str | None]:
    def redact(kind: str, text: str) -> str | None:
        return text if kind == told else None

    return redact


def _raises(_: str, text: str) -> str:
    raise RuntimeError(f"cannot redact {text}")


def _returns(value: Any) -> Callable[[str, str], Any]:
    def redact(_: str, __: str) -> Any:
        return value

    return redact


@pytest.mark.parametrize("redact", [_raises, _returns(5), _returns(b"x")], ids=["raises", "int", "bytes"])
async def test_a_redactor_that_fails_drops_the_content(
    api: Api, server: ScriptedServer, telling: Telling, caplog: pytest.LogCaptureFixture, redact: Any
) -> None:
    told = telling(capture_content="both", redact=redact)
    server.reply(chat("Hello!"), sse(*chat_stream("Hello!")))

    with caplog.at_level(logging.DEBUG, "otel_openai"):
        result = await api.chat()
        await api.drain(await api.stream())

    assert result.choices[0].message.content == "Hello!"
    assert on_spans(told) == [{INPUT: [user()], OUTPUT: [answer()]}] * 2
    logged = [record.getMessage() + str(record.exc_info) for record in caplog.records if record.name == "otel_openai"]
    assert any("redact" in line for line in logged)
    assert "hello" not in (otlp(told).decode("latin-1") + "".join(logged)).lower()


async def test_a_redactor_may_ask_a_model(server: ScriptedServer, telling: Telling) -> None:
    def asks(_: str, text: str) -> str:
        found = moderator.chat.completions.create(model="moderator", messages=[{"role": "user", "content": text}])
        return f"<{found.choices[0].message.content}>"

    told = telling(capture_content="span", redact=asks)
    server.always(chat("harmless"))
    with client("sync", server.base_url) as moderator:
        moderator.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}])

    names = ["chat moderator", "chat moderator", "chat gpt-4o-mini"]  # one for the prompt, one for the answer
    assert sorted(span.name for span in told.spans) == sorted(names)
    asked = {span.name: content for span, content in zip(told.spans, on_spans(told), strict=True)}
    assert asked["chat gpt-4o-mini"] == {INPUT: [message("user", "<harmless>")], OUTPUT: [answer("<harmless>")]}
    assert asked["chat moderator"] == {INPUT: [user()], OUTPUT: [answer()]}


async def test_the_app_gets_what_the_server_said(api: Api, server: ScriptedServer, telling: Telling) -> None:
    telling(capture_content="both", redact=_returns("[redacted]"))
    messages = [{"role": "user", "content": "secret"}]
    server.reply(chat("secret"))

    result = await api.chat(messages=messages)

    assert result.choices[0].message.content == "secret"
    assert server.last.json["messages"] == messages == [{"role": "user", "content": "secret"}]


@pytest.mark.parametrize("before", range(0, 60, 7))
async def test_a_secret_is_not_cut_in_two_before_it_is_seen(
    api: Api, server: ScriptedServer, telling: Telling, before: int
) -> None:
    told = telling(capture_content="span", redact=secrets, max_content_length=50)
    key = "sk-proj-" + "q" * 40
    text = "x " * (before // 2) + key + " y" * 5000
    server.reply(chat(text), sse(*chat_stream(*(text[i : i + 7] for i in range(0, len(text), 7)))))

    await api.chat(messages=[{"role": "user", "content": text}])
    await api.drain(await api.stream())

    plain, streamed = on_spans(told)
    assert "qqq" not in str(plain) + str(streamed)
    assert plain[OUTPUT] == streamed[OUTPUT]


async def test_the_servers_message_is_redacted(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(error_messages=True, redact=secrets)
    text = "x" * 230 + " Incorrect API key provided: sk-proj-" + "q" * 40
    server.reply(error_reply(401, openai_error(401, message=text)))

    with pytest.raises(openai.AuthenticationError):
        await api.chat()

    assert "xxx" in str(told.span.status.description)
    assert b"qqq" not in otlp(told)


async def test_the_servers_message_is_seen_once(api: Api, server: ScriptedServer, telling: Telling) -> None:
    seen = Seen()
    told = telling(capture_content="both", redact=seen)
    server.reply(error_reply(400, openai_error(400, message="no")))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    assert [kind for kind, _ in seen.pieces].count("error") == 1
    [event] = [event for event in told.events if "exception.message" in event.attributes]
    assert str(told.span.status.description).endswith(event.attributes["exception.message"])
    assert "<" in event.attributes["exception.message"]


async def test_a_message_that_goes_nowhere_is_not_seen(api: Api, server: ScriptedServer, telling: Telling) -> None:
    seen = Seen()
    telling(capture_content="span", redact=seen, sampler=ALWAYS_OFF)
    server.reply(error_reply(400))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    assert seen.pieces == []


async def test_the_servers_message_can_be_dropped(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both", redact=_only("prompt"))
    server.reply(error_reply(400))

    with pytest.raises(openai.BadRequestError):
        await api.chat()

    assert told.span.status.description == "BadRequestError, HTTP 400, type invalid_request_error"


async def test_what_cannot_be_looked_into_does_not_leave(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span", redact=secrets)
    data = base64.b64encode(b"alice@example.com").decode()
    server.reply(chat())

    await api.chat(messages=[{"role": "user", "content": [_image(f"data:image/png;base64,{data}")]}])

    [part] = on_span(told)[INPUT][0]["parts"]
    assert (part["type"], part["bytes"]) == ("omitted", 17)
    assert data.encode() not in otlp(told)


SECRETS = (
    "alice@example.com",
    "+49 30 1234567",
    "4111 1111 1111 1111",
    "sk-proj-0123456789abcdef",
    "Bearer abcdef0123456",
)


@pytest.mark.parametrize("stream", [False, True])
async def test_planted_secrets_are_gone(api: Api, server: ScriptedServer, telling: Telling, *, stream: bool) -> None:
    told = telling(capture_content="both", redact=secrets, capture_tool_schemas=True)
    text = "; ".join(SECRETS)
    arguments = '{"to":"' + text + '"}'
    server.reply(
        sse(*chat_stream(*text))
        if stream
        else chat(
            choices=[choice(text, message={"reasoning": text, "tool_calls": [tool_call("f", arguments, id=text)]})]
        )
    )

    result = await api.chat(
        stream=stream,
        messages=[
            {"role": "system", "content": text},
            {"role": "user", "name": text, "content": [{"type": "text", "text": text}, {"type": "strange", "a": text}]},
            {"role": "assistant", "tool_calls": [tool_call("f", arguments, id=text)]},
            {"role": "tool", "tool_call_id": text, "content": text},
            {"role": "user", "content": [_image(f"https://x.example/?a={SECRETS[3]}")]},
            {"role": "user", "content": [{"type": "file", "file": {"file_id": text, "filename": text}}]},
        ],
        tools=[
            {"type": "function", "function": {"name": "f", "description": text, "parameters": {"title": text}}},
        ],
    )
    if stream:
        await api.drain(result)

    exported = otlp(told).decode("latin-1")
    assert "[email]" in exported
    assert [secret for secret in SECRETS if secret.removeprefix("Bearer ") in exported] == []
    assert set(on_span(told)) == {INPUT, OUTPUT, TOOLS}
    assert message("system", "[email]; [phone]; [card]; [secret]; Bearer [secret]") == on_span(told)[INPUT][0]
    assert INSTRUCTIONS not in on_span(told)
