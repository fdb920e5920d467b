"""Moderations: `moderations.create`."""

from collections.abc import Mapping
from typing import Any

from otel_openai._values import AttributeValue, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._prompt_content import INPUT_ONLY
from otel_openai.operations.chat import body_error


def _request(_params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {}


def _response(result: Any) -> Outcome:
    return Outcome(
        response_id=getattr(result, "id", None),
        response_model=text(getattr(result, "model", None)),
        error=body_error(result, answered=bool(getattr(result, "results", None))),
    )


MODERATIONS = Operation(
    name="moderation", request=_request, response=_response, observer=EventsObserver, messages=INPUT_ONLY
)
