"""Several responses on one connection: whose is whose, and whom an error is about."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import openai
import pytest

import otel_openai
from programs import entered, settle
from server import Body, Gate, response_stream
from server.realtime import (
    realtime_begin,
    realtime_call,
    realtime_delta,
    realtime_end,
    realtime_error,
    realtime_item,
    realtime_stream,
)
from server.sockets import Await, Close, SocketServer
from spoken import REALTIME, RESPONSES, Line, Spoken, ask, cases, described, told_of
from streamed import one_stream_was_told, settled
from support import Api, Told, attributes_of, client


def laned(events: Sequence[Body], lane: str) -> list[Body]:
    return [{**event, "stream_id": lane} for event in events]


def interleaved(*streams: Sequence[Body]) -> list[Body]:
    return [event for events in zip(*streams, strict=True) for event in events]


async def test_interleaved_realtime_responses_are_told_apart(talker: Api, sockets: SocketServer, told: Told) -> None:
    first = [realtime_begin(id="a"), realtime_delta(response_id="a"), realtime_item("done", realtime_call(), "a")]
    second = [realtime_begin(id="b"), realtime_delta(response_id="b"), realtime_delta(response_id="b")]
    ends = [realtime_end(id="b", usage={"output_tokens": 2}), realtime_end(id="a", output=[realtime_call()])]
    sockets.script(*REALTIME.hello, Await(), Await(), *interleaved(first, second), *ends)

    async with REALTIME.connected(talker) as line:
        await line.send(ask(1))
        await line.send(ask(2, response={"conversation": "none"}))
        await line.take(8)

    assert told_of(told) == {2: ("completed", "b"), 1: ("completed", "a")}
    told_b, told_a = map(attributes_of, told.spans)
    assert (told_a["otel_openai.tool_call.names"], told_a["gen_ai.usage.output_tokens"]) == (["get_weather"], 121)
    assert (told_b["otel_openai.tool_call.count"], told_b["gen_ai.usage.output_tokens"]) == (0, 2)
    assert {told_a["otel_openai.stream.chunk.count"], told_b["otel_openai.stream.chunk.count"]} == {4}


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_lanes_are_told_apart(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    first = laned(response_stream(id="a"), "one")
    second = laned(response_stream(id="b", status="incomplete"), "two")
    plain = response_stream(id="c")
    sockets.script(Await(), Await(), Await(), *interleaved(first, second, plain))

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, "max_output_tokens": 1, "stream_id": "one"})
        await line.send({**spoken.create, "max_output_tokens": 2, "stream_id": "two"})
        await line.send({**spoken.create, "max_output_tokens": 3})
        await line.take(3 * len(plain))

    assert told_of(told) == {1: ("completed", "a"), 2: ("completed", "b"), 3: ("completed", "c")}
    chunks = {attributes_of(span)["otel_openai.stream.chunk.count"] for span in told.spans}
    assert chunks == {len(plain)}


def shared(connection: Any) -> Any:
    """The client's own sharing of a connection among lanes."""
    client_lanes = pytest.importorskip(
        "openai.lib.responses_websocket", reason=f"openai {openai.__version__} has no lanes of its own"
    )
    room = dict.fromkeys(("max_events_per_lane", "max_events", "max_bytes_per_lane", "max_bytes"), 1 << 24)
    limits = client_lanes.ResponsesWebSocketLimits(max_lanes=3, **room)
    prefix = "Async" if hasattr(connection, "__aiter__") else ""
    return getattr(client_lanes, f"{prefix}ResponsesWebSocketSession")(connection, limits=limits)


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_the_clients_own_lanes_ask_too(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    sockets.script(Await(), *laned(spoken.events, "a"), Await(), *spoken.events)

    async with spoken.connected(talker) as line, entered(shared(line.connection)) as session:
        for lane in (session.lane("a"), session.default):
            with told.tracer_provider.get_tracer("app").start_as_current_span("caller") as caller:
                await settle(lane.send(spoken.create))
            await settle(lane.get_final_response())
            span = told.spans[-1]
            assert span.name == "chat gpt-4o-mini"
            assert span.parent == caller.get_span_context()

    one = spoken.expected("completed", len(spoken.events), sockets)
    assert [described(span) for span in told.spans if span.name != "caller"] == [one, one]
    assert told.total("otel_openai.active_requests") == 0


NO_LANE = {**RESPONSES.refusal, "error": {"type": "server_error", "code": "server_error", "message": "x"}}


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_an_error_without_a_lane_ends_none_of_the_clients_lanes(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(Await(), NO_LANE, *laned(spoken.begin, "a"), NO_LANE, *laned(spoken.rest, "a"))

    async with spoken.connected(talker) as line, entered(shared(line.connection)) as session:
        lane = session.lane("a")
        await settle(lane.send(spoken.create))
        assert (await settle(lane.get_final_response())).status == "completed"  # so it is for the app, too
        assert [(await settle(session.default.recv())).type for _ in range(2)] == ["error", "error"]

    assert described(told.span) == spoken.expected("completed", len(spoken.events), sockets)
    one_stream_was_told(told, "completed")


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_an_error_without_a_lane_is_the_reason_where_no_answer_comes(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(Await(), Await(), NO_LANE)

    async with spoken.connected(talker) as line, entered(shared(line.connection)) as session:
        for name in ("a", "b"):
            await settle(session.lane(name).send(spoken.create))
        assert (await settle(session.default.recv())).type == "error"
        assert told.spans == []

    assert [attributes_of(span).get("error.type") for span in told.spans] == ["server_error", None]
    assert [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans] == ["error", "closed"]


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "closed"), (KeyError, "error"), (asyncio.CancelledError, "cancelled")]
)
@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_an_app_that_leaves_its_lanes_is_told_as_one_that_leaves_its_connection(
    talker: Api,
    sockets: SocketServer,
    told: Told,
    spoken: Spoken,
    *,
    error: type[BaseException] | None,
    outcome: str,
) -> None:
    sockets.script(Await())

    with suppress(KeyError, asyncio.CancelledError):
        async with spoken.connected(talker) as line, entered(shared(line.connection)) as session:
            await settle(session.default.send(spoken.create))
            if error is not None:
                raise error

    one_stream_was_told(told, outcome, None if error is None else error.__name__)


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_an_error_is_of_its_lane(talker: Api, sockets: SocketServer, told: Told, spoken: Spoken) -> None:
    refusal = {**spoken.refusal, "stream_id": "two"}
    sockets.script(Await(), *laned(spoken.begin, "one"), Await(), refusal, *laned(spoken.rest, "one"))

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, "max_output_tokens": 1, "stream_id": "one"})
        await line.take(len(spoken.begin))
        await line.send({**spoken.create, "max_output_tokens": 2, "stream_id": "two"})
        await line.take(1 + len(spoken.rest))

    assert {limit: outcome for limit, (outcome, _) in told_of(told).items()} == {1: "completed", 2: "error"}


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_request_that_is_refused_while_another_is_answered(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(Await(), *spoken.begin, Await(), spoken.refusal, *spoken.rest)

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, "max_output_tokens": 1})
        await line.take(len(spoken.begin))
        await line.send({**spoken.create, "max_output_tokens": 2})
        await line.take(1 + len(spoken.rest))

    assert {limit: outcome for limit, (outcome, _) in told_of(told).items()} == {1: "completed", 2: "error"}


