"""What sessions of agents tell: turns that are begun, watched by one or by many, and counted once."""

import gc
from contextlib import suppress
from typing import Any

import openai
import pytest

from expected import Attributes, at, changed
from programs import ARGUMENTS, LISTEN, settle
from server import (
    ABSENT,
    AGENT_ID,
    MODEL,
    SESSION_ID,
    TURN_ID,
    Body,
    Gate,
    Reply,
    ScriptedServer,
    agent_call,
    agent_error_event,
    agent_session,
    error_reply,
    item_event,
    session_event,
    sse,
    text_event,
    token_usage,
    turn_event,
    turn_stream,
)
from streamed import USAGE, described, entered, one_stream_was_told
from support import Api, Told, attributes_of, has

CREATE = "beta.agents.sessions.create"
SEND = "beta.agents.sessions.events.create"
HELPER = "beta.agents.sessions.stream"
INPUT_TOKENS = "gen_ai.client.inference.usage.input_tokens"
CALLED = {"otel_openai.tool_call.count": 1, "otel_openai.tool_call.names": ["get_weather"]}
ASKS: Body = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": {}, "turn_id": TURN_ID}

pytestmark = pytest.mark.skipif(not has(LISTEN), reason=f"openai {openai.__version__} has no {LISTEN}")


def made(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.request.model": "gpt-6-astra",
        "gen_ai.agent.id": AGENT_ID,
        "gen_ai.conversation.id": SESSION_ID,
        "gen_ai.response.model": MODEL,
        "http.response.status_code": 200,
    }
    return changed({**at(server), **answer}, *changes)


def watched(server: ScriptedServer, *changes: Attributes) -> Attributes:
    """What a stream of one turn tells."""
    answer = {
        **USAGE,
        "gen_ai.operation.name": "fetch_session",
        "gen_ai.request.model": None,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": TURN_ID,
        "gen_ai.response.finish_reasons": ["stop"],
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": 8,
    }
    return made(server, answer, *changes)


NOT_COUNTED: Attributes = {**dict.fromkeys(USAGE), "gen_ai.response.finish_reasons": None}


async def watch(api: Api, server: ScriptedServer, *events: Body, until: int | None = None) -> None:
    """Read the events of a session: until the server ends them, or close after so many."""
    server.reply(sse(*events) if until is None else sse(*events, Gate()))
    async with entered(await api.call(LISTEN, SESSION_ID)) as stream:
        if until is None:
            await api.drain(stream)
        for _ in range(until or 0):
            await api.next(stream)


# Requests.


