"""`propagate`: the W3C trace context of a call's span goes with its request, and nothing else does."""

import asyncio
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from opentelemetry import baggage, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import attach, detach
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import otel_openai
from otel_openai import _guard
from programs import ARGUMENTS, every_mode
from seen import KINDS, Kind, seen_by_both
from server import Request, ScriptedServer, chat, chat_stream, chat_usage, error_reply, sse
from support import Api, Told, client

LOOPBACK = "127.0.0.1"
OWN = f"00-{'1' * 32}-{'2' * 16}-01"
EVERY = every_mode()


@pytest.fixture
def told() -> Iterator[Told]:
    recorded = Told()
    recorded.instrument(propagate=True)
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


@contextmanager
def configured(propagator: TextMapPropagator) -> Generator[None, None, None]:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(propagator)
    yield
    propagate.set_global_textmap(before)


def traceparent(span: ReadableSpan) -> str:
    context = span.context
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def traced(request: Request) -> dict[str, str]:
    """Whatever any propagator could have written."""
    told = {name.lower(): value for name, value in request.headers}
    return {name: told[name] for name in ("traceparent", "tracestate", "baggage", "b3", "x-tenant") if name in told}


def without_context(requests: list[Any]) -> list[Any]:
    """Requests as the bare client sends them: ours must have the header, the bare ones have none to lose."""
    return [
        (method, path, [header for header in headers if header[0].lower() != "traceparent"], body, connection)
        for method, path, headers, body, connection in requests
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERY)
async def test_every_operation_and_mode_sends_its_span_and_is_the_same_otherwise(name: str, kind: Kind) -> None:
    bare, instrumented, spans = await seen_by_both(EVERY[name], kind, propagate=True)

    sent = [dict(headers).get("traceparent") for _, _, headers, _, _ in instrumented.requests]
    assert len(spans) == EVERY[name].spans
    assert sorted(filter(None, sent)) == sorted(map(traceparent, spans))  # some helpers look before they ask
    assert without_context(instrumented.requests) == bare.requests
    instrumented.requests = bare.requests
    assert (instrumented.notes, instrumented.warnings) == (bare.notes, bare.warnings)


class Chatty(TextMapPropagator):
    """A propagator of the app's that writes more than the trace context."""

    def __init__(self, **more: Any) -> None:
        self._more = more

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        del setter
        TraceContextTextMapPropagator().inject(carrier, context)
        carrier.update({name.replace("_", "-"): value for name, value in self._more.items()})

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        raise NotImplementedError

    @property
    def fields(self) -> set[str]:
        return set()


class Smuggler(Chatty):
    """One that hides baggage in the state of the trace."""

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
        super().inject(carrier, context, setter)
        if told := baggage.get_all(context):
            carrier["tracestate"] = ",".join(f"{name}={value}" for name, value in told.items())


PROPAGATORS: dict[str, tuple[TextMapPropagator, set[str]]] = {
    "the default": (CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]), {"traceparent"}),
    "baggage alone": (W3CBaggagePropagator(), set()),
    "none": (CompositePropagator([]), set()),
    "one that writes more": (Chatty(b3="1-2-1", baggage="user=me", x_tenant="s"), {"traceparent"}),
    "one that hides baggage": (Smuggler(), {"traceparent"}),
    "one that writes nonsense": (Chatty(tracestate=["a=1"]), {"traceparent"}),
    "one that writes another header": (Chatty(tracestate="a=1\r\nx-tenant: s"), {"traceparent"}),
    "one that writes what is no ASCII": (Chatty(tracestate="ä=1"), {"traceparent"}),
}


@pytest.mark.parametrize(("propagator", "headers"), PROPAGATORS.values(), ids=PROPAGATORS)
async def test_only_the_trace_context_leaves(
    propagator: TextMapPropagator, headers: set[str], api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(chat())
    token = attach(baggage.set_baggage("user", "me"))
    with configured(propagator):
        await api.chat()
    detach(token)

    assert set(traced(server.last)) == headers
    assert "user=me" not in str(server.last.headers)
    assert traced(server.last).get("traceparent", traceparent(told.span)) == traceparent(told.span)


async def test_the_callers_trace_goes_on_with_its_state(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())
    caller = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("vendor", "a")]))
    token = attach(set_span_in_context(NonRecordingSpan(caller)))
    await api.chat()
    detach(token)

    assert told.span.parent == caller
    assert traced(server.last) == {"traceparent": traceparent(told.span), "tracestate": "vendor=a"}
    assert traced(server.last)["traceparent"].startswith(f"00-{1:032x}-")


async def test_a_span_that_is_not_sampled_says_so(api: Api, server: ScriptedServer) -> None:
    told = Told(ALWAYS_OFF)
    told.instrument(propagate=True)
    server.reply(chat())
    await api.chat()
    otel_openai.uninstrument()
    told.shutdown()

    assert told.spans == []
    _, trace_id, span_id, flags = traced(server.last)["traceparent"].split("-")
    assert int(trace_id, 16)
    assert int(span_id, 16)
    assert int(flags, 16) & TraceFlags.SAMPLED == 0


async def test_every_try_of_a_request_has_the_same_span(server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(500, headers={"retry-after-ms": "1"}), chat())
    async with client("async", server.base_url, max_retries=1) as http:
        await Api("async", http).chat()

    assert [traced(request) for request in server.requests] == [{"traceparent": traceparent(told.span)}] * 2


