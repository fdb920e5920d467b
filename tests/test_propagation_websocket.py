"""`propagate` over WebSocket: the handshake carries the trace context of who connects, and nothing else does."""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import openai
import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, TraceState

import otel_openai
from otel_openai import _guard
from programs import entered, settle
from server.sockets import Await, Close, SocketServer
from spoken import REALTIME, RESPONSES, SPOKEN, Line, Spoken, cases
from support import Api, Told
from test_propagation import LOOPBACK, OWN_HEADERS, PROPAGATORS, Chatty, configured

NAMES = ("traceparent", "tracestate", "baggage", "b3", "x-tenant")
Telling = Callable[..., Told]


@contextmanager
def calling(told: Told) -> Generator[Span, None, None]:
    """A span of the app's, which never ends."""
    span = told.tracer_provider.get_tracer("app").start_span("caller")
    with trace.use_span(span):
        yield span


def traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def traced(sockets: SocketServer) -> list[dict[str, str]]:
    """Whatever any propagator could have written, of each handshake."""
    return [{name: request.headers[name] for name in NAMES if name in request.headers} for request in sockets.requests]


async def connect(api: Api, sockets: SocketServer, **more: Any) -> None:
    sockets.script()
    async with entered(REALTIME.connect(api, **more)):
        pass


@pytest.mark.parametrize("spoken", cases(*SPOKEN))
async def test_a_handshake_carries_the_context_of_who_connects(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken
) -> None:
    for _ in range(2):
        sockets.script(*spoken.hello, *spoken.events)
    async with spoken.connected(talker):
        pass
    told = telling(propagate=True)

    with calling(told) as caller:
        async with spoken.connected(talker) as line:
            await line.take(len(spoken.events))

    bare, sent = (sorted(request.headers) for request in sockets.requests)
    assert sent == sorted([*bare, "traceparent"])
    assert traced(sockets) == [{}, {"traceparent": traceparent(caller)}]
    assert told.span.parent == caller.get_span_context()  # the server's is its sibling


async def test_the_state_of_the_trace_goes_too_and_its_flags(
    talker: Api, sockets: SocketServer, telling: Telling
) -> None:
    telling(propagate=True)
    unsampled = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(0), trace_state=TraceState([("a", "b")]))

    with trace.use_span(NonRecordingSpan(unsampled)):
        await connect(talker, sockets)

    assert traced(sockets) == [{"traceparent": f"00-{1:032x}-{2:016x}-00", "tracestate": "a=b"}]


@pytest.mark.parametrize(("propagator", "names"), PROPAGATORS.values(), ids=PROPAGATORS)
async def test_only_the_trace_context_leaves(
    propagator: TextMapPropagator, names: set[str], talker: Api, sockets: SocketServer, telling: Telling
) -> None:
    told = telling(propagate=True)
    with calling(told) as caller, configured(propagator):
        token = attach(baggage.set_baggage("user", "me"))
        await connect(talker, sockets)
        detach(token)

    assert traced(sockets) == [dict.fromkeys(names, traceparent(caller))]
    assert "user=me" not in str(sockets.requests[0].headers)


async def test_nothing_is_sent_where_there_is_no_caller_or_nobody_wants_it(
    talker: Api, sockets: SocketServer, telling: Telling
) -> None:
    told = telling(propagate=True)
    await connect(talker, sockets)
    with calling(told):
        with suppress_instrumentation():
            await connect(talker, sockets)
        otel_openai.uninstrument()
        await connect(talker, sockets)
        told.instrument()
        await connect(talker, sockets)

    assert traced(sockets) == [{}, {}, {}, {}]


@pytest.mark.parametrize(("wanted", "is_sent"), [([LOOPBACK], True), (["api.openai.com"], False)])
async def test_only_the_wanted_hosts_are_told(
    talker: Api, sockets: SocketServer, telling: Telling, wanted: Any, *, is_sent: bool
) -> None:
    told = telling(propagate=wanted)
    talker.client.base_url = "https://api.openai.com/v1"  # but `websocket_base_url` is what counts

    with calling(told) as caller:
        await connect(talker, sockets)

    assert traced(sockets) == [{"traceparent": traceparent(caller)} if is_sent else {}]


@pytest.mark.parametrize("own", OWN_HEADERS, ids="+".join)
async def test_a_trace_context_of_the_apps_own_wins(
    own: dict[str, str], talker: Api, sockets: SocketServer, telling: Telling
) -> None:
    told = telling(propagate=True)
    expected = {name.lower(): value for name, value in own.items()}

    with calling(told):
        await connect(talker, sockets, extra_headers=own)
        talker.client = talker.client.with_options(default_headers=own)
        talker.client.websocket_base_url = sockets.websocket_base_url
        await connect(talker, sockets)

    first, second = traced(sockets)
    assert first == expected
    assert second in ({}, expected)  # older clients do not send their default headers


async def test_the_apps_headers_are_sent_and_not_changed(talker: Api, sockets: SocketServer, telling: Telling) -> None:
    told = telling(propagate=True)
    headers = {"X-Team": "blue"}
    manager = REALTIME.connect(talker, extra_headers=headers)
    sockets.refuse()
    sockets.script()
    sockets.script()
    expected: list[str] = []

    for _ in range(3):  # each time anew, also after a failure
        with calling(told) as caller, suppress(Exception):
            expected.append(traceparent(caller))
            await Line(await settle(manager.enter())).close()

    assert headers == {"X-Team": "blue"}
    assert [request.headers["x-team"] for request in sockets.requests] == ["blue"] * 3
    assert [headers["traceparent"] for headers in traced(sockets)] == expected


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_connection_that_comes_back_carries_it_again(
    talker: Api, sockets: SocketServer, telling: Telling, spoken: Spoken
) -> None:
    told = telling(propagate=True)
    sockets.script(*spoken.hello, Close(1012))
    sockets.script(*spoken.events, Close())
    try:
        manager = spoken.connect(talker, on_reconnecting=print, initial_delay=0.01)
    except TypeError:
        pytest.skip(f"openai {openai.__version__} does not reconnect")

    with calling(told) as caller:
        line = Line(await settle(manager.enter()))
    with suppress(Exception):
        await line.drain()
    await line.close()

    assert traced(sockets) == [{"traceparent": traceparent(caller)}] * 2


async def test_a_propagator_that_raises_costs_the_context_alone(
    talker: Api, sockets: SocketServer, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_guard, "reraise", False)
    told = telling(propagate=True)

    class Broken(Chatty):
        def inject(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("broken")

    sockets.script(*REALTIME.hello, Await(), *REALTIME.events)
    with configured(Broken()), calling(told):
        async with REALTIME.connected(talker, extra_headers={"X-Team": "blue"}) as line:
            await line.send(REALTIME.create)
            await line.take(len(REALTIME.events))

    assert traced(sockets) == [{}]
    assert sockets.requests[0].headers["x-team"] == "blue"
    assert len(told.spans) == 1
