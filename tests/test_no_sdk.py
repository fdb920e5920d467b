"""Where no OpenTelemetry SDK is configured it stays out of the way: nothing is made, kept or changed."""

import tracemalloc
from collections.abc import Iterator

import pytest
from opentelemetry import _logs, metrics, trace

import otel_openai
from otel_openai._noop import is_unset
from programs import ARGUMENTS, every_mode, settle
from seen import KINDS, Kind, seen
from server import ScriptedServer, chat, chat_stream, sse, together
from support import Api, client

CHAT = ARGUMENTS["chat.completions.create"]
PROGRAMS = every_mode()


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    """Instrumentation is on, without anywhere to tell anything."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
        assert is_unset(provider), "some test has set a global provider: it has to run in a process of its own"
    otel_openai.instrument()
    yield
    otel_openai.uninstrument()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_app_sees_the_same(name: str, kind: Kind) -> None:
    instrumented = await seen(PROGRAMS[name], kind)
    otel_openai.uninstrument()
    bare = await seen(PROGRAMS[name], kind)
    otel_openai.instrument()

    assert instrumented.beside(bare) == []


@pytest.mark.parametrize("mode", ["plain", "raw", "streaming"])
async def test_a_stream_is_untouched(mode: str, api: Api, server: ScriptedServer) -> None:
    server.reply(sse(*chat_stream("a")))
    paths = {"plain": "", "raw": "with_raw_response.", "streaming": "with_streaming_response."}
    result = await api.call(f"chat.completions.{paths[mode]}create", **CHAT, stream=True)
    if mode == "streaming":
        result = await (result.__aenter__() if api.is_async else settle(result.__enter__()))
        assert not {"close", "parse"} & set(result.__dict__)
    stream = result if mode == "plain" else await settle(result.parse())

    assert "otel_openai" not in stream._iterator.__qualname__
    assert not {"close", "aclose"} & set(stream.response.__dict__)
    assert len(await api.drain(stream)) == 3
    if mode == "streaming":
        await api.close(result)


async def test_a_coroutine_is_the_clients_own(server: ScriptedServer) -> None:
    server.reply(chat())
    async with client("async", server.base_url) as http:
        coroutine = http.chat.completions.create(**CHAT)
        assert "otel_openai" not in coroutine.cr_code.co_filename
        assert (await coroutine).object == "chat.completion"


async def test_nothing_is_allocated_for_a_chunk(api: Api, server: ScriptedServer) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
    server.reply(sse(chunk), sse(together(*[chunk] * 200)))
    await api.drain(await api.stream())
    stream = await api.stream()

    tracemalloc.start()
    try:
        for _ in range(200):
            await api.next(stream)
        ours = tracemalloc.Filter(inclusive=True, filename_pattern="*/otel_openai/*")
        made = tracemalloc.take_snapshot().filter_traces([ours]).traces
    finally:
        tracemalloc.stop()

    assert [str(trace.traceback) for trace in made] == []
    await api.close(stream)