async def test_a_response_that_the_server_begins_meanwhile_is_known_by_its_metadata(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    mine = {"topic": "weather"}
    by_server, asked = realtime_stream(id="vad"), realtime_stream(id="mine", metadata=mine)
    sockets.script(*REALTIME.hello, Await(), *interleaved(by_server, asked))

    async with REALTIME.connected(talker) as line:
        await line.send(ask(1, response={"metadata": mine}))
        await line.take(2 * len(asked))

    assert told_of(told) == {None: ("completed", "vad"), 1: ("completed", "mine")}


async def test_requests_are_answered_in_their_order(talker: Api, sockets: SocketServer, told: Told) -> None:
    ids = ["a", "b", "c"]
    sockets.script(*REALTIME.hello, *([Await()] * 3), *[event for name in ids for event in realtime_stream(id=name)])

    async with REALTIME.connected(talker) as line:
        for limit in (1, 2, 3):
            await line.send(ask(limit))
        await line.take(3 * len(REALTIME.events))

    assert told_of(told) == {limit: ("completed", name) for limit, name in zip((1, 2, 3), ids, strict=True)}


# Whom an error is about.

ABOUT_SOMETHING_ELSE = [
    realtime_error("input_audio_buffer_commit_empty"),
    realtime_error("input_audio_buffer_commit_empty", event_id="event_commit"),
    realtime_error(None, param="item.type"),
    realtime_error(None, param=["response"]),
    {"type": "error"},
]


@pytest.mark.parametrize("error", ABOUT_SOMETHING_ELSE)
async def test_an_error_about_something_else_ends_nothing(
    talker: Api, sockets: SocketServer, told: Told, error: Body
) -> None:
    sockets.script(*REALTIME.hello, Await(), error, *REALTIME.begin, error, *REALTIME.rest)

    async with REALTIME.connected(talker) as line:
        await line.send(ask(1, event_id="event_ask"))
        await line.take(2 + len(REALTIME.events))

    assert told_of(told) == {1: ("completed", REALTIME.told["gen_ai.response.id"])}
    assert told.attributes["otel_openai.stream.chunk.count"] == len(REALTIME.events)


@pytest.mark.parametrize(
    "error",
    [
        realtime_error("conversation_already_has_active_response"),
        realtime_error("invalid_value", param="response.output_modalities"),
        realtime_error("invalid_value", event_id="event_ask"),
    ],
)
async def test_an_error_about_a_request_ends_it(talker: Api, sockets: SocketServer, told: Told, error: Body) -> None:
    sockets.script(*REALTIME.hello, *REALTIME.begin, Await(), error, *REALTIME.rest)

    async with REALTIME.connected(talker) as line:
        await line.take(len(REALTIME.begin))
        await line.send(ask(1, event_id="event_ask"))
        await line.take(1 + len(REALTIME.rest))

    assert told_of(told) == {1: ("error", None), None: ("completed", REALTIME.told["gen_ai.response.id"])}


async def test_an_error_names_one_of_several_requests(talker: Api, sockets: SocketServer, told: Told) -> None:
    error = realtime_error("rate_limit_exceeded", event_id="event_2")
    sockets.script(*REALTIME.hello, *([Await()] * 3), error, *realtime_stream(id="a"), *realtime_stream(id="c"))

    async with REALTIME.connected(talker) as line:
        for limit in (1, 2, 3):
            await line.send(ask(limit, event_id=f"event_{limit}"))
        await line.take(1 + 2 * len(REALTIME.events))

    assert told_of(told) == {1: ("completed", "a"), 2: ("error", None), 3: ("completed", "c")}


async def test_a_request_that_was_refused_in_silence_does_not_take_the_next_answer(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), realtime_error("x"), Await(), *realtime_stream(id="b"))

    async with REALTIME.connected(talker) as line:
        await line.send(ask(1))
        await line.recv()
        await line.send(ask(2))
        await line.take(len(REALTIME.events))

    assert told_of(told) == {1: ("error", None), 2: ("completed", "b")}


