"""Content of every operation: valid, exportable and bounded, also where the server sends nonsense."""

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import ValidationError

import otel_openai
from canned import Canned
from content import (
    CONTENT,
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
from mutations import MUTATIONS, Mutation, mutated
from programs import ARGUMENTS, PLAIN, STREAMS, settle
from seen import Seen
from server import ScriptedServer
from support import Api, Told
from test_mutated_answers import CASES, Case, program

Telling = Callable[..., Told]
EXAMPLES = 12
SMALL = 4096
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


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_nonsense_is_told_as_far_as_it_goes(case: Case) -> None:
    canned = Canned("sync")
    told = Told()
    streamed = isinstance(case.answer, list)

    async def run() -> Seen:
        see = Seen()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the client
            await program(canned.api, case.method, see, streamed=streamed)
        return see

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=[*_SLOW])
    @given(MUTATIONS)
    def check(mutations: list[Mutation]) -> None:
        canned.put(mutated(case.answer, mutations), case.status, streamed=streamed)
        bare = loop.run_until_complete(run())
        told.instrument(capture_content="both", max_content_size=SMALL)
        try:
            instrumented = loop.run_until_complete(run())
        finally:
            otel_openai.uninstrument()

        assert instrumented.beside(bare) == []
        on_span(told)
        assert all(len(str(value).encode()) <= SMALL for name, value in told.attributes.items() if name in CONTENT)
        otlp(told)
        told.clear()

    loop = asyncio.new_event_loop()
    try:
        check()
    finally:
        loop.run_until_complete(settle(canned.api.client.close()))
        loop.close()
        told.shutdown()


_SLOW = (HealthCheck.too_slow,)
