"""Servers that send nonsense: any field of any body or chunk is dropped, emptied, retyped, doubled or moved.

Whatever comes of that, the app sees what the bare client's app sees, and each call is one span that can be exported,
with content that is as the conventions have it, and no larger than it may be.
Answers come from memory here, through the HTTP library's own mock transport: thousands of them in a minute.
"""

import asyncio
import warnings
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings

import otel_openai
from canned import Canned
from content import CONTENT, on_spans
from exported import otlp
from mutations import MUTATIONS, Mutation, mutated
from programs import ARGUMENTS, STREAMS_AGAIN, settle
from seen import KINDS, Kind, Seen
from server import (
    DONE,
    agent_call,
    agent_session,
    batch,
    chat,
    chat_chunk,
    chat_stream,
    chat_tool_stream,
    chat_usage,
    choice,
    completion,
    completion_stream,
    decision,
    embeddings,
    function_call,
    image_stream,
    images,
    item_event,
    moderation,
    openai_error,
    reasoning_chunk,
    response,
    response_error_event,
    response_stream,
    response_tool_stream,
    response_usage,
    run,
    run_usage,
    search_page,
    session_event,
    tool_call,
    transcription,
    transcription_stream,
    turn_stream,
    usage_chunk,
    video,
)
from support import Api, Told

EXAMPLES = 100
"""Of each case and kind of client."""
FEW = 40
"""Of a case whose answer is small."""
SIZES: dict[Kind, int] = {"sync": 65_536, "async": 1024}
"""Of content, at the most: more than there is, and less."""

CHAT, LEGACY, RESPONSES = "chat.completions.create", "completions.create", "responses.create"


class Case(NamedTuple):
    method: str
    answer: Any
    """A body; a list of frames for a stream."""
    status: int = 200
    examples: int = EXAMPLES


TWO_CHOICES = [chat_chunk("a", index=index, usage=chat_usage()) for index in (0, 1, 0, 1)]
SEARCHES = [{"type": "web_search_call", "id": f"ws_{index}", "status": "completed"} for index in range(6)]
RUN_EVENTS = [  # named in their data, so that names and data can be wrong
    {"type": "thread.run.created", **run()},
    {"type": "thread.message.delta", "id": "msg_1", "delta": {"content": [{"type": "text", "text": {"value": "Hel"}}]}},
    {"type": "thread.run.requires_action", **run("requires_action", tools=[tool_call()])},
    {"type": "thread.run.incomplete", **run("incomplete", usage=run_usage(), incomplete_details={"reason": "x"})},
]
CASES = {
    "chat": Case(CHAT, chat(choices=[choice("Hi", usage=chat_usage()), choice(tool_calls=[tool_call()], index=1)])),
    "chat with an error": Case(CHAT, {**chat(choices=[]), **openai_error(500), "x_groq": {"error": "x", "usage": {}}}),
    "chat refused": Case(CHAT, openai_error(429, param="messages[0]"), 429),
    "chat stream": Case(CHAT, chat_stream("Hel", "lo!", usage=chat_usage(cached=4, reasoning=2))),
    "chat tool stream": Case(CHAT, chat_tool_stream(tool_call(), tool_call("get_time"), usage=chat_usage())),
    "chat stream of two": Case(CHAT, [*TWO_CHOICES, reasoning_chunk("x"), usage_chunk(x_groq={"usage": {}}), DONE]),
    "completion": Case(LEGACY, completion()),
    "completion stream": Case(LEGACY, completion_stream("Hel", "lo!", usage=chat_usage())),
    "response": Case(RESPONSES, response(output=[*SEARCHES, function_call()])),
    "failed response": Case(RESPONSES, response(status="failed")),
    "response stream": Case(RESPONSES, response_stream()),
    "response tool stream": Case(RESPONSES, [*response_tool_stream(), response_error_event()]),
    "embeddings": Case("embeddings.create", embeddings((0.25, 0.5), (0.125, 1))),
    "images": Case("images.generate", images(), examples=FEW),
    "images stream": Case("images.generate", list(image_stream()), examples=FEW),
    "transcription": Case("audio.transcriptions.create", transcription(), examples=FEW),
    "transcription stream": Case("audio.transcriptions.create", transcription_stream(), examples=FEW),
    "transcription in chunks": Case(
        "audio.transcriptions.create",
        [
            {"id": "x", "model": "m", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]},
            usage_chunk(),
            DONE,
        ],
        examples=FEW,
    ),
    "transcription in seconds": Case(
        "audio.transcriptions.create", transcription(usage={"type": "duration", "seconds": 2}), examples=FEW
    ),
    "moderation": Case("moderations.create", moderation(), examples=FEW),
    "decision": Case("decisions.create", decision(), examples=FEW),
    "search": Case("vector_stores.search", search_page(), examples=FEW),
    "video": Case(
        "videos.create", video(status="failed", error={"code": "content_filter", "message": "x"}), examples=FEW
    ),
    "video that has begun": Case("videos.create", video(), examples=FEW),
    "batch": Case("batches.retrieve", batch("completed", usage=response_usage()), examples=FEW),
    "run": Case("beta.threads.runs.create", run("requires_action", tools=[tool_call()], last_error={"code": "x"})),
    "session": Case("beta.agents.sessions.create", agent_session("failed", error="x"), examples=FEW),
    "session stream": Case(
        "beta.agents.sessions.create",
        [*turn_stream()[:4], item_event(agent_call()), session_event("requires_action"), *turn_stream("Hel")[4:]],
    ),
    "run stream": Case("beta.threads.runs.create", RUN_EVENTS),
}
if STREAMS_AGAIN:
    CASES["response stream again"] = Case("responses.retrieve", response_stream(status="incomplete"))


async def program(api: Api, method: str, see: Seen, *, streamed: bool) -> None:
    """Call, and read a stream to its end."""
    arguments = {**ARGUMENTS[method], "stream": True} if streamed else ARGUMENTS[method]
    with see.raising():
        result = await api.call(method, **arguments)
        see(result)
        if hasattr(result, "response"):
            async for chunk in api.iterate(result):
                see(chunk)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_nonsense_from_the_server_is_seen_by_the_app_alone(case: Case, kind: Kind) -> None:
    canned = Canned(kind)
    told = Told()
    streamed = isinstance(case.answer, list)

    async def run() -> Seen:
        see = Seen()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            await program(canned.api, case.method, see, streamed=streamed)
        see.warnings = [(w.category, str(w.message), w.filename) for w in warned]
        return see

    @settings(
        max_examples=case.examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(MUTATIONS)
    def check(mutations: list[Mutation]) -> None:
        canned.put(mutated(case.answer, mutations), case.status, streamed=streamed)
        bare = loop.run_until_complete(run())
        told.instrument(
            error_messages=True, capture_content="both", capture_tool_schemas=True, max_content_size=SIZES[kind]
        )
        try:
            instrumented = loop.run_until_complete(run())
        finally:
            otel_openai.uninstrument()

        assert instrumented.beside(bare) == []
        assert told.span.end_time is not None
        on_spans(told)
        content = [str(value) for name, value in told.attributes.items() if name in CONTENT]
        assert all(len(text.encode()) <= SIZES[kind] for text in content)
        otlp(told)
        told.clear()

    loop = asyncio.new_event_loop()
    try:
        check()
    finally:
        loop.run_until_complete(settle(canned.api.client.close()))
        loop.close()
        told.shutdown()
