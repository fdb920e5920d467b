"""Decisions: `decisions.create`."""

from collections.abc import Mapping
from typing import Any

from otel_openai._values import AttributeValue, extra, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._responses_content import DECISIONS_MESSAGES
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error


def _request(_params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {}


def _response(result: Any) -> Outcome:
    return Outcome(
        response_id=extra(result, "id"),
        response_model=text(getattr(result, "model", None)),
        usage=read_usage(getattr(result, "usage", None)),
        reported_usage=getattr(result, "usage", None),
        error=body_error(result, answered=bool(getattr(result, "answers", None))),
    )


DECISIONS = Operation(
    name="chat", request=_request, response=_response, observer=EventsObserver, messages=DECISIONS_MESSAGES
)
