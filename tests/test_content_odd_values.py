"""Content of any shape: the app gets its answer, its objects are left alone, and what can be told is told."""

import contextlib
import dataclasses
import datetime as dt
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pydantic import BaseModel

from content import INPUT, OUTPUT, TOOLS, answer, on_event, on_span, on_spans, user
from exported import otlp
from otel_openai._capture import CallContent, Capture
from otel_openai._content import Limits
from otel_openai.operations.chat import CHAT
from otel_openai.operations.completions import COMPLETIONS
from otel_openai.operations.embeddings import EMBEDDINGS
from otel_openai.operations.responses import RESPONSES
from server import (
    ABSENT,
    DONE,
    Body,
    ScriptedServer,
    chat,
    chat_chunk,
    choice,
    finish_chunk,
    sse,
    tool_call,
    tool_chunk,
)
from support import Api, Told, collect

Telling = Callable[..., Told]


class Model(BaseModel):
    role: str = "user"
    content: str = "From a model."
    name: str | None = None


@dataclasses.dataclass
class Data:
    city: str = "Paris"


@dataclasses.dataclass(slots=True)
class Slots:
    city: str = "Paris"


def _cyclic() -> dict[str, Any]:
    cyclic: dict[str, Any] = {"a": 1}
    cyclic["self"] = cyclic
    return cyclic


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    return deep


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def _generator() -> Iterator[Any]:
    raise AssertionError("nobody iterates over the app's generators")
    yield


ODD: dict[str, Any] = {
    "none": None,
    "number": 5,
    "text": "Hi",
    "bytes": b"Hi",
    "set": {1, 2},
    "nan": float("nan"),
    "infinity": float("inf"),
    "huge number": 10**5000,
    "time": dt.datetime(2026, 11, 22, tzinfo=dt.timezone.utc),
    "dataclass": Data(),
    "slots": Slots(),
    "model": Model(),
    "a class": Model,
    "cyclic": _cyclic(),
    "deep": _deep(),
    "hostile": Hostile(),
    "generator": _generator(),
    "function": len,
    "surrogate": "\ud800",
    "keys of any type": {1: 2, None: 3, (1, 2): 4, "": 5, "\udc00": 6},
    "mixed": [1, "a", None, {"b": [2.5, True]}],
}


@pytest.mark.parametrize("name", ODD)
def test_any_value_anywhere_is_told_or_left_out(telling: Telling, name: str) -> None:
    """Beside the client, which cannot send most of these: what is asked is read before it looks."""
    odd = ODD[name]
    part = {"type": "text", "text": odd}
    call = {"id": odd, "function": {"name": odd, "arguments": odd}}
    messages: list[Any] = [
        odd,
        {"role": odd, "content": odd, "name": odd},
        {"role": "user", "content": [odd, part, {"type": odd}, {"type": "strange", "of": odd}]},
        {"role": "user", "content": [{"type": kind, kind: odd} for kind in ("image_url", "input_audio", "file")]},
        {
            "role": "user",
            "content": [{"type": kind, kind: {"url": odd, "data": odd}} for kind in ("image_url", "file")],
        },
        {"role": "assistant", "tool_calls": odd, "function_call": odd, "audio": odd, "reasoning": odd},
        {"role": "assistant", "tool_calls": [odd, call], "function_call": call["function"], "audio": {"id": odd}},
        {"role": "tool", "tool_call_id": odd, "content": odd},
        {"role": "tool", "content": [odd, part]},
    ]
    items = [{"type": kind, "id": odd, "call_id": odd, "output": odd, "arguments": odd} for kind in ITEMS]
    tools = [odd, {"type": odd}, {"type": "function", "function": odd}, {"function": {"name": odd, "parameters": odd}}]
    asked: list[tuple[Any, dict[str, Any]]] = [
        (CHAT, {"messages": odd, "tools": odd, "functions": odd}),
        (CHAT, {"messages": messages, "tools": tools}),
        (RESPONSES, {"input": odd, "instructions": odd, "tools": odd}),
        (RESPONSES, {"input": [odd, *messages, *items], "tools": tools}),
        (COMPLETIONS, {"prompt": odd, "suffix": odd}),
        (COMPLETIONS, {"prompt": [odd, [odd]]}),
        (EMBEDDINGS, {"input": odd}),
    ]
    told = telling(capture_content="both")
    capture = Capture("both", Limits(part=8192, attribute=65_536, tool_schemas=True))
    for operation, params in asked:
        content = CallContent(capture, operation.messages, on_span=True, on_event=True)
        content.asked(params, {})
        content.answered({"choices": [{"message": messages[5]}, {"message": odd}], "output": [*items]})
        attributes: dict[str, Any] = {}
        details = content.end(attributes)
        with told.tracer_provider.get_tracer("t").start_as_current_span("t") as span:
            span.set_attributes(attributes)
        told.logger_provider.get_logger("t").emit(_record(details))

    assert otlp(told)
    on_spans(told)


def _record(attributes: Any) -> Any:
    return LogRecord(timestamp=1, attributes=attributes)


ITEMS = (
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "function_call_output",
    "computer_call",
    "computer_call_output",
    "mcp_call",
    "file_search_call",
    "image_generation_call",
    "compaction",
    "never_heard_of",
)


