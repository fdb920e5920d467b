"""Tool calls of chat streams: counted and named once each, however a server spreads them over deltas."""

from typing import Any

import pytest

from expected import Attributes
from server import ABSENT, DONE, Body, ScriptedServer, chat_chunk, finish_chunk, role_chunk, sse, tool_chunk
from support import Api, Told
from test_stream_values import streamed, without_times


def _tools(*names: str, count: int | None = None, reasons: tuple[str, ...] = ("tool_calls",)) -> Attributes:
    return {
        "gen_ai.response.finish_reasons": list(reasons),
        "otel_openai.tool_call.count": len(names) if count is None else count,
        "otel_openai.tool_call.names": list(names) or None,
    }


def _piece(arguments: Any = "{}", **fields: Any) -> Body:
    """A delta that only goes on with a call."""
    return tool_chunk(arguments, **fields)


def _function(name: Any) -> Body:
    return chat_chunk(delta={"function_call": {"name": name, "arguments": ""}})


def _delta(*calls: Body) -> Body:
    return chat_chunk(delta={"tool_calls": list(calls)})


def _call(name: Any = ABSENT, **fields: Any) -> Body:
    function = {"arguments": "{"} if name is ABSENT else {"name": name, "arguments": ""}
    return {"function": function, "type": "function", **fields}


CALLS: dict[str, tuple[list[Body], Attributes]] = {
    "id and name first, then pieces": (
        [tool_chunk(name="a", call_id="1"), _piece('{"'), _piece('"}')],
        _tools("a"),
    ),
    "a piece of the arguments with the name": ([tool_chunk("{", name="a", call_id="1"), _piece("}")], _tools("a")),
    "null arguments": ([tool_chunk(None, name="a", call_id="1"), _piece(None)], _tools("a")),
    "arguments that are an object": ([tool_chunk({"city": "Paris"}, name="a", call_id="1")], _tools("a")),
    "ids and names that are null later": (
        [tool_chunk(name="a", call_id="1"), tool_chunk("{", name=None, call_id=None)],
        _tools("a"),
    ),
    "id and name on every delta": (
        [tool_chunk("{", name="a", call_id="1"), tool_chunk("}", name="a", call_id="1")],
        _tools("a"),
    ),
    "the name later than the id": (
        [tool_chunk(call_id="1"), tool_chunk("{", name="a"), _piece("}")],
        _tools("a"),
    ),
    "an empty name first": (
        [tool_chunk("", name="", call_id="1"), tool_chunk("", name="a"), _piece()],
        _tools("a"),
    ),
    "no name at all": ([tool_chunk(call_id="1"), _piece()], _tools(count=1)),
    "no id at all": ([tool_chunk(name="a"), _piece(), tool_chunk(name="b", call=1), _piece(call=1)], _tools("a", "b")),
    "the id later": ([tool_chunk(name="a"), tool_chunk("{", call_id="1"), _piece()], _tools("a")),
    "two calls": (
        [tool_chunk(name="a", call_id="1"), _piece(), tool_chunk(name="b", call_id="2", call=1), _piece(call=1)],
        _tools("a", "b"),
    ),
    "two calls, interleaved": (
        [
            *[tool_chunk(name="a", call_id="1"), tool_chunk(name="b", call_id="2", call=1)],
            *[_piece("{"), _piece("{", call=1), _piece("}"), _piece("}", call=1)],
        ],
        _tools("a", "b"),
    ),
    "two calls in one delta": ([_delta(_call("a", index=0, id="1"), _call("b", index=1, id="2"))], _tools("a", "b")),
    "the same tool twice": (
        [tool_chunk(name="a", call_id="1"), _piece(), tool_chunk(name="a", call_id="2", call=1), _piece(call=1)],
        _tools("a", "a"),
    ),
    "two calls that both have index 0": (
        [tool_chunk("{}", name="a", call_id="1"), tool_chunk(name="b", call_id="2"), _piece(), _piece()],
        _tools("a", "b"),
    ),
    "indexes that begin at 1": (
        [tool_chunk(name="a", call_id="1", call=1), _piece(call=1)],
        _tools("a"),
    ),
    "no index, whole calls": (
        [tool_chunk("{}", name="a", call_id="1", call=ABSENT), tool_chunk("{}", name="b", call_id="2", call=ABSENT)],
        _tools("a", "b"),
    ),
    "no index, whole calls in one delta": ([_delta(_call("a", id="1"), _call("b", id="2"))], _tools("a", "b")),
    "no index, an id on every piece": (
        [tool_chunk(name="a", call_id="1", call=ABSENT), tool_chunk("{", call_id="1", call=ABSENT)],
        _tools("a"),
    ),
    "no index, an id only first": (
        [
            *[tool_chunk(name="a", call_id="1", call=ABSENT), _piece(call=ABSENT), _piece(call=None)],
            *[tool_chunk(name="b", call_id="2", call=ABSENT), _piece(call=ABSENT)],
        ],
        _tools("a", "b"),
    ),
    "neither index nor id": (
        [tool_chunk("{}", name="a", call=ABSENT), tool_chunk(name="a", call=ABSENT), _piece(call=ABSENT)],
        _tools("a", "a"),
    ),
    "an index only first": ([tool_chunk(name="a", call_id="1"), _piece(call=None)], _tools("a")),
    "nothing but arguments": ([_piece(call=ABSENT), _piece(call=ABSENT)], _tools(count=1)),
    "an odd index": ([tool_chunk(name="a", call_id="1", call="0"), _piece(call="0")], _tools("a")),
    "a custom tool": (
        [_delta({"index": 0, "id": "1", "type": "custom", "custom": {"name": "sql", "input": ""}})],
        _tools("sql"),
    ),
    "a legacy function call": ([_function("a"), _function(None)], _tools("a", reasons=("function_call",))),
    "a call beside text": ([chat_chunk("Hm."), tool_chunk("{}", name="a", call_id="1")], _tools("a")),
    "a call in the same delta as text": (
        [chat_chunk("Hm."), chat_chunk("So.", delta={"tool_calls": [_call("a", index=0, id="1")]}), chat_chunk("!")],
        _tools("a"),
    ),
    "a reason that hides the call": ([tool_chunk("{}", name="a", call_id="1")], _tools("a", reasons=("stop",))),
    "a call that was cut": ([tool_chunk(name="a", call_id="1")], _tools("a", reasons=("length",))),
    "tool calls that are no list": ([chat_chunk(delta={"tool_calls": "a"})], _tools(count=0)),
}


