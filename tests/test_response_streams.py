"""What streamed Responses tell: every terminal event, errors, tools, and reading a stream again."""

from typing import Any

import openai
import pytest

from expected import NO_RESPONSE_USAGE, Attributes, changed
from server import (
    DONE,
    Body,
    ScriptedServer,
    function_call,
    numbered,
    output_message,
    response,
    response_error_event,
    response_stream,
    response_tool_stream,
    response_usage,
    sse,
)
from server.responses import RESPONSE_ID
from streamed import entered
from support import Api, Told
from test_responses import answered, respond

UNANSWERED: Attributes = {**NO_RESPONSE_USAGE, "gen_ai.response.finish_reasons": ["error"]}


def streamed(server: ScriptedServer, events: list[Any], *changes: Attributes) -> Attributes:
    stream = {
        "gen_ai.request.stream": True,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(events),
    }
    return changed(answered(server, stream, *changes))


def _told(told: Told) -> Attributes:
    attributes = told.attributes
    if "gen_ai.response.time_to_first_chunk" in attributes:
        assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    assert attributes.pop("otel_openai.stream.max_chunk_gap") >= 0
    return attributes


def _tools(*names: str, reason: str = "tool_calls") -> Attributes:
    return {
        "gen_ai.response.finish_reasons": [reason],
        "otel_openai.tool_call.count": len(names),
        "otel_openai.tool_call.names": list(names),
    }


def _reasoning(*texts: str) -> list[Body]:
    events = response_stream("Hi")
    deltas = [{"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": text} for text in texts]
    return numbered([*events[:2], *deltas, *events[2:]])


def _queued() -> list[Body]:
    queued = {"type": "response.queued", "response": response(status="queued")}
    return numbered([queued, *response_stream("Hi")])


def _web_search() -> list[Body]:
    item = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    steps = [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    events = response_stream("Hi", output=[item, output_message("Hi")])
    return numbered([*events[:2], *steps, *events[2:]])


ENDED: dict[str, tuple[list[Body], Attributes]] = {
    "text": (response_stream("Hel", "lo"), {}),
    "cut": (response_stream("Hel", status="incomplete"), {"gen_ai.response.finish_reasons": ["max_output_tokens"]}),
    "queued first": (_queued(), {}),
    "reasoning": (_reasoning("Hm.", "So."), {}),
    "tools": (
        response_tool_stream(function_call(), function_call("get_time")),
        _tools("get_weather", "get_time"),
    ),
    "a tool that was cut": (
        response_tool_stream(status="incomplete"),
        _tools("get_weather", reason="max_output_tokens"),
    ),
    "a tool of the server's": (_web_search(), _tools("web_search", reason="stop")),
    "usage": (
        response_stream("Hi", usage=response_usage(100, 50, cached=64, reasoning=32)),
        {
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "gen_ai.usage.reasoning.output_tokens": 32,
        },
    ),
    "no usage": (response_stream("Hi", usage=None), NO_RESPONSE_USAGE),
}


@pytest.mark.parametrize("shape", ENDED)
async def test_a_stream_tells_what_a_plain_answer_tells(
    api: Api, server: ScriptedServer, told: Told, shape: str
) -> None:
    events, changes = ENDED[shape]
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    assert _told(told) == streamed(server, events, changes)
    assert told.span.status.status_code.name == "UNSET"


async def test_the_status_decides_not_the_name_of_the_event(api: Api, server: ScriptedServer, told: Told) -> None:
    *events, last = response_stream("Hel", status="incomplete")
    events.append({**last, "type": "response.completed"})
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    assert _told(told) == streamed(server, events, {"gen_ai.response.finish_reasons": ["max_output_tokens"]})


async def test_a_failed_stream_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    events = response_stream("Hel", status="failed", error={"code": "rate_limit_exceeded", "message": "Slow down."})
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    failed = {**UNANSWERED, "error.type": "rate_limit_exceeded", "otel_openai.stream.outcome": "error"}
    assert _told(told) == streamed(server, events, failed)
    assert told.span.status.status_code.name == "ERROR"


async def test_a_cancelled_response_is_not_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    events = [*response_stream("Hel")[:5], {"type": "response.cancelled", "response": response(status="cancelled")}]
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    cancelled = {**UNANSWERED, "gen_ai.response.finish_reasons": ["cancelled"]}
    assert _told(told) == streamed(server, events, cancelled)


@pytest.mark.parametrize(("code", "error_type"), [("server_error", "server_error"), (None, "provider_error")])
async def test_an_error_event_is_an_error(
    api: Api, server: ScriptedServer, told: Told, code: str | None, error_type: str
) -> None:
    events = [*response_stream("Hel")[:5], response_error_event("It broke.", code=code)]
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))  # the client does not raise it

    failed = {**UNANSWERED, "error.type": error_type, "otel_openai.stream.outcome": "error"}
    assert _told(told) == streamed(server, events, failed)
    assert told.span.status.status_code.name == "ERROR"