async def test_calls_at_the_same_time_have_each_their_own(server: ScriptedServer, told: Told) -> None:
    server.always(lambda request: chat(model=request.json["model"]))
    async with client("async", server.base_url) as http:
        api = Api("async", http)
        await asyncio.gather(*(api.chat(model=f"model-{number}") for number in range(8)))

    sent = {request.json["model"]: traced(request)["traceparent"] for request in server.requests}
    assert sent == {str((span.attributes or {})["gen_ai.request.model"]): traceparent(span) for span in told.spans}
    assert len(sent) == 8


async def test_a_coroutine_belongs_to_the_trace_in_which_it_is_awaited(server: ScriptedServer, told: Told) -> None:
    server.reply(chat())
    async with client("async", server.base_url) as http:
        coroutine = http.chat.completions.create(**ARGUMENTS["chat.completions.create"])
        with told.tracer_provider.get_tracer("app").start_as_current_span("app"):
            await coroutine

    call, app = told.spans
    assert call.parent == app.context
    assert traced(server.last) == {"traceparent": traceparent(call)}


OWN_HEADERS: list[Any] = [
    {"traceparent": OWN},
    {"Traceparent": OWN},
    {"TRACESTATE": "vendor=a"},
    {"traceparent": OWN, "tracestate": "vendor=a"},
]


@pytest.mark.parametrize("own", OWN_HEADERS, ids="+".join)
async def test_a_trace_context_of_the_apps_own_wins(
    own: dict[str, str], api: Api, server: ScriptedServer, told: Told
) -> None:
    server.always(chat())
    expected = {name.lower(): value for name, value in own.items()}
    await api.chat(extra_headers=own)
    assert traced(server.last) == expected

    async with client("async", server.base_url, default_headers=own) as http:
        await Api("async", http).chat()
    assert traced(server.last) == expected
    assert len(told.spans) == 2


@pytest.mark.skipif(not hasattr(openai, "omit"), reason="this version of the client has no `omit`")
async def test_a_header_that_the_app_leaves_out_stays_out(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(chat())
    await api.chat(extra_headers={"traceparent": openai.omit})

    assert traced(server.last) == {}
    assert len(told.spans) == 1


async def test_the_apps_headers_are_sent_and_not_changed(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat())
    headers = {"X-Team": "blue"}
    await api.chat(extra_headers=headers)
    await api.chat(extra_headers=openai.DefaultHttpxClient(headers={"X-Team": "red"}).headers)

    assert headers == {"X-Team": "blue"}
    assert [request.header("x-team") for request in server.requests] == ["blue", "red"]
    assert [traced(request)["traceparent"] for request in server.requests] == [traceparent(s) for s in told.spans]


HOSTS: list[tuple[Any, str, bool]] = [
    (["llm.test"], "llm.test", True),
    (["llm.test"], "LLM.test", True),
    (["LLM.test"], "llm.test", True),
    ({"a.test": 1, "b.test": 2}, "b.test", True),
    ((".test",), "llm.test", True),
    ((".test",), "a.b.llm.test", True),
    ((".llm.test",), "llm.test", False),
    (["llm.test"], "a.llm.test", False),
    (["llm.test"], "llm.test.example.net", False),
    (["llm.test"], "notllm.test", False),
    ([], "llm.test", False),
    (False, "llm.test", False),
    (True, "llm.test", True),
]


@pytest.mark.parametrize(("wanted", "host", "is_sent"), HOSTS)
async def test_only_the_wanted_hosts_are_told(
    wanted: Any,
    host: str,
    is_sent: object,
    server: ScriptedServer,
) -> None:
    told = Told()
    told.instrument(propagate=wanted)
    server.reply(chat())
    proxied: Any = openai.DefaultHttpxClient(proxy=server.url)  # stands for the hosts of the world
    with client("sync", f"http://{host}/v1", http_client=proxied) as http:
        await Api("sync", http).chat()
    otel_openai.uninstrument()
    told.shutdown()

    assert traced(server.last) == ({"traceparent": traceparent(told.span)} if is_sent else {})


async def test_nothing_is_sent_where_suppressed_or_switched_off(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat())
    with suppress_instrumentation():
        await api.chat()
    otel_openai.uninstrument()
    await api.chat()
    told.instrument()
    await api.chat()

    assert [traced(request) for request in server.requests] == [{}, {}, {}]


async def test_a_coroutine_that_is_awaited_when_it_is_off_again_is_the_bare_one(
    server: ScriptedServer, told: Told
) -> None:
    server.reply(chat())
    async with client("async", server.base_url) as http:
        coroutine = http.chat.completions.create(
            **ARGUMENTS["chat.completions.create"], extra_headers={"X-Team": "blue"}
        )
        otel_openai.uninstrument()
        await coroutine

    assert traced(server.last) == {}
    assert server.last.header("x-team") == "blue"
    assert told.spans == []


async def test_a_propagator_that_raises_costs_the_context_alone(
    api: Api, server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_guard, "reraise", False)
    server.reply(chat())

    class Broken(Chatty):
        def inject(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("broken")

    with configured(Broken()):
        completion = await api.chat(extra_headers={"X-Team": "blue"})

    assert completion.choices[0].message.content == "Hello!"
    assert server.last.header("x-team") == "blue"
    assert traced(server.last) == {}
    assert told.span.status.is_ok


async def test_usage_may_be_asked_for_at_the_same_time(api: Api, server: ScriptedServer) -> None:
    told = Told()
    told.instrument(propagate=[LOOPBACK], stream_usage=True)
    server.reply(sse(*chat_stream("a", usage=chat_usage())))
    await api.drain(await api.stream())
    otel_openai.uninstrument()
    told.shutdown()

    assert traced(server.last) == {"traceparent": traceparent(told.span)}
    assert server.last.json["stream_options"] == {"include_usage": True}
