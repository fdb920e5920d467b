"""The same programs with ready answers: what the client builds and parses was built and parsed once, beforehand.

A bare call takes 6,850,000 instructions and a chunk 850,000, give or take some thousands for the state of the heap.
Without sending, receiving and parsing, a few instructions more or less can be told apart. What is left of the client is
the method that is called, the hook that an answer passes (`_process_response`) and the stream object. Each program here
replaces parts of the client for the rest of the process, and is built before a variant is installed.
"""

# ruff: noqa: SLF001 - the parts that are replaced are the client's own affair

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
from openai._base_client import AsyncAPIClient, SyncAPIClient

from benchmarks import answers, programs
from benchmarks.canned import CannedServer, Headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from benchmarks.programs import Run


def chat_call(headers: Headers) -> Run:
    """Plain chat completions."""
    return _keeping_one_answer(programs.chat_call, headers)


def chat_call_async(headers: Headers) -> Run:
    """Plain chat completions through the asynchronous client."""
    return _keeping_one_answer(programs.chat_call_async, headers)


def embedding_call(headers: Headers) -> Run:
    """One embedding a call."""
    return _keeping_one_answer(programs.embedding_call, headers)


def chat_chunk(headers: Headers) -> Run:
    """One chat stream, read to its end."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    open_stream = programs.open_chat_stream(server)
    hand_out_chunks(server, len(answers.CHAT_STREAM.start), list(open_stream()))
    return programs.drained(server, open_stream)


def responses_event(headers: Headers) -> Run:
    """One Responses stream, read to its end."""
    server = CannedServer(answers.RESPONSES_STREAM, headers)
    open_stream = programs.open_responses_stream(server)
    hand_out_chunks(server, len(answers.RESPONSES_STREAM.start), list(open_stream()))
    return programs.drained(server, open_stream)


def chat_chunk_async(headers: Headers) -> Run:
    """One chat stream, read to its end through the asynchronous client."""
    server = CannedServer(answers.CHAT_STREAM, headers)
    client = server.async_client()
    chunks = list(programs.open_chat_stream(server)())
    hand_out_chunks(server, len(answers.CHAT_STREAM.start), chunks)
    return programs.drained_async(server, lambda: client.chat.completions.create(**programs.CHAT_STREAM))


def hand_out_chunks(server: CannedServer, repeated: int, chunks: list[Any], *, fresh: bool = False) -> None:
    """Replace the parsing of streams by ready chunks.

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

    def stream(self: Any) -> Iterator[object]:
        yield from contents()
        self.response.close()

    async def stream_async(self: Any) -> AsyncIterator[object]:
        for chunk in contents():
            yield chunk
        await self.response.aclose()

    stream_class: Any = openai.Stream
    stream_class.__stream__ = stream
    stream_class = openai.AsyncStream
    stream_class.__stream__ = stream_async


def _keeping_one_answer(program: Callable[[Headers], Run], headers: Headers) -> Run:
    """Let the program make one real call, and give the answer to all later ones."""
    client, async_client = _keep_answers(kept := [])
    program(headers)(1)
    arguments, answer = kept[0]

    def process(_self: Any, **_arguments: Any) -> Any:
        return answer

    async def process_async(_self: Any, **_arguments: Any) -> Any:
        return answer

    def post(self: Any, _path: str, **_arguments: Any) -> Any:
        return self._process_response(**arguments)

    async def post_async(self: Any, _path: str, **_arguments: Any) -> Any:
        return await self._process_response(**arguments)

    client._process_response, client.post = process, post
    async_client._process_response, async_client.post = process_async, post_async
    return program(headers)


def _keep_answers(kept: list[tuple[dict[str, Any], Any]]) -> tuple[Any, Any]:
    """Have the client's classes, which are returned, note what they are given and what they make of it."""
    client: Any = SyncAPIClient
    async_client: Any = AsyncAPIClient
    process, process_async = client._process_response, async_client._process_response

    def keep(self: Any, **arguments: Any) -> Any:
        answer = process(self, **arguments)
        kept.append((arguments, answer))
        return answer

    async def keep_async(self: Any, **arguments: Any) -> Any:
        answer = await process_async(self, **arguments)
        kept.append((arguments, answer))
        return answer

    client._process_response, async_client._process_response = keep, keep_async
    return client, async_client