async def test_an_error_event_is_why_an_app_raises(api: Api, server: ScriptedServer, told: Told) -> None:
    events = [*response_stream("Hel")[:5], response_error_event("It broke.")]
    server.reply(sse(*events))

    async def read() -> None:
        async with entered(await respond(api, stream=True)) as stream:
            for _ in events:
                await api.next(stream)
            raise LookupError  # as frameworks do that have an exception of their own for the last event

    with pytest.raises(LookupError):
        await read()

    failed = {**UNANSWERED, "error.type": "server_error", "otel_openai.stream.outcome": "error"}
    assert _told(told) == streamed(server, events, failed)
    assert told.span.status.description == "the server reported an error, code server_error, type error"


async def test_a_stream_without_an_end_is_truncated(api: Api, server: ScriptedServer, told: Told) -> None:
    events = response_tool_stream()[:4]
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    cut = {**UNANSWERED, **_tools("get_weather", reason="error"), "otel_openai.stream.outcome": "truncated"}
    assert _told(told) == streamed(server, events, cut)


@pytest.mark.parametrize("kind", ["response.created", "response.queued", "response.in_progress"])
async def test_the_first_event_alone_tells_the_response(
    api: Api, server: ScriptedServer, told: Told, kind: str
) -> None:
    server.reply(sse({**response_stream("Hel")[0], "type": kind}))

    await api.drain(await respond(api, stream=True))

    assert told.attributes["gen_ai.response.id"] == RESPONSE_ID


async def test_a_stream_without_any_response_object_is_told(api: Api, server: ScriptedServer, told: Told) -> None:
    events = response_stream("Hel")[4:6]
    server.reply(sse(*events, DONE))

    await api.drain(await respond(api, stream=True))

    unsaid = dict.fromkeys(name for name in answered(server) if name.startswith(("gen_ai.response", "openai.response")))
    cut = {
        **unsaid,
        **NO_RESPONSE_USAGE,
        "otel_openai.tool_call.count": None,
        "otel_openai.stream.outcome": "truncated",
    }
    assert _told(told) == streamed(server, events, cut)


@pytest.mark.parametrize("event", [{"type": "response.brand_new"}, {"type": None}, {"delta": "x"}, {"type": 5}])
async def test_an_unknown_event_does_no_harm(api: Api, server: ScriptedServer, told: Told, event: Body) -> None:
    events = response_stream("Hel")
    events.insert(4, event)
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    assert _told(told) == streamed(server, events)


async def test_items_without_ids_are_counted_once(api: Api, server: ScriptedServer, told: Told) -> None:
    call = function_call()
    events = [
        {name: value for name, value in event.items() if name not in ("output_index", "item_id", "sequence_number")}
        for event in response_tool_stream(call, {**call, "id": "fc_2"})
    ]
    for event in events:
        if "item" in event:
            event["item"] = {name: value for name, value in event["item"].items() if name != "id"}
    server.reply(sse(*events))

    await api.drain(await respond(api, stream=True))

    assert _told(told) == streamed(server, events, _tools("get_weather", "get_weather"))


async def test_a_stream_that_is_read_again_is_not_billed(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*response_tool_stream()))
    try:
        stream = await api.call("responses.retrieve", RESPONSE_ID, stream=True)
    except TypeError as error:
        pytest.skip(f"openai {openai.__version__}: {error}")

    await api.drain(stream)

    assert told.span.name == "fetch_response"
    fetched = {
        **NO_RESPONSE_USAGE,
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.request.model": None,
        "gen_ai.request.stream": None,
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "otel_openai.tool_call.count": None,
    }
    assert _told(told) == streamed(server, response_tool_stream(), fetched)
    for metric in ("gen_ai.client.token.usage", "otel_openai.tool_calls", "otel_openai.finish_reasons"):
        assert told.points(metric) == []
