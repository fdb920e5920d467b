"""What a search of a vector store tells. Its async form returns a paginator, which asks when it is awaited."""

import asyncio
import copy
import gc
import inspect
import warnings
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from opentelemetry import trace

import otel_openai
from expected import Attributes, at, changed
from programs import ARGUMENTS
from server import VECTOR_STORE_ID, ScriptedServer, error_reply, search_page, silence, text_reply
from streamed import described, settled
from support import Api, Told, client

SEARCH = ARGUMENTS["vector_stores.search"]


def searched(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": VECTOR_STORE_ID,
        "http.response.status_code": 200,
    }
    return changed({**at(server), **answer}, *changes)


async def test_a_search_is_one_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(search_page("Paris is a city."))

    page = await api.call("vector_stores.search", VECTOR_STORE_ID, query="Paris", max_num_results=5)

    assert [result.content[0].text for result in page.data] == ["Paris is a city."]
    assert told.attributes == searched(server, {"gen_ai.retrieval.top_k": 5})
    assert told.span.name == f"retrieval {VECTOR_STORE_ID}"
    assert (told.span.kind.name, told.span.status.status_code.name) == ("CLIENT", "UNSET")
    assert [count for _, (count, _) in told.points("gen_ai.client.operation.duration")] == [1]
    assert told.points("gen_ai.client.token.usage") == []


async def test_the_id_may_be_given_by_name(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(search_page())

    await api.call("vector_stores.search", **SEARCH)

    assert told.attributes == searched(server)


async def test_results_are_iterated_over_without_another_request(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(search_page("one", "two"))

    results = api.client.vector_stores.search(**SEARCH)
    found = [result.content[0].text async for result in api.iterate(results)]

    assert found == ["one", "two"]
    assert len(server.requests) == 1
    assert told.attributes == searched(server)


@pytest.mark.parametrize("answer", [search_page(data=[]), text_reply("<html>", content_type="text/html"), {}])
async def test_an_odd_answer_is_no_fault(api: Api, server: ScriptedServer, told: Told, answer: Any) -> None:
    server.reply(answer)

    async def search() -> None:
        await api.call("vector_stores.search", **SEARCH)

    try:
        await search()
    except AttributeError:  # the client's own, of a page that is none
        error_type = "AttributeError"
    else:
        error_type = None

    assert told.attributes.get("error.type") == error_type
    assert told.attributes["http.response.status_code"] == 200


async def test_a_refused_search_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(error_reply(404))

    with pytest.raises(openai.NotFoundError):
        await api.call("vector_stores.search", **SEARCH)

    assert told.span.status.status_code.name == "ERROR"
    assert told.attributes["http.response.status_code"] == 404
    assert told.total("otel_openai.active_requests") == 0


# The paginator.


@pytest.fixture
async def search(server: ScriptedServer, told: Told) -> AsyncIterator[Any]:
    """The async method, bound while instrumentation is on."""
    del told
    async with client("async", server.base_url) as made:
        yield made.vector_stores.search


async def test_the_app_gets_the_clients_own_paginator(search: Any, server: ScriptedServer, told: Told) -> None:
    server.reply(search_page())

    paginator = search(**SEARCH)

    assert type(paginator).__name__ == "AsyncPaginator"
    assert type(paginator).__module__ == "openai._base_client"
    assert not inspect.iscoroutine(paginator)
    assert inspect.isawaitable(paginator)
    assert server.requests == []
    assert told.spans == []
    assert type(await paginator).__name__.startswith("AsyncPage")


async def test_each_await_of_a_paginator_is_a_request_and_a_span(
    search: Any, server: ScriptedServer, told: Told
) -> None:
    server.always(search_page())
    paginator = search(**SEARCH)

    await paginator
    await copy.copy(paginator)
    assert [result.score async for result in paginator] == [0.95]

    assert len(server.requests) == 3
    assert [described(span) for span in told.spans] == [searched(server)] * 3


async def test_the_span_is_a_child_of_the_span_that_is_current_at_the_await(
    search: Any, server: ScriptedServer, told: Told
) -> None:
    server.reply(search_page())
    tracer = told.tracer_provider.get_tracer("app")
    with tracer.start_as_current_span("asked"):
        paginator = search(**SEARCH)
    with tracer.start_as_current_span("awaited") as awaited:
        await paginator
        assert trace.get_current_span() is awaited

    (span,) = [span for span in told.spans if span.name.startswith("retrieval")]
    assert span.parent == awaited.get_span_context()


async def test_a_paginator_that_is_never_awaited_is_nothing(search: Any, server: ScriptedServer, told: Told) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(**SEARCH)
        gc.collect()

    assert server.requests == []
    assert told.spans == []


async def test_a_cancelled_search_is_told(search: Any, server: ScriptedServer, told: Told) -> None:
    server.reply(silence())
    task = asyncio.create_task(_await(search(**SEARCH)))
    await settled(lambda: bool(server.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert told.attributes == searched(server, {"error.type": "CancelledError", "http.response.status_code": None})
    assert told.total("otel_openai.active_requests") == 0


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def test_a_paginator_outlives_the_instrumentation(search: Any, server: ScriptedServer, told: Told) -> None:
    server.always(search_page())
    paginator = search(**SEARCH)
    otel_openai.uninstrument()

    assert len((await paginator).data) == 1
    assert len((await search(**SEARCH)).data) == 1
    assert told.spans == []


async def test_other_pages_are_not_told(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always({"object": "list", "data": [], "has_more": False})

    assert [model async for model in api.iterate(api.client.models.list())] == []

    assert told.spans == []
