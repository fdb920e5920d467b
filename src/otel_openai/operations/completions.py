"""Legacy completions: `completions.create`."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, extra, integer, mapped, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._choices import FinishReasons
from otel_openai.operations._prompt_content import COMPLETIONS_MESSAGES
from otel_openai.operations._request import SAMPLING, not_one, only_true
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error, choice_error

_RULES: Mapping[str, Rule] = {
    **SAMPLING,
    "max_tokens": (names.REQUEST_MAX_TOKENS, integer),
    "n": (names.REQUEST_CHOICE_COUNT, not_one),
    "stream": (names.REQUEST_STREAM, only_true),
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return mapped(params, _RULES)


def _response(result: Any) -> Outcome:
    observer = CompletionsObserver()  # a chunk has the shape of a whole answer
    observer.chunk(result)
    return observer.outcome()


class CompletionsObserver:
    """Watches the chunks of a legacy completion."""

    __slots__ = ("_error", "_fingerprint", "_id", "_model", "_output", "_reasons", "_usage")

    def __init__(self) -> None:
        self._reasons = FinishReasons()
        self._usage: object = None
        self._id: object = None
        self._model: object = None
        self._fingerprint: object = None
        self._error: object = None
        self._output = False

    def chunk(self, chunk: Any, /) -> bool:
        """Take note of one chunk."""
        self._id = self._id or getattr(chunk, "id", None)
        self._model = self._model or getattr(chunk, "model", None)
        self._fingerprint = self._fingerprint or getattr(chunk, "system_fingerprint", None)
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = usage
        choices = getattr(chunk, "choices", None)
        if choices.__class__ is not list or not choices:
            self._error = body_error(chunk, answered=False) or self._error
            return False
        output = False
        for position, choice in enumerate(choices):
            key = self._reasons.choice(getattr(choice, "index", None), position)
            if getattr(choice, "text", None):
                output = True
            reason = getattr(choice, "finish_reason", None)
            if reason is not None:
                self._reasons.finished(key, reason)
                self._reasons.seeded(key, extra(choice, "seed"))
                self._usage = extra(choice, "usage") or self._usage
                self._error = body_error(chunk, answered=True) or choice_error(choice) or self._error
        if output and not self._output:
            self._output = True
            return True
        return False

    def outcome(self) -> Outcome:
        """What was seen until now."""
        return Outcome(
            response_id=self._id,
            response_model=text(self._model),
            finish_reasons=self._reasons.as_list(),
            usage=read_usage(self._usage),
            reported_usage=self._usage,
            system_fingerprint=self._fingerprint,
            attributes=self._reasons.attributes(),
            error=self._error or self._reasons.error,
            complete=self._reasons.complete,
        )


COMPLETIONS = Operation(
    name="text_completion",
    request=_request,
    response=_response,
    observer=CompletionsObserver,
    usage_on_request=True,
    messages=COMPLETIONS_MESSAGES,
)
