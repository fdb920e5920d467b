"""The `.stream()` helpers: the client's own stream below them is the one request, however the helper is left."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from server import Gate, ScriptedServer, sse
from streamed import CHAT, RESPONSES, Streamed, described, entered, one_stream_was_told
from support import Api, Told, client, collect

# The helper of chat is where every version has it.
HELPERS = [replace(CHAT, method="beta.chat.completions.stream"), replace(RESPONSES, method="responses.stream")]


def manager(api: Api, streamed: Streamed) -> Any:
    target = api.client
    for name in streamed.method.split("."):
        target = getattr(target, name)
    return target(**streamed.arguments)


@pytest.fixture(params=HELPERS, ids=lambda streamed: streamed.name)
def helper(request: pytest.FixtureRequest, server: ScriptedServer) -> Streamed:
    streamed: Streamed = request.param
    server.reply(sse(*streamed.begin, *streamed.rest))
    return streamed


@pytest.fixture(params=HELPERS, ids=lambda streamed: streamed.name)
def unfinished(request: pytest.FixtureRequest, server: ScriptedServer) -> Streamed:
    streamed: Streamed = request.param
    server.reply(sse(*streamed.begin, Gate(), *streamed.rest))
    return streamed


async def final(api: Api, stream: Any) -> None:
    result = stream.get_final_completion if hasattr(stream, "get_final_completion") else stream.get_final_response
    await (result() if api.is_async else _now(result))


async def _now(result: Callable[[], Any]) -> Any:
    return result()


async def until_done(api: Api, stream: Any) -> None:
    await (stream.until_done() if api.is_async else _now(stream.until_done))


@pytest.mark.parametrize("read", [Api.drain, until_done, final], ids=["iterated", "until_done", "final"])
async def test_a_helper_that_is_read_to_its_end_is_one_span(
    api: Api, server: ScriptedServer, told: Told, helper: Streamed, read: Callable[[Api, Any], Any]
) -> None:
    async with entered(manager(api, helper)) as stream:
        await read(api, stream)

    assert described(told.span) == helper.expected("completed", helper.chunks, server=server, finished=True)
    one_stream_was_told(told, "completed")


async def test_a_helper_that_is_left_early_is_closed(
    api: Api, server: ScriptedServer, told: Told, unfinished: Streamed
) -> None:
    async with entered(manager(api, unfinished)) as stream:
        async for event in api.iterate(stream):
            if "delta" in event.type and event.delta:
                break

    assert described(told.span) == unfinished.expected("closed", unfinished.begun_after, server=server)
    one_stream_was_told(told, "closed")


async def test_a_helper_that_nobody_reads_is_closed(
    api: Api, server: ScriptedServer, told: Told, unfinished: Streamed
) -> None:
    async with entered(manager(api, unfinished)):
        pass

    assert described(told.span) == unfinished.expected("closed", 0, server=server)


async def test_an_exception_of_the_app_ends_a_helper(api: Api, told: Told, unfinished: Streamed) -> None:
    with suppress(LookupError):
        async with entered(manager(api, unfinished)) as stream:
            await api.next(stream)
            raise LookupError

    attributes = described(told.span)
    assert attributes["otel_openai.stream.outcome"] == "error"
    assert attributes["error.type"] == "LookupError"
    assert told.span.status.status_code.name == "ERROR"
    one_stream_was_told(told, "error", "LookupError")


async def test_a_helper_that_is_dropped_is_abandoned(api: Api, told: Told, unfinished: Streamed) -> None:
    stream = await entered(manager(api, unfinished)).__aenter__()
    await api.next(stream)
    del stream
    await collect()

    one_stream_was_told(told, "abandoned")


@pytest.mark.parametrize("streamed", HELPERS, ids=lambda streamed: streamed.name)
def test_a_helper_that_is_never_entered_asks_nothing(server: ScriptedServer, told: Told, streamed: Streamed) -> None:
    with client("sync", server.base_url) as bare:
        manager(Api("sync", bare), streamed)

    assert (server.requests, told.spans) == ([], [])
