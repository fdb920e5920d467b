"""`stream_usage=True`: streams are asked for their usage, and the app gets what it would have got without."""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import openai
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import Tracer
from opentelemetry.trace import NoOpTracerProvider

import otel_openai
from otel_openai import _guard, _telemetry
from programs import ARGUMENTS, CHAT_HELPER, drain, entered, every_mode, helper, settle
from seen import KINDS, Kind, Program, Seen, seen_by_both
from server import (
    DONE,
    Body,
    Gate,
    Reply,
    Request,
    ScriptedServer,
    chat_chunk,
    chat_stream,
    chat_usage,
    completion_stream,
    error_reply,
    finish_chunk,
    openai_error,
    sse,
    usage_chunk,
)
from support import Api, Told, attributes_of, client

CHAT = "chat.completions.create"
COMPLETIONS = "completions.create"
ASKED = {"include_usage": True}
OMITTED = [openai.NOT_GIVEN, *([openai.omit] if hasattr(openai, "omit") else [])]
USAGE = chat_usage(9, 12, cached=4)


class Streamed(NamedTuple):
    method: str
    without: Sequence[Body | str]
    """What a server sends that was not asked for usage."""
    asked: Sequence[Body | str]
    """What it sends when it was."""

    def reply(self, request: Request) -> Reply:
        """Do as the request says."""
        options: dict[str, Any] = request.json.get("stream_options") or {}
        wanted = options.get("include_usage")
        return sse(*(self.asked if wanted else self.without))


STREAMS = [
    Streamed(CHAT, chat_stream("Hel", "lo!"), chat_stream("Hel", "lo!", usage=USAGE)),
    Streamed(COMPLETIONS, completion_stream("Hel", "lo!"), completion_stream("Hel", "lo!", usage=USAGE)),
]


@pytest.fixture
def told() -> Iterator[Told]:
    recorded = Told()
    recorded.instrument(stream_usage=True)
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


@pytest.fixture(params=STREAMS, ids=[streamed.method for streamed in STREAMS])
def streamed(request: pytest.FixtureRequest, server: ScriptedServer) -> Streamed:
    streamed: Streamed = request.param
    server.always(streamed.reply)
    return streamed


async def opened(api: Api, streamed: Streamed, **arguments: Any) -> Any:
    return await api.call(streamed.method, **{**ARGUMENTS[streamed.method], "stream": True, **arguments})


def as_the_app_sees_it(noted: Seen) -> tuple[Any, ...]:
    """The client's own debug log, and the request, are not the app's to see."""
    return noted.notes, noted.warnings, noted.printed


async def test_usage_is_asked_for_and_told(api: Api, server: ScriptedServer, told: Told, streamed: Streamed) -> None:
    chunks = await api.drain(await opened(api, streamed))

    assert server.last.json["stream_options"] == ASKED
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    usage = {name: value for name, value in told.attributes.items() if name.startswith("gen_ai.usage.")}
    assert usage == {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.usage.audio.input_tokens": 0,
        "gen_ai.usage.audio.output_tokens": 0,
    }
    assert told.attributes["otel_openai.stream.outcome"] == "completed"
    assert told.attributes["otel_openai.stream.chunk.count"] == len(chunks) + 1
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "program",
    [*(drain(streamed.method, streamed.reply) for streamed in STREAMS), helper(CHAT_HELPER, STREAMS[0].reply)],
    ids=[CHAT, COMPLETIONS, CHAT_HELPER],
)
async def test_the_app_sees_what_it_would_have_seen(program: Program, kind: Kind) -> None:
    bare, instrumented, (span,) = await seen_by_both(program, kind, stream_usage=True)

    assert as_the_app_sees_it(instrumented) == as_the_app_sees_it(bare)
    assert dict(span.attributes or {})["gen_ai.usage.output_tokens"] == 12
    (sent,), (would_have_been_sent,) = instrumented.requests, bare.requests
    assert json.loads(sent[3]) == {**json.loads(would_have_been_sent[3]), "stream_options": ASKED}
    assert [header for header in sent[2] if header[0].lower() != "content-length"] == [
        header for header in would_have_been_sent[2] if header[0].lower() != "content-length"
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in every_mode() if "stream" not in name])
async def test_every_other_request_is_the_bare_clients(name: str, kind: Kind) -> None:
    bare, instrumented, _ = await seen_by_both(every_mode()[name], kind, stream_usage=True)

    assert instrumented.beside(bare) == []


