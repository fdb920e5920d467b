"""Content of APIs that take a text, or a list of texts, or tokens: legacy completions, embeddings, searches."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from otel_openai import _semconv as names
from otel_openai._content import Limits, Message, Part, Writer
from otel_openai._gathered import Gathered, Room
from otel_openai._plain import members
from otel_openai._values import listed, number
from otel_openai.operations._base import Messages
from otel_openai.operations._chat_content import content_parts, finish_reason
from otel_openai.operations._choices import FinishReasons


def write_prompt(writer: Writer, prompt: Any, suffix: object = None) -> None:
    """Write a text, or the tokens or parts of one; of a list of those each is a message of the user."""
    items = listed(prompt)
    if not items or isinstance(items[0], (int, dict)):  # one text, the tokens or the parts of one
        items = [prompt]
    if suffix:
        items = [*items, {"type": "suffix", "text": suffix}]
    writer.newest(names.INPUT_MESSAGES, items, _prompted)


def _prompted(writer: Writer, prompt: Any) -> Message | None:
    if prompt is None:
        return None
    told = members(prompt)
    if told.get("type") == "suffix":
        return writer.message("user", [writer.part("prompt", told.get("text"), "suffix")])
    items = listed(prompt)
    if items and isinstance(items[0], int):
        return writer.message("user", [{"type": "tokens", "content": writer.structure("prompt", items)}])
    return writer.message("user", content_parts(writer, "prompt", items or [prompt]))


def _completion_request(writer: Writer, params: Mapping[str, Any]) -> None:
    write_prompt(writer, params.get("prompt"), params.get("suffix"))


def _completion_response(writer: Writer, result: Any) -> None:
    order = FinishReasons()
    choices: dict[int, dict[str, Any]] = {}
    for position, item in enumerate(listed(members(result).get("choices"))):
        choice = members(item)
        choices.setdefault(order.whole(choice.get("index"), position), choice)
    writer.choices(names.OUTPUT_MESSAGES, [choices[key] for key in sorted(choices)], _completed)


def _completed(writer: Writer, choice: dict[str, Any]) -> Message:
    said = writer.part("answer", choice.get("text"))
    return writer.message("assistant", [said], finish_reason=finish_reason(choice))


class CompletionsContentObserver:
    """Watches the chunks of a legacy completion for their text."""

    def __init__(self, limits: Limits) -> None:
        self._room = Room(limits)
        self._order = FinishReasons()
        self._texts: dict[int, Gathered] = {}

    def chunk(self, chunk: Any, /) -> None:
        """Take what one chunk says."""
        for position, item in enumerate(listed(members(chunk).get("choices"))):
            choice = members(item)
            key = self._order.choice(choice.get("index"), position)
            self._order.finished(key, choice.get("finish_reason"))
            if key not in self._texts and key in self._order.by_index:
                self._texts[key] = Gathered(self._room)
            if key in self._texts:
                self._texts[key].add(choice.get("text"))

    def result(self) -> Any:
        """What was said until now, in the shape of a plain answer."""
        reasons = self._order.by_index
        told = [
            {"index": key, "text": text.value(), "finish_reason": reasons[key]}
            for key, text in sorted(self._texts.items())
        ]
        return {"choices": told}


def _input_request(writer: Writer, params: Mapping[str, Any]) -> None:
    write_prompt(writer, params.get("input"))


def _search_request(writer: Writer, params: Mapping[str, Any]) -> None:
    query = params.get("query")
    writer.lines(names.RETRIEVAL_QUERY_TEXT, "prompt", listed(query) or [query])


def _search_response(writer: Writer, result: Any) -> None:
    found = listed(members(result).get("data"))
    writer.parts(names.RETRIEVAL_DOCUMENTS, (_document(writer, members(item)) for item in found))


def _document(writer: Writer, found: Mapping[str, Any]) -> Part:
    score = number(found.get("score"))
    texts = [writer.text("answer", members(item).get("text")) for item in listed(found.get("content"))]
    told = {
        "id": writer.text("answer", found.get("file_id")),
        "score": score if score is not None and isfinite(score) else None,
        "filename": writer.text("answer", found.get("filename")),
        "content": "\n".join(text for text in texts if text is not None) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


COMPLETIONS_MESSAGES = Messages(
    request=_completion_request, response=_completion_response, observer=CompletionsContentObserver
)
SEARCH_MESSAGES = Messages(request=_search_request, response=_search_response)
INPUT_ONLY = Messages(request=_input_request)
