"""What apps do with the client: every operation in every mode, each as one small program for both kinds of client."""

import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import reduce
from typing import Any

from seen import Program
from server import (
    Scripted,
    chat,
    chat_stream,
    chat_tool_stream,
    chat_usage,
    compacted_response,
    completion,
    completion_stream,
    embeddings,
    response,
    response_stream,
    sse,
)
from support import MESSAGES, Api, client

_ANY_CLIENT = client("sync", "http://127.0.0.1/v1")


def has(method: str) -> bool:
    """Whether this version of the client has a method: `chat.completions.parse`, say."""
    try:
        return callable(reduce(getattr, method.split("."), _ANY_CLIENT))
    except AttributeError:
        return False


STREAMS_AGAIN = "stream" in inspect.signature(_ANY_CLIENT.responses.retrieve).parameters
HAS_COMPACT = has("responses.compact")
PARSE = "chat.completions.parse" if has("chat.completions.parse") else "beta.chat.completions.parse"
CHAT_HELPER = "chat.completions.stream" if has("chat.completions.stream") else "beta.chat.completions.stream"

ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "chat.completions.create": {"model": "gpt-4o-mini", "messages": MESSAGES},
    PARSE: {"model": "gpt-4o-mini", "messages": MESSAGES},
    "completions.create": {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello."},
    "responses.create": {"model": "gpt-4o-mini", "input": "Say hello."},
    "responses.parse": {"model": "gpt-4o-mini", "input": "Say hello."},
    "responses.retrieve": {"response_id": "resp_001"},
    "responses.compact": {"model": "gpt-4o-mini", "input": "Say hello."},
    "embeddings.create": {"model": "text-embedding-3-small", "input": "hello", "encoding_format": "float"},
}

_PLAIN: Mapping[str, Scripted] = {
    "chat.completions.create": chat(),
    PARSE: chat(),
    "completions.create": completion(),
    "responses.create": response(),
    "responses.parse": response(),
    "responses.retrieve": response(),
    **({"responses.compact": compacted_response()} if HAS_COMPACT else {}),
    "embeddings.create": embeddings(),
}
STREAMS: Mapping[str, Scripted] = {
    "chat.completions.create": sse(*chat_stream("Hel", "lo!", usage=chat_usage())),
    "completions.create": sse(*completion_stream("Hel", "lo!", usage=chat_usage())),
    "responses.create": sse(*response_stream()),
    **({"responses.retrieve": sse(*response_stream())} if STREAMS_AGAIN else {}),
}


def other(api: Api, client: Any) -> Api:
    """The same kind of app with another client."""
    return Api("async" if api.is_async else "sync", client)


async def settle(value: Any) -> Any:
    """The value, awaited where it can be."""
    return await value if hasattr(value, "__await__") else value


@asynccontextmanager
async def entered(manager: Any) -> AsyncGenerator[Any, None]:
    """Enter a context manager of either client."""
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


def call(method: str, reply: Scripted, *more: Scripted, spans: int = 1, **arguments: Any) -> Program:
    """A program that calls a method and gets a value or an exception."""

    async def run(api: Api, see: Any) -> None:
        with see.raising():
            see(await api.call(method, **{**ARGUMENTS.get(method, {}), **arguments}))

    return Program(run, (reply, *more), spans)


def drain(method: str, reply: Scripted, *, spans: int = 1, **arguments: Any) -> Program:
    """A program that opens a stream and reads it to its end."""

    async def run(api: Api, see: Any) -> None:
        with see.raising():
            stream = await api.call(method, **{**ARGUMENTS[method], "stream": True, **arguments})
            see(stream, type(stream), stream.response)
            async for chunk in api.iterate(stream):
                see(chunk)
            see(stream.response)

    return Program(run, (reply,), spans)


def raw(method: str, reply: Scripted, **arguments: Any) -> Program:
    """A program that asks for the raw response, and parses it twice."""
    resource, _, name = method.rpartition(".")

    async def run(api: Api, see: Any) -> None:
        given = {**ARGUMENTS[method], **arguments}
        answer = await api.call(f"{resource}.with_raw_response.{name}", **given)
        see(type(answer), answer.status_code, answer.retries_taken, answer.request_id, dict(answer.headers))
        with see.raising():
            parsed = answer.parse()
            see(parsed, answer.parse() is parsed)
            if hasattr(parsed, "response"):
                see(await api.drain(parsed))
            else:
                see(answer.text, answer.content)
        see(answer.http_response)

    return Program(run, (reply,))


def streaming(method: str, reply: Scripted, how: str, **arguments: Any) -> Program:
    """A program that reads a streaming response by `read`, `parse`, `iter_lines` ..., or not at all."""
    resource, _, name = method.rpartition(".")

    async def run(api: Api, see: Any) -> None:
        given = {**ARGUMENTS[method], **arguments}
        manager = await api.call(f"{resource}.with_streaming_response.{name}", **given)
        see(type(manager))
        async with entered(manager) as answer:
            see(type(answer), answer.status_code, answer.http_response)
            if how.startswith("iter"):
                async for piece in api.iterate(getattr(answer, how)()):
                    see(piece)
            elif how:
                result = await settle(getattr(answer, how)())
                see(result)
                if hasattr(result, "response"):
                    see(await api.drain(result))
        see(answer.http_response)

    return Program(run, (reply,))


def every_mode() -> dict[str, Program]:
    """Every operation: plain, raw, in a streaming response, and the first two as a stream."""
    programs: dict[str, Program] = {}
    for method, reply in _PLAIN.items():
        programs[method] = call(method, reply)
        resource, _, name = method.rpartition(".")
        if has(f"{resource}.with_raw_response.{name}"):
            programs[f"{method} raw"] = raw(method, reply)
        if has(f"{resource}.with_streaming_response.{name}"):
            programs[f"{method} in a streaming response"] = streaming(method, reply, "parse")
    for method, reply in STREAMS.items():
        programs[f"{method} stream"] = drain(method, reply)
        programs[f"{method} raw stream"] = raw(method, reply, stream=True)
        programs[f"{method} stream in a streaming response"] = streaming(method, reply, "parse", stream=True)
    programs["chat.completions.create tool stream"] = drain("chat.completions.create", sse(*chat_tool_stream()))
    programs[CHAT_HELPER] = helper(CHAT_HELPER, STREAMS["chat.completions.create"])
    programs["responses.stream"] = helper("responses.stream", STREAMS["responses.create"])
    return programs


def helper(method: str, reply: Scripted, **arguments: Any) -> Program:
    """A program that uses the manager which `.stream()` returns."""
    create = "responses.create" if method.startswith("responses") else "chat.completions.create"

    async def run(api: Api, see: Any) -> None:
        with see.raising():
            manager = await api.call(method, **{**ARGUMENTS[create], **arguments})
            see(type(manager))
            async with entered(manager) as stream:
                see(type(stream))
                async for event in api.iterate(stream):
                    see(event)
                final = "get_final_response" if create == "responses.create" else "get_final_completion"
                see(await settle(getattr(stream, final)()))

    return Program(run, (reply,))
