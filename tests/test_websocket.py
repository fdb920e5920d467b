"""Realtime and Responses over WebSocket: one span a response, whoever began it, and none for the session."""

import json
from typing import Any

import pytest
from opentelemetry import context, trace

from programs import other
from server import MODEL, function_call, response_stream, response_tool_stream
from server.realtime import (
    SESSION_ID,
    realtime_begin,
    realtime_call,
    realtime_delta,
    realtime_end,
    realtime_item,
    realtime_session,
    realtime_stream,
)
from server.sockets import Await, Close, SocketServer
from spoken import CREATE, REALTIME, REALTIME_USAGE, RESPONSES, SPOKEN, Spoken, cases, described
from streamed import one_stream_was_told
from support import Api, Told, attributes_of


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_response_is_told(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.take(len(spoken.events))

    assert described(told.span) == spoken.expected("completed", len(spoken.events), sockets)
    assert told.span.name == f"chat {spoken.told['gen_ai.request.model']}"
    assert told.span.status.is_unset
    one_stream_was_told(told, "completed")


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_session_without_responses_is_not_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, {"type": "input_audio_buffer.speech_started"}, {"type": "error", "error": None})

    async with spoken.connected(talker) as line:
        await line.take(2)

    assert told.spans == []
    assert told.points("gen_ai.client.operation.duration") == []


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_responses_of_a_session_are_told_apart_and_joined_by_its_id(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.events, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        for _ in range(2):
            await line.send(spoken.create)
            await line.take(len(spoken.events))

    sessions = [attributes_of(span)["otel_openai.session.id"] for span in told.spans]
    assert len(sessions) == 2
    assert len(set(sessions)) == 1
    assert told.total("otel_openai.streams", otel_openai__stream__outcome="completed") == 2


@pytest.mark.parametrize("spoken", cases(REALTIME))
async def test_a_response_that_the_server_begins_is_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    speech: list[Any] = [
        {"type": f"input_audio_buffer.speech_{what}", "item_id": "i"} for what in ("started", "stopped")
    ]
    sockets.script(*spoken.hello, *speech, *spoken.events)

    async with spoken.connected(talker) as line:
        await line.take(2 + len(spoken.events))

    assert described(told.span) == spoken.expected("completed", len(spoken.events), sockets)
    one_stream_was_told(told, "completed")


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_successor_that_the_server_begins_is_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    first = [*spoken.events[:-1], *response_stream(status="incomplete", incomplete_details={"reason": "steered"})[-1:]]
    sockets.script(Await(), *first, *spoken.events, Close())

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.drain()

    names = [(span.name, attributes_of(span)["gen_ai.response.finish_reasons"]) for span in told.spans]
    assert names == [("chat gpt-4o-mini", ["steered"]), ("chat", ["stop"])]


async def test_what_a_session_tells_of_its_model_is_told(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(realtime_session(), realtime_session("updated", model="gpt-realtime-2"), *realtime_stream())

    async with REALTIME.connected(talker) as line:
        await line.take(1 + len(REALTIME.events))

    assert told.attributes["gen_ai.request.model"] == "gpt-realtime"
    assert told.attributes["gen_ai.response.model"] == "gpt-realtime-2"
    assert {attributes["gen_ai.response.model"] for attributes, _ in told.points("gen_ai.client.token.usage")} == {
        "gpt-realtime-2"
    }


async def test_the_model_of_a_query_wins_as_in_the_client(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, *REALTIME.events)

    async with REALTIME.connected(talker, extra_query={"model": "gpt-realtime-mini"}) as line:
        await line.take(len(REALTIME.events))

    assert "model=gpt-realtime-mini" in sockets.requests[0].path
    assert told.span.name == "chat gpt-realtime-mini"


# What a request says.

REALTIME_REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"output_modalities": ["audio"], "max_output_tokens": 200}, {"output.type": "speech", "request.max_tokens": 200}),
    ({"output_modalities": ["text"], "max_output_tokens": "inf"}, {"output.type": "text"}),
    ({"reasoning": {"effort": "low"}, "conversation": "none"}, {"request.reasoning.level": "low"}),
    ({"prompt": {"id": "pmpt_1", "version": "2"}}, {"prompt.name": "pmpt_1", "prompt.version": "2"}),
    (
        {"modalities": ["text", "audio"], "max_response_output_tokens": 200, "temperature": 0.8},
        {"output.type": "speech", "request.max_tokens": 200, "request.temperature": 0.8},
    ),
]


