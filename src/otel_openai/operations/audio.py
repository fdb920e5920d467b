"""Audio: `audio.speech`, `.transcriptions` and `.translations`. What is uploaded or spoken is not looked at.

Usage is what the server says it is: the `duration` of the sound is not, as some bill a least number of seconds.
"""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, extra, fields, listed, mapped, number, text
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
    told = fields(result)
    reason = text(told.get("finish_reason"), 64)
    return Outcome(
        response_model=text(told.get("model")),
        finish_reasons=[] if reason is None else [reason],
        usage=read_usage(told.get("usage")),
        reported_usage=told.get("usage"),
        error=body_error(result, answered=told.get("text") is not None),
    )


class TranscriptObserver(EventsObserver):
    """Watches a transcription. vLLM streams it in chunks like those of chat, which have no type."""

    __slots__ = ("_id", "_reasons")

    def __init__(self) -> None:
        EventsObserver.__init__(self)
        self._id: object = None
        self._reasons: list[str] = []

    def _untyped(self, event: Any) -> bool:
        self._id = self._id or getattr(event, "id", None)
        self._model = getattr(event, "model", None) or self._model
        self._usage = getattr(event, "usage", None) or self._usage
        output: object = None
        for choice in listed(extra(event, "choices"))[:1]:  # there is never another
            told = fields(choice)
            reason = text(told.get("finish_reason"), 64)
            self._ended = reason is not None  # long sound is heard in pieces, each with an end of its own
            self._reasons = [reason or names.FINISH_ERROR]
            output = fields(told.get("delta")).get("content")
        return EventsObserver._untyped(self, event) or (bool(output) and self._is_first())

    def outcome(self) -> Outcome:
        """What was seen until now."""
        outcome = EventsObserver.outcome(self)
        outcome.response_id = self._id
        outcome.finish_reasons = self._reasons
        return outcome


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
    observer=TranscriptObserver,
    messages=TRANSCRIPTIONS_MESSAGES,
)
