"""`instrument()` and `uninstrument()`: once is once, off is off, and on again works, whatever existed before."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

import otel_openai
from otel_openai import OpenAIInstrumentor
from otel_openai.redactors import secrets
from programs import ARGUMENTS, entered, settle
from server import ScriptedServer, chat, chat_stream, openai_error, sse
from support import MESSAGES, Api, Told, attributes_of

CHAT = ARGUMENTS["chat.completions.create"]


@pytest.fixture
def off(told: Told) -> Iterator[Told]:
    """Instrumentation is off; the test switches it on and off."""
    otel_openai.uninstrument()
    yield told
    told.instrument()


def wrapped_methods(api: Api) -> list[str]:
    """The methods that something has wrapped."""
    paths = ("chat.completions", "completions", "responses", "embeddings")
    found: list[str] = []
    for path in paths:
        resource: Any = api.client
        for name in path.split("."):
            resource = getattr(resource, name)
        members: dict[str, Any] = resource.__class__.__dict__
        found += [f"{path}.{name}" for name, value in members.items() if hasattr(value, "_self_wrapper")]
    return found


async def a_call(**options: Any) -> None:
    del options


class CalledAsync:
    """An object that is called like an async function."""

    async def __call__(self, *_: object) -> None:
        pass


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"tracer_provider": "otlp"},
        TypeError,
        r"instrument\(tracer_provider=\.\.\.\) takes a TracerProvider, not 'otlp'",
    ),
    ({"tracer_provider": 5}, TypeError, r"tracer_provider=\.\.\.\) takes a TracerProvider, not 5"),
    ({"tracer_provider": TracerProvider}, TypeError, r"tracer_provider=\.\.\.\) takes a TracerProvider, not <class"),
    ({"meter_provider": TracerProvider()}, TypeError, r"meter_provider=\.\.\.\) takes a MeterProvider"),
    ({"logger_provider": object()}, TypeError, r"logger_provider=\.\.\.\) takes a LoggerProvider"),
    ({"export": "jaeger"}, ValueError, r"export=\.\.\.\) takes None, 'otlp' or 'console', not 'jaeger'"),
    ({"export": True}, ValueError, r"export=\.\.\.\) takes None, 'otlp' or 'console', not True"),
    ({"export": ["otlp"]}, ValueError, r"export=\.\.\.\) takes None, 'otlp' or 'console', not \['otlp'\]"),
    ({"error_messages": "yes"}, TypeError, r"error_messages=\.\.\.\) takes True or False, not 'yes'"),
    ({"chunk_timing": 1}, TypeError, r"chunk_timing=\.\.\.\) takes True or False, not 1"),
    ({"request_hook": "hook"}, TypeError, r"request_hook=\.\.\.\) takes a callable of two arguments .* not 'hook'"),
    ({"request_hook": id}, TypeError, r"request_hook=\.\.\.\) takes a callable of two arguments .* not <built-in"),
    ({"response_hook": a_call}, TypeError, r"response_hook=\.\.\.\) takes .* that is not async, not <func"),
    ({"redact": str.upper}, TypeError, r"redact=\.\.\.\) takes a callable of two arguments .* not <method"),
    ({"request_hook": CalledAsync()}, TypeError, r"request_hook=.* that is not async, not <.*CalledAsync"),
    ({"providers": ["h"]}, TypeError, r"providers=\.\.\.\) takes a mapping of host to provider name, both strings"),
    ({"providers": {"h": None}}, TypeError, r"providers=\.\.\.\) takes a mapping .* not \{'h': None\}"),
    ({"providers": {"": "vllm"}}, ValueError, r"providers=\.\.\.\) takes host names without scheme, port or path"),
    ({"providers": {"http://h": "vllm"}}, ValueError, r"providers=.*not 'http://h'"),
    ({"providers": {"h:8000": "vllm"}}, ValueError, r"without scheme, port or path"),
    ({"providers": {"*.h": "vllm"}}, ValueError, r"'\.example\.com' for every host below it\), not '\*\.h'"),
    ({"stream_usage": 1}, TypeError, r"stream_usage=\.\.\.\) takes True or False, not 1"),
    ({"cost": "openai"}, TypeError, r"cost=\.\.\.\) takes True, False, or a callable of one argument .* not 'openai'"),
    ({"cost": a_call}, TypeError, r"cost=\.\.\.\) takes True, False, or a callable .* that is not async, not <func"),
    ({"cost": secrets}, TypeError, r"cost=\.\.\.\) takes True, False, or a callable of one argument .* not <func"),
    (
        {"cost": CalledAsync()},
        TypeError,
        r"cost=\.\.\.\) takes True, False, or a callable .* not async, not <.*CalledAsync",
    ),
    ({"cost": None}, TypeError, r"cost=\.\.\.\) takes True, False, or a callable .*, not None"),
    ({"propagate": "llm.test"}, TypeError, r"propagate=\.\.\.\) takes True, False, or a collection of host names"),
    ({"propagate": None}, TypeError, r"propagate=\.\.\.\) takes True, False, or a collection .*, not None"),
    ({"propagate": [5]}, TypeError, r"propagate=\.\.\.\) takes True, False, or a collection .*, not \[5\]"),
    ({"propagate": ["http://h"]}, ValueError, r"propagate=\.\.\.\) takes host names without scheme, port or path"),
    ({"propagate": ["a.test", " b.test"]}, ValueError, r"not ' b\.test'"),
    ({"tracer": None}, TypeError, r"unexpected keyword argument 'tracer'"),
]


WRONG_NAMES = [f"{next(iter(options))}-{number}" for number, (options, *_) in enumerate(WRONG)]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=WRONG_NAMES)
@pytest.mark.parametrize("switch_on", [otel_openai.instrument, OpenAIInstrumentor().instrument], ids=["one", "other"])
async def test_a_wrong_argument_is_named_and_nothing_is_switched_on(
    *,
    switch_on: Callable[..., Any],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    api: Api,
    server: ScriptedServer,
    off: Told,
) -> None:
    with pytest.raises(error, match=message):
        switch_on(**options)

    assert wrapped_methods(api) == []
    off.instrument()
    server.reply(chat())
    await api.chat()
    assert off.span.name == "chat gpt-4o-mini"
    otel_openai.uninstrument()


@pytest.mark.parametrize("switch_on", [otel_openai.instrument, OpenAIInstrumentor().instrument], ids=["one", "other"])
async def test_none_is_the_default(api: Api, server: ScriptedServer, off: Told, switch_on: Callable[..., Any]) -> None:
    options = dict.fromkeys(("export", "capture_content", "redact", "providers", "request_hook", "response_hook"))
    switch_on(tracer_provider=off.tracer_provider, **options)
    server.reply(chat())
    await api.chat()
    otel_openai.uninstrument()

    assert attributes_of(off.span)["gen_ai.provider.name"] == "openai_compatible"


def test_arguments_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        otel_openai.instrument(TracerProvider())  # type: ignore[misc] # pyright: ignore[reportCallIssue]


async def test_twice_is_once(api: Api, server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    server.always(chat())
    other = Told()
    other.instrument(request_hook=pytest.fail)
    OpenAIInstrumentor().instrument()
    await api.chat()

    assert told.span.name == "chat gpt-4o-mini"
    assert other.spans == []
    assert told.total("gen_ai.client.token.usage") == 21
    assert {(r.name, r.levelname, r.getMessage()) for r in caplog.records if r.levelno >= logging.WARNING} == {
        ("opentelemetry.instrumentation.instrumentor", "WARNING", "Attempting to instrument while already instrumented")
    }
    other.shutdown()


async def test_clients_that_exist_already_are_traced(api: Api, server: ScriptedServer, off: Told) -> None:
    resource = api.client.chat.completions
    changed = api.client.with_options(timeout=5)
    server.always(chat())
    off.instrument()

    for completions in (resource, changed.chat.completions):
        assert (await settle(completions.create(**CHAT))).object == "chat.completion"

    assert [span.name for span in off.spans] == ["chat gpt-4o-mini"] * 2
    otel_openai.uninstrument()


async def test_off_is_off_for_everything_that_the_app_has_kept(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(lambda request: sse(*chat_stream("a")) if request.json.get("stream") else chat())
    create = api.client.chat.completions.create
    raw = api.client.chat.completions.with_raw_response.create
    streaming = api.client.chat.completions.with_streaming_response.create
    kept: Any = create(**CHAT) if api.is_async else None
    assert wrapped_methods(api) != []

    otel_openai.uninstrument()

    assert wrapped_methods(api) == []
    for method in (create, raw, api.client.chat.completions.create):
        assert "http_response" in dir(await settle(method(**CHAT))) or method is not raw
    if kept is not None:
        assert (await kept).object == "chat.completion"
    async with entered(streaming(**CHAT)) as answer:
        await settle(answer.read())
    assert await api.drain(await api.stream())
    assert told.spans == []
    assert told.points("gen_ai.client.operation.duration") == []


async def test_a_stream_that_is_open_goes_on_and_its_span_ends(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*chat_stream(*"Hello!")), sse(*chat_stream("a")))
    stream = await api.stream()
    unread = await api.stream()
    await api.next(stream)

    otel_openai.uninstrument()

    assert [span.name for span in told.spans] == ["chat gpt-4o-mini"] * 2
    assert len(await api.drain(stream)) == 7
    await api.close(unread)
    assert len(told.spans) == 2
    assert sorted(attributes_of(span)["otel_openai.stream.chunk.count"] for span in told.spans) == [0, 1]
    assert {span.status.status_code.name for span in told.spans} == {"UNSET"}
    assert told.total("otel_openai.active_requests") == 0


async def test_on_again_is_on_once(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat())
    kept = [api.client.chat.completions.create, api.client.chat.completions.with_raw_response.create]
    for _ in range(3):
        otel_openai.uninstrument()
        told.instrument()

    for method in (*kept, api.client.chat.completions.create):
        told.clear()
        await settle(method(**CHAT))
        assert told.span.name == "chat gpt-4o-mini"

    assert told.total("otel_openai.finish_reasons") == 3
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 36


async def test_other_options_hold_after_switching_on_again(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(lambda _: openai_error(400, message="the server's words"))
    otel_openai.uninstrument()
    told.instrument(providers={"127.0.0.1": "vllm"}, error_messages=True)
    await api.chat()

    assert told.attributes["gen_ai.provider.name"] == "vllm"
    assert "the server's words" in str(told.span.status.description)


def test_off_twice_is_off(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    del told
    otel_openai.uninstrument()
    otel_openai.uninstrument()

    assert [record.getMessage() for record in caplog.records] == [
        "Attempting to uninstrument while already uninstrumented"
    ]


@pytest.mark.parametrize("signal", ["traces", "metrics"])
async def test_one_signal_alone_is_enough(signal: str, api: Api, server: ScriptedServer, off: Told) -> None:
    if signal == "traces":
        otel_openai.instrument(tracer_provider=off.tracer_provider)
    else:
        otel_openai.instrument(meter_provider=off.meter_provider)
    server.reply(chat(), sse(*chat_stream("a")), openai_error(500))
    await api.chat()
    await api.drain(await api.stream())

    assert len(off.spans) == (2 if signal == "traces" else 0)
    assert sum(count for _, (count, _) in off.points("gen_ai.client.operation.duration")) == (
        0 if signal == "traces" else 2
    )
    otel_openai.uninstrument()


async def test_providers_that_do_nothing_leave_calls_alone(api: Api, server: ScriptedServer, off: Told) -> None:
    otel_openai.instrument(tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider())
    server.reply(chat(), sse(*chat_stream("a")))

    assert (await api.chat()).object == "chat.completion"
    stream = await api.stream()
    assert "close" not in vars(stream.response)
    assert len(await api.drain(stream)) == 3
    assert off.spans == []
    otel_openai.uninstrument()


async def test_a_disabled_sdk_leaves_calls_alone(
    api: Api, server: ScriptedServer, off: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    disabled = Told()
    disabled.instrument()
    server.reply(chat(), sse(*chat_stream("a")))

    await api.chat(messages=MESSAGES)
    stream = await api.stream()
    own: dict[str, Any] = stream.response.__dict__
    assert not {"close", "aclose"} & own.keys()
    await api.drain(stream)

    assert disabled.spans == off.spans == []
    assert [record for record in caplog.records if record.name == "otel_openai"] == []
    otel_openai.uninstrument()
    disabled.shutdown()
