"""Images: `images.generate`, `.edit` and `.create_variation`. Files that the app uploads are not looked at."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, mapped
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._media_content import IMAGES_MESSAGES
from otel_openai.operations._request import not_one, only_true
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_RULES: Mapping[str, Rule] = {
    "n": (names.REQUEST_CHOICE_COUNT, not_one),
    "stream": (names.REQUEST_STREAM, only_true),
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {**mapped(params, _RULES), names.OUTPUT_TYPE: "image"}


def _response(result: Any) -> Outcome:
    return Outcome(
        usage=read_usage(getattr(result, "usage", None)),
        reported_usage=getattr(result, "usage", None),
        error=body_error(result, answered=bool(getattr(result, "data", None))),
    )


IMAGES = Operation(
    name="generate_content", request=_request, response=_response, observer=EventsObserver, messages=IMAGES_MESSAGES
)