@pytest.mark.parametrize(("asked", "expected"), REALTIME_REQUESTS)
async def test_what_a_realtime_request_says_is_told(
    talker: Api, sockets: SocketServer, told: Told, asked: dict[str, Any], expected: dict[str, Any]
) -> None:
    sockets.script(*REALTIME.hello, Await(), *REALTIME.events)

    async with REALTIME.connected(talker) as line:
        await line.send({**CREATE, "response": asked})
        await line.take(len(REALTIME.events))

    known = set(REALTIME.expected("completed", 1, sockets)) - {"gen_ai.conversation.id"}
    known |= {"gen_ai.conversation.id", "gen_ai.response.time_to_first_chunk", "otel_openai.stream.max_chunk_gap"}
    assert {
        name.removeprefix("gen_ai."): value for name, value in told.attributes.items() if name not in known
    } == expected


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_what_a_responses_request_says_is_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(Await(), *spoken.events)
    request = {
        "previous_response_id": "resp_000",
        "max_output_tokens": 50,
        "conversation": "conv_1",
        "service_tier": "flex",
    }

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, **request, "reasoning": {"effort": "high"}})
        await line.take(len(spoken.events))

    expected = {
        "gen_ai.request.previous_response.id": "resp_000",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.conversation.id": "conv_1",
        "openai.request.service_tier": "flex",
    }
    assert expected.items() <= told.attributes.items()


async def test_the_resources_of_a_connection_ask_too(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, Await(), *REALTIME.events)

    async with REALTIME.connected(talker) as line:
        asked = line.connection.response.create(response={"max_output_tokens": 7})
        if talker.is_async:
            await asked
        await line.take(len(REALTIME.events))

    assert told.attributes["gen_ai.request.max_tokens"] == 7
    assert sockets.received == [{"type": "response.create", "response": {"max_output_tokens": 7}}]


# What an answer says.


