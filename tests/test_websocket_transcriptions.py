"""What Realtime transcribes of what the user says, which is billed apart: one span each, beside those of responses."""

from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import Span

import otel_openai
from expected import changed
from otel_openai._open_responses import MAX_OPEN
from programs import settle
from server import ABSENT, Body
from server.realtime import SESSION_ID, realtime_heard, realtime_session, realtime_stream, realtime_transcription
from server.sockets import SocketServer
from spoken import REALTIME, Line, described
from support import Api, Told, attributes_of

TOKENS = {
    "gen_ai.usage.input_tokens": 14,
    "gen_ai.usage.output_tokens": 31,
    "gen_ai.usage.text.input_tokens": 10,
    "gen_ai.usage.audio.input_tokens": 4,
}
HEARD = [realtime_heard(), realtime_transcription("delta"), realtime_transcription()]


def session(model: str | None = "gpt-4o-transcribe", kind: str = "created") -> Body:
    return realtime_session(kind, audio={"input": {"transcription": None if model is None else {"model": model}}})


def expected(sockets: SocketServer) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "gpt-4o-transcribe",
        "gen_ai.output.type": "text",
        "server.address": "127.0.0.1",
        "server.port": sockets.port,
        "otel_openai.session.id": SESSION_ID,
        **TOKENS,
    }


async def hear(api: Api, sockets: SocketServer, *events: Body) -> None:
    sockets.script(*events)
    line = Line(await settle(REALTIME.connect(api).enter()))
    await line.take(len(events))
    await line.close()


async def test_a_transcription_is_told_beside_the_response(talker: Api, sockets: SocketServer, told: Told) -> None:
    caller = told.tracer_provider.get_tracer("app").start_span("caller")

    with trace.use_span(caller):
        await hear(talker, sockets, session(), *HEARD, *realtime_stream())

    said, answered = told.spans
    assert said.name == "generate_content gpt-4o-transcribe"
    assert attributes_of(said) == expected(sockets)
    assert said.status.is_unset
    assert [said.parent, answered.parent] == [caller.get_span_context()] * 2
    assert described(answered) == REALTIME.expected("completed", len(REALTIME.events), sockets)
    used = {a["gen_ai.request.model"]: v for a, v in told.points("gen_ai.client.inference.usage.input_tokens")}
    assert used == {"gpt-4o-transcribe": 14, "gpt-realtime": 132}
    assert told.total("otel_openai.streams") == 1
    assert told.total("gen_ai.client.operation.duration", gen_ai__operation__name="generate_content") > 0
    assert told.total("otel_openai.active_requests") == 0


SESSIONS: dict[str, tuple[list[Body], str | None]] = {
    "of the start": ([session("whisper-1")], "whisper-1"),
    "changed": ([session(), session("whisper-1", "updated")], "whisper-1"),
    "switched on": ([session(None), session("whisper-1", "updated")], "whisper-1"),
    "switched off": ([session("whisper-1"), session(None, "updated")], None),
    "of a session of nothing else": (
        [
            realtime_session(
                type="transcription", model=ABSENT, audio=session("gpt-realtime-whisper")["session"]["audio"]
            )
        ],
        "gpt-realtime-whisper",
    ),
    "of the beta": ([realtime_session(input_audio_transcription={"model": "whisper-1"})], "whisper-1"),
    "of the beta's sessions of nothing else": (
        [
            {
                "type": "transcription_session.updated",
                "session": {"id": "sess_1", "input_audio_transcription": {"model": "whisper-1"}},
            }
        ],
        "whisper-1",
    ),
    "unknown": ([realtime_session()], None),
    "never told": ([], None),
    "nonsense": ([realtime_session(audio=[{"input": 5}], input_audio_transcription="x")], None),
}


@pytest.mark.parametrize(("sessions", "model"), SESSIONS.values(), ids=SESSIONS)
async def test_the_model_is_that_of_the_session(
    talker: Api, sockets: SocketServer, told: Told, sessions: list[Body], model: str | None
) -> None:
    await hear(talker, sockets, *sessions, *HEARD)

    assert told.attributes.get("gen_ai.request.model") == model
    assert told.span.name == ("generate_content" if model is None else f"generate_content {model}")
    assert TOKENS.items() <= told.attributes.items()


async def test_a_transcription_may_be_billed_by_the_second(talker: Api, sockets: SocketServer, told: Told) -> None:
    usage = {"type": "duration", "seconds": 3}
    await hear(talker, sockets, session("whisper-1"), realtime_heard(), realtime_transcription(usage=usage))

    of_whisper = {"gen_ai.request.model": "whisper-1", "otel_openai.usage.duration": 3.0}
    assert told.attributes == changed(expected(sockets), dict.fromkeys(TOKENS), of_whisper)
    assert told.total("otel_openai.usage.duration", gen_ai__request__model="whisper-1") == 3


