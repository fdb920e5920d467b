"""Binary data within content: images, audio, files. Hashed in steps, and never copied whole unless it is small."""

import base64
import binascii
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

from otel_openai._values import text as short_text

_STEP = 65_536  # characters of base64 that are decoded at a time


class Binary:
    """Binary data as it comes, in pieces or at once. It is hashed, and kept as long as it is within the limit."""

    def __init__(self, limit: int) -> None:
        """`limit` is in characters of base64."""
        self._limit = limit * 3 // 4  # base64 makes four characters of three bytes
        self._kept = bytearray()
        self._digest = sha256()
        self._size = 0
        self._is_base64 = True

    @classmethod
    def of(cls, encoded: str, limit: int = 0) -> "Binary":
        """Data that is there as base64."""
        data = cls(limit)
        data.add_base64(encoded)
        return data

    def add_base64(self, text: str, start: int = 0) -> None:
        """Take base64, decoded in steps: there is never a second copy of it."""
        rest = ""
        try:
            for position in range(start, len(text), _STEP):
                encoded = rest + "".join(text[position : position + _STEP].split())
                whole = len(encoded) // 4 * 4
                self.add(binascii.a2b_base64(encoded[:whole]))
                rest = encoded[whole:]
            if rest:
                self.add(binascii.a2b_base64(rest + "=" * (-len(rest) % 4)))
        except ValueError:
            self._is_base64 = False

    def add(self, data: bytes) -> None:
        """Take bytes."""
        self._size += len(data)
        self._digest.update(data)
        if self._size <= self._limit:
            self._kept += data
        else:
            self._kept.clear()

    @property
    def is_empty(self) -> bool:
        """Nothing came."""
        return self._size == 0 and self._is_base64

    def part(self, modality: str, mime_type: str | None, *, whole: bool) -> dict[str, Any]:
        """A `blob` part, or what stands for it where the data is above the limit.

        Args:
            modality: image, video, audio or document.
            mime_type: Where it is known.
            whole: Whether the data may leave at all.
        """
        typed = {} if mime_type is None else {"mime_type": mime_type}
        if not self._is_base64:
            return {"type": "omitted", "modality": modality, **typed}
        if whole and self._size <= self._limit:
            return {"type": "blob", "modality": modality, **typed, "content": base64.b64encode(self._kept).decode()}
        hashed = {"bytes": self._size, "sha256": self._digest.hexdigest()}
        return {"type": "omitted", "modality": modality, **typed, **hashed}


def is_data_url(text: str) -> bool:
    """True for a URL that carries its data."""
    return text[:5].lower() == "data:"


def from_data_url(url: str, limit: int = 0) -> tuple[Binary, str | None]:
    """The data that a data URL carries, and its MIME type."""
    comma = max(url.find(",", 0, 512), 5)
    mime_type, *parameters = url[5:comma].lower().split(";")
    data = Binary(limit)
    if "base64" in parameters:
        data.add_base64(url, comma + 1)
    else:
        data.add(unquote_to_bytes(url[comma + 1 :]))
    return data, short_text(mime_type, 128)
