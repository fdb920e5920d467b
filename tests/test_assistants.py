"""What runs of assistants tell: made, continued and streamed, also by the helpers that send a request of their own."""

import gc
import warnings
from contextlib import suppress
from typing import Any

import openai
import pytest

import otel_openai
from expected import Attributes, at, changed
from programs import ARGUMENTS, RUN_HELPERS, settle
from server import (
    ASSISTANT_ID,
    MODEL,
    RUN_ID,
    THREAD_ID,
    Gate,
    ScriptedServer,
    error_reply,
    event,
    run,
    run_stream,
    run_usage,
    sse,
    tool_call,
)
from streamed import described, entered, one_stream_was_told
from support import Api, Told, attributes_of, client, collect

CREATE = "beta.threads.runs.create"
OUTPUTS = "beta.threads.runs.submit_tool_outputs"
RUN = ARGUMENTS[CREATE]
USAGE = {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 12}


def ran(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": ASSISTANT_ID,
        "gen_ai.conversation.id": THREAD_ID,
        "gen_ai.response.id": RUN_ID,
        "gen_ai.response.model": MODEL,
        "http.response.status_code": 200,
    }
    return changed({**at(server), **answer}, *changes)


def streamed(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        **USAGE,
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": 6,
    }
    return ran(server, answer, *changes)


# Made, and continued.


async def test_a_run_that_has_begun_tells_no_usage(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(run())

    await api.call(CREATE, THREAD_ID, assistant_id=ASSISTANT_ID, max_completion_tokens=100, temperature=0.5)

    request = {"gen_ai.request.max_tokens": 100, "gen_ai.request.temperature": 0.5}
    assert told.attributes == ran(server, request)
    assert told.span.name == "invoke_agent"
    assert told.span.status.status_code.name == "UNSET"


async def test_a_run_with_a_model_of_its_own_is_named_after_it(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(run())

    await api.call("beta.threads.create_and_run", assistant_id=ASSISTANT_ID, model="gpt-4o")

    assert told.span.name == "invoke_agent gpt-4o"
    assert told.attributes == ran(server, {"gen_ai.request.model": "gpt-4o"})


async def test_tool_outputs_continue_a_run(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(run("in_progress"))

    await api.call(OUTPUTS, RUN_ID, thread_id=THREAD_ID, tool_outputs=[])

    assert told.attributes == ran(server)


_TOOLS = [tool_call("get_weather"), tool_call("get_time")]
ENDS: dict[str, tuple[Any, Attributes]] = {
    "completed": (run("completed"), {"gen_ai.response.finish_reasons": ["stop"], **USAGE}),
    "completed from a cache": (
        run("completed", usage=run_usage(prompt_token_details={"cached_tokens": 4})),
        {"gen_ai.response.finish_reasons": ["stop"], **USAGE, "gen_ai.usage.cache_read.input_tokens": 4},
    ),
    "asks for tools": (
        run("requires_action", tools=_TOOLS),
        {
            "gen_ai.response.finish_reasons": ["tool_calls"],
            "otel_openai.tool_call.count": 2,
            "otel_openai.tool_call.names": ["get_weather", "get_time"],
        },
    ),
    "cut": (
        run("incomplete", incomplete_details={"reason": "max_completion_tokens"}, usage=run_usage()),
        {"gen_ai.response.finish_reasons": ["max_completion_tokens"], **USAGE},
    ),
    "incomplete": (run("incomplete"), {"gen_ai.response.finish_reasons": ["incomplete"]}),
    "expired": (run("expired"), {"gen_ai.response.finish_reasons": ["expired"]}),
    "cancelled": (run("cancelled"), {"gen_ai.response.finish_reasons": ["cancelled"]}),
    "failed": (
        run("failed", last_error={"code": "rate_limit_exceeded", "message": "Zyxwv"}),
        {"gen_ai.response.finish_reasons": ["error"], "error.type": "rate_limit_exceeded"},
    ),
    "failed without a reason": (
        run("failed", last_error=None),
        {"gen_ai.response.finish_reasons": ["error"], "error.type": "provider_error"},
    ),
    "of a new status": (run("resting"), {}),
    "asks for nothing": (
        run("requires_action", required_action={"type": "other"}),
        {"gen_ai.response.finish_reasons": ["tool_calls"], "otel_openai.tool_call.count": 0},
    ),
}


@pytest.mark.parametrize("how", ["plain", "streamed"])
@pytest.mark.parametrize("end", ENDS)
async def test_the_end_of_a_run_is_told_in_the_words_of_chat(
    api: Api, server: ScriptedServer, told: Told, end: str, how: str
) -> None:
    body, changes = ENDS[end]
    last = f"thread.run.{body['status']}"
    server.reply(body if how == "plain" else sse(event("thread.run.created", run()), event(last, body)))

    if how == "plain":
        await api.call(CREATE, **RUN)
        assert described(told.span) == ran(server, changes)
    else:
        await api.drain(await api.call(CREATE, **RUN, stream=True))
        seen = ran(server, {"gen_ai.response.finish_reasons": ["error"]} if end == "of a new status" else changes)
        outcome = "error" if "error.type" in changes else "truncated" if end == "of a new status" else "completed"
        stream = {"gen_ai.request.stream": True, "otel_openai.stream.outcome": outcome}
        assert described(told.span) == changed(seen, stream, {"otel_openai.stream.chunk.count": 2})
    assert "Zyxwv" not in told.span.to_json()


async def test_an_error_event_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*run_stream()[:3], event("error", {"code": "server_error", "message": "Zyxwv"})))

    with suppress(openai.APIError):  # some versions of the client raise it
        await api.drain(await api.call(CREATE, **RUN, stream=True))

    one_stream_was_told(told, "error", "server_error")
    assert "Zyxwv" not in told.span.to_json()


# Helpers.


@pytest.mark.parametrize("helper", RUN_HELPERS)
async def test_a_stream_helper_tells_what_a_stream_tells(
    api: Api, server: ScriptedServer, told: Told, helper: str
) -> None:
    server.always(sse(*run_stream()))
    method = RUN_HELPERS[helper]

    async with entered(await api.call(helper, **ARGUMENTS[method])) as events:
        assert told.spans == []
        read = await api.drain(events)
    helped = told.span
    told.clear()
    await api.drain(await api.call(method, **ARGUMENTS[method], stream=True))

    assert [each.event for each in read][-1] == "thread.run.completed"
    assert described(helped) == described(told.span) == streamed(server)
    assert helped.name == told.span.name
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 24


async def test_nothing_is_sent_before_the_app_enters_the_manager(api: Api, server: ScriptedServer, told: Told) -> None:
    tracer = told.tracer_provider.get_tracer("app")
    server.reply(sse(*run_stream()))

    with tracer.start_as_current_span("made"):
        manager = api.client.beta.threads.runs.stream(**RUN)
    assert server.requests == []
    with tracer.start_as_current_span("entered") as parent:
        async with entered(manager) as events:
            await api.drain(events)

    (request,) = [span for span in told.spans if span.name == "invoke_agent"]
    assert request.parent == parent.get_span_context()


@pytest.mark.parametrize("act", ["leaves", "raises", "refused", "until_done"])
async def test_every_way_out_of_a_stream_helper_is_told(api: Api, server: ScriptedServer, told: Told, act: str) -> None:
    frames = run_stream()
    rest = frames[4:] if act == "until_done" else [Gate(), *frames[4:]]
    server.reply(error_reply(429) if act == "refused" else sse(*frames[:4], *rest))

    with suppress(KeyError, openai.RateLimitError):
        async with entered(api.client.beta.threads.runs.stream(**RUN)) as events:
            if act == "until_done":
                await settle(events.until_done())
            else:
                await api.next(events)
            if act == "raises":
                raise KeyError

    outcome, error_type = {
        "leaves": ("closed", None),
        "raises": ("error", "KeyError"),
        "refused": (None, "rate_limit_exceeded"),
        "until_done": ("completed", None),
    }[act]
    assert told.attributes.get("otel_openai.stream.outcome") == outcome
    assert told.attributes.get("error.type") == error_type
    assert told.total("otel_openai.active_requests") == 0


async def test_a_dropped_stream_helper_is_abandoned(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*run_stream()[:4], Gate()))

    manager: Any = api.client.beta.threads.runs.stream(**RUN)
    events = await manager.__aenter__() if api.is_async else manager.__enter__()
    await api.next(events)
    del manager, events
    await collect()

    one_stream_was_told(told, "abandoned")


