"""Every operation of the table, with a mark in every text that is asked or answered: none leaves the process.

Neither without content, nor with content and a redactor that knows the marks.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from exported import otlp
from otel_openai._values import listed
from programs import ARGUMENTS, PLAIN, STREAMS, settle
from seen import KINDS
from server import Body, ScriptedServer, error_reply, json_reply, raw_reply, sse
from server.sockets import Await, Close, SocketServer
from spoken import SPOKEN, Spoken, cases
from support import Api, Told, client

PLANTED = "Zyxwv"
TOLD_AS_SENT = {
    # What identifies something, or names it from a short list, and is told on purpose.
    *(
        "agent_id",
        "assistant_id",
        "batch_id",
        "conversation_id",
        "event",
        "finish_reason",
        "id",
        "model",
        "name",
        "object",
        "previous_response_id",
    ),
    *(
        "response_format",
        "response_id",
        "role",
        "run_id",
        "service_tier",
        "session_id",
        "status",
        "system_fingerprint",
        "thread_id",
    ),
    *("type", "vector_store_id", "video_id"),
}


def planted(value: Any, key: str = "") -> Any:
    """A value with marks in all its texts, also in file names and bytes, but for those that are told on purpose."""
    if isinstance(value, Mapping):
        return {name: planted(item, str(name)) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if value.__class__ in (list, tuple):
        items: list[Any] = [planted(item, key) for item in listed(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, bytes):
        return PLANTED.encode() + value
    return f"{PLANTED} {value}" if isinstance(value, str) and key not in TOLD_AS_SENT else value


def asked(method: str) -> dict[str, Any]:
    """Marked arguments; those that the client itself wants to be from a list stay."""
    choices = ("completion_window", "encoding_format", "endpoint", "seconds", "voice")
    arguments = {key: value for key, value in ARGUMENTS[method].items() if key in choices}
    return {**planted(ARGUMENTS[method]), **arguments, "extra_headers": {"x-secret": PLANTED}}


ERROR: Body = {"message": PLANTED, "code": f"{PLANTED}_code", "type": PLANTED, "param": PLANTED}
ENDINGS: dict[str, Callable[[str], Any]] = {
    "answered": lambda method: answered(PLAIN[method]),
    "refused": lambda _: error_reply(400, {"error": ERROR}),
    "an error for an answer": lambda _: json_reply({"error": ERROR}),
}


def answered(reply: Any) -> Any:
    """The usual answer with marks in it: JSON, or sound."""
    if not isinstance(reply, Mapping):
        return raw_reply(PLANTED.encode(), content_type="audio/wav")
    return json_reply(planted(reply), headers={"x-secret": PLANTED})


async def call(api: Api, method: str, **more: Any) -> None:
    with contextlib.suppress(Exception):  # whatever this version of the client makes of it
        result = await api.call(method, **asked(method), **more)
        if more.get("stream"):
            await api.drain(result)


def nothing_leaked(told: Told, logged: pytest.LogCaptureFixture) -> None:
    assert len(told.spans) == 1
    assert PLANTED.lower() not in left(told, logged)


def left(told: Told, logged: pytest.LogCaptureFixture) -> str:
    """Everything that left the process, in lower case."""
    ours = [record.getMessage() for record in logged.records if record.name.startswith("otel_openai")]
    return otlp(told).decode("latin-1").lower() + "\n".join(ours).lower()


OPTIONS: dict[str, dict[str, Any]] = {
    "without content": {},
    "redacted": {
        "capture_content": "both",
        "capture_tool_schemas": True,
        "error_messages": True,
        "redact": lambda _, text: text.replace(PLANTED, "gone"),  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType]
    },
}


@pytest.fixture(params=OPTIONS)
def told(request: pytest.FixtureRequest, telling: Callable[..., Told]) -> Told:
    """Content is off, or every piece of it has to go through a redactor."""
    return telling(**OPTIONS[request.param])


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "otel_openai")
    return caplog


@pytest.mark.parametrize("case", [(method, ending) for method in PLAIN for ending in ENDINGS], ids=str)
async def test_no_mark_leaves_with_an_answer(
    api: Api, server: ScriptedServer, told: Told, logged: pytest.LogCaptureFixture, case: tuple[str, str]
) -> None:
    method, ending = case
    server.reply(ENDINGS[ending](method))

    await call(api, method)

    assert PLANTED.encode() in server.last.head + server.last.body
    nothing_leaked(told, logged)


@pytest.mark.parametrize("method", STREAMS)
async def test_no_mark_leaves_with_a_stream(
    api: Api, server: ScriptedServer, told: Told, logged: pytest.LogCaptureFixture, method: str
) -> None:
    reply: Any = STREAMS[method]
    events = [planted_event(step) for step in reply.steps]
    server.reply(sse(*events))

    await call(api, method, stream=True)

    assert any(PLANTED.encode() in step for step in events)
    nothing_leaked(told, logged)


def planted_event(step: bytes) -> bytes:
    """A server-sent event with marks in its JSON."""
    head, separator, content = step.decode().partition("data: ")
    with contextlib.suppress(ValueError):
        content = json.dumps(planted(json.loads(content))) + "\n\n"
    return (head + separator + content).encode()


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_no_mark_leaves_over_websocket(
    sockets: SocketServer, told: Told, logged: pytest.LogCaptureFixture, spoken: Spoken
) -> None:
    """A response, a refused one, and a refused connection."""
    for kind in KINDS:
        refusal = {**spoken.refusal, "error": {**spoken.refusal["error"], **ERROR}}
        script = [*spoken.hello, Await(), *spoken.events, Await(), refusal]
        sockets.script(*(planted(line) if isinstance(line, dict) else line for line in script), Close(1011, PLANTED))
        sockets.refuse()
        url = f"ws://{PLANTED}:{PLANTED}@127.0.0.1:{sockets.port}/{PLANTED}"
        api = Api(kind, client(kind, sockets.base_url, websocket_base_url=url, api_key=PLANTED))
        secrets: dict[str, Any] = {"extra_headers": {"x-secret": PLANTED}, "extra_query": {"token": PLANTED}}
        ask = {**planted(spoken.create), "metadata": {PLANTED: PLANTED}, "response": {"instructions": PLANTED}}
        with contextlib.suppress(Exception):
            async with spoken.connected(api, **secrets) as line:
                await line.send(ask)
                await line.take(len(spoken.events))
                await line.send(ask)
                await line.drain()
        with contextlib.suppress(Exception):
            await settle(spoken.connect(api, **secrets).enter())
        await api.close(api.client)

    assert len(told.spans) > len(KINDS)
    assert any(PLANTED in str(event) for event in sockets.received)
    assert PLANTED.lower() not in left(told, logged)