async def test_messages_of_every_kind_are_read(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    server.reply(chat())

    await api.chat(messages=({"role": "user", "content": "In a tuple."}, Model()))

    assert on_span(told)[INPUT] == [user("In a tuple."), user("From a model.")]


async def test_a_generator_is_the_clients_to_read(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    server.reply(chat())

    await api.chat(messages=(message for message in [{"role": "user", "content": "Hi"}]))

    assert server.last.json["messages"] == [{"role": "user", "content": "Hi"}]
    assert on_span(told) == {OUTPUT: [answer("Hello!")]}


def _nested(depth: int) -> Any:
    return {"a": _nested(depth - 1)} if depth else 1


ARGUMENTS: dict[str, tuple[Any, Any]] = {
    "an object": ({"city": "Paris"}, {"city": "Paris"}),
    "a number": (5, 5),
    "nothing": (None, None),
    "a bare string": ("Paris", "Paris"),
    "an empty string": ("", None),
    "JSON of a string": ('" "', " "),
    "a list": ("[1, 2]", [1, 2]),
    "not a number": ("NaN", "NaN"),
    "too large a number": ("1e999", "1e999"),
    "too large an integer": (str(2**64), str(2**64)),
    "far too large an integer": ("9" * 5000, "9" * 5000),
    "half a character": ('"\\ud800"', '"\\ud800"'),
    "an empty name": ('{"": 1}', '{"": 1}'),
    "far too deep": ("[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
    "as deep as may be": ('{"a":' * 24 + "1" + "}" * 24, _nested(24)),
    "too deep": ("[" * 40 + "]" * 40, "[" * 40 + "]" * 40),
}


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_arguments_may_be_anything(api: Api, server: ScriptedServer, telling: Telling, name: str) -> None:
    told = telling(capture_content="both", max_content_length=20_000)
    sent, expected = ARGUMENTS[name]
    server.reply(chat(tool_calls=[tool_call(arguments=sent)]))

    result = await api.chat()

    [part] = on_span(told)[OUTPUT][0]["parts"]
    assert part.get("arguments") == expected
    assert on_event(told) == on_span(told)
    assert result.choices[0].message.tool_calls[0].function.arguments == sent
    ExportLogsServiceRequest.FromString(wire_of_logs(told))  # which refuses what is nested too deeply


async def test_lists_of_many_types_are_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    server.reply(chat(tool_calls=[tool_call(arguments='[1, "a", null, 2.5]')]))

    await api.chat()

    [part] = on_span(told)[OUTPUT][0]["parts"]
    assert part["arguments"] == [1, "a", None, 2.5]
    [part] = on_event(told)[OUTPUT][0]["parts"]
    if part["arguments"] is None:
        pytest.skip("this version of the SDK drops lists of several types from events")
    assert part["arguments"] == [1, "a", None, 2.5]


def wire_of_logs(told: Told) -> bytes:
    return encode_logs(told._logs.get_finished_logs()).SerializeToString()


async def test_schemas_that_are_no_json_are_told_as_far_as_they_are(
    api: Api, server: ScriptedServer, telling: Telling
) -> None:
    """The client refuses such a tool; an app that sends JSON of its own type does not."""
    told = telling(capture_content="both", capture_tool_schemas=True)
    server.reply(chat())
    parameters = {"type": "object", "default": Model(), "title": dt.date(2026, 11, 22)}

    with contextlib.suppress(TypeError):
        await api.chat(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])

    expected = {"type": "object", "default": {"role": "user", "content": "From a model."}, "title": "2026-11-22"}
    assert on_span(told)[TOOLS] == [{"type": "function", "name": "f", "parameters": expected}]


BODIES: dict[str, Body] = {
    "choices null": chat(choices=None),
    "no choices": chat(choices=[]),
    "choices absent": chat(choices=ABSENT),
    "a choice null": chat(choices=[None]),
    "message null": chat(choices=[{**choice(), "message": None}]),
    "message a string": chat(choices=[{**choice(), "message": "Hi"}]),
    "content a number": chat(5),
    "content an object": chat({"a": 1}),
    "content of nulls": chat([None, {"type": None}]),
    "tool calls null": chat(choices=[choice(message={"tool_calls": [None, {"function": None}]})]),
    "audio a string": chat(choices=[choice(message={"audio": "x"})]),
    "audio that is no base64": chat(choices=[choice(message={"audio": {"data": "ü" * 9, "transcript": 5}})]),
}


@pytest.mark.parametrize("name", BODIES)
async def test_answers_of_any_shape_are_told_as_far_as_they_are(
    api: Api, server: ScriptedServer, telling: Telling, name: str
) -> None:
    told = telling(capture_content="both")
    body = BODIES[name]
    chunk = dict(body)
    if isinstance(chunk.get("choices"), list):
        chunk["choices"] = [one if one is None else {**one, "delta": one.get("message")} for one in body["choices"]]
    server.reply(body, sse(chunk, DONE))

    await api.chat()
    await api.drain(await api.stream())

    assert all(INPUT in content for content in on_spans(told))
    assert otlp(told)


async def test_deltas_of_any_shape_do_no_harm(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    deltas: list[Any] = [
        None,
        5,
        {"content": 5},
        {"content": [1, None, "a"]},
        {"tool_calls": 5},
        {"tool_calls": [None, 5, {"index": "x"}, {"function": 5}]},
        {"function_call": 5, "audio": 5, "reasoning": 5},
        {"content": "Hi"},
    ]
    chunks = [{**chat_chunk(), "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    server.reply(sse(*chunks, tool_chunk({"a": 1}), finish_chunk(), DONE))

    await api.drain(await api.stream())

    assert {"type": "text", "content": "Hi"} in on_span(told)[OUTPUT][0]["parts"]


async def test_nothing_of_the_app_is_held_after_the_end(api: Api, server: ScriptedServer, telling: Telling) -> None:
    telling(capture_content="both")
    server.reply(chat(), sse(chat_chunk("Hi"), finish_chunk(), DONE))

    class Message(dict[str, Any]):
        pass

    message = Message(role="user", content="Hi")
    alive = weakref.ref(message)
    await api.chat(messages=[message])
    stream = await api.stream(messages=[message])
    await api.drain(stream)
    del message, stream
    await collect()

    assert alive() is None
