"""What the application does: small programs that make calls or read streams through the unmodified client.

A program is built once for a set of response headers and then run with a length: so many calls, or one stream of so
many chunks. What is read and kept is the same in every variant.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks import answers
from benchmarks.canned import CannedServer, Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    OpenStream = Callable[[], Iterator[object]]

QUESTION = "What is the difference between a span and a trace?"
MESSAGES = [{"role": "system", "content": "You answer in two sentences."}, {"role": "user", "content": QUESTION}]
CHAT: dict[str, Any] = {"model": answers.MODEL, "messages": MESSAGES, "temperature": 0.2, "max_tokens": 256}
CHAT_STREAM: dict[str, Any] = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
RESPONSES_STREAM: dict[str, Any] = {
    "model": answers.MODEL,
    "input": QUESTION,
    "temperature": 0.2,
    "max_output_tokens": 256,
    "stream": True,
}


class Run(Protocol):
    """A program, ready to run."""

    def __call__(self, length: int, /) -> None:
        """Make `length` calls, or read one stream of `length` chunks."""


def chat_call(headers: Headers) -> Run:
    """Plain chat completions."""
    client = CannedServer(answers.CHAT, headers).client()

    def run(length: int) -> None:
        for _ in range(length):
            client.chat.completions.create(**CHAT)

    return run


def chat_call_async(headers: Headers) -> Run:
    """Plain chat completions through the asynchronous client."""
    client = CannedServer(answers.CHAT, headers).async_client()

    async def calls(length: int) -> None:
        for _ in range(length):
            await client.chat.completions.create(**CHAT)

    def run(length: int) -> None:
        asyncio.run(calls(length))

    return run


def raw_call(headers: Headers) -> Run:
    """Chat completions through `with_raw_response`, parsed by the application."""
    client = CannedServer(answers.CHAT, headers).client()

    def run(length: int) -> None:
        for _ in range(length):
            client.chat.completions.with_raw_response.create(**CHAT).parse()

    return run


def embedding_call(headers: Headers) -> Run:
    """One embedding a call."""
    client = CannedServer(answers.EMBEDDING, headers).client()

    def run(length: int) -> None:
        for _ in range(length):
            client.embeddings.create(model=answers.EMBEDDING_MODEL, input="a span and a trace")

    return run


def open_chat_stream(server: CannedServer) -> OpenStream:
    """Return a function that opens a chat stream on `server`."""
    client = server.client()
    return lambda: client.chat.completions.create(**CHAT_STREAM)


def open_responses_stream(server: CannedServer) -> OpenStream:
    """Return a function that opens a Responses stream on `server`."""
    client = server.client()
    return lambda: client.responses.create(**RESPONSES_STREAM)


def chat_chunk(headers: Headers) -> Run:
    """One chat stream, read to its end."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    return drained(server, open_chat_stream(server))


def responses_event(headers: Headers) -> Run:
    """One Responses stream, read to its end."""
    server = CannedServer(answers.RESPONSES_STREAM, headers)
    return drained(server, open_responses_stream(server))


def chat_chunk_async(headers: Headers) -> Run:
    """One chat stream, read to its end through the asynchronous client."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    client = server.async_client()
    return drained_async(server, lambda: client.chat.completions.create(**CHAT_STREAM))


def drained(server: CannedServer, open_stream: OpenStream) -> Run:
    """Return the program that reads one stream to its end."""

    def run(length: int) -> None:
        server.chunks = length
        for _ in open_stream():
            pass

    return run


def drained_async(server: CannedServer, open_stream: Callable[[], Any]) -> Run:
    """Return the program that reads one asynchronous stream to its end."""

    async def drain() -> None:
        async for _ in await open_stream():
            pass

    def run(length: int) -> None:
        server.chunks = length
        asyncio.run(drain())

    return run
