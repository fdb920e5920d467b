"""Which request a Realtime response answers, whatever the server repeats: each is told once, from its request on."""

from time import time_ns
from typing import Any, NamedTuple

import pytest
from opentelemetry import trace

import otel_openai
from server import Body
from server.realtime import realtime_begin, realtime_delta, realtime_end, realtime_error, realtime_stream
from server.sockets import Await, SocketServer
from spoken import REALTIME, RESPONSES, Spoken, ask, cases, described, told_of
from support import Api, Told, attributes_of

ONE, TWO = {"topic": "weather"}, {"topic": "news"}


def asked(limit: int, metadata: Body | None = None, **fields: Any) -> Body:
    return ask(limit, response={} if metadata is None else {"metadata": metadata}, **fields)


def stream(identity: str, metadata: Body | None = None) -> list[Body]:
    return realtime_stream(id=identity, metadata=metadata)


class Case(NamedTuple):
    requests: list[Body]
    """All are sent before the first event comes."""
    events: list[Body]
    expected: dict[Any, tuple[str, str | None]]
    """By the limit of tokens (None where the server began it): how it went, and its id."""


COMPLETED = "completed"
ACTIVE = "conversation_already_has_active_response"
CASES = {
    "repeated": Case([asked(1, ONE)], stream("a", ONE), {1: (COMPLETED, "a")}),
    "not repeated": Case([asked(1, ONE)], stream("a"), {1: (COMPLETED, "a")}),
    "altered": Case([asked(1, ONE)], stream("a", {"topic": "Weather"}), {1: (COMPLETED, "a")}),
    "added by the server": Case(
        [asked(1), asked(2, ONE)],
        [*stream("b", {"by": "gateway", **ONE}), *stream("a")],
        {1: (COMPLETED, "a"), 2: (COMPLETED, "b")},
    ),
    "several, repeated, in another order": Case(
        [asked(1, ONE), asked(2, TWO), asked(3)],
        [*stream("c"), *stream("b", TWO), *stream("a", ONE)],
        {1: (COMPLETED, "a"), 2: (COMPLETED, "b"), 3: (COMPLETED, "c")},
    ),
    "several, not repeated": Case(
        [asked(1, ONE), asked(2, TWO), asked(3, ONE)],
        [*stream("a"), *stream("b"), *stream("c")],
        {1: (COMPLETED, "a"), 2: (COMPLETED, "b"), 3: (COMPLETED, "c")},
    ),
    "one of the server's own comes first": Case(
        [asked(1, ONE)],
        [realtime_begin(id="vad"), realtime_delta(response_id="vad"), *stream("a", ONE), realtime_end(id="vad")],
        {1: (COMPLETED, "a"), None: (COMPLETED, "vad")},
    ),
    "one of the server's own comes before several": Case(
        [asked(1, ONE), asked(2, TWO)],
        [realtime_begin(id="vad"), *stream("b", TWO), *stream("a", ONE), realtime_end(id="vad")],
        {1: (COMPLETED, "a"), 2: (COMPLETED, "b"), None: (COMPLETED, "vad")},
    ),
    "one of another client's comes first": Case(
        [asked(1, ONE)],
        [realtime_begin(id="other", metadata=TWO), *stream("a", ONE), realtime_end(id="other")],
        {1: (COMPLETED, "a"), None: (COMPLETED, "other")},
    ),
    "refused by its id while the server's own goes on": Case(
        [asked(1, ONE, event_id="event_1")],
        [realtime_begin(id="vad"), realtime_error(ACTIVE, event_id="event_1"), realtime_end(id="vad")],
        {1: ("error", None), None: (COMPLETED, "vad")},
    ),
    "refused without an id while the server's own goes on": Case(
        [asked(1)],
        [realtime_begin(id="vad"), realtime_error(ACTIVE), realtime_end(id="vad")],
        {1: ("error", None), None: (COMPLETED, "vad")},
    ),
    "two refused while the server's own goes on": Case(
        [asked(1), asked(2)],
        [realtime_begin(id="vad"), realtime_error(ACTIVE), realtime_error(ACTIVE), realtime_end(id="vad")],
        {1: ("error", None), 2: ("error", None), None: (COMPLETED, "vad")},
    ),
    "an error that names a request which is being answered": Case(
        [asked(1, event_id="event_1")],
        [realtime_begin(id="a"), realtime_error("server_error", event_id="event_1"), realtime_end(id="a")],
        {1: (COMPLETED, "a")},
    ),
    "a refusal of what somebody else has asked for": Case(
        [asked(1, event_id="event_1")],
        [realtime_begin(id="a"), realtime_error(ACTIVE, event_id="event_2"), realtime_end(id="a")],
        {1: (COMPLETED, "a")},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_each_request_is_told_once(talker: Api, sockets: SocketServer, told: Told, case: Case) -> None:
    sockets.script(*REALTIME.hello, *([Await()] * len(case.requests)), *case.events)
    caller = told.tracer_provider.get_tracer("app").start_span("caller")  # never ends

    async with REALTIME.connected(talker) as line:
        with trace.use_span(caller):
            for request in case.requests:
                await line.send(request)
        sent = time_ns()
        await line.take(len(case.events))
        assert told.total("otel_openai.active_requests") == 0

    assert told_of(told) == case.expected
    assert len(told.spans) == told.total("otel_openai.streams") == len(case.expected)
    for span in told.spans:
        is_asked = "gen_ai.request.max_tokens" in attributes_of(span)
        assert span.parent == (caller.get_span_context() if is_asked else None)
        assert (span.start_time or 0) < sent if is_asked else (span.start_time or 0) > sent


async def test_what_is_told_of_a_response_that_answers_another_request(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    own = [*stream("vad")[:-1], *stream("a", ONE)[:1], *stream("vad")[-1:], *stream("a", ONE)[1:]]
    sockets.script(*REALTIME.hello, Await(), *own)

    async with REALTIME.connected(talker) as line:
        await line.send(asked(1, ONE))
        await line.take(len(own))

    told_vad, told_a = told.spans
    expected = REALTIME.expected(COMPLETED, len(REALTIME.events), sockets)
    assert described(told_vad) == {**expected, "gen_ai.response.id": "vad"}
    assert described(told_a) == {**expected, "gen_ai.response.id": "a", "gen_ai.request.max_tokens": 1}
    assert all("gen_ai.response.time_to_first_chunk" in attributes_of(span) for span in told.spans)


async def test_a_server_that_was_seen_to_repeat_begins_what_has_no_metadata_by_itself(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), *stream("a", ONE), Await(), *stream("vad"))

    async with REALTIME.connected(talker) as line:
        for request, events in ((asked(1, ONE), stream("a", ONE)), (asked(2, TWO), stream("vad"))):
            await line.send(request)
            await line.take(len(events))
        assert told_of(told) == {1: (COMPLETED, "a"), None: (COMPLETED, "vad")}

    assert told_of(told)[2] == ("closed", None)


async def test_a_server_that_was_seen_not_to_repeat_answers_in_order(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), *stream("a"), Await(), Await(), *stream("b"), *stream("c"))

    async with REALTIME.connected(talker) as line:
        await line.send(asked(1, ONE))
        await line.take(len(REALTIME.events))
        await line.send(asked(2, TWO))
        await line.send(asked(3))
        await line.take(2 * len(REALTIME.events))

    assert told_of(told) == {1: (COMPLETED, "a"), 2: (COMPLETED, "b"), 3: (COMPLETED, "c")}


@pytest.mark.parametrize("spoken", cases(RESPONSES))
async def test_a_server_that_knows_no_lanes_is_told_once(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(Await(), *spoken.events, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        for limit in (1, 2):
            await line.send({**spoken.create, "max_output_tokens": limit, "stream_id": "one"})
            await line.take(len(spoken.events))
        assert told.total("otel_openai.active_requests") == 0

    assert {limit: outcome for limit, (outcome, _) in told_of(told).items()} == {1: COMPLETED, 2: COMPLETED}


async def test_a_request_that_has_ended_meanwhile_does_not_wait_on(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), realtime_begin(id="vad"), *stream("a", ONE))

    async with REALTIME.connected(talker) as line:
        await line.send(asked(1, ONE))
        await line.take(1)
        otel_openai.uninstrument()
        told.instrument()
        await line.take(len(REALTIME.events))

    assert told_of(told) == {1: ("abandoned", "vad"), None: (COMPLETED, "a")}
    assert told.total("otel_openai.active_requests") == 0
