"""What apps do with the client: every operation in every mode, each as one small program for both kinds of client."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from seen import Program
from server import (
    ABSENT,
    ASSISTANT_ID,
    RUN_ID,
    SESSION_ID,
    THREAD_ID,
    VECTOR_STORE_ID,
    Reply,
    Scripted,
    agent_call,
    agent_session,
    batch,
    chat,
    chat_stream,
    chat_tool_stream,
    chat_usage,
    compacted_response,
    completion,
    completion_stream,
    decision,
    embeddings,
    image_stream,
    images,
    item_event,
    moderation,
    raw_reply,
    response,
    response_stream,
    run,
    run_stream,
    search_page,
    sse,
    transcription,
    transcription_stream,
    turn_stream,
    video,
)
from support import MESSAGES, Api, has, raw_form, streams

STREAMS_AGAIN = streams("responses.retrieve")
LISTEN = "beta.agents.sessions.events.stream"
PARSE = "chat.completions.parse" if has("chat.completions.parse") else "beta.chat.completions.parse"
CHAT_HELPER = "chat.completions.stream" if has("chat.completions.stream") else "beta.chat.completions.stream"

_INPUT = {
    "type": "agent.session.input.message",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]}],
}
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "chat.completions.create": {"model": "gpt-4o-mini", "messages": MESSAGES},
    PARSE: {"model": "gpt-4o-mini", "messages": MESSAGES},
    "completions.create": {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello."},
    "responses.create": {"model": "gpt-4o-mini", "input": "Say hello."},
    "responses.parse": {"model": "gpt-4o-mini", "input": "Say hello."},
    "responses.retrieve": {"response_id": "resp_001"},
    "responses.compact": {"model": "gpt-4o-mini", "input": "Say hello."},
    "embeddings.create": {"model": "text-embedding-3-small", "input": "hello", "encoding_format": "float"},
    "beta.responses.create": {"model": "gpt-4o-mini", "input": "Say hello."},
    "beta.responses.retrieve": {"response_id": "resp_001"},
    "beta.responses.compact": {"model": "gpt-4o-mini", "input": "Say hello."},
    "decisions.create": {"model": "gpt-6-luna", "input": "Hi.", "questions": [{"type": "predicate", "question": "?"}]},
    "moderations.create": {"model": "omni-moderation-latest", "input": "hello"},
    "vector_stores.search": {"vector_store_id": VECTOR_STORE_ID, "query": "Paris"},
    "images.generate": {"model": "gpt-image-1", "prompt": "A cat."},
    "images.edit": {"model": "gpt-image-1", "prompt": "A cat.", "image": ("cat.png", b"PNG")},
    "images.create_variation": {"model": "dall-e-2", "image": ("cat.png", b"PNG")},
    "audio.speech.create": {"model": "gpt-4o-mini-tts", "input": "hello", "voice": "alloy"},
    "audio.transcriptions.create": {"model": "gpt-4o-transcribe", "file": ("hello.wav", b"RIFF")},
    "audio.translations.create": {"model": "whisper-1", "file": ("hello.wav", b"RIFF")},
    "videos.create": {"model": "sora-2", "prompt": "A cat."},
    "videos.remix": {"video_id": "video_122", "prompt": "A dog."},
    "videos.edit": {"video": ("cat.mp4", b"MP4"), "prompt": "A dog."},
    "videos.extend": {"video": ("cat.mp4", b"MP4"), "prompt": "A dog.", "seconds": "8"},
    "batches.create": {"completion_window": "24h", "endpoint": "/v1/chat/completions", "input_file_id": "file-1"},
    "batches.retrieve": {"batch_id": "batch_abc123"},
    "beta.threads.create_and_run": {"assistant_id": ASSISTANT_ID},
    "beta.threads.runs.create": {"thread_id": THREAD_ID, "assistant_id": ASSISTANT_ID},
    "beta.threads.runs.submit_tool_outputs": {"thread_id": THREAD_ID, "run_id": RUN_ID, "tool_outputs": []},
    "beta.agents.sessions.create": {
        "agent": {"model": "gpt-6-astra", "instructions": "Be brief."},
        "environment": {"type": "none"},
        "input": "Say hello.",
    },
    "beta.agents.sessions.events.create": {"session_id": SESSION_ID, "events": [_INPUT]},
    "beta.agents.sessions.events.stream": {"session_id": SESSION_ID},
}
"""Every method that is observed, and the arguments of a usual call."""

_PLAIN: Mapping[str, Scripted] = {
    "chat.completions.create": chat(),
    PARSE: chat(),
    "completions.create": completion(),
    "responses.create": response(),
    "responses.parse": response(),
    "responses.retrieve": response(),
    "responses.compact": compacted_response(),
    "embeddings.create": embeddings(),
    "beta.responses.create": response(),
    "beta.responses.retrieve": response(),
    "beta.responses.compact": compacted_response(),
    "decisions.create": decision(),
    "moderations.create": moderation(),
    "vector_stores.search": search_page(),
    "images.generate": images(),
    "images.edit": images(),
    "images.create_variation": images(usage=ABSENT),
    "audio.speech.create": raw_reply(b"RIFF", content_type="audio/wav"),
    "audio.transcriptions.create": transcription(),
    "audio.translations.create": transcription(usage=ABSENT),
    "videos.create": video(),
    "videos.remix": video(),
    "videos.edit": video(),
    "videos.extend": video(),
    "batches.create": batch(),
    "batches.retrieve": batch("in_progress"),
    "beta.threads.create_and_run": run(),
    "beta.threads.runs.create": run(),
    "beta.threads.runs.submit_tool_outputs": run(),
    "beta.agents.sessions.create": agent_session("in_progress"),
    "beta.agents.sessions.events.create": Reply(202),
}
PLAIN: Mapping[str, Scripted] = {method: reply for method, reply in _PLAIN.items() if has(method)}
"""The usual answers of the methods that this version of the client has."""
_STREAMS: Mapping[str, Scripted] = {
    "chat.completions.create": sse(*chat_stream("Hel", "lo!", usage=chat_usage())),
    "completions.create": sse(*completion_stream("Hel", "lo!", usage=chat_usage())),
    "responses.create": sse(*response_stream()),
    "responses.retrieve": sse(*response_stream()),
    "beta.responses.create": sse(*response_stream()),
    "beta.responses.retrieve": sse(*response_stream()),
    "images.generate": sse(*image_stream()),
    "images.edit": sse(*image_stream("image_edit")),
    "audio.transcriptions.create": sse(*transcription_stream()),
    "beta.threads.create_and_run": sse(*run_stream()),
    "beta.threads.runs.create": sse(*run_stream()),
    "beta.threads.runs.submit_tool_outputs": sse(*run_stream()),
    "beta.agents.sessions.create": sse(*turn_stream()),
}
STREAMS: Mapping[str, Scripted] = {method: reply for method, reply in _STREAMS.items() if streams(method)}
"""The usual streams of the methods that stream in this version of the client."""

RUN_HELPERS: Mapping[str, str] = {
    "beta.threads.runs.stream": "beta.threads.runs.create",
    "beta.threads.runs.create_and_stream": "beta.threads.runs.create",
    "beta.threads.runs.submit_tool_outputs_stream": "beta.threads.runs.submit_tool_outputs",
    "beta.threads.create_and_run_stream": "beta.threads.create_and_run",
}
"""Helpers of runs that send a request of their own, and the methods that they bypass."""


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
            asked = {"stream": True} if streams(method) else {}
            stream = await api.call(method, **{**ARGUMENTS[method], **asked, **arguments})
            see(stream, type(stream), stream.response)
            async for chunk in api.iterate(stream):
                see(chunk)
            see(stream.response)

    return Program(run, (reply,), spans)


def raw(method: str, reply: Scripted, **arguments: Any) -> Program:
    """A program that asks for the raw response, and parses it twice."""

    async def run(api: Api, see: Any) -> None:
        given = {**ARGUMENTS[method], **arguments}
        answer = await api.call(raw_form(method, "raw"), **given)
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

    async def run(api: Api, see: Any) -> None:
        given = {**ARGUMENTS[method], **arguments}
        manager = await api.call(raw_form(method, "streaming"), **given)
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
    for method, reply in PLAIN.items():
        programs[method] = call(method, reply)
        if has(raw_form(method, "raw")):
            programs[f"{method} raw"] = raw(method, reply)
        if has(raw_form(method, "streaming")):
            programs[f"{method} in a streaming response"] = streaming(method, reply, "parse")
    for method, reply in STREAMS.items():
        programs[f"{method} stream"] = drain(method, reply)
        programs[f"{method} raw stream"] = raw(method, reply, stream=True)
        programs[f"{method} stream in a streaming response"] = streaming(method, reply, "parse", stream=True)
    programs["chat.completions.create tool stream"] = drain("chat.completions.create", sse(*chat_tool_stream()))
    programs[CHAT_HELPER] = helper(CHAT_HELPER, STREAMS["chat.completions.create"])
    programs["responses.stream"] = helper("responses.stream", STREAMS["responses.create"])
    for method, bypassed in RUN_HELPERS.items():
        programs[method] = run_helper(method, STREAMS[bypassed])
    if has(LISTEN):
        programs[LISTEN] = drain(LISTEN, sse(*turn_stream()))
        programs[f"{LISTEN} raw"] = raw(LISTEN, sse(*turn_stream()))
        programs[f"{LISTEN} in a streaming response"] = streaming(LISTEN, sse(*turn_stream()), "parse")
        idle: Scripted = agent_session("idle")
        called = sse(*turn_stream()[:4], item_event(agent_call()), *turn_stream()[4:])
        programs["beta.agents.sessions.stream"] = Program(runs_a_turn, (idle, called, Reply(202), Reply(202)), spans=3)
        programs["beta.agents.sessions.create result"] = Program(waits_for_a_turn, (called, Reply(202)), spans=2)
    programs["vector_stores.search iterated"] = Program(iterates_over_a_search, [PLAIN["vector_stores.search"]])
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


def run_helper(method: str, reply: Scripted) -> Program:
    """A program that reads the events of a run."""

    async def run(api: Api, see: Any) -> None:
        with see.raising():
            manager = await api.call(method, **ARGUMENTS[RUN_HELPERS[method]])
            see(type(manager))
            async with entered(manager) as events:
                see(type(events))
                async for event in api.iterate(events):
                    see(event, events.current_run)
            see(await settle(events.get_final_run_steps()))  # the stream told of none

    return Program(run, (reply,))


def _weather(arguments: Any) -> Any:
    return {"sunny": arguments}


async def runs_a_turn(api: Api, see: Any) -> None:
    """A program that gives an agent something to do, and a tool."""
    given = {"input": "Say hello.", "tool_handlers": {"get_weather": _weather}}
    manager = api.client.beta.agents.sessions.stream(SESSION_ID, **given)
    see(type(manager))
    async with entered(manager) as events:
        async for event in api.iterate(events):
            see(event)


async def waits_for_a_turn(api: Api, see: Any) -> None:
    """A program that makes a session for one turn, and takes its result."""
    method = "beta.agents.sessions.create"
    events = await api.call(method, **ARGUMENTS[method], tool_handlers={"get_weather": _weather}, stream=True)
    with see.raising():
        see(await settle(events.get_final_result()))


async def iterates_over_a_search(api: Api, see: Any) -> None:
    """A program that takes a search for its results."""
    results = api.client.vector_stores.search(**ARGUMENTS["vector_stores.search"])
    see(type(results))
    async for result in api.iterate(results):
        see(result)
