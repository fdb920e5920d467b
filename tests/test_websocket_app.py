"""What an app sees of its WebSocket connection is what it sees without us; where it says so, nothing is told."""

import asyncio
import gc
import warnings
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import openai
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span

import otel_openai
from otel_openai import _guard
from otel_openai._open_responses import MAX_OPEN, OpenResponses
from programs import has, settle
from seen import KINDS, Kind, Seen, steady
from server import CUT
from server.realtime import realtime_begin, realtime_error, realtime_stream
from server.sockets import Await, Close, SocketServer
from spoken import CREATE, REALTIME, RESPONSES, SPOKEN, Line, Spoken, cases, described
from streamed import one_stream_was_told
from support import Api, Told, attributes_of, client, collect
from test_barrier import FAULTS, Fault

# The app sees the same.

Run = Callable[[Spoken, Api, Seen], Awaitable[None]]


async def talks(spoken: Spoken, api: Api, see: Seen) -> None:
    async with spoken.connected(api) as line:
        see(type(line.connection), type(spoken.connect(api)), await line.send(spoken.create))
        with see.raising():
            see(await line.drain())
        with see.raising():
            await line.recv()
        with see.raising():
            await line.send(spoken.create)


async def reads_bytes(spoken: Spoken, api: Api, see: Seen) -> None:
    async with spoken.connected(api) as line:
        await line.send(spoken.create)
        with see.raising():
            while True:
                see(await settle(line.connection.recv_bytes()))


async def enters_by_hand(spoken: Spoken, api: Api, see: Seen) -> None:
    manager = spoken.connect(api)
    line = Line(await settle(manager.enter()))
    await line.send(spoken.create)
    see(await line.take(len(spoken.hello) + 1), await line.close(), await line.close())
    with see.raising():
        await line.recv()


async def misuses(spoken: Spoken, api: Api, see: Seen) -> None:
    async with spoken.connected(api) as line:
        for wrong in ((), (1, 2)):
            with see.raising():
                await settle(line.connection.send(*wrong))
        with see.raising():
            await settle(line.connection.recv(1))
        with see.raising():
            await line.send(object())
        see(await settle(line.connection.send(event=spoken.create)), await line.recv())


async def raises(spoken: Spoken, api: Api, see: Seen) -> None:
    with see.raising():
        async with spoken.connected(api) as line:
            await line.send(spoken.create)
            raise KeyError("the app's own")


async def forgets_to_await(spoken: Spoken, api: Api, see: Seen) -> None:
    async with spoken.connected(api) as line:
        if api.is_async:
            coroutines = [line.connection.recv(), line.connection.send(spoken.create), line.connection.recv_bytes()]
            see([(type(one), one.__name__, one.__qualname__, asyncio.iscoroutine(one)) for one in coroutines])
            del coroutines
        await line.send(spoken.create)
        gc.collect()


async def cannot_connect(spoken: Spoken, api: Api, see: Seen) -> None:
    with see.raising():
        await settle(spoken.connect(api).enter())


async def dispatches(spoken: Spoken, api: Api, see: Seen) -> None:
    async with spoken.connected(api) as line:
        await line.send(spoken.create)
        with see.raising():
            await settle(line.connection.dispatch_events())


def whole(spoken: Spoken) -> list[Any]:
    return [*spoken.hello, Await(), *spoken.events, Close()]


def cut(spoken: Spoken) -> list[Any]:
    return [*spoken.hello, Await(), *spoken.begin, "not json" * (spoken is REALTIME), CUT]


def refuses(spoken: Spoken) -> list[Any]:
    return [*spoken.hello, Await(), spoken.refusal, Close(1011, "no")]


PROGRAMS: Mapping[str, tuple[Run, Callable[[Spoken], Any]]] = {
    "talks": (talks, whole),
    "loses the connection": (talks, cut),
    "gets an error": (talks, refuses),
    "reads bytes": (reads_bytes, whole),
    "reads bytes of a lost connection": (reads_bytes, cut),
    "enters by hand": (enters_by_hand, lambda spoken: [*spoken.hello, Await(), {"type": "some.event"}]),
    "misuses": (misuses, whole),
    "raises": (raises, whole),
    "forgets to await": (forgets_to_await, whole),
    "is refused": (cannot_connect, lambda _: None),
    **(
        {"dispatches": (dispatches, whole), "dispatches an error": (dispatches, refuses)}
        if has("responses.connect")
        else {}
    ),
}


SPANS = {"talks": 2, "loses the connection": 2, "gets an error": 2}  # what cannot be sent is told too


