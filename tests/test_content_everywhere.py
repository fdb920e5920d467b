"""Content of every operation: valid, exportable, and the same of a plain answer and of a stream."""

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import ValidationError

from content import (
    DOCUMENTS,
    INPUT,
    INSTRUCTIONS,
    OUTPUT,
    QUERY,
    TOOLS,
    answer,
    on_event,
    on_span,
    on_spans,
    user,
    valid,
)
from exported import otlp
from programs import ARGUMENTS, PLAIN, STREAMS
from server import ScriptedServer
from support import Api, Told

Telling = Callable[..., Told]
WITHOUT = ("batches", "beta.agents", "beta.threads")
"""Operations whose content is not told."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (INPUT, [{"role": "user", "parts": "Hi"}]),
        (INPUT, [{"parts": ["Hi"]}]),
        (INPUT, [user({"type": "text"})]),
        (OUTPUT, [answer({"type": "uri", "modality": "image", "uri": "data:image/png;base64,AAAA"})]),
        (OUTPUT, [answer({"type": "server_tool_call", "name": "web_search", "server_tool_call": {}})]),
        (INSTRUCTIONS, [{"type": "text", "content": 5}]),
        (TOOLS, [{"type": "function"}]),
        (TOOLS, [{"type": "function", "name": "f", "parameters": {"type": "nonsense"}}]),
        (DOCUMENTS, [{"id": 5}]),
        (QUERY, ["Paris"]),
    ],
)
def test_the_schemas_refuse(name: str, value: Any) -> None:
    with pytest.raises((ValidationError, AssertionError)):
        valid({name: value})


@pytest.mark.parametrize("method", PLAIN)
async def test_an_answer_is_told_on_span_and_event(
    api: Api, server: ScriptedServer, telling: Telling, method: str
) -> None:
    told = telling(capture_content="both", capture_tool_schemas=True)
    server.reply(PLAIN[method])

    await api.call(method, **ARGUMENTS[method])

    if method.startswith(WITHOUT):
        assert (on_span(told), told.events) == ({}, [])
    else:
        assert on_span(told) == on_event(told) != {}
    assert otlp(told)


@pytest.mark.parametrize("method", [method for method in STREAMS if not method.startswith(WITHOUT)])
async def test_a_stream_is_told_as_its_answer_is(
    api: Api, server: ScriptedServer, telling: Telling, method: str
) -> None:
    told = telling(capture_content="both")
    server.reply(STREAMS[method], PLAIN[method])

    await api.drain(await api.call(method, **ARGUMENTS[method], stream=True))
    assert on_span(told) == on_event(told)
    await api.call(method, **ARGUMENTS[method])

    streamed, plain = on_spans(told)
    assert streamed == plain
