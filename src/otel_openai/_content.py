"""Content as the conventions shape it: messages of parts. Each piece is redacted, then cut; each attribute is bounded.

Nothing here knows an API: `operations/_*_content.py` say where the pieces are.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from otel_openai import _guard
from otel_openai._binary import Binary, from_data_url, is_data_url
from otel_openai._plain import clean, encode, parsed, plain, size
from otel_openai._values import text as short_text

Kind: TypeAlias = Literal[
    "prompt", "answer", "instructions", "tool_arguments", "tool_result", "tool_definition", "error"
]
Part: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]

# A secret that begins before a cut is seen whole by the redactor if it is no longer than this.
MARGIN = 4096
_LOOK_AHEAD = 16  # characters that may belong to the one before a cut
_LEAST = 256  # bytes; in less, no part says anything
_MESSAGE = 128  # bytes of a message that says nothing
_OMITTED = {"type": "omitted", "name": "omitted"}  # a definition of a tool must have a name
_MIME_TYPE = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}", re.ASCII)
_redacting = ContextVar("otel_openai_redacting", default=False)
_RESERVED = 192  # bytes, for what marks the places where parts or messages were left out


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the content leaves, and what it goes through first."""

    part: int
    """Characters of one piece of text, or of one piece of binary data as base64."""
    attribute: int
    """Bytes of one attribute as JSON."""
    redact: Callable[[Kind, str], str | None] | None = None
    tool_schemas: bool = False
    """Whether tools are told with their descriptions and parameters."""

    @property
    def window(self) -> int:
        """Characters of one piece that are looked at."""
        return self.part + self.margin

    @property
    def binary(self) -> int:
        """Characters of binary data as base64 that are told whole."""
        return min(self.part, self.attribute)

    @property
    def margin(self) -> int:
        """Characters behind the cut that are looked at too."""
        return _LOOK_AHEAD if self.redact is None else MARGIN

    def redacted(self, kind: Kind, text: str) -> str | None:
        """What the redactor leaves of a piece; None where it drops it, or fails."""
        if self.redact is None:
            return text
        if _redacting.get():  # it asks a model: what it asks would be redacted without end
            return None
        running = _redacting.set(True)
        try:
            left = self.redact(kind, text)
        except Exception as error:  # its message may repeat the piece: only its class is logged
            _guard.report("running `redact`", type(error).__name__)
            return None
        finally:
            _redacting.reset(running)
        if left is not None and not isinstance(left, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            _guard.report("running `redact`", f"it returned {type(left).__name__}")
            return None
        return None if left is None else clean(left)


class Clipped(str):
    """The beginning of a text that was longer."""

    __slots__ = ("total",)
    total: int
    """Characters of the whole text."""


class Writer:
    """Makes the content attributes of one call. What does not fit is cut or left out, marked, and counted."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.attributes: dict[str, list[Any] | str] = {}
        self.cut = 0
        """Places where something is missing for its size."""
        self._left = 0  # bytes of the current attribute

    # Attributes

    def _begin(self) -> None:
        self._left = self.limits.attribute - _RESERVED

    def newest(self, name: str, items: Sequence[Any], tell: Callable[["Writer", Any], Message | None]) -> None:
        """Write messages from the last to the first, as far as there is room: what is left out is the oldest."""
        written: list[Any] = []
        self._begin()
        for position in range(len(items) - 1, -1, -1):
            if self._left >= _LEAST:
                message = tell(self, items[position])
                if self._left >= 0:
                    written.extend([] if message is None else [message])
                    continue
            self.cut += 1
            written.append({"role": "system", "parts": [{"type": "omitted", "messages": position + 1}]})
            break
        if written:
            self.attributes[name] = written[::-1]

    def choices(self, name: str, items: Sequence[Any], tell: Callable[["Writer", Any], Message]) -> None:
        """Write every message, in order, one a choice: there is room for each, but perhaps not for what it says.

        Where there are so many that even that is too much, the last ones are left out.
        """
        self._begin()
        share = _MESSAGE if len(items) * _MESSAGE < self._left else 0
        self._left -= share * len(items)
        written: list[Any] = []
        for position, item in enumerate(items):
            self._left += share
            message = tell(self, item)
            if self._left < 0:
                self.cut += 1
                written.append({"role": "assistant", "parts": [{"type": "omitted", "messages": len(items) - position}]})
                break
            written.append(message)
        if written:
            self.attributes[name] = written

    def parts(self, name: str, parts: Iterable[Part | None]) -> None:
        """Write parts without a message around them, as far as there is room."""
        self._begin()
        if written := list(self._fitting(parts)):
            self.attributes[name] = written

    def lines(self, name: str, kind: Kind, texts: Iterable[object]) -> None:
        """Write texts as one, as far as there is room."""
        self._begin()
        told = [part.get("content", "…") for part in self._fitting(self.part(kind, text) for text in texts)]
        if told:
            self.attributes[name] = "\n".join(told)

    # Messages and parts

    def message(self, role: object, parts: Iterable[Part | None], **more: object) -> Message:
        """A message of those parts that fit; of further fields those that are not None."""
        told: Message = {"role": short_text(role, 64) or "unknown", "parts": []}
        told.update((key, value) for key, value in more.items() if value is not None)
        self._left -= size(told) + 1
        told["parts"] = list(self._fitting(parts))
        return told

    def _fitting(self, parts: Iterable[Part | None]) -> Iterator[Part]:
        for part in parts:
            if part is None:
                continue
            if self._left < _LEAST:
                self.cut += 1
                self._left -= size(_OMITTED)
                yield _OMITTED
                return
            needed = size(part)
            if needed > self._left:
                part = self._shrunk(part)  # noqa: PLW2901
                needed = size(part)
            self._left -= needed + 1
            yield part

    def _shrunk(self, part: Part) -> Part:
        """A part that is larger than the room that is left: with its text cut further, else what stands for it."""
        room = self._left - _LEAST // 4
        name = next((name for name in ("content", "response", "arguments") if isinstance(part.get(name), str)), None)
        if name is not None and part.get("type") != "blob":
            whole = part[name]
            kept, _, marked = whole.rpartition(_MARK)
            characters = _CUT.fullmatch(marked) if kept else None
            total = len(kept) + int(characters[1]) if characters else len(whole)
            self.cut += characters is None
            rest = size({**part, name: ""})
            kept = kept if characters else whole
            while kept and (needed := rest + size(kept)) > room:
                kept = kept[: min(len(kept) - 1, len(kept) * max(room - rest, 0) // (needed - rest))]
            if kept:
                return {**part, name: _cut(whole, len(kept), total)}
        else:
            self.cut += 1
        if part.get("type") == "blob":
            return Binary.of(part["content"]).part(part["modality"], part.get("mime_type"), whole=False)
        return {"type": "omitted", "name": part.get("type", "omitted")[:32]}

    def text(self, kind: Kind, value: object) -> str | None:
        """A piece of text, redacted and cut; None for what is none, is empty, or was dropped."""
        if not isinstance(value, str) or not value:
            return None
        limits = self.limits
        window = limits.window
        room = min(limits.part, max(self._left - _LEAST // 2, 0))
        total = value.total if isinstance(value, Clipped) else len(value)
        left = limits.redacted(kind, clean(value if len(value) <= window else value[:window]))
        if left is None:
            return None
        if total > window:
            room = min(room, max(len(left) - limits.margin, 0))  # the rest may end in half a secret
        elif len(left) <= room:
            return left
        self.cut += 1
        return _cut(left, room, max(total, len(left)))

    def part(self, kind: Kind, value: object, of_type: str = "text") -> Part | None:
        """A part that is one piece of text."""
        content = self.text(kind, value)
        return None if content is None else {"type": of_type, "content": content}

    def structure(self, kind: Kind, value: object) -> Any:
        """Any value as JSON. Text is told as text."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and not is_data_url(value):
            return self.text(kind, value)
        told = self.text(kind, encode(plain(value, self.limits.window)))
        return None if told is None else parsed(told)

    def tool_call(self, call_id: object, name: object, arguments: object, *, is_json: bool = True) -> Part:
        """A call that the app is asked to run. JSON text is told as the value that it stands for."""
        told: Part = {"type": "tool_call", "name": short_text(name, 128) or "unknown"}
        if (identity := self.text("tool_arguments", call_id)) is not None:
            told["id"] = identity
        value = self.structure("tool_arguments", arguments)
        if value is not None:
            told["arguments"] = parsed(value) if is_json and isinstance(value, str) else value
        return told

    def tool_result(self, call_id: object, result: object) -> Part:
        """What the app answered to a call."""
        told: Part = {"type": "tool_call_response", "response": self.structure("tool_result", result)}
        if (identity := self.text("tool_result", call_id)) is not None:
            told["id"] = identity
        return told

    def link(self, kind: Kind, modality: str, url: object) -> Part | None:
        """What a URL stands for: the data in it, or the address."""
        if not isinstance(url, str) or not url:
            return None
        stripped = url.lstrip()  # as everyone does who reads a URL
        if is_data_url(stripped):
            if isinstance(url, Clipped):  # its end is not here to be hashed
                return {"type": "omitted", "modality": modality}
            data, mime_type = from_data_url(stripped, self.limits.binary)
            return self.binary(modality, data, mime_type)
        address = self.text(kind, url)
        return None if address is None else {"type": "uri", "modality": modality, "uri": address}

    def base64(self, modality: str, encoded: object, mime_type: str | None = None) -> Part | None:
        """Binary data as base64 text, or as a data URL."""
        if not isinstance(encoded, str) or not encoded:
            return None
        if isinstance(encoded, Clipped):  # its end is not here to be hashed
            return {"type": "omitted", "modality": modality}
        if is_data_url(encoded):
            return self.link("prompt", modality, encoded)
        return self.binary(modality, Binary.of(encoded, self.limits.binary), mime_type)

    def binary(self, modality: str, data: Binary, mime_type: str | None = None) -> Part | None:
        """Binary data. A redactor cannot look into it, so where there is one it does not leave."""
        if data.is_empty:
            return None
        if mime_type is not None and _MIME_TYPE.fullmatch(mime_type) is None:
            mime_type = None
        return data.part(modality, mime_type, whole=self.limits.redact is None)


_MARK = "… ["
_CUT = re.compile(r"(\d{1,18}) characters cut\]", re.ASCII)


def _cut(text: str, limit: int, total: int) -> str:
    kept = text[: _boundary(text, limit)]
    return f"{kept}{_MARK}{total - len(kept)} characters cut]"


def _boundary(text: str, limit: int) -> int:
    """The limit, or a little less where it would part what is read as one character."""
    for end in range(min(limit, len(text)), max(limit - _LOOK_AHEAD, 0), -1):
        after = text[end : end + 1]
        joined = after and (unicodedata.category(after) in _JOINING or text[end - 1] == "\u200d" or after in _JOINERS)
        if not joined:
            return end
    return min(limit, len(text))


_JOINING = frozenset({"Mn", "Me", "Mc"})  # accents, variation selectors
_JOINERS = "\u200d\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # emoji of several, skin tones
