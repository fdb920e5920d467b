"""What the application does: small programs that make calls or read streams through the unmodified client.

A program is built once for a set of response headers and then run with a length: so many calls, or one stream of so
many chunks. What is read and kept is the same in every variant.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import openai

from benchmarks import answers
from benchmarks.canned import CannedServer, Headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

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
    return _drained(server, open_chat_stream(server))


def responses_event(headers: Headers) -> Run:
    """One Responses stream, read to its end."""
    server = CannedServer(answers.RESPONSES_STREAM, headers)
    return _drained(server, open_responses_stream(server))


def chat_chunk_async(headers: Headers) -> Run:
    """One chat stream, read to its end through the asynchronous client."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    client = server.async_client()
    return _drained_async(server, lambda: client.chat.completions.create(**CHAT_STREAM))


def ready_chat_chunk(headers: Headers) -> Run:
    """One chat stream of ready chunks, read to its end."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    open_stream = open_chat_stream(server)
    hand_out(server, len(answers.CHAT_STREAM.start), list(open_stream()))
    return _drained(server, open_stream)


def ready_responses_event(headers: Headers) -> Run:
    """One Responses stream of ready events, read to its end."""
    server = CannedServer(answers.RESPONSES_STREAM, headers)
    open_stream = open_responses_stream(server)
    hand_out(server, len(answers.RESPONSES_STREAM.start), list(open_stream()))
    return _drained(server, open_stream)


def ready_chat_chunk_async(headers: Headers) -> Run:
    """One chat stream of ready chunks, read to its end through the asynchronous client."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    client = server.async_client()
    chunks = list(open_chat_stream(server)())
    hand_out(server, len(answers.CHAT_STREAM.start), chunks)
    return _drained_async(server, lambda: client.chat.completions.create(**CHAT_STREAM))


def _drained(server: CannedServer, open_stream: OpenStream) -> Run:
    def run(length: int) -> None:
        server.chunks = length
        for _ in open_stream():
            pass

    return run


def _drained_async(server: CannedServer, open_stream: Callable[[], Any]) -> Run:
    async def drain() -> None:
        async for _ in await open_stream():
            pass

    def run(length: int) -> None:
        server.chunks = length
        asyncio.run(drain())

    return run


# A ready chunk was parsed beforehand and is handed out again and again. Parsing a chunk takes 850,000 instructions,
# give or take a thousand for the state of the allocator; without it, a few instructions more or less can be told apart.


def hand_out(server: CannedServer, repeated: int, chunks: list[Any], *, fresh: bool = False) -> None:
    """Replace the parsing of streams by ready chunks, for the rest of the process.

    Args:
        server: Tells how often one chunk is repeated.
        repeated: Position of the chunk that is repeated.
        chunks: A whole stream, in which it comes once.
        fresh: Repeat copies of the chunk, so that no two chunks are the same object.
    """

    def contents() -> Iterator[object]:
        yield from chunks[:repeated]
        for _ in range(server.chunks):
            yield chunks[repeated].model_copy() if fresh else chunks[repeated]
        yield from chunks[repeated + 1 :]

    def ready(self: Any) -> Iterator[object]:
        yield from contents()
        self.response.close()

    async def ready_async(self: Any) -> AsyncIterator[object]:
        for chunk in contents():
            yield chunk
        await self.response.aclose()

    stream_class: Any = openai.Stream
    stream_class.__stream__ = ready
    stream_class = openai.AsyncStream
    stream_class.__stream__ = ready_async