async def seen(name: str, spoken: Spoken, kind: Kind) -> Seen:
    run, script = PROGRAMS[name]
    see = Seen()
    with SocketServer() as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        lines = script(spoken)
        server.refuse() if lines is None else server.script(*lines)
        api = Api(kind, client(kind, server.base_url, websocket_base_url=server.websocket_base_url))
        await run(spoken, api, see)
        await collect()
        await api.close(api.client)
        server.listen_to_the_end()
        see.requests = [(request.path.partition("?")[2], sorted(request.headers)) for request in server.requests]
        see.requests += server.received
    see.warnings = [(w.category, steady(str(w.message)), w.filename) for w in warned]
    return see


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoken", cases(*SPOKEN))
@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_app_sees_the_same(name: str, spoken: Spoken, kind: Kind) -> None:
    if name.startswith("dispatches") and spoken.method == "beta.realtime.connect":
        pytest.skip("beta.realtime does not dispatch events")
    bare = await seen(name, spoken, kind)
    told = Told()
    told.instrument(error_messages=True)
    try:
        instrumented = await seen(name, spoken, kind)
        assert len(told.spans) == SPANS.get(name, 1)
    finally:
        otel_openai.uninstrument()
        told.shutdown()

    assert instrumented.beside(bare) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["talks", "is refused"])
async def test_without_an_sdk_a_connection_is_untouched(name: str, kind: Kind) -> None:
    bare = await seen(name, REALTIME, kind)
    otel_openai.instrument()
    try:
        instrumented = await seen(name, REALTIME, kind)
    finally:
        otel_openai.uninstrument()

    assert instrumented.beside(bare) == []


# Where nothing is told.


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_what_is_read_after_the_app_has_closed_the_connection_is_not_told(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, *spoken.events)

    async with spoken.connected(talker) as line:
        await line.close()
        with suppress(Exception):
            await line.drain()

    assert told.spans == []


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_session_is_not_told_where_suppressed(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*whole(spoken))

    with suppress_instrumentation():
        manager = spoken.connect(talker)
        line = Line(await settle(manager.enter()))
    assert not hasattr(line.connection, "_otel_openai_session")
    await line.send(spoken.create)
    await line.drain()
    await line.close()

    sockets.refuse()
    with suppress_instrumentation(), suppress(Exception):
        await settle(spoken.connect(talker).enter())

    assert told.spans == []


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_request_is_not_told_where_suppressed(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello, Await(), *spoken.events, Await(), *spoken.events)

    async with spoken.connected(talker) as line:
        with suppress_instrumentation():
            await line.send(spoken.create)
        await line.take(len(spoken.events))
        assert told.spans == []
        await line.send(spoken.create)
        await line.take(len(spoken.events))

    one_stream_was_told(told, "completed")


async def test_metrics_are_told_of_what_is_not_sampled(talker: Api, sockets: SocketServer) -> None:
    unsampled = Told(ALWAYS_OFF)
    unsampled.instrument()
    sockets.script(*whole(REALTIME))
    try:
        async with REALTIME.connected(talker) as line:
            await line.send(CREATE)
            await line.drain()
        assert unsampled.spans == []
        one_stream_was_told(unsampled, "completed")
    finally:
        otel_openai.uninstrument()
        unsampled.shutdown()


# Options.


