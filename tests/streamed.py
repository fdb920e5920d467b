"""The streaming APIs as data: how to call each, what the server sends, and what a stream of it has to tell."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter, time_ns
from types import TracebackType
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from server import (
    AGENT_ID,
    ASSISTANT_ID,
    DONE,
    MODEL,
    RUN_ID,
    SESSION_ID,
    THREAD_ID,
    TURN_ID,
    ScriptedServer,
    chat_stream,
    chat_usage,
    completion_stream,
    image_stream,
    response_stream,
    run_stream,
    transcription_stream,
    turn_stream,
)
from support import MESSAGES, Api, Told, attributes_of, streams

TIMES = {"gen_ai.response.time_to_first_chunk", "otel_openai.stream.max_chunk_gap"}
USAGE = {
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 12,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 0,
}


@dataclass(frozen=True)
class Streamed:
    """One streaming API."""

    name: str
    method: str
    arguments: Mapping[str, Any]
    frames: list[Any]
    """A whole stream of two pieces of text, usage included."""
    begun_after: int
    """So many frames in, the first piece of text has come."""
    told: Mapping[str, Any]
    """What the request and the first frame tell."""
    begun: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the first frame tells besides, under names that other requests tell."""
    finished: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the end of the stream tells besides, or instead."""

    @property
    def begin(self) -> list[Any]:
        """The first frames, text included."""
        return self.frames[: self.begun_after]

    @property
    def rest(self) -> list[Any]:
        """The other frames."""
        return self.frames[self.begun_after :]

    @property
    def chunks(self) -> int:
        """Chunks of a whole stream."""
        return sum(frame != DONE for frame in self.frames)

    async def open(self, api: Api, **more: Any) -> Any:
        """Open the stream."""
        return await api.call(self.method, **self.arguments, stream=True, **more)

    def expected(
        self,
        outcome: str,
        chunks: int,
        *,
        server: ScriptedServer,
        finished: bool = False,
        error_type: str | None = None,
    ) -> dict[str, Any]:
        """Every attribute of the span, times apart."""
        begun = {**self.told, **self.begun}
        answered = {} if chunks == 0 else {**begun, **self.finished} if finished else begun
        return {
            "gen_ai.provider.name": "openai_compatible",
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "gen_ai.request.stream": True,
            "http.response.status_code": 200,
            **{key: value for key, value in self.told.items() if not key.startswith(_ANSWERED)},
            **answered,
            "otel_openai.stream.outcome": outcome,
            "otel_openai.stream.chunk.count": chunks,
            **({} if error_type is None else {"error.type": error_type}),
        }


_ANSWERED = ("gen_ai.response.", "openai.response.", "otel_openai.")

CHAT = Streamed(
    name="chat",
    method="chat.completions.create",
    arguments={"model": "gpt-4o-mini", "messages": MESSAGES},
    frames=chat_stream("Hel", "lo!", usage=chat_usage()),
    begun_after=2,
    told={
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "openai.api.type": "chat_completions",
        "gen_ai.response.id": "chatcmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["error"],
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44709d6fcb",
        "otel_openai.tool_call.count": 0,
    },
    finished={
        "gen_ai.response.finish_reasons": ["stop"],
        **USAGE,
        "gen_ai.usage.audio.input_tokens": 0,
        "gen_ai.usage.audio.output_tokens": 0,
    },
)
COMPLETIONS = Streamed(
    name="completions",
    method="completions.create",
    arguments={"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello."},
    frames=completion_stream("Hel", "lo!", usage=chat_usage()),
    begun_after=1,
    told={
        "gen_ai.operation.name": "text_completion",
        "gen_ai.request.model": "gpt-3.5-turbo-instruct",
        "gen_ai.response.id": "cmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1",
        "gen_ai.response.model": "gpt-3.5-turbo-instruct:20230824-v2",
        "gen_ai.response.finish_reasons": ["error"],
    },
    finished=CHAT.finished,
)
RESPONSES = Streamed(
    name="responses",
    method="responses.create",
    arguments={"model": "gpt-4o-mini", "input": "Say hello."},
    frames=list(response_stream("Hel", "lo!")),
    begun_after=5,
    told={
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "openai.api.type": "responses",
        "gen_ai.response.id": "resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78",
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["error"],
        "openai.response.service_tier": "default",
        "otel_openai.tool_call.count": 0,
    },
    finished={
        "gen_ai.response.finish_reasons": ["stop"],
        **USAGE,
        "gen_ai.usage.cache_write.input_tokens": 0,
    },
)
IMAGES = Streamed(
    name="images",
    method="images.generate",
    arguments={"model": "gpt-image-1", "prompt": "A cat."},
    frames=list(image_stream()),
    begun_after=1,
    told={
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "gpt-image-1",
        "gen_ai.output.type": "image",
    },
    finished={
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 1056,
        "gen_ai.usage.text.input_tokens": 10,
        "gen_ai.usage.image.input_tokens": 40,
    },
)
TRANSCRIPTIONS = Streamed(
    name="transcriptions",
    method="audio.transcriptions.create",
    arguments={"model": "gpt-4o-transcribe", "file": ("hello.wav", b"RIFF")},
    frames=transcription_stream(),
    begun_after=1,
    told={
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "gpt-4o-transcribe",
        "gen_ai.output.type": "text",
    },
    finished={
        "gen_ai.usage.input_tokens": 14,
        "gen_ai.usage.output_tokens": 31,
        "gen_ai.usage.text.input_tokens": 10,
        "gen_ai.usage.audio.input_tokens": 4,
    },
)
RUNS = Streamed(
    name="runs",
    method="beta.threads.runs.create",
    arguments={"thread_id": THREAD_ID, "assistant_id": ASSISTANT_ID},
    frames=run_stream(),
    begun_after=4,
    told={
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": ASSISTANT_ID,
        "gen_ai.conversation.id": THREAD_ID,
        "gen_ai.response.id": RUN_ID,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["error"],
    },
    finished={
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 12,
    },
)
AGENTS = Streamed(
    name="agents",
    method="beta.agents.sessions.create",
    arguments={"agent": {"model": "gpt-6-astra"}, "environment": {"type": "none"}, "input": "Say hello."},
    frames=list(turn_stream()),
    begun_after=5,
    told={
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.request.model": "gpt-6-astra",
        "gen_ai.response.id": TURN_ID,
        "gen_ai.response.model": MODEL,
    },
    begun={"gen_ai.agent.id": AGENT_ID, "gen_ai.conversation.id": SESSION_ID},
    finished={"gen_ai.response.finish_reasons": ["stop"], **USAGE},
)
STREAMED = [
    streamed
    for streamed in (CHAT, COMPLETIONS, RESPONSES, IMAGES, TRANSCRIPTIONS, RUNS, AGENTS)
    if streams(streamed.method)
]


class entered:  # noqa: N801 - reads as a verb, like `closing`
    """Enter a context manager of either client."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        if hasattr(self._manager, "__aenter__"):
            return await self._manager.__aenter__()
        return self._manager.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if hasattr(self._manager, "__aexit__"):
            return await self._manager.__aexit__(kind, error, trace)
        return self._manager.__exit__(kind, error, trace)