SAID: dict[str, Mapping[str, Any]] = {
    "true": {"stream_options": {"include_usage": True}},
    "false": {"stream_options": {"include_usage": False}},
    "nothing in it": {"stream_options": {}},
    "another option": {"stream_options": {"include_obfuscation": False}},
    "null, which the client sends": {"stream_options": None},
    "in extra_body": {"extra_body": {"stream_options": {"include_usage": False}}},
    "asked in extra_body": {"extra_body": {"stream_options": {"include_usage": True}}},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
async def test_what_the_app_says_is_respected(said: Mapping[str, Any], kind: Kind) -> None:
    bare, instrumented, _ = await seen_by_both(drain(CHAT, STREAMS[0].reply, **said), kind, stream_usage=True)

    assert instrumented.beside(bare) == []


async def test_a_helper_gives_the_usage_that_the_app_asked_for(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(STREAMS[0].reply)
    async with entered(await api.call(CHAT_HELPER, **ARGUMENTS[CHAT], stream_options=ASKED)) as stream:
        await api.drain(stream)
        final = await settle(stream.get_final_completion())

    assert final.usage.completion_tokens == 12
    assert told.attributes["gen_ai.usage.output_tokens"] == 12


@pytest.mark.parametrize("nothing", OMITTED, ids=lambda value: type(value).__name__)
async def test_what_the_client_drops_was_not_said(
    nothing: object, api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    chunks = await api.drain(await opened(api, streamed, stream_options=nothing, extra_body=None))

    assert server.last.json["stream_options"] == ASKED
    assert all(chunk.choices for chunk in chunks)
    assert told.attributes["gen_ai.usage.output_tokens"] == 12


async def test_what_the_app_gave_is_sent_and_not_changed(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    body, headers = {"top_k": 4}, {"X-Team": "blue"}
    await api.drain(await opened(api, streamed, extra_body=body, extra_headers=headers))

    assert (body, headers) == ({"top_k": 4}, {"X-Team": "blue"})
    assert server.last.json["top_k"] == 4
    assert server.last.json["stream_options"] == ASKED
    assert server.last.header("x-team") == "blue"
    assert told.attributes["gen_ai.request.top_k"] == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in every_mode() if "raw" in name or "in a streaming" in name])
async def test_raw_modes_are_left_alone(name: str, kind: Kind) -> None:
    bare, instrumented, _ = await seen_by_both(every_mode()[name], kind, stream_usage=True)

    assert instrumented.beside(bare) == []


KEPT: dict[str, Sequence[Body | str]] = {
    "usage with the last content": [chat_chunk("Hi"), chat_chunk("!", finish_reason="stop", usage=USAGE), DONE],
    "usage with the finish reason": [chat_chunk("Hi"), finish_chunk(usage=USAGE), DONE],
    "usage with every chunk": [chat_chunk("Hi", usage=chat_usage(9, 1)), finish_chunk(usage=USAGE), DONE],
    "a first chunk without a choice": [
        chat_chunk(choices=[], id="", model="", prompt_filter_results=[]),
        chat_chunk("Hi"),
        finish_chunk(usage=USAGE),
        DONE,
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", KEPT.values(), ids=KEPT)
async def test_no_other_chunk_is_hidden(chunks: Sequence[Body | str], kind: Kind) -> None:
    bare, instrumented, (span,) = await seen_by_both(drain(CHAT, sse(*chunks)), kind, stream_usage=True)

    assert as_the_app_sees_it(instrumented) == as_the_app_sees_it(bare)
    assert dict(span.attributes or {})["gen_ai.usage.output_tokens"] == 12


async def test_running_totals_without_a_choice_are_hidden(api: Api, server: ScriptedServer, told: Told) -> None:
    totals = [usage_chunk(chat_usage(9, tokens)) for tokens in (1, 2)]
    server.reply(sse(chat_chunk("Hi"), totals[0], finish_chunk(), totals[1], DONE))
    chunks = await api.drain(await api.stream())

    assert [len(chunk.choices) for chunk in chunks] == [1, 1]
    assert told.attributes["gen_ai.usage.output_tokens"] == 2


async def test_a_chunk_that_is_hidden_is_not_timed(api: Api, server: ScriptedServer) -> None:
    told = Told()
    told.instrument(stream_usage=True, chunk_timing=True)
    server.reply(STREAMS[0].reply)
    chunks = await api.drain(await api.stream())

    assert len(chunks) == 4
    ((_, (count, _)),) = told.points("gen_ai.client.operation.time_per_output_chunk")
    assert count == 3
    otel_openai.uninstrument()
    told.shutdown()


async def test_a_stream_that_is_left_early_is_closed(api: Api, server: ScriptedServer, told: Told) -> None:
    gate = Gate()
    server.reply(sse(chat_chunk("Hi"), gate, finish_chunk(), usage_chunk(), DONE))
    async with entered(await api.stream()) as stream:
        await api.next(stream)

    assert stream.response.is_closed
    assert told.attributes["otel_openai.stream.outcome"] == "closed"
    assert "gen_ai.usage.output_tokens" not in told.attributes


async def test_a_server_that_refuses_the_option_refuses_the_request(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(error_reply(400, openai_error(400, param="stream_options")))
    with pytest.raises(openai.BadRequestError):
        await api.stream()

    assert len(server.requests) == 1
    assert told.attributes["error.type"] == "BadRequestError"


async def test_nothing_is_asked_for_where_suppressed(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    with suppress_instrumentation():
        chunks = await api.drain(await opened(api, streamed))

    assert "stream_options" not in server.last.json
    assert len(chunks) == len(streamed.without) - 1
    assert told.spans == []


async def test_nothing_is_asked_for_where_nothing_is_recorded(
    api: Api, server: ScriptedServer, streamed: Streamed
) -> None:
    otel_openai.instrument(tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider(), stream_usage=True)
    await api.drain(await opened(api, streamed))
    otel_openai.uninstrument()

    assert "stream_options" not in server.last.json


async def test_nothing_is_asked_for_when_it_is_off_again(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    otel_openai.uninstrument()
    await api.drain(await opened(api, streamed))
    assert "stream_options" not in server.last.json

    told.instrument()
    await api.drain(await opened(api, streamed))
    assert "stream_options" not in server.last.json


async def test_what_was_asked_for_stays_hidden_when_it_is_switched_off(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    stream = await opened(api, streamed)
    first = await api.next(stream)
    otel_openai.uninstrument()
    chunks = [first, *await api.drain(stream)]

    assert server.last.json["stream_options"] == ASKED
    assert all(chunk.choices for chunk in chunks)
    assert told.attributes["otel_openai.stream.outcome"] == "abandoned"


async def test_a_coroutine_that_is_awaited_later_asks_only_if_it_is_still_on(
    server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    headers = {"X-Team": "blue"}
    async with client("async", server.base_url) as http:
        api = Api("async", http)
        target = http.chat.completions if streamed.method == CHAT else http.completions
        arguments = {**ARGUMENTS[streamed.method], "extra_body": {"top_k": 4}, "extra_headers": headers}
        coroutine = target.create(**arguments, stream=True)
        otel_openai.uninstrument()
        chunks = await api.drain(await coroutine)

    assert "stream_options" not in server.last.json
    assert server.last.json["top_k"] == 4
    assert server.last.header("x-team") == "blue"
    assert len(chunks) == len(streamed.without) - 1
    assert told.spans == []


@pytest.mark.usefixtures("told")
async def test_nothing_is_asked_for_where_no_span_can_be_started(
    api: Api, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, streamed: Streamed
) -> None:
    def fault(*_: object, **__: object) -> Any:
        raise RuntimeError("no span")

    monkeypatch.setattr(_guard, "reraise", False)
    monkeypatch.setattr(Tracer, "start_span", fault)
    chunks = await api.drain(await opened(api, streamed))

    assert "stream_options" not in server.last.json
    assert len(chunks) == len(streamed.without) - 1


async def test_an_odd_body_is_the_apps_own_affair(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        await opened(api, streamed, extra_body="stream_options")

    assert server.requests == []
    assert told.span.status.description


HINT = "A stream ended without usage"
Read = Callable[[Api, Any], Any]


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said of streams without usage, as if this process had said nothing yet."""
    monkeypatch.setattr(_telemetry, "_missed_usage", threading.Lock())
    caplog.set_level(logging.INFO, "otel_openai")
    return lambda: [record.levelname for record in caplog.records if record.message.startswith(HINT)]


async def test_without_the_option_it_is_said_once_that_usage_is_missing(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed, hints: Callable[[], list[str]]
) -> None:
    otel_openai.uninstrument()
    told.instrument()
    await api.drain(await opened(api, streamed, stream_options=ASKED))
    assert hints() == []
    for _ in range(2):
        await api.drain(await opened(api, streamed))
    assert hints() == ["INFO"]
    assert len(server.requests) == 3


async def test_nothing_is_said_of_a_stream_that_did_not_complete(
    api: Api, server: ScriptedServer, told: Told, hints: Callable[[], list[str]]
) -> None:
    otel_openai.uninstrument()
    told.instrument()
    server.reply(sse(chat_chunk("Hi")), sse(chat_chunk("Hi"), finish_chunk()))
    await api.drain(await api.stream())
    async with entered(await api.stream()) as stream:
        await api.next(stream)

    outcomes = [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans]
    assert outcomes == ["truncated", "closed"]
    assert hints() == []


async def test_nothing_is_said_where_the_server_was_asked(
    api: Api, server: ScriptedServer, told: Told, hints: Callable[[], list[str]]
) -> None:
    server.reply(sse(*chat_stream("Hi")))
    await api.drain(await api.stream())

    assert "gen_ai.usage.output_tokens" not in told.attributes
    assert hints() == []
