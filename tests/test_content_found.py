"""Content of searches and decisions: what is asked, and what is found."""

from collections.abc import Callable
from typing import Any

import pytest

from content import CUT, DOCUMENTS, INPUT, OUTPUT, QUERY, answer, on_event, on_span, user
from exported import otlp
from programs import ARGUMENTS
from server import ScriptedServer, decision, search_page
from support import Api, Told, need

Telling = Callable[..., Told]
SEARCH = ARGUMENTS["vector_stores.search"]


def found(text: str) -> dict[str, Any]:
    return {"id": "file-1", "score": 0.95, "filename": "facts.txt", "content": text}


@pytest.mark.parametrize(("query", "told_as"), [("Paris", "Paris"), (["Paris", "France"], "Paris\nFrance")])
async def test_a_search_is_told(
    api: Api, server: ScriptedServer, telling: Telling, query: str | list[str], told_as: str
) -> None:
    told = telling(capture_content="both")
    server.reply(search_page("Paris is a city.", "So is Lyon."))

    await api.call("vector_stores.search", **{**SEARCH, "query": query})

    assert on_span(told) == {QUERY: told_as, DOCUMENTS: [found("Paris is a city."), found("So is Lyon.")]}
    assert on_event(told) == on_span(told)


async def test_half_a_document_is_told_as_far_as_it_goes(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    chunks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}, {"type": "text"}, None]
    server.reply(search_page(data=[{"score": "high", "content": chunks}, {"file_id": 5, "score": 1e999}, "nonsense"]))

    await api.call("vector_stores.search", **SEARCH)

    assert on_span(told)[DOCUMENTS] == [{"content": "one\ntwo"}, {}, {}]


async def test_a_search_is_bounded(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span", max_content_size=2048, max_content_length=700)
    server.reply(search_page(*("\n語" * 500 for _ in range(10))))

    await api.call("vector_stores.search", **{**SEARCH, "query": ["語" * 1000] * 5})

    sizes = [len(str(told.attributes[name]).encode()) for name in (QUERY, DOCUMENTS)]
    assert all(1024 < size <= 2048 for size in sizes), sizes
    assert told.attributes[CUT] > 0
    assert on_span(told)[DOCUMENTS][-1] == {"type": "omitted", "name": "omitted"}


async def test_a_search_is_redacted(api: Api, server: ScriptedServer, telling: Telling) -> None:
    def redact(kind: str, text: str) -> str | None:
        return None if text == "facts.txt" else f"<{kind}>"

    told = telling(capture_content="span", redact=redact)
    server.reply(search_page("secret"))

    await api.call("vector_stores.search", **{**SEARCH, "query": "secret"})

    assert on_span(told) == {QUERY: "<prompt>", DOCUMENTS: [{"id": "<answer>", "score": 0.95, "content": "<answer>"}]}
    assert b"secret" not in otlp(told)


async def test_a_decision_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    need("decisions.create")
    told = telling(capture_content="both")
    question = {"type": "predicate", "name": "polite", "question": "Is it polite?"}
    server.reply(
        decision(
            answers=[{"type": "predicate", "name": "polite", "probability": 0.9}, {"type": "refusal", "name": "kind"}]
        )
    )

    await api.call("decisions.create", model="m", input="Hi.", questions=[question])

    asked = {"type": "predicate", "content": {"name": "polite", "question": "Is it polite?"}}
    judged = {"type": "predicate", "content": {"name": "polite", "probability": 0.9}}
    refused = {"type": "refusal", "content": {"name": "kind"}}
    assert on_span(told) == {INPUT: [user("Hi."), user(asked)], OUTPUT: [answer(judged, refused)]}
    assert on_event(told) == on_span(told)