async def test_a_manager_that_is_never_entered_is_nothing(
    server: ScriptedServer, told: Told, recwarn: pytest.WarningsRecorder
) -> None:
    async with client("async", server.base_url) as made:
        instrumented = made.beta.threads.runs.stream(**RUN)
        del instrumented
        gc.collect()
        ours = [str(warning.message) for warning in recwarn.list if "never awaited" in str(warning.message)]
        otel_openai.uninstrument()
        recwarn.clear()
        bare = made.beta.threads.runs.stream(**RUN)
        del bare
        gc.collect()

    assert ours == [str(warning.message) for warning in recwarn.list if "never awaited" in str(warning.message)]
    assert len(ours) == 1
    assert told.spans == []


async def test_a_manager_outlives_the_instrumentation(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*run_stream()))
    manager = api.client.beta.threads.runs.stream(**RUN)
    otel_openai.uninstrument()

    async with entered(manager) as events:
        assert len(await api.drain(events)) == 6

    assert told.spans == []


async def test_a_poll_helper_is_one_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(run(), run("in_progress"), run("completed"))

    await api.call("beta.threads.runs.create_and_poll", **RUN, poll_interval_ms=1)

    assert len(server.requests) == 3
    assert attributes_of(told.span) == ran(server)


def test_a_warning_of_a_deprecated_method_names_the_line_of_the_app(server: ScriptedServer, told: Told) -> None:
    server.always(run())
    with client("sync", server.base_url) as made, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made.beta.threads.runs.create(**RUN)
        otel_openai.uninstrument()
        made.beta.threads.runs.create(**RUN)

    ours, bare = warned[: len(warned) // 2], warned[len(warned) // 2 :]
    assert [each.filename for each in ours] == [each.filename for each in bare]
    assert [str(each.message) for each in ours] == [str(each.message) for each in bare]
    assert len(told.spans) == 1
