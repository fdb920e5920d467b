"""Videos: `videos.create`, `.remix`, `.edit` and `.extend`. Each starts a job that is billed by the second."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._media_content import VIDEOS_MESSAGES
from otel_openai.operations.chat import body_error


def _request(_params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {names.OUTPUT_TYPE: "video"}


def _response(result: Any) -> Outcome:
    status = getattr(result, "status", None)
    failure: object = getattr(result, "error", None) or {}
    return Outcome(
        response_id=text(getattr(result, "id", None)),
        response_model=text(getattr(result, "model", None)),
        error=failure if status == "failed" else body_error(result, answered=status is not None),
    )


VIDEOS = Operation(
    name="generate_content", request=_request, response=_response, observer=EventsObserver, messages=VIDEOS_MESSAGES
)
