"""Calls of every kind to the scripted server: when all is well, and when much goes wrong."""

import asyncio
import gc
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import openai

import server
from canned import HTTP
from otel_openai._reaper import reaper
from prometheus.queries import SLOW
from prometheus.tally import Tally
from server import (
    CUT,
    DONE,
    STALL,
    Body,
    Delay,
    Reply,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    chat_tool_stream,
    chat_usage,
    error_reply,
    finish_chunk,
    json_reply,
    openai_headers,
    role_chunk,
    sse,
    tool_call,
)
from support import MESSAGES, client


@dataclass(frozen=True)
class Step:
    """One call of the application.

    Attributes:
        use: What it does with the client.
        replies: What the server answers, retries included.
        error: The `error.type` that it ends with.
        stream: The outcome of its stream.
    """

    use: Callable[[Any], object]
    replies: Sequence[Reply]
    error: str = ""
    stream: str = ""


def _chat(**options: Any) -> Callable[[Any], Any]:
    arguments = {"model": "gpt-4o-mini", "messages": MESSAGES, **options}
    return lambda api: api.chat.completions.create(**arguments)


def _stream(read: Callable[[Any], object], **options: Any) -> Callable[[Any], object]:
    return lambda api: read(_chat(stream=True, **options)(api))


def _once(call: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda api: call(api.with_options(max_retries=0))


def _closed(stream: Any) -> None:
    next(stream)
    stream.close()


def _dropped(stream: Any) -> None:
    next(stream)
    del stream
    gc.collect()


def _cancelled(api: Any) -> None:
    async def run() -> None:
        async with client("async", str(api.base_url)) as other:
            stream = await other.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
            task = asyncio.create_task(anext(stream))
            await asyncio.sleep(0.05)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())


def _headers(left: int) -> dict[str, str]:
    return openai_headers(x_ratelimit_remaining_requests=str(left), x_ratelimit_remaining_tokens=str(100 * left))


def _answer(body: Body) -> Reply:
    return json_reply(body, headers=_headers(9000))


_USED = chat_usage(40, 12, cached=16, reasoning=5)
_HI: Sequence[Body] = (role_chunk(), chat_chunk("Hi"))
_OVERLOADED = error_reply(503, headers={"retry-after-ms": "1"})

SUCCESS = (
    Step(_chat(), [_answer(chat(usage=_USED))]),
    Step(_chat(), [_answer(chat(tool_calls=[tool_call("get_weather"), tool_call("get_time")], usage=_USED))]),
    Step(_chat(n=2), [_answer(chat(choices=[server.choice(index=0), server.choice(index=1)], usage=_USED))]),
    Step(_chat(model="o4-mini"), [_answer(chat(model="o4-mini-2025-04-16", usage=_USED))]),
    Step(_stream(list), [sse(*chat_stream("Hi", usage=_USED), headers=_headers(9000))], stream="completed"),
    Step(_stream(list), [sse(*chat_tool_stream(tool_call("get_weather"), usage=_USED))], stream="completed"),
    Step(lambda api: api.responses.create(model="gpt-4o-mini", input="Hi"), [_answer(server.response())]),
    Step(
        lambda api: list(api.responses.create(model="gpt-4o-mini", input="Hi", stream=True)),
        [sse(*server.response_tool_stream(server.function_call("get_time")))],
        stream="completed",
    ),
    Step(lambda api: api.completions.create(model="davinci", prompt="Hi"), [_answer(server.completion())]),
    Step(
        lambda api: api.audio.transcriptions.create(model="whisper-1", file=("hello.wav", b"RIFF")),
        [_answer(server.transcription(usage={"type": "duration", "seconds": 7}))],
    ),
    Step(lambda api: api.embeddings.create(model="embed", input="Hi"), [_answer(server.embeddings())]),
)
"""Nothing goes wrong; every way to use tokens and seconds."""

FAILURE = (
    *SUCCESS,
    Step(_chat(), [_OVERLOADED, _OVERLOADED, _answer(chat(usage=_USED))]),
    Step(_chat(), [server.retry_after()] * 3, error="rate_limit_exceeded"),
    Step(_chat(), [error_reply(400)], error="BadRequestError"),
    Step(_chat(), [error_reply(404)], error="model_not_found"),
    Step(_chat(), [error_reply(429, server.quota_error(), headers={"x-should-retry": "false"})], "insufficient_quota"),
    Step(_once(_chat()), [server.hang_up()], error="APIConnectionError"),
    Step(_once(_chat(timeout=0.05)), [server.silence()], error="APITimeoutError"),
    *[Step(_chat(), [_answer(chat(finish_reason="length", usage=_USED))])] * 10,
    Step(_chat(), [_answer(chat(finish_reason="content_filter", usage=_USED))]),
    Step(_stream(_closed), [sse(*_HI, STALL)], stream="closed"),
    Step(_stream(_dropped), [sse(*_HI, STALL)], stream="abandoned"),
    Step(_stream(list), [sse(*_HI)], stream="truncated"),
    Step(_stream(list), [sse(*_HI, CUT)], error="APIConnectionError", stream="error"),
    Step(_cancelled, [sse(STALL)], error="CancelledError", stream="cancelled"),
    Step(_stream(list), [sse(Delay(1.5 * SLOW), *_HI, finish_chunk(), DONE)], stream="completed"),
    Step(_chat(), [json_reply(chat(usage=_USED), headers=_headers(100))]),
)
"""Beside it everything that goes wrong; in the end next to nothing is left of the rate limit."""


def run(served: ScriptedServer, api: Any, steps: Sequence[Step], tally: Tally) -> None:
    """Do every step once, and count what the server served."""
    for step in steps:
        served.reply(*step.replies)
        with suppress(openai.APIError, HTTP.HTTPError):  # the client lets through what breaks a stream
            step.use(api)
        assert reaper.flush()
        tally.add(step.replies, step.error, step.stream)


@contextmanager
def open_stream(served: ScriptedServer, api: Any, tally: Tally) -> Generator[None]:
    """Have one stream open."""
    replies = [sse(*_HI, STALL)]
    served.reply(*replies)
    with _chat(stream=True)(api) as stream:
        next(stream)
        yield
    tally.add(replies, "", "closed")
