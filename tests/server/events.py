"""Server-sent events: replies whose body is a stream."""

import json
from collections.abc import Mapping
from typing import Any

from .reply import Headers, Reply, with_content_type
from .steps import Ending, Pause, Step

Frame = Mapping[str, Any] | str | bytes
"""One event: a JSON object, or the text or bytes of the wire."""

Item = Frame | Pause | Ending

DONE = "data: [DONE]\n\n"


def sse(*items: Item, status: int = 200, headers: Headers = ()) -> Reply:
    """Return a stream of events, each in an HTTP chunk of its own. Nothing is added: no ``[DONE]`` unless given.

    Args:
        *items: JSON objects (``data: {...}``, with an ``event:`` line if they have a ``type``, as OpenAI does), text or
            bytes that are sent as they are (see `event`, `data`, `comment`, `together`, `split`), pauses and endings.
        status: HTTP status code.
        headers: Headers besides, or instead of, the content type.
    """
    steps: list[Step] = [to_bytes(item) if isinstance(item, Mapping | str | bytes) else item for item in items]
    return Reply(status, with_content_type(headers, "text/event-stream; charset=utf-8"), tuple(steps), chunked=True)


def data(content: Any) -> str:
    """Return an event without a name; a string is sent as it is, so that it can be broken JSON."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return f"data: {text}\n\n"


def event(name: str, content: Any) -> str:
    """Return an event with a name."""
    return f"event: {name}\n{data(content)}"


def comment(text: str = "keep-alive") -> str:
    """Return a comment line, which clients ignore."""
    return f": {text}\n\n"


def together(*frames: Frame) -> bytes:
    """Return several events as one HTTP chunk."""
    return b"".join(map(to_bytes, frames))


def split(frame: Frame, parts: int = 2) -> list[bytes]:
    """Return one event as several HTTP chunks of about the same size."""
    content = to_bytes(frame)
    size = -(-len(content) // parts)
    return [content[start : start + size] for start in range(0, len(content), size)]


def to_bytes(frame: Frame) -> bytes:
    """Return the bytes of one event."""
    if isinstance(frame, bytes):
        return frame
    if isinstance(frame, str):
        return frame.encode()
    name = frame.get("type")
    return (event(name, frame) if isinstance(name, str) else data(frame)).encode()
