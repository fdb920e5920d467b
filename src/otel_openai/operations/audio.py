"""Audio: `audio.speech`, `.transcriptions` and `.translations`. What is uploaded or spoken is not looked at.

Usage is what the server says it is: the `duration` of the sound is not, as some bill a least number of seconds.
"""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, mapped, number
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._media_content import SPEECH_MESSAGES, TRANSCRIPTIONS_MESSAGES
from otel_openai.operations._request import only_true
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_RULES: Mapping[str, Rule] = {
    "temperature": (names.REQUEST_TEMPERATURE, number),
    "stream": (names.REQUEST_STREAM, only_true),
}
_PAGE = ("<!doctype", "<html")


def _speech_request(_params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {names.OUTPUT_TYPE: "speech"}


def _speech_response(_result: Any) -> Outcome:
    return Outcome()  # the body is sound, and the app's to read


def _text_request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {**mapped(params, _RULES), names.OUTPUT_TYPE: "text"}


def _text_response(result: Any) -> Outcome:
    if isinstance(result, str):  # plain text and subtitles are answers as good as any; a page is none
        return Outcome(error=result if result[:64].lstrip().lower().startswith(_PAGE) else None)
    return Outcome(
        usage=read_usage(getattr(result, "usage", None)),
        reported_usage=getattr(result, "usage", None),
        error=body_error(result, answered=getattr(result, "text", None) is not None),
    )


SPEECH = Operation(
    name="generate_content",
    request=_speech_request,
    response=_speech_response,
    observer=EventsObserver,
    messages=SPEECH_MESSAGES,
)
TRANSCRIPTIONS = Operation(
    name="generate_content",
    request=_text_request,
    response=_text_response,
    observer=EventsObserver,
    messages=TRANSCRIPTIONS_MESSAGES,
)
