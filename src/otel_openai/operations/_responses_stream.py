"""The items of a response, put together from its events as far as they will be exported.

The last event carries the whole response. What is gathered here is told where that event never comes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from otel_openai._content import Limits
from otel_openai._gathered import Gathered, Room, clipped
from otel_openai._plain import members
from otel_openai._values import listed

_MAX_ITEMS = 512
_MAX_TEXTS = 2048
_Key: TypeAlias = "int | str"


class _Delta(NamedTuple):
    """Where the text of a delta belongs."""

    item_type: str
    field: str
    part_type: str | None = None
    """Where the field is a list of parts."""
    text: str = "text"
    place: str = "content_index"


_DELTAS: Mapping[object, _Delta] = {
    "response.output_text.delta": _Delta("message", "content", "output_text"),
    "response.refusal.delta": _Delta("message", "content", "refusal", "refusal"),
    "response.reasoning_text.delta": _Delta("reasoning", "content", "reasoning_text"),
    "response.reasoning_summary_text.delta": _Delta("reasoning", "summary", "summary_text", place="summary_index"),
    "response.function_call_arguments.delta": _Delta("function_call", "arguments"),
    "response.custom_tool_call_input.delta": _Delta("custom_tool_call", "input"),
    "response.mcp_call_arguments.delta": _Delta("mcp_call", "arguments"),
    "response.code_interpreter_call_code.delta": _Delta("code_interpreter_call", "code"),
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class _Item:
    """One item of the output."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.texts: dict[tuple[_Delta, int | None], Gathered] = {}

    def value(self) -> dict[str, Any]:
        """The item as far as it came."""
        value = dict(self.told)
        for (delta, _), text in self.texts.items():
            value.setdefault("type", delta.item_type)
            if delta.part_type is None:
                value[delta.field] = text.value()
            else:
                part = {"type": delta.part_type, delta.text: text.value()}
                value[delta.field] = [*listed(value.get(delta.field)), part]
        return value


class ResponsesContentObserver:
    """Watches the events of a response for their content."""

    def __init__(self, limits: Limits) -> None:
        self._room = Room(limits)
        self._items: dict[_Key, _Item] = {}
        self._texts = 0
        self._final: Any = None

    def chunk(self, event: Any, /) -> None:
        """Take what one event says. Most are deltas of a text that has begun."""
        told = members(event)
        kind = told.get("type")
        if kind.__class__ is not str:
            return
        if (delta := _DELTAS.get(kind)) is not None:
            self._add(told, delta)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._take(told, is_done=kind.endswith("done"))
        elif kind in _ENDS:
            self._final = told.get("response")

    def _add(self, event: Mapping[str, Any], delta: _Delta) -> None:
        item = self._item(event, event.get("item_id"))
        if item is None:
            return
        place = event.get(delta.place)
        key = (delta, place if isinstance(place, int) else None)
        text = item.texts.get(key)
        if text is None:
            if self._texts >= _MAX_TEXTS:
                return
            self._texts += 1
            text = item.texts[key] = Gathered(self._room)
        text.add(event.get("delta"))

    def _take(self, event: Mapping[str, Any], *, is_done: bool) -> None:
        sent = members(event.get("item"))
        item = self._item(event, sent.get("id"))
        if item is None or not sent:
            return
        if is_done:
            for text in item.texts.values():
                text.forget()
            item.texts.clear()
        item.told = clipped(members(sent), self._room)
        if not is_done:  # it begins empty, and its texts come as deltas
            for delta in _DELTAS.values():
                if not item.told.get(delta.field):
                    item.told.pop(delta.field, None)

    def _item(self, event: Mapping[str, Any], identity: object) -> _Item | None:
        index = event.get("output_index")
        key = index if isinstance(index, int) else identity  # llama.cpp sends no index
        if not isinstance(key, (int, str)):
            return None
        item = self._items.get(key)
        if item is None and len(self._items) < _MAX_ITEMS:
            item = self._items[key] = _Item()
        return item

    def result(self) -> Any:
        """The response, or what came of it."""
        told = members(self._final)
        if len(listed(told.get("output"))) >= len(self._items) and told:
            return self._final
        output = [item.value() for item in self._items.values()]
        return {**told, "output": output} if output or told else None