class Clock:
    """How long an act of the app took, and how long until it last touched the stream."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self.touched = 0.0
        self.touched_at = 0
        """Nanoseconds since the epoch."""

    def touch(self) -> None:
        """The app has touched the stream."""
        self.touched = perf_counter() - self._started
        self.touched_at = time_ns()


def seconds(span: ReadableSpan) -> float:
    """Duration of a span."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def described(span: ReadableSpan) -> dict[str, Any]:
    """Attributes of a span, times apart."""
    return {name: value for name, value in attributes_of(span).items() if name not in TIMES}


def one_stream_was_told(told: Told, outcome: str, error_type: str | None = None) -> None:
    """Metrics agree with the span: one call, one stream, nothing open."""
    durations = told.points("gen_ai.client.operation.duration")
    assert [(count, attributes.get("error.type")) for attributes, (count, _) in durations] == [(1, error_type)]
    assert told.total("otel_openai.streams") == 1
    assert told.total("otel_openai.streams", otel_openai__stream__outcome=outcome) == 1
    assert told.total("otel_openai.active_requests") == 0


async def settled(is_so: Callable[[], bool], tries: int = 1000) -> None:
    """Let the loop run until something is so."""
    for _ in range(tries):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be so")


Program = Callable[[Api, Streamed, Clock], Awaitable[None]]


class Watcher(SpanProcessor):
    """Holds a lock while a span is ended, as processors do, and notes the thread."""

    def __init__(self, told: Told) -> None:
        self.lock = threading.Lock()
        self.threads: list[str] = []
        self.started: list[Any] = []
        told.tracer_provider.add_span_processor(self)

    def on_start(self, span: Any, parent_context: Any = None) -> None:  # noqa: ARG002 - the base class's names
        self.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - see above
        self.threads.append(threading.current_thread().name)
        with self.lock:
            pass


class Closing:
    """An object of the app that closes what it holds when it is collected."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __del__(self) -> None:
        self.held.close()


def collect_under(lock: AbstractContextManager[Any], kept: list[Any]) -> None:
    """Empty a list and run the collector while a lock is held, in a thread; it must come to an end."""

    def empty_and_collect() -> None:
        with lock:
            kept.clear()
            gc.collect()

    thread = threading.Thread(target=empty_and_collect, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