async def test_tool_calls_of_a_realtime_response_are_told(talker: Api, sockets: SocketServer, told: Told) -> None:
    events = realtime_stream(realtime_call(), realtime_call("get_time"))
    sockets.script(*REALTIME.hello, Await(), *events)

    async with REALTIME.connected(talker) as line:
        await line.send(CREATE)
        await line.take(len(events))

    assert told.attributes["otel_openai.tool_call.count"] == 2
    assert told.attributes["otel_openai.tool_call.names"] == ["get_weather", "get_time"]
    assert told.attributes["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="get_time") == 1


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_tool_calls_of_a_response_are_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    events = response_tool_stream(function_call(), function_call("get_time"))
    sockets.script(Await(), *events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        await line.take(len(events))

    assert told.attributes["otel_openai.tool_call.names"] == ["get_weather", "get_time"]
    assert told.attributes["gen_ai.response.finish_reasons"] == ["tool_calls"]


INPUT = {"gen_ai.token.type": "input"}


async def test_realtime_usage_is_counted_once(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, *REALTIME.events)

    async with REALTIME.connected(talker) as line:
        await line.take(len(REALTIME.events))

    assert told.total("gen_ai.client.token.usage", **INPUT) == 132
    for counter in ("input_tokens", "output_tokens", "cache_read.input_tokens"):
        expected = REALTIME_USAGE[f"gen_ai.usage.{counter}"]
        assert told.total(f"gen_ai.client.inference.usage.{counter}") == expected


async def test_usage_without_details_is_enough(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, realtime_begin(), realtime_end(usage={"input_tokens": 3, "output_tokens": 0}))

    async with REALTIME.connected(talker) as line:
        await line.take(2)

    usage = {name: value for name, value in told.attributes.items() if name.startswith("gen_ai.usage.")}
    assert usage == {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 0}


async def test_an_out_of_band_response_belongs_to_no_conversation(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), *realtime_stream(conversation_id=None))

    async with REALTIME.connected(talker) as line:
        await line.send({**CREATE, "response": {"conversation": "none"}})
        await line.take(len(REALTIME.events))

    assert "gen_ai.conversation.id" not in told.attributes
    assert told.attributes["otel_openai.session.id"] == SESSION_ID


OUTPUTS = ["output_audio", "output_audio_transcript", "output_text", "audio", "text", "function_call_arguments"]


@pytest.mark.parametrize("kind", OUTPUTS)
async def test_the_time_to_the_first_output_is_told(talker: Api, sockets: SocketServer, told: Told, kind: str) -> None:
    begin = [realtime_begin(), realtime_item("added", {"id": "item_1", "type": "message"})]
    sockets.script(*REALTIME.hello, Await(), *begin, realtime_delta(kind=kind), realtime_end())

    async with REALTIME.connected(talker) as line:
        await line.send(CREATE)
        await line.take(4)

    attributes = told.attributes
    assert 0 < attributes["gen_ai.response.time_to_first_chunk"] < 5
    assert attributes["otel_openai.stream.max_chunk_gap"] >= 0
    assert told.points("gen_ai.client.operation.time_to_first_chunk")[0][1][0] == 1


async def test_no_output_no_time_to_it(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, realtime_begin(), realtime_end(output=[]))

    async with REALTIME.connected(talker) as line:
        await line.take(2)

    assert "gen_ai.response.time_to_first_chunk" not in told.attributes


# How the app receives.


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
@pytest.mark.parametrize("parse", [True, False])
async def test_unparsed_events_are_told_once(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken, *, parse: bool
) -> None:
    sockets.script(*spoken.hello, Await(), "not json", "[1]", *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        for _ in range(2 + len(spoken.events)):
            message = line.connection.recv_bytes()
            message = await message if talker.is_async else message
            assert isinstance(message, bytes)
            if parse and message.startswith(b"{"):
                assert line.connection.parse_event(message).type == json.loads(message)["type"]

    assert described(told.span) == spoken.expected("completed", len(spoken.events), sockets)
    one_stream_was_told(told, "completed")


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_iteration_ends_as_the_bare_clients(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.events, Close())

    async with spoken.connected(talker) as line:
        await line.send(spoken.create)
        events = await line.drain()

    assert [event.type for event in events] == [event["type"] for event in spoken.events]
    one_stream_was_told(told, "completed")


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_dispatched_events_are_told(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    sockets.script(Await(), *spoken.events, Close())
    types: list[str] = []

    def note(event: Any) -> None:
        types.append(event.type)

    async with spoken.connected(talker) as line:
        if not hasattr(line.connection, "dispatch_events"):
            pytest.skip("this version of the client does not dispatch events")
        line.connection.on("event", note)
        await line.send(spoken.create)
        dispatched = line.connection.dispatch_events()
        if talker.is_async:
            await dispatched

    assert types == [event["type"] for event in spoken.events]
    one_stream_was_told(told, "completed")


async def test_events_of_unknown_types_are_told_by_their_response(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    new = {"type": "response.smell.delta", "response_id": REALTIME.told["gen_ai.response.id"], "delta": "x"}
    sockets.script(*REALTIME.hello, realtime_begin(), new, {"type": None}, {}, realtime_end())

    async with REALTIME.connected(talker) as line:
        await line.take(5)

    assert told.attributes["otel_openai.stream.chunk.count"] == 3
    assert "gen_ai.response.time_to_first_chunk" in told.attributes


# The caller's context.


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_response_belongs_to_the_caller_that_asked_for_it(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.events, *spoken.events)
    tracer = told.tracer_provider.get_tracer("app")

    with tracer.start_as_current_span("connects") as connects:
        async with spoken.connected(talker) as line:
            with tracer.start_as_current_span("asks") as asks:
                before = context.get_current()
                await line.send(spoken.create)
                assert context.get_current() is before
            with tracer.start_as_current_span("receives"):
                before = context.get_current()
                await line.take(2 * len(spoken.events))
                assert context.get_current() is before

    parents = [span.parent for span in told.spans if span.name.startswith("chat")]
    assert parents == [asks.get_span_context(), connects.get_span_context()]
    assert not trace.get_current_span().is_recording()


async def test_providers_and_servers_are_those_of_the_websocket(talker: Api, sockets: SocketServer, told: Told) -> None:
    elsewhere = talker.client.with_options(base_url="https://api.openai.com/v1")
    elsewhere.websocket_base_url = sockets.websocket_base_url
    sockets.script(*REALTIME.hello, *REALTIME.events)

    async with REALTIME.connected(other(talker, elsewhere)) as line:
        await line.take(len(REALTIME.events))

    assert told.attributes["server.address"] == "127.0.0.1"
    assert told.attributes["server.port"] == sockets.port
    assert told.attributes["gen_ai.provider.name"] == "openai_compatible"


async def test_the_model_of_an_answer_is_its_own_before_that_of_the_session(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, *realtime_stream(model=MODEL))

    async with REALTIME.connected(talker) as line:
        await line.take(len(REALTIME.events))

    assert told.attributes["gen_ai.response.model"] == MODEL
