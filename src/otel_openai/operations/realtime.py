"""Realtime: the responses of a session over WebSocket, told in the words of Responses; and what it transcribes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, count, fields, integer, mapped, number, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._request import prompt_template, reasoning_level
from otel_openai.operations._usage import read_usage
from otel_openai.operations.audio import TRANSCRIPTIONS
from otel_openai.operations.responses import ResponsesObserver, read_response


def _output_type(modalities: object) -> str | None:
    """Audio comes with its transcript, so text is the type only where nothing else was asked for."""
    if not isinstance(modalities, (list, tuple)):
        return None
    return "speech" if "audio" in modalities else "text" if "text" in modalities else None


_RULES: Mapping[str, Rule] = {
    "temperature": (names.REQUEST_TEMPERATURE, number),  # beta
    "max_response_output_tokens": (names.REQUEST_MAX_TOKENS, integer),  # beta
    "max_output_tokens": (names.REQUEST_MAX_TOKENS, integer),
    "modalities": (names.OUTPUT_TYPE, _output_type),  # beta
    "output_modalities": (names.OUTPUT_TYPE, _output_type),
    "reasoning": (names.REQUEST_REASONING_LEVEL, reasoning_level),
}
_CACHED_DETAILS = {
    "text_tokens": names.USAGE_TEXT_CACHE_READ,
    "image_tokens": names.USAGE_IMAGE_CACHE_READ,
    "audio_tokens": names.USAGE_AUDIO_CACHE_READ,
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {**mapped(params, _RULES), **prompt_template(params.get("prompt")), names.REQUEST_STREAM: True}


def _complete(outcome: Outcome, response: Any) -> Outcome:
    """Add what Realtime tells in places of its own."""
    told = fields(response)
    details = fields(told.get("status_details"))
    if told.get("status") == "incomplete":
        outcome.finish_reasons = [text(details.get("reason"), 64) or "incomplete"]
    if told.get("status") == "failed":
        outcome.error = details.get("error") or outcome.error
    if (conversation := text(told.get("conversation_id"))) is not None:
        outcome.attributes[names.CONVERSATION_ID] = conversation
    input_details = fields(fields(told.get("usage")).get("input_token_details"))
    for field, value in fields(input_details.get("cached_tokens_details")).items():
        if field in _CACHED_DETAILS and (tokens := count(value)) is not None:
            outcome.usage[_CACHED_DETAILS[field]] = tokens
    return outcome


def _response(result: Any) -> Outcome:
    return _complete(read_response(result), result)


class RealtimeObserver(ResponsesObserver):
    """Watches the events of one response of a session."""

    __slots__ = ()

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return _complete(ResponsesObserver.outcome(self), self._last)


REALTIME = Operation(name="chat", request=_request, response=_response, observer=RealtimeObserver)


def _transcribed(event: Any) -> Outcome:
    told = fields(event)
    usage, kind = told.get("usage"), text(told.get("type")) or ""
    error = fields(told.get("error")) if kind.endswith(".failed") else None
    return Outcome(usage=read_usage(usage), reported_usage=usage, error=error)


REALTIME_TRANSCRIPTION = replace(TRANSCRIPTIONS, response=_transcribed, messages=None)
