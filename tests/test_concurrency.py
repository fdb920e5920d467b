"""Many calls at once: counts are exact, spans are right, and switching off and on under load loses no answer."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import openai
import pytest
from opentelemetry import trace

import otel_openai
from programs import ARGUMENTS
from server import (
    DONE,
    Gate,
    Reply,
    Request,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    chat_usage,
    embeddings,
    error_reply,
    finish_chunk,
    json_reply,
    sse,
    tool_call,
    tool_chunk,
)
from support import MESSAGES, Told, attributes_of, client

INPUT, OUTPUT = "gen_ai.client.inference.usage.input_tokens", "gen_ai.client.inference.usage.output_tokens"
DURATION = "gen_ai.client.operation.duration"
CHAT = ARGUMENTS["chat.completions.create"]


@pytest.fixture(autouse=True)
def threads_change_often() -> Iterator[None]:
    """Threads take turns in the middle of everything, not only now and then."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def calls(told: Told, **having: object) -> int:
    """How many calls the histogram of durations has counted."""
    wanted = {key.replace("__", "."): value for key, value in having.items()}
    return sum(number for attributes, (number, _) in told.points(DURATION) if wanted.items() <= attributes.items())


async def test_a_hundred_streams_at_once_are_told_apart(server: ScriptedServer, told: Told) -> None:
    gate = Gate()

    def answer(request: Request) -> Reply:
        number = int(request.json["model"])
        tools = [tool_chunk("{}", name=f"tool_{number % 5}", call_id=f"call_{index}", call=index) for index in range(3)]
        usage = chat_usage(number, 2 * number)
        return sse(chat_chunk("a", id=f"id-{number}"), gate, *tools, finish_chunk("tool_calls", usage=usage), DONE)

    server.always(answer)

    async def use(http: openai.AsyncOpenAI, number: int) -> str:
        with told.tracer_provider.get_tracer("app").start_as_current_span(f"app {number}") as parent:
            stream: Any = await http.chat.completions.create(model=str(number), messages=[], stream=True)
            first = await stream.__anext__()
            if (opened := next(arrived) + 1) == 100:
                assert told.total("otel_openai.active_requests") == opened
                gate.open()
            assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "tool_calls"
            assert trace.get_current_span() is parent
            return first.id

    arrived = count()
    async with client("async", server.base_url) as http:
        ids = await asyncio.gather(*(use(http, number) for number in range(100)))

    assert ids == [f"id-{number}" for number in range(100)]
    spans = {span.name: span for span in told.spans}
    assert len(spans) == len(told.spans) == 200
    for number in range(100):
        span, parent = spans[f"chat {number}"], spans[f"app {number}"]
        told_of = attributes_of(span)
        assert span.parent == parent.context
        assert told_of["gen_ai.response.id"] == f"id-{number}"
        assert told_of["gen_ai.usage.input_tokens"] == number
        assert told_of["otel_openai.tool_call.names"] == [f"tool_{number % 5}"] * 3
        assert told_of["otel_openai.stream.outcome"] == "completed"
        assert told_of["otel_openai.stream.chunk.count"] == 5
    assert calls(told) == 100
    assert told.total(INPUT) == sum(range(100))
    assert told.total(OUTPUT) == 2 * sum(range(100))
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="tool_1") == 60
    assert told.total("otel_openai.streams", otel_openai__stream__outcome="completed") == 100
    assert told.total("otel_openai.active_requests") == 0


def in_threads(threads: int, work: Any) -> None:
    """Run work in many threads that begin together."""
    barrier = threading.Barrier(threads)

    def begin(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(begin, number) for number in range(threads)]:
            done.result()


def test_many_threads_are_counted_exactly(server: ScriptedServer, told: Told) -> None:
    def answer(request: Request) -> Reply:
        model = request.json["model"]
        if model == "refused":
            return error_reply(429, headers={"x-should-retry": "false"})
        if request.path.endswith("/embeddings"):
            return json_reply(embeddings())
        if request.json.get("stream"):
            return sse(*chat_stream("a", usage=chat_usage(3, 4)))
        return json_reply(chat(usage=chat_usage(1, 2), tool_calls=[tool_call(f"tool_{model}")]))

    server.always(answer)

    def work(number: int) -> None:
        model = f"m{number % 4}"
        for _ in range(3):
            http.chat.completions.create(model=model, messages=[])
            assert len(list(http.chat.completions.create(model=model, messages=[], stream=True))) == 4
            with http.chat.completions.create(model=model, messages=[], stream=True) as stream:
                next(stream)
            http.embeddings.create(model=model, input="x", encoding_format="float")
            with pytest.raises(openai.RateLimitError):
                http.chat.completions.create(model="refused", messages=[])

    with client("sync", server.base_url) as http:
        in_threads(32, work)

    spans = Counter(span.name for span in told.spans)
    of_model = {f"chat m{model}": 3 * 3 * 8 for model in range(4)} | {f"embeddings m{model}": 24 for model in range(4)}
    assert spans == {**of_model, "chat refused": 96}
    assert calls(told) == 5 * 96
    assert calls(told, error__type="rate_limit_exceeded") == 96
    assert told.total(INPUT, gen_ai__operation__name="chat") == 96 * (1 + 3)
    assert told.total(OUTPUT) == 96 * (2 + 4)
    assert told.total(INPUT, gen_ai__operation__name="embeddings") == 96 * 5
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="tool_m1") == 24
    assert told.total("otel_openai.streams", otel_openai__stream__outcome="completed") == 96
    assert told.total("otel_openai.streams", otel_openai__stream__outcome="closed") == 96
    assert told.total("otel_openai.active_requests") == 0


def test_metrics_are_read_while_threads_count(server: ScriptedServer, told: Told) -> None:
    server.always(lambda request: chat(usage=chat_usage(1, 1), model=f"answer-{request.connection}"))
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(told.total(INPUT))

    def work(number: int) -> None:
        for _ in range(10):
            http.chat.completions.create(model=str(number), messages=[])

    reader = threading.Thread(target=read)
    reader.start()
    with client("sync", server.base_url) as http:
        in_threads(8, work)
    stop.set()
    reader.join()

    assert seen == sorted(seen)  # a counter never goes down
    assert told.total(INPUT) == 80


def test_switching_under_load_loses_no_answer(server: ScriptedServer, told: Told) -> None:
    server.always(lambda request: sse(*chat_stream("a")) if request.json.get("stream") else chat())
    running = threading.Event()
    stop = threading.Event()

    def work(_: int) -> None:
        for _ in range(30):
            assert http.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content == "Hello!"
            assert len(list(http.chat.completions.create(model="m", messages=MESSAGES, stream=True))) == 3
            running.set()

    def switch() -> None:
        running.wait()
        while not stop.is_set():
            otel_openai.uninstrument()
            told.instrument()

    switcher = threading.Thread(target=switch)
    switcher.start()
    try:
        with client("sync", server.base_url) as http:
            in_threads(8, work)
    finally:
        running.set()
        stop.set()
        switcher.join()

    names = {span.name for span in told.spans}
    assert names == {"chat m"}
    assert len(told.spans) <= 480
    assert all(span.end_time is not None for span in told.spans)
    assert told.total("otel_openai.active_requests") == 0