async def test_a_session_that_was_made_tells_no_usage(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(agent_session("in_progress", usage=token_usage()))
    agent: Body = {
        "model": "gpt-6-astra",
        "reasoning": {"effort": "low"},
        "service_tier": "flex",
        "text": {"format": {"type": "json_schema", "schema": {}}},
    }

    await api.call(CREATE, **{**ARGUMENTS[CREATE], "agent": agent, "agent_id": "agent_0"})

    request = {
        "gen_ai.request.reasoning.level": "low",
        "openai.request.service_tier": "flex",
        "gen_ai.output.type": "json",
    }
    assert told.attributes == made(server, request)
    assert told.span.name == "invoke_agent gpt-6-astra"
    assert told.span.status.status_code.name == "UNSET"
    assert told.total("gen_ai.client.operation.duration", gen_ai__request__model="gpt-6-astra") > 0


async def test_a_saved_agent_is_named(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(400))

    with suppress(openai.BadRequestError):
        await api.call(CREATE, environment={"type": "none"}, agent_id="agent_0", input="Hi.")

    assert told.attributes["gen_ai.agent.id"] == "agent_0"
    assert told.span.name == "invoke_agent"


async def test_a_session_that_cannot_even_begin_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(agent_session("failed", error="Zyxwv"), agent_session("failed"))

    for _ in range(2):
        await api.call(CREATE, **ARGUMENTS[CREATE])

    assert [attributes_of(span)["error.type"] for span in told.spans] == ["provider_error"] * 2
    assert not any("Zyxwv" in span.to_json() for span in told.spans)


async def test_events_that_are_sent_are_a_request(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(Reply(202))

    assert await api.call(SEND, SESSION_ID, events=(event for event in ARGUMENTS[SEND]["events"])) is None

    assert server.last.json["events"] == ARGUMENTS[SEND]["events"]
    assert told.attributes == {
        **at(server),
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": SESSION_ID,
        "http.response.status_code": 202,
    }


# One turn.


async def test_a_turn_that_was_watched_is_told(api: Api, server: ScriptedServer, told: Told) -> None:
    await watch(api, server, *turn_stream())

    assert described(told.span) == watched(server)
    assert told.span.name == "fetch_session"
    assert "gen_ai.response.time_to_first_chunk" in told.attributes
    assert told.total(INPUT_TOKENS, gen_ai__response__model=MODEL) == 9
    one_stream_was_told(told, "completed")


FAILED = {"code": "context_length_exceeded", "message": "Zyxwv"}
ENDS: dict[str, tuple[list[Body], Attributes]] = {
    "completed": ([turn_event("completed")], {}),
    "cancelled": ([turn_event("cancelled")], {"gen_ai.response.finish_reasons": ["cancelled"]}),
    "failed": (
        [agent_error_event(), turn_event("failed", error=FAILED)],
        {
            "gen_ai.response.finish_reasons": ["error"],
            "error.type": "context_length_exceeded",
            "otel_openai.stream.chunk.count": 9,
        },
    ),
    "failed for what an event has told": (
        [agent_error_event(message="Zyxwv"), turn_event("failed")],
        {
            "gen_ai.response.finish_reasons": ["error"],
            "error.type": "server_error",
            "otel_openai.stream.chunk.count": 9,
        },
    ),
    "failed without a reason": (
        [turn_event("failed")],
        {"gen_ai.response.finish_reasons": ["error"], "error.type": "provider_error"},
    ),
    "completed in spite of an error": (
        [agent_error_event(), turn_event("completed")],
        {"otel_openai.stream.chunk.count": 9},
    ),
    "usage in the turn alone": ([{**turn_event("completed"), "usage": None}], {}),
    "no usage": ([turn_event("completed", usage=None)], dict.fromkeys(USAGE)),
    "the session fails": (
        [session_event("failed", error="Zyxwv")],
        {**NOT_COUNTED, "gen_ai.response.finish_reasons": ["error"], "error.type": "provider_error"},
    ),
    "the session fails before its turn": (
        [session_event("failed"), turn_event("failed", error=FAILED)],
        {
            "gen_ai.response.finish_reasons": ["error"],
            "error.type": "context_length_exceeded",
            "otel_openai.stream.chunk.count": 9,
        },
    ),
    "idle without an end": ([], {**NOT_COUNTED, "otel_openai.stream.chunk.count": 7}),
    "no id": ([turn_event("completed", id=None)], NOT_COUNTED),
}


@pytest.mark.parametrize("how", ["read", "closed"])
@pytest.mark.parametrize("end", ENDS)
async def test_every_end_of_a_turn_is_told(api: Api, server: ScriptedServer, told: Told, end: str, how: str) -> None:
    ending, changes = ENDS[end]
    start = turn_stream()
    events = [*start[:-2], *ending, start[-1]]

    await watch(api, server, *events, until=None if how == "read" else len(events))

    outcome = {"otel_openai.stream.outcome": "error" if "error.type" in changes else "completed"}
    assert described(told.span) == watched(server, changes, outcome)
    assert "Zyxwv" not in told.span.to_json()


LEFT: dict[str, tuple[list[Body], Attributes]] = {
    "before the turn": ([session_event("idle")], {"gen_ai.response.id": None}),
    "in the turn": (turn_stream()[:5], {}),
    "after the turn": (
        turn_stream()[:-1],
        {**USAGE, "gen_ai.response.finish_reasons": ["stop"], "otel_openai.stream.outcome": "completed"},
    ),
    "while it waits for the app": (
        [*turn_stream()[:4], session_event("requires_action", actions=[ASKS])],
        {
            **CALLED,
            "gen_ai.response.finish_reasons": ["tool_calls"],
            "otel_openai.stream.outcome": "completed",
        },
    ),
    "while it waits for a user": (
        [*turn_stream()[:4], session_event("requires_action", actions=[{"type": "environment_connection"}])],
        {"otel_openai.stream.outcome": "completed"},
    ),
    "out of budget": (
        [session_event("budget_reached")],
        {
            "gen_ai.response.id": None,
            "gen_ai.response.finish_reasons": ["budget_reached"],
            "otel_openai.stream.outcome": "completed",
        },
    ),
    "out of budget in the turn": (
        [*turn_stream()[:4], session_event("budget_reached")],
        {"gen_ai.response.finish_reasons": ["budget_reached"], "otel_openai.stream.outcome": "completed"},
    ),
    "in a second turn": (
        [*turn_stream(), turn_event("created", id="turn_2")],
        {**USAGE, "gen_ai.response.finish_reasons": ["stop"]},
    ),
    "after a late event of the turn": (
        [*turn_stream(), turn_event("in_progress")],
        {**USAGE, "gen_ai.response.finish_reasons": ["stop"], "otel_openai.stream.outcome": "completed"},
    ),
}


@pytest.mark.parametrize("how", ["closed", "truncated"])
@pytest.mark.parametrize("left", LEFT)
async def test_a_stream_that_ends_is_whole_where_no_turn_goes_on(
    api: Api, server: ScriptedServer, told: Told, left: str, how: str
) -> None:
    events, changes = LEFT[left]

    await watch(api, server, *events, until=len(events) if how == "closed" else None)

    unfinished = {**NOT_COUNTED, "otel_openai.stream.outcome": how, "otel_openai.stream.chunk.count": len(events)}
    assert described(told.span) == watched(server, unfinished, changes)
    assert told.span.status.status_code.name == "UNSET"


async def test_tools_that_the_app_runs_are_told_once(api: Api, server: ScriptedServer, told: Told) -> None:
    call = item_event(agent_call())
    waits = session_event("requires_action", actions=[ASKS])
    goes_on = session_event("in_progress")
    searched = item_event({"type": "web_search_call", "status": "in_progress"})
    start = turn_stream()

    await watch(api, server, *start[:4], searched, call, call, waits, goes_on, *start[4:])
    await watch(api, server, *start[:4], call, waits, until=6)

    first, second = map(described, told.spans)
    assert first == watched(server, CALLED, {"otel_openai.stream.chunk.count": 13})
    assert second["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert "otel_openai.tool_call.count" not in second
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="get_weather") == 1


@pytest.mark.parametrize(
    ("event", "is_output"),
    [
        (text_event(""), False),
        (text_event("Hel"), True),
        ({**text_event("Hm."), "type": "agent.session.turn.reasoning_summary_text.delta"}, True),
        ({**text_event("a.py"), "type": "agent.output.command_execution_output.delta"}, False),
        (item_event(agent_call()), True),
        (item_event({"type": "message", "role": "user", "content": []}, output_index=None), False),
    ],
)
async def test_the_first_output_is_of_the_model(
    api: Api, server: ScriptedServer, told: Told, event: Body, *, is_output: bool
) -> None:
    await watch(api, server, *turn_stream()[:4], event)

    assert ("gen_ai.response.time_to_first_chunk" in told.attributes) is is_output


# Many turns, and many readers.


async def test_turns_are_added_up(api: Api, server: ScriptedServer, told: Told) -> None:
    second = [turn_event(name, id="turn_2") for name in ("created", "in_progress", "completed")]
    sub = turn_event("completed", id="turn_3", subagent_id="sub_1", usage=token_usage(100, 1))
    sub_failed = turn_event("failed", id="turn_4", subagent_id="sub_2", usage=None, error=FAILED)
    again = turn_event("completed")

    await watch(api, server, *turn_stream(), again, *second[:2], sub, sub_failed, second[2], session_event("idle"))

    usage = {**USAGE, "gen_ai.usage.input_tokens": 118, "gen_ai.usage.output_tokens": 25}
    reasons = {"gen_ai.response.finish_reasons": ["stop", "stop"], "otel_openai.stream.chunk.count": 15}
    assert described(told.span) == watched(server, usage, reasons)
    assert told.total("otel_openai.finish_reasons") == 2


async def test_a_turn_that_many_watch_is_counted_once(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*turn_stream()))
    await api.drain(await api.call(CREATE, **ARGUMENTS[CREATE], stream=True))
    await watch(api, server, *turn_stream())
    await watch(api, server, *turn_stream()[3:])  # begun too late to see the beginning

    creator, watcher, late = map(described, told.spans)
    started = {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-6-astra"}
    assert creator == watched(server, started)
    assert watcher == watched(server, NOT_COUNTED)
    assert late == watched(server, NOT_COUNTED, {"otel_openai.stream.chunk.count": 5})
    assert told.total(INPUT_TOKENS) == 9
    assert told.total("otel_openai.finish_reasons") == 1


async def test_sessions_do_not_count_for_each_other(api: Api, server: ScriptedServer, told: Told) -> None:
    other = {"id": TURN_ID, "session_id": "sess_2"}

    await watch(api, server, *turn_stream())
    await watch(api, server, turn_event("completed", **other))

    assert told.total(INPUT_TOKENS) == 18


async def test_absurd_numbers_add_up_to_what_can_be_told(api: Api, server: ScriptedServer, told: Told) -> None:
    usage = token_usage(2**63 - 1, 1)
    turns = [turn_event("completed", id=f"turn_{number}", usage=usage) for number in range(300)]

    await watch(api, server, *turns)

    assert told.attributes["gen_ai.usage.input_tokens"] == 2**63 - 1
    assert told.attributes["gen_ai.usage.output_tokens"] == 300
    assert len(told.attributes["gen_ai.response.finish_reasons"]) == 128


@pytest.mark.parametrize("end", ["failed", "budget_reached"])
async def test_a_session_that_ends_absurdly_often_is_bounded(
    api: Api, server: ScriptedServer, told: Told, end: str
) -> None:
    turns = [(turn_event("created", id=f"turn_{number}"), session_event(end)) for number in range(300)]

    await watch(api, server, *(event for turn in turns for event in turn))

    assert len(told.attributes["gen_ai.response.finish_reasons"]) == 128


# What the client makes of them.


async def test_the_helper_tells_its_stream_and_each_request(api: Api, server: ScriptedServer, told: Told) -> None:
    tracer = told.tracer_provider.get_tracer("app")
    start = turn_stream()
    server.reply(agent_session("idle"), sse(*start[:4], item_event(agent_call()), *start[4:], Gate()))
    server.reply(Reply(202), Reply(202))

    with tracer.start_as_current_span("app") as app:
        manager = api.client.beta.agents.sessions.stream(
            SESSION_ID, input="Say hello.", tool_handlers={"get_weather": str}
        )
        async with entered(manager) as events:
            read = await api.drain(events)

    assert read[-1].type == "agent.session.idle"
    asked, answered, watching = (span for span in told.spans if span.name != "app")
    assert [asked.name, answered.name] == ["invoke_agent"] * 2
    assert described(watching) == watched(server, CALLED, {"otel_openai.stream.chunk.count": 9})
    assert [span.parent for span in (asked, answered, watching)] == [app.get_span_context()] * 3


@pytest.mark.parametrize("act", ["leaves", "raises", "refused", "cut"])
async def test_every_way_out_of_the_helper_is_told(api: Api, server: ScriptedServer, told: Told, act: str) -> None:
    start = turn_stream()[:5]
    server.reply(agent_session("idle"), sse(*start) if act == "cut" else sse(*start, Gate()))
    server.reply(error_reply(400) if act == "refused" else Reply(202))

    with suppress(KeyError, openai.BadRequestError, RuntimeError):
        async with entered(api.client.beta.agents.sessions.stream(SESSION_ID, input="Say hello.")) as events:
            await (api.drain(events) if act == "cut" else api.next(events))
            if act == "raises":
                raise KeyError

    outcome, error_type = {
        "leaves": ("closed", None),
        "raises": ("error", "KeyError"),
        "refused": ("error", "BadRequestError"),
        "cut": ("truncated", None),
    }[act]
    (watching,) = [attributes_of(span) for span in told.spans if span.name == "fetch_session"]
    assert watching["otel_openai.stream.outcome"] == outcome
    assert watching.get("error.type") == error_type
    assert told.total("otel_openai.active_requests") == 0


@pytest.mark.parametrize("how", ["plain", "raw"])
async def test_the_result_of_a_turn_ends_its_stream(api: Api, server: ScriptedServer, told: Told, how: str) -> None:
    server.reply(sse(*turn_stream(), Gate()))
    method = CREATE if how == "plain" else "beta.agents.sessions.with_raw_response.create"

    events = await api.call(method, **ARGUMENTS[CREATE], stream=True)
    events = events if how == "plain" else events.parse()
    result = await settle(events.get_final_result())

    assert result.turn_id == TURN_ID
    assert described(told.span) == watched(
        server, {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-6-astra"}
    )


@pytest.mark.parametrize("how", ["with", "result"])
async def test_an_app_that_raises_for_a_failed_turn_is_told_with_the_reason_of_the_server(
    api: Api, server: ScriptedServer, told: Told, how: str
) -> None:
    server.reply(sse(*turn_stream(status="failed", error=FAILED)))

    with suppress(RuntimeError, openai.OpenAIError):
        async with entered(await api.call(CREATE, **ARGUMENTS[CREATE], stream=True)) as events:
            if how == "result":
                await settle(events.get_final_result())
            async for event in api.iterate(events):
                if event.type == "agent.session.turn.failed":
                    raise RuntimeError(event.turn.error.message)

    one_stream_was_told(told, "error", "context_length_exceeded")
    assert "Zyxwv" not in told.span.to_json()


async def test_a_dropped_stream_is_abandoned(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*turn_stream()[:5], Gate()))

    stream = await api.call(LISTEN, SESSION_ID)
    await api.next(stream)
    del stream
    gc.collect()

    one_stream_was_told(told, "abandoned")


HALF: dict[str, list[Any]] = {
    "no turn": [{**turn_event("completed"), "turn": None}],
    "a turn that is text": [{**turn_event("completed"), "turn": "x"}, {**turn_event("failed"), "turn": []}],
    "no session": [{**session_event(name), "session": None} for name in ("idle", "failed", "requires_action")],
    "no agent": [session_event("in_progress", agent=None), session_event("requires_action", required_actions=[None])],
    "no item": [{**item_event({}), "item": None}, item_event({"type": "function_call", "call_id": 5})],
    "no type": [{"event_id": "evt_1"}, text_event(type=ABSENT), text_event(type=7), text_event(type="agent.new")],
    "an error of nothing": [{"type": "error"}, {"type": "error", "error": None}, {"type": "error", "error": []}],
}


@pytest.mark.parametrize("half", HALF)
async def test_half_filled_events_are_lived_with(api: Api, server: ScriptedServer, told: Told, half: str) -> None:
    await watch(api, server, *HALF[half])

    assert told.attributes["otel_openai.stream.chunk.count"] == len(HALF[half])
    assert told.total(INPUT_TOKENS) == 0
