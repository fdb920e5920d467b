"""Tool runners of the client: one span for each of their requests, under the span of the app."""

import importlib.util
from typing import Any

import openai
import pytest

from programs import settle
from seen import KINDS, Kind, Program, Seen, seen_by_both
from server import Body, ScriptedServer, decision, function_call, response, response_stream, response_tool_stream, sse
from support import Api, Told


def runners(name: str) -> Any:
    """The client's module of tool runners."""
    if importlib.util.find_spec(f"openai.lib.{name}_tool_runner") is None:
        pytest.skip(f"openai {openai.__version__} has no tool runner of {name}")
    return importlib.import_module(f"openai.lib.{name}_tool_runner")


TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


async def run_responses(api: Api, *, stream: bool = False) -> Any:
    """Run until the model asks for no more tools."""
    module = runners("responses")

    def weather(_: Any) -> str:
        return "Sunny."

    async def async_weather(_: Any) -> str:
        return "Sunny."

    if api.is_async:
        runner = module.AsyncResponsesToolRunner(functions=[module.AsyncRegisteredFunction(TOOL, async_weather)])
    else:
        runner = module.ResponsesToolRunner(functions=[module.RegisteredFunction(TOOL, weather)])
    return await settle(runner.run(api.client, {"model": "gpt-4o-mini", "input": "Weather?"}, stream=stream))


STEPS: dict[bool, list[Any]] = {
    False: [response(output=[function_call()]), response()],
    True: [sse(*response_tool_stream()), sse(*response_stream())],
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_each_step_of_a_runner_is_a_span_under_the_apps(
    api: Api, server: ScriptedServer, told: Told, *, stream: bool
) -> None:
    server.reply(*STEPS[stream])

    with told.tracer_provider.get_tracer("app").start_as_current_span("the app's") as parent:
        await run_responses(api, stream=stream)

    *steps, _ = told.spans
    assert [span.name for span in steps] == ["chat gpt-4o-mini"] * 2
    assert [span.parent for span in steps] == [parent.get_span_context()] * 2
    reasons = [list((span.attributes or {})["gen_ai.response.finish_reasons"]) for span in steps]  # pyright: ignore[reportArgumentType]
    assert reasons == [["tool_calls"], ["stop"]]
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="get_weather") == 1
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_the_app_sees_the_same(kind: Kind, *, stream: bool) -> None:
    async def program(api: Api, see: Seen) -> None:
        with see.raising():
            see(await run_responses(api, stream=stream))

    runners("responses")
    bare, instrumented, spans = await seen_by_both(Program(program, STEPS[stream]), kind)

    assert "nothing raised" in bare.notes
    assert instrumented.beside(bare) == []
    assert len(spans) == 2


async def test_each_decision_of_a_runner_is_a_span_under_the_apps(api: Api, server: ScriptedServer, told: Told) -> None:
    module = runners("decisions")
    server.reply(chosen("look"), chosen("done"))
    looked: list[str] = []

    def now_or_later(value: Any) -> Any:
        async def later(*_: Any) -> Any:
            return value()

        def now(*_: Any) -> Any:
            return value()

        return later if api.is_async else now

    candidates = [
        {"id": "look", "description": "Look.", "execute": now_or_later(lambda: looked.append("once"))},
        {"id": "done", "description": "Done.", "done": True},
    ]
    make = module.AsyncDecisionsToolRunner if api.is_async else module.DecisionsToolRunner
    runner = make(observe=now_or_later(lambda: "A door."), candidates=now_or_later(lambda: candidates))

    with told.tracer_provider.get_tracer("app").start_as_current_span("the app's") as parent:
        await settle(runner.run(api.client, {"model": "gpt-6-luna", "input": "Go on."}))

    *steps, _ = told.spans
    assert looked == ["once"]
    assert [(span.name, span.parent) for span in steps] == [("chat gpt-6-luna", parent.get_span_context())] * 2
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 24


def chosen(candidate: str) -> Body:
    """The decision for a candidate."""
    choice: Body = {
        "type": "choice",
        "name": "next_action",
        "choice": candidate,
        "confidence": 0.9,
        "probabilities": [],
    }
    return decision(answers=[choice])
