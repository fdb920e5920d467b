"""Coroutines of the async client that come to nothing: never awaited, or destroyed while they wait."""

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

import otel_openai
from server import Gate, ScriptedServer, chat, json_reply
from streamed import CHAT, COMPLETIONS, RESPONSES
from support import Api, Told, attributes_of, client


@pytest.fixture
async def api(server: ScriptedServer) -> AsyncIterator[Api]:
    async with client("async", server.base_url) as made:
        yield Api("async", made)


Make = Callable[[Any], Any]

MAKERS: dict[str, Make] = {
    "chat": lambda client: client.chat.completions.create(**CHAT.arguments),
    "chat stream": lambda client: client.chat.completions.create(**CHAT.arguments, stream=True),
    "parse": lambda client: client.beta.chat.completions.parse(**CHAT.arguments),
    "completions": lambda client: client.completions.create(**COMPLETIONS.arguments),
    "responses": lambda client: client.responses.create(**RESPONSES.arguments),
    "embeddings": lambda client: client.embeddings.create(model="text-embedding-3-small", input="Hello"),
    "raw": lambda client: client.chat.completions.with_raw_response.create(**CHAT.arguments),
    "streaming response": lambda client: client.chat.completions.with_streaming_response.create(**CHAT.arguments),
    "chat helper": lambda client: client.beta.chat.completions.stream(**CHAT.arguments),
    "responses helper": lambda client: client.responses.stream(**RESPONSES.arguments),
}


def warnings_of(make: Make, api: Api) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(api.client)
        gc.collect()
    return [str(warning.message) for warning in caught if warning.category is RuntimeWarning]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
async def test_a_coroutine_that_nobody_awaits_warns_as_without_us(
    api: Api, server: ScriptedServer, told: Told, make: Make
) -> None:
    instrumented = warnings_of(make, api)
    spans = told.spans
    otel_openai.uninstrument()
    bare = warnings_of(make, api)

    assert instrumented == bare
    assert len(bare) == 1
    assert "was never awaited" in bare[0]
    assert (spans, told.points("otel_openai.active_requests"), server.requests) == ([], [], [])


def a_call_was_destroyed(told: Told) -> None:
    """There is one span, of a call that got no answer."""
    assert attributes_of(told.span)["error.type"] == "GeneratorExit"
    assert told.span.status.status_code.name == "ERROR"
    assert told.total("gen_ai.client.operation.duration", error__type="GeneratorExit") > 0
    assert told.total("otel_openai.active_requests") == 0


async def begun(api: Api) -> Any:
    """A coroutine that waits for the network."""
    coroutine = api.client.chat.completions.create(**CHAT.arguments)
    with suppress(StopIteration):
        coroutine.send(None)  # as a loop does
    return coroutine


async def test_a_coroutine_destroyed_while_it_waits_gives_the_caller_its_context_back(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(json_reply(chat()).after(Gate()))
    before = context.get_current()

    (await begun(api)).close()

    assert context.get_current() is before
    a_call_was_destroyed(told)


def ask_and_destroy(server: ScriptedServer, gate: Gate) -> None:
    """Destroy a coroutine deep in the network outside of its loop, where the HTTP library fails at cleaning up."""
    made = client("async", server.base_url)
    loop = asyncio.new_event_loop()
    coroutine = made.chat.completions.create(**CHAT.arguments)
    task = loop.create_task(coroutine)
    while not gate.reached.is_set():
        loop.run_until_complete(asyncio.sleep(0.001))

    with suppress(Exception):
        coroutine.close()

    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.run_until_complete(made.close())
    loop.close()


async def test_a_coroutine_destroyed_without_its_loop_is_told_by_the_reaper(
    server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    server.reply(json_reply(chat()).after(gate))
    teller = Teller()
    told.tracer_provider.add_span_processor(teller)

    await asyncio.to_thread(ask_and_destroy, server, gate)

    a_call_was_destroyed(told)
    assert teller.threads == ["otel-openai-reaper"]
    assert [record for record in caplog.records if record.name != "asyncio"] == []


class Teller(SpanProcessor):
    """Notes the threads on which spans are ended."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - the base class's name
        self.threads.append(threading.current_thread().name)
