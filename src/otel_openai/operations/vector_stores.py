"""Vector stores: `vector_stores.search`. One span a page; the client asks for one page only."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, integer, mapped, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._prompt_content import SEARCH_MESSAGES
from otel_openai.operations.chat import body_error

_RULES: Mapping[str, Rule] = {
    "vector_store_id": (names.DATA_SOURCE_ID, text),
    "max_num_results": (names.RETRIEVAL_TOP_K, integer),
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return mapped(params, _RULES)


def _response(result: Any) -> Outcome:
    return Outcome(error=body_error(result, answered=getattr(result, "data", None) is not None))


SEARCH = Operation(
    name="retrieval",
    request=_request,
    response=_response,
    observer=EventsObserver,
    positional=("vector_store_id",),
    messages=SEARCH_MESSAGES,
)