# Odd servers.


async def test_a_response_that_begins_again_is_told_twice(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, *REALTIME.begin, *REALTIME.events)

    async with REALTIME.connected(talker) as line:
        await line.take(len(REALTIME.begin) + len(REALTIME.events))

    outcomes = [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans]
    assert outcomes == ["truncated", "completed"]


async def test_what_ends_and_never_began_is_not_told(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, *REALTIME.events[1:])

    async with REALTIME.connected(talker) as line:
        await line.take(len(REALTIME.events) - 1)

    assert told.spans == []


async def test_responses_without_ids_are_told_all_the_same(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, realtime_begin(id=None), realtime_end(id=None))

    async with REALTIME.connected(talker) as line:
        await line.take(2)

    assert told_of(told) == {None: ("completed", None)}


# Threads and tasks.


def test_one_thread_sends_and_another_receives(sockets: SocketServer, told: Told) -> None:
    ids = [f"resp_{number}" for number in range(50)]
    sockets.script(
        *REALTIME.hello,
        *[line for name in ids for line in (Await(), *realtime_stream(id=name, metadata={"id": name}))],
        Close(),
    )
    seen: list[Any] = []
    received = threading.Semaphore(4)  # so many may be open

    with (
        client("sync", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made,
        REALTIME.connect(Api("sync", made)) as connection,
    ):

        def receive() -> None:
            for event in connection:
                seen.append(event)
                if event.type == "response.done":
                    received.release()

        thread = threading.Thread(target=receive)
        thread.start()
        for limit, name in enumerate(ids):
            assert received.acquire(timeout=10)
            connection.send(ask(limit, response={"metadata": {"id": name}}))
        thread.join(10)

    assert len(seen) == 1 + 50 * len(REALTIME.events)
    assert told_of(told) == {limit: ("completed", name) for limit, name in enumerate(ids)}
    assert told.total("otel_openai.active_requests") == 0


async def test_one_task_sends_and_another_receives(sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, Await(), *REALTIME.events, Await(), *REALTIME.events, Close())
    tracer = told.tracer_provider.get_tracer("app")

    async with (
        client("async", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made,
        REALTIME.connected(Api("async", made)) as line,
    ):
        receiving = asyncio.create_task(line.drain())
        for limit in (1, 2):
            with tracer.start_as_current_span(f"caller {limit}"):
                await line.send(ask(limit))
        await receiving

    callers = {span.name: span.get_span_context() for span in told.spans if span.name.startswith("caller")}
    parents = [span.parent for span in told.spans if span.name.startswith("chat")]
    assert parents == [callers["caller 1"], callers["caller 2"]]


async def test_another_thread_closes_while_one_receives(sockets: SocketServer, told: Told) -> None:
    gate = Gate()
    sockets.script(*REALTIME.hello, *REALTIME.begin, gate)

    with client("sync", sockets.base_url, websocket_base_url=sockets.websocket_base_url) as made:
        line = Line(REALTIME.connect(Api("sync", made)).enter())
        thread = threading.Thread(target=lambda: list(line.connection))
        thread.start()
        await settled(lambda: told.total("otel_openai.active_requests") == 1 and gate.reached.is_set())
        line.connection.close()
        thread.join(10)

    assert told_of(told) == {None: ("closed", REALTIME.told["gen_ai.response.id"])}


# Requests that nobody will answer.


async def test_a_request_that_the_client_refuses_does_not_take_the_next_answer(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), *REALTIME.events)

    async with REALTIME.connected(talker) as line:
        with pytest.raises(TypeError):
            await line.send(ask(1, response={"instructions": object()}))
        await line.send(ask(2))
        await line.take(len(REALTIME.events))

    assert told_of(told) == {1: ("error", None), 2: ("completed", REALTIME.told["gen_ai.response.id"])}
    assert attributes_of(told.spans[0])["error.type"] == "TypeError"


async def test_a_request_of_before_does_not_take_an_answer_of_now(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), Await(), *REALTIME.events)

    async with REALTIME.connected(talker) as line:
        await line.send(ask(1))
        otel_openai.uninstrument()
        told.instrument()
        await line.send(ask(2))
        await line.take(len(REALTIME.events))

    assert told_of(told) == {1: ("abandoned", None), 2: ("completed", REALTIME.told["gen_ai.response.id"])}


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_an_error_of_a_response_under_way_does_not_refuse_the_next_request(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    error = {**spoken.refusal, "sequence_number": 7}
    sockets.script(Await(), *spoken.begin, Await(), error, *spoken.events)

    async with spoken.connected(talker) as line:
        await line.send({**spoken.create, "max_output_tokens": 1})
        await line.take(len(spoken.begin))
        await line.send({**spoken.create, "max_output_tokens": 2})
        await line.take(1 + len(spoken.events))

    assert {limit: outcome for limit, (outcome, _) in told_of(told).items()} == {1: "error", 2: "completed"}
