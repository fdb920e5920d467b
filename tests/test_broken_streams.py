"""Streams that the server, or the network, ends otherwise than with a finish: what was seen until then is told."""

from dataclasses import dataclass
from typing import Any

import pytest

from server import (
    CUT,
    RESET,
    STALL,
    Gate,
    Item,
    Reply,
    ScriptedServer,
    agent_error_event,
    data,
    error_reply,
    json_reply,
    old_vllm_error,
    openai_error,
    response_error_event,
    response_stream,
    sse,
    text_reply,
)
from streamed import AGENTS, CHAT, COMPLETIONS, RESPONSES, STREAMED, Streamed, described, entered, one_stream_was_told
from support import Api, Told

PRIVATE = "the user's own words"


@dataclass(frozen=True)
class Break:
    """What comes after the first text of a stream instead of the rest of it."""

    name: str
    items: tuple[Item, ...]
    error_type: str | None = None
    """Where it is none, the name of the class that the app gets to catch: versions of the client differ."""

    @property
    def is_event(self) -> bool:
        """Whether the server says what is wrong."""
        return self.name.startswith("error")


RAISING = [streamed for streamed in STREAMED if streamed is not AGENTS]
"""Those whose error events the client raises."""
BREAKS = [
    Break("error event", (data({"error": {"message": PRIVATE, "code": "server_error"}}),), "server_error"),
    Break("error of an unknown code", (data({"error": {"message": PRIVATE, "code": PRIVATE}}),)),
    Break("error that is text", (data({"error": PRIVATE}),)),
    Break("broken JSON", (data('{"id": "chatcmpl-1", '),)),
    Break("connection closed", (CUT,)),
    Break("connection reset", (RESET,)),
    Break("silence", (STALL,)),
]


async def all_that_comes(api: Api, streamed: Streamed, **more: Any) -> tuple[int, str | None]:
    """Read to the end: the number of chunks, and the name of the exception's class."""
    chunks = 0
    try:
        async for _ in api.iterate(await streamed.open(api, **more)):
            chunks += 1
    except Exception as error:  # noqa: BLE001 - which one is what the tests ask
        return chunks, type(error).__name__
    return chunks, None


@pytest.mark.parametrize(
    ("streamed", "broken"),
    [(streamed, broken) for streamed in STREAMED for broken in BREAKS if streamed in RAISING or not broken.is_event],
    ids=lambda value: value.name,
)
async def test_a_stream_that_breaks_is_an_error(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed, broken: Break
) -> None:
    server.reply(sse(*streamed.begin, *broken.items))
    timeout = 0.5 if broken.items == (STALL,) else 10

    chunks, raised = await all_that_comes(api, streamed, timeout=timeout)

    assert raised is not None
    error_type = broken.error_type or raised
    assert chunks == streamed.begun_after
    assert described(told.span) == streamed.expected("error", chunks, server=server, error_type=error_type)
    assert told.span.status.status_code.name == "ERROR"
    assert (told.span.status.description or "").startswith(raised)
    assert PRIVATE not in told.span.to_json()
    one_stream_was_told(told, "error", error_type)


@pytest.mark.parametrize("streamed", RAISING, ids=lambda streamed: streamed.name)
async def test_an_exception_of_the_stream_is_told_once_although_a_with_block_sees_it_too(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.begin, data({"error": {"message": "No.", "code": "server_error"}})))

    with pytest.raises(Exception, match="No"):
        async with entered(await streamed.open(api)) as stream:
            await api.drain(stream)

    assert told.attributes["error.type"] == "server_error"
    one_stream_was_told(told, "error", "server_error")


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_a_stream_that_ends_early_is_truncated_which_is_no_error(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.begin))

    assert await all_that_comes(api, streamed) == (streamed.begun_after, None)

    assert described(told.span) == streamed.expected("truncated", streamed.begun_after, server=server)
    assert told.span.status.status_code.name == "UNSET"
    one_stream_was_told(told, "truncated")


