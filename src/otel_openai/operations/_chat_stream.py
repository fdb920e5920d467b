"""The choices of a chat completion, put together from a stream: as far as they will be exported."""

from collections.abc import Mapping
from typing import Any

from otel_openai._binary import Binary
from otel_openai._content import Limits
from otel_openai._gathered import Gathered, Room
from otel_openai._plain import members
from otel_openai._values import listed
from otel_openai.operations._choices import FinishReasons, ToolCallDeltas

_MAX_CALLS = 512
_TEXTS = frozenset({"content", "refusal", "reasoning", "reasoning_content"})


class _Call:
    """One tool call."""

    __slots__ = ("arguments", "id", "is_custom", "name")

    def __init__(self, room: Room) -> None:
        self.id: object = None
        self.name: object = None
        self.arguments = Gathered(room)
        self.is_custom = False

    def add(self, call_id: object, called: Mapping[str, Any], field: str) -> None:
        self.id = self.id or call_id
        self.name = self.name or called.get("name")
        self.arguments.add(called.get(field))

    def told(self) -> dict[str, Any]:
        if self.is_custom:
            return {"id": self.id, "custom": {"name": self.name, "input": self.arguments.value()}}
        return {"id": self.id, "function": {"name": self.name, "arguments": self.arguments.value()}}


class _Choice:
    """One choice."""

    __slots__ = ("audio", "audio_id", "calls", "finish_reason", "function_call", "role", "texts", "transcript")

    def __init__(self, room: Room) -> None:
        self.role: object = None
        self.finish_reason: object = None
        self.texts = {name: Gathered(room) for name in _TEXTS}
        self.calls: list[_Call] = []
        self.function_call: _Call | None = None
        self.audio: Binary | None = None
        self.audio_id: object = None
        self.transcript = Gathered(room)

    def told(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {name: text.value() for name, text in self.texts.items()}
        message["role"] = self.role
        message["tool_calls"] = [call.told() for call in self.calls]
        if self.function_call is not None:
            message["function_call"] = self.function_call.told()["function"]
        if self.audio is not None:
            message["audio"] = {"id": self.audio_id, "data": self.audio, "transcript": self.transcript.value()}
        return {"index": index, "finish_reason": self.finish_reason, "message": message}


class ChatContentObserver:
    """Watches the chunks of a chat completion for their content."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.binary
        self._room = Room(limits)
        self._order = FinishReasons()
        self._choices: dict[int, _Choice] = {}
        self._deltas = ToolCallDeltas()
        self._open: dict[object, _Call] = {}
        self._only: Gathered | None = None  # the content of choice 0, once it has begun

    def chunk(self, chunk: Any, /) -> None:
        """Take what one chunk says. Most carry one more piece of the content of the first choice, and nothing else."""
        try:
            (choice,) = chunk.__dict__["choices"]
            piece = choice.__dict__
            delta = piece["delta"]
            told = delta.__dict__
            content = told["content"]
            if (
                self._only is not None
                and content.__class__ is str
                and piece["index"] == 0
                and piece["finish_reason"] is None
                and told["tool_calls"] is told["function_call"] is told["refusal"] is told.get("audio") is None
                and not delta.__pydantic_extra__
            ):
                self._only.add(content)
                return
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        for position, choice in enumerate(listed(members(chunk).get("choices"))):
            self._take(members(choice), position)

    def _take(self, choice: Mapping[str, Any], position: int) -> None:
        key = self._order.choice(choice.get("index"), position)
        if key not in self._order.by_index:
            return
        taken = self._choices.get(key)
        if taken is None:
            taken = self._choices[key] = _Choice(self._room)
        taken.finish_reason = choice.get("finish_reason") or taken.finish_reason
        delta = members(choice.get("delta"))
        taken.role = taken.role or delta.get("role")
        for name in _TEXTS:
            if (piece := delta.get(name)) is not None:
                self._add(taken, name, piece)
        for call in listed(delta.get("tool_calls")):
            self._add_call(key, taken, members(call))
        if (function := delta.get("function_call")) is not None:
            if taken.function_call is None:
                taken.function_call = _Call(self._room)
            taken.function_call.add(None, members(function), "arguments")
        if (audio := delta.get("audio")) is not None:
            self._add_audio(taken, members(audio))
        if key == 0 and taken.texts["content"].total:
            self._only = taken.texts["content"]

    def _add(self, choice: _Choice, name: str, piece: object) -> None:
        choice.texts[name].add(piece)
        for part in listed(piece):  # Mistral: a list of parts
            told = members(part)
            choice.texts["content"].add(told.get("text"))
            for thought in listed(told.get("thinking")):
                choice.texts["reasoning"].add(members(thought).get("text"))

    def _add_call(self, key: int, choice: _Choice, call: Mapping[str, Any]) -> None:
        custom = call.get("custom")
        called = members(call.get("function") if custom is None else custom)
        identity, begun = self._deltas.delta(key, call.get("index"), call.get("id"), called.get("name"))
        if begun:
            if len(self._open) >= _MAX_CALLS:
                return
            taken = _Call(self._room)
            taken.is_custom = custom is not None
            choice.calls.append(taken)
            self._open[identity] = self._open[key, None] = taken
        elif (taken := self._open.get(identity)) is None:
            return
        taken.add(call.get("id"), called, "input" if taken.is_custom else "arguments")

    def _add_audio(self, choice: _Choice, audio: Mapping[str, Any]) -> None:
        if choice.audio is None:
            choice.audio = Binary(self._limit)
        choice.audio_id = choice.audio_id or audio.get("id")
        if isinstance(data := audio.get("data"), str):
            choice.audio.add_base64(data)
        choice.transcript.add(audio.get("transcript"))

    def result(self) -> Any:
        """What was said until now, in the shape of a plain answer."""
        return {"choices": [choice.told(index) for index, choice in sorted(self._choices.items())]}