@pytest.mark.parametrize("shape", CALLS)
async def test_tool_calls_are_counted_once(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    deltas, changes = CALLS[shape]
    (reason,) = changes["gen_ai.response.finish_reasons"]
    chunks: list[Any] = [role_chunk(), *deltas, finish_chunk(reason)]
    server.reply(sse(*chunks, DONE))

    await api.drain(await api.stream())

    assert without_times(told) == streamed(server, chunks, changes)
    calls = {attributes["gen_ai.tool.name"]: value for attributes, value in told.points("otel_openai.tool_calls")}
    names: list[str] = changes["otel_openai.tool_call.names"] or []
    assert calls == {name: names.count(name) for name in names}


async def test_choices_keep_their_calls_apart(api: Api, server: ScriptedServer, told: Told) -> None:
    chunks = [
        *[role_chunk(index=index) for index in (0, 1)],
        *[tool_chunk(name=name, call_id=name, index=index) for index, name in ((1, "b"), (0, "a"))],
        *[_piece(index=index) for index in (0, 1, 0, 1)],
        *[finish_chunk("tool_calls", index=index) for index in (1, 0)],
    ]
    server.reply(sse(*chunks, DONE))

    await api.drain(await api.stream(n=2))

    reasons = ("tool_calls", "tool_calls")
    expected = streamed(server, chunks, _tools("b", "a", reasons=reasons), {"gen_ai.request.choice.count": 2})
    assert without_times(told) == expected


async def test_a_flood_of_calls_is_counted(api: Api, server: ScriptedServer, told: Told) -> None:
    chunks = [_delta(*(_call(f"tool_{i}", index=i, id=str(i)) for i in range(1000))), finish_chunk("tool_calls")]
    server.reply(sse(*chunks, DONE))

    await api.drain(await api.stream())

    names = [f"tool_{number}" for number in range(32)]
    assert without_times(told) == streamed(server, chunks, _tools(*names, count=1000))
    assert told.total("otel_openai.tool_calls") == 1000
    assert len(told.points("otel_openai.tool_calls")) == 101
    assert told.total("otel_openai.tool_calls", gen_ai__tool__name="other") == 900