@pytest.mark.parametrize("streamed", [CHAT, COMPLETIONS], ids=lambda streamed: streamed.name)
async def test_a_finished_stream_needs_no_last_frame(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.frames[:-1]))

    assert await all_that_comes(api, streamed) == (streamed.chunks, None)

    assert described(told.span) == streamed.expected("completed", streamed.chunks, server=server, finished=True)


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
@pytest.mark.parametrize(
    "reply", [json_reply({"id": "1"}), text_reply("<html>", content_type="text/html"), sse()], ids=["json", "html", ""]
)
async def test_a_body_that_is_no_stream_is_a_truncated_one(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed, reply: Reply
) -> None:
    server.reply(reply)

    assert await all_that_comes(api, streamed) == (0, None)

    assert described(told.span) == streamed.expected("truncated", 0, server=server)
    one_stream_was_told(told, "truncated")


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_a_stream_that_never_begins_has_no_outcome(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(error_reply(429, openai_error(429)))

    assert await all_that_comes(api, streamed) == (0, "RateLimitError")

    assert described(told.span) == {
        name: value
        for name, value in streamed.expected("", 0, server=server, error_type="rate_limit_exceeded").items()
        if not name.startswith("otel_openai.")
    } | {"http.response.status_code": 429}
    assert told.points("otel_openai.streams") == []
    assert told.total("otel_openai.active_requests") == 0


# Errors that the client yields like any other chunk.


@pytest.mark.parametrize(
    ("streamed", "frame", "error_type"),
    [
        (CHAT, data(old_vllm_error(400, message=PRIVATE)), "provider_error"),
        (COMPLETIONS, data(old_vllm_error(400, message=PRIVATE)), "provider_error"),
        (RESPONSES, response_error_event(PRIVATE, code="server_error"), "server_error"),
        (RESPONSES, response_error_event(PRIVATE, code="ERR_SOMETHING"), "provider_error"),
        *(
            (streamed, frame, error_type)
            for streamed in STREAMED
            if streamed is AGENTS
            for frame, error_type in (
                (agent_error_event("rate_limit_exceeded", PRIVATE), "rate_limit_exceeded"),
                (agent_error_event(None, PRIVATE), "server_error"),
                (data({"error": {"message": PRIVATE, "code": "server_overloaded"}}), "server_overloaded"),
                (data({"error": PRIVATE}), "provider_error"),
            )
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_an_error_that_the_app_gets_as_a_chunk_is_an_error(  # noqa: PLR0917 - fixtures
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed, frame: Any, error_type: str
) -> None:
    server.reply(sse(*streamed.begin, frame))

    chunks, raised = await all_that_comes(api, streamed)

    assert (chunks, raised) == (streamed.begun_after + 1, None)
    assert described(told.span) == streamed.expected("error", chunks, server=server, error_type=error_type)
    assert told.span.status.status_code.name == "ERROR"
    assert PRIVATE not in told.span.to_json()
    one_stream_was_told(told, "error", error_type)


async def test_an_error_that_the_app_gets_as_a_chunk_stays_one_when_the_app_leaves_then(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*RESPONSES.begin, response_error_event(PRIVATE), Gate()))

    async with entered(await RESPONSES.open(api)) as stream:
        for _ in range(RESPONSES.begun_after + 1):
            await api.next(stream)

    assert described(told.span) == RESPONSES.expected(
        "error", RESPONSES.begun_after + 1, server=server, error_type="server_error"
    )


async def test_a_response_that_fails_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    events = response_stream("Hel", "lo!", status="failed")
    server.reply(sse(*events))

    assert await all_that_comes(api, RESPONSES) == (len(events), None)

    assert described(told.span) == RESPONSES.expected("error", len(events), server=server, error_type="server_error")
    one_stream_was_told(told, "error", "server_error")