async def test_hooks_are_called_with_the_request_and_the_last_event(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    calls: list[Any] = []

    def asked(span: Span, arguments: Mapping[str, Any]) -> None:
        span.set_attribute("app.topic", "weather")
        calls.append(dict(arguments))

    def answered(_: Span, result: Any) -> None:
        calls.append(result.type)

    otel_openai.uninstrument()
    told.instrument(request_hook=asked, response_hook=answered)
    sockets.script(*whole(REALTIME))

    async with REALTIME.connected(talker) as line:
        await line.send({**CREATE, "response": {"max_output_tokens": 7}})
        await line.drain()

    assert calls == [{"model": "gpt-realtime", "max_output_tokens": 7}, "response.done"]
    assert told.attributes["app.topic"] == "weather"


async def test_error_texts_are_told_to_those_who_want_them(talker: Api, sockets: SocketServer, told: Told) -> None:
    otel_openai.uninstrument()
    told.instrument(error_messages=True)
    sockets.script(*refuses(REALTIME))

    async with REALTIME.connected(talker) as line:
        await line.send(REALTIME.create)
        with suppress(Exception):
            await line.drain()

    assert str(told.span.status.description).endswith("type invalid_request_error: It cannot be done.")


async def test_chunks_are_timed_for_those_who_want_it(talker: Api, sockets: SocketServer, told: Told) -> None:
    otel_openai.uninstrument()
    told.instrument(chunk_timing=True)
    sockets.script(*whole(REALTIME))

    async with REALTIME.connected(talker) as line:
        await line.send(CREATE)
        await line.drain()

    ((_, (count, _)),) = told.points("gen_ai.client.operation.time_per_output_chunk")
    assert count == len(REALTIME.events) - 1


# Bounds.


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_requests_that_are_never_answered_are_bounded(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    sockets.script(*spoken.hello)

    async with spoken.connected(talker) as line:
        for _ in range(MAX_OPEN + 10):
            await line.send(spoken.create)
        assert told.total("otel_openai.active_requests") == MAX_OPEN
        assert told.total("otel_openai.streams", otel_openai__stream__outcome="abandoned") == 10

    assert told.total("otel_openai.streams", otel_openai__stream__outcome="closed") == MAX_OPEN


async def test_a_request_that_was_refused_is_told_so_though_it_is_pushed_out(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, *(line for _ in range(MAX_OPEN) for line in (Await(), realtime_error("x"))))

    async with REALTIME.connected(talker) as line:
        for _ in range(MAX_OPEN):
            await line.send(CREATE)
            await line.recv()
        await line.send(CREATE)
        pushed_out = told.span

    assert attributes_of(pushed_out)["otel_openai.stream.outcome"] == "error"


async def test_responses_that_never_end_are_bounded(talker: Api, sockets: SocketServer, told: Told) -> None:
    begins = [realtime_begin(id=f"resp_{number}") for number in range(MAX_OPEN + 10)]
    sockets.script(*REALTIME.hello, *begins)

    async with REALTIME.connected(talker) as line:
        await line.take(len(begins))
        assert told.total("otel_openai.active_requests") == MAX_OPEN

    ids = [attributes_of(span)["gen_ai.response.id"] for span in told.spans[:10]]
    assert ids == [f"resp_{number}" for number in range(10)]


async def test_a_connection_is_freed_as_without_us(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*whole(REALTIME))
    async with REALTIME.connected(talker) as line:
        await line.send(CREATE)
        await line.drain()
    freed = weakref.ref(line.connection)

    del line
    await collect()

    assert freed() is None
    one_stream_was_told(told, "completed")


# Reconnection.


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_a_connection_that_comes_back_is_told_on(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    def connect_again(_: Any) -> None:
        asked.append(True)

    asked: list[bool] = []
    sockets.script(*spoken.hello, Await(), *spoken.begin, Close(1012))
    sockets.script(*spoken.hello, *spoken.events, Close())
    try:
        manager = spoken.connect(talker, on_reconnecting=connect_again, initial_delay=0.01)
    except TypeError:
        pytest.skip(f"openai {openai.__version__} does not reconnect")

    line = Line(await settle(manager.enter()))
    await line.take(len(spoken.hello))
    await line.send(spoken.create)
    with suppress(Exception):
        await line.drain()
    await line.close()

    outcomes = [attributes_of(span)["otel_openai.stream.outcome"] for span in told.spans]
    assert asked
    assert outcomes == ["error", "completed"]


# Faults.


@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_faults_of_telemetry_are_contained(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: Any, **__: Any) -> Any:
        raise RuntimeError("injected")

    _guard.reraise = False
    owners: list[tuple[Any, str]] = [
        (told.tracer_provider.get_tracer("otel_openai").__class__, "start_span"),
        (OpenResponses, "answer"),
        (OpenResponses, "take_all"),
    ]
    for owner, name in owners:
        monkeypatch.setattr(owner, name, faulty)
        sockets.script(*whole(spoken))
        async with spoken.connected(talker) as line:
            await line.send(spoken.create)
            events = await line.drain()
        assert [event.type for event in events] == [event["type"] for event in spoken.events]
        monkeypatch.undo()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("spoken", cases(REALTIME, RESPONSES))
async def test_faults_of_the_sdk_are_contained(
    talker: Api, sockets: SocketServer, spoken: Spoken, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    _guard.reraise = False
    fault.install(monkeypatch)
    told = Told()
    told.instrument(request_hook=faulty_hook, response_hook=faulty_hook, chunk_timing=True, error_messages=True)

    async def talk() -> None:
        sockets.script(*whole(spoken))
        async with spoken.connected(talker) as line:
            await line.send(spoken.create)
            events = await line.drain()
        assert [event.type for event in events] == [event["type"] for event in spoken.events]
        sockets.script(*spoken.hello, Await(), spoken.refusal, Close())
        async with spoken.connected(talker) as line:
            await line.send(spoken.create)
            assert len(await line.drain()) == 1

    try:
        fault.on = True
        await asyncio.create_task(talk())  # in a context of its own, where what cannot be detached stays behind
        told.points("gen_ai.client.operation.duration")
        fault.on = False

        told.clear()
        sockets.script(*whole(spoken))
        async with spoken.connected(talker) as line:
            await line.send(spoken.create)
            await line.drain()
        assert described(told.span) == spoken.expected("completed", len(spoken.events), sockets)
        assert told.total("otel_openai.active_requests") == 0
    finally:
        otel_openai.uninstrument()
        told.shutdown()


def faulty_hook(*_: object) -> None:
    raise RuntimeError("the hook's own")


async def test_an_error_event_is_not_an_error_of_the_session(talker: Api, sockets: SocketServer, told: Told) -> None:
    sockets.script(*REALTIME.hello, realtime_error("x"), *realtime_stream())

    async with REALTIME.connected(talker) as line:
        await line.take(1 + len(REALTIME.events))

    assert described(told.span) == REALTIME.expected("completed", len(REALTIME.events), sockets)