async def test_usage_that_is_not_told_is_not_told(talker: Api, sockets: SocketServer, told: Told) -> None:
    await hear(talker, sockets, session(), realtime_heard(), realtime_transcription(usage=ABSENT))

    assert told.attributes == {name: value for name, value in expected(sockets).items() if name not in TOKENS}


@pytest.mark.parametrize(
    ("error", "error_type", "summary"),
    [
        ({"code": "rate_limit_exceeded"}, "rate_limit_exceeded", "code rate_limit_exceeded"),
        (ABSENT, "provider_error", "the server reported an error"),
        ("Nobody knows.", "provider_error", "the server reported an error"),
    ],
)
async def test_one_that_fails_is_an_error(
    talker: Api, sockets: SocketServer, told: Told, *, error: Any, error_type: str, summary: str
) -> None:
    await hear(talker, sockets, session(), realtime_heard(), realtime_transcription("failed", error=error))

    assert told.attributes["error.type"] == error_type
    assert summary in str(told.span.status.description)
    assert "Nobody" not in str(told.span.status.description)
    assert TOKENS.keys().isdisjoint(told.attributes)


@pytest.mark.parametrize("first", [realtime_heard(), realtime_transcription("delta")], ids=["committed", "delta"])
async def test_it_lasts_from_what_was_heard_until_it_is_there(
    talker: Api, sockets: SocketServer, told: Told, first: Body
) -> None:
    sockets.script(session(), first, realtime_transcription("delta"), realtime_transcription())
    line = Line(await settle(REALTIME.connect(talker).enter()))
    await line.recv()
    before = time_ns()
    await line.recv()
    heard = time_ns()
    await line.take(2)
    await line.close()

    assert before < (told.span.start_time or 0) < heard < (told.span.end_time or 0)


async def test_what_is_heard_and_never_transcribed_is_bounded(talker: Api, sockets: SocketServer, told: Told) -> None:
    others = [realtime_heard(f"item_{number}") for number in range(MAX_OPEN)]
    sockets.script(session(), realtime_heard(), *others, realtime_transcription())
    line = Line(await settle(REALTIME.connect(talker).enter()))
    await line.take(2 + MAX_OPEN)
    forgotten = time_ns()
    await line.recv()
    await line.close()

    assert (told.span.start_time or 0) > forgotten


async def test_several_are_told_apart(talker: Api, sockets: SocketServer, told: Told) -> None:
    both = [realtime_heard(item) for item in ("a", "b")] + [
        realtime_transcription(item=item, usage={"input_tokens": tokens}) for item, tokens in (("b", 2), ("a", 1))
    ]
    await hear(talker, sockets, session(), *both)

    first, second = told.spans
    assert [attributes_of(span)["gen_ai.usage.input_tokens"] for span in (first, second)] == [2, 1]
    assert (second.start_time or 0) < (first.start_time or 0)


async def test_an_item_without_an_id_is_told_all_the_same(talker: Api, sockets: SocketServer, told: Told) -> None:
    nameless: Any = [None, ["x"]]
    await hear(talker, sockets, session(), *(realtime_transcription(item=item) for item in nameless))

    assert [attributes_of(span) for span in told.spans] == [expected(sockets)] * 2


async def test_those_that_the_app_reads_as_bytes_are_told(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(session(), *HEARD)
    line = Line(await settle(REALTIME.connect(talker).enter()))
    for _ in range(1 + len(HEARD)):
        await settle(line.connection.recv_bytes())
    await line.close()

    assert told.attributes == expected(sockets)


async def test_what_was_said_is_not_told(talker: Api, sockets: SocketServer, telling: Callable[..., Told]) -> None:
    told = telling(capture_content="both", error_messages=True)

    await hear(talker, sockets, session(), realtime_heard(), realtime_transcription(transcript="my secret"))

    assert told.attributes == expected(sockets)
    assert "my secret" not in str(told.events)


async def test_hooks_are_called(talker: Api, sockets: SocketServer, telling: Callable[..., Told]) -> None:
    calls: list[Any] = []

    def asked(_: Span, arguments: Mapping[str, Any]) -> None:
        calls.append(dict(arguments))

    def answered(_: Span, result: Any) -> None:
        calls.append(result.transcript)

    telling(request_hook=asked, response_hook=answered)
    await hear(talker, sockets, session(), *HEARD)

    assert calls == [{"model": "gpt-4o-transcribe"}, "Hello?"]


async def test_nothing_is_told_where_suppressed_or_switched_off(talker: Api, sockets: SocketServer, told: Told) -> None:
    with suppress_instrumentation():
        await hear(talker, sockets, session(), *HEARD)
    sockets.script(session(), *HEARD)
    line = Line(await settle(REALTIME.connect(talker).enter()))
    otel_openai.uninstrument()
    await line.take(1 + len(HEARD))
    await line.close()

    assert told.spans == []
