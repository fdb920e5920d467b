"""Replies: what the scripted server answers, as data. Nothing here does I/O."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .errors import openai_error
from .request import Request
from .steps import CUT, STALL, Ending, Pause, Step

Headers = Mapping[str, str] | Sequence[tuple[str, str]]
"""Response headers; pairs where order or repetition matters."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status code.
        headers: Pairs, sent as they are; the framing headers are added.
        steps: The body: bytes, pauses, at most one ending. In a chunked reply each bytes step is one HTTP chunk;
            otherwise `content-length` counts all of them, also those behind an ending, which are never sent.
        chunked: Chunked transfer coding instead of a content length.
        before: Steps that come before the status line.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    chunked: bool = False
    before: tuple[Pause | Ending, ...] = ()

    def after(self, *pauses: Pause) -> "Reply":
        """Return the same reply, whose status line is sent only after these pauses."""
        return replace(self, before=(*pauses, *self.before))

    def wire(self) -> Iterator[Step]:
        """Yield what goes over the wire, in order: head, framed body, pauses and endings."""
        yield from self.before
        yield self._head()
        for step in self.steps:
            if isinstance(step, bytes) and self.chunked:
                if step:  # an empty HTTP chunk would be the last one
                    yield b"%x\r\n%b\r\n" % (len(step), step)
            else:
                yield step
        if self.chunked:
            yield b"0\r\n\r\n"

    def _head(self) -> bytes:
        if self.chunked:
            framing = ("transfer-encoding", "chunked")
        else:
            framing = ("content-length", str(sum(len(step) for step in self.steps if isinstance(step, bytes))))
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = ""  # vendors invent codes, such as 529
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in (*self.headers, framing))]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


Scripted = Reply | Mapping[str, Any] | Callable[[Request], "Reply | Mapping[str, Any]"]
"""What a test may hand to the server: a reply, a JSON body, or a function of the request that returns either."""


def to_reply(scripted: Scripted, request: Request) -> Reply:
    """Return the reply to this request."""
    if not isinstance(scripted, Reply | Mapping):
        scripted = scripted(request)
    return scripted if isinstance(scripted, Reply) else json_reply(scripted)


def raw_reply(
    *steps: Step,
    status: int = 200,
    headers: Headers = (),
    content_type: str = "application/json",
    chunked: bool = False,
) -> Reply:
    """Return a reply of these bytes, pauses and endings: invalid JSON, a body in several parts, a cut body."""
    return Reply(status, with_content_type(headers, content_type), steps, chunked)


def json_reply(body: Any, *, status: int = 200, headers: Headers = (), halfway: Pause | Ending | None = None) -> Reply:
    """Return a JSON reply; `halfway` is a pause or an ending in the middle of the body."""
    content = json.dumps(body, ensure_ascii=False).encode()
    if halfway is None:
        return raw_reply(content, status=status, headers=headers)
    middle = len(content) // 2
    return raw_reply(content[:middle], halfway, content[middle:], status=status, headers=headers)


def text_reply(text: str, *, status: int = 200, headers: Headers = (), content_type: str = "text/plain") -> Reply:
    """Return a reply that is not JSON: plain text, HTML (with `content_type`), subtitles."""
    return raw_reply(text.encode(), status=status, headers=headers, content_type=f"{content_type}; charset=utf-8")


def error_reply(status: int, body: Any = None, *, headers: Headers = ()) -> Reply:
    """Return an error reply; without a body it is the one that OpenAI sends with this status.

    The client repeats a request after 408, 409, 429 and 5xx and waits half a second before it. For a fast repetition
    use ``retry_after()``, for none at all the header ``x-should-retry: false``.
    """
    return json_reply(openai_error(status) if body is None else body, status=status, headers=headers)


def retry_after(milliseconds: int = 1, status: int = 429, body: Any = None) -> Reply:
    """Return an error reply that asks for a repetition very soon.

    ``retry-after: 0`` would not do: the client takes a delay of zero for none given and waits half a second.
    """
    headers = {"retry-after-ms": str(milliseconds), "retry-after": f"{milliseconds / 1000:g}"}
    return error_reply(status, body, headers=headers)


def silence() -> Reply:
    """Return no answer at all: the connection stays open, for read timeouts."""
    return Reply(before=(STALL,))


def hang_up(ending: Ending = CUT) -> Reply:
    """Return no answer at all: the connection is closed (or reset) instead."""
    return Reply(before=(ending,))


def replay(exchange: Mapping[str, Any] | Path) -> Reply:
    """Return the reply of a recorded exchange: its status, headers, body and HTTP chunks, cut where it was cut.

    Args:
        exchange: The record, or the path of its JSON file. Its ``response`` has ``status``, ``headers`` (pairs),
            ``body`` (text) and, if chunked, ``http_chunks`` (``[size in bytes, ms]``); ``truncated`` says that the
            connection ended without the last chunk. The recorded times are not replayed.
    """
    record: Mapping[str, Any] = json.loads(exchange.read_text("utf-8")) if isinstance(exchange, Path) else exchange
    response = record["response"]
    body = response["body"].encode()
    steps: list[Step] = []
    chunks: Sequence[tuple[int, float]] | None = response.get("http_chunks")
    if chunks is None:
        steps.append(body)
    else:
        for size, _ in chunks:
            steps.append(body[:size])
            body = body[size:]
    if response.get("truncated"):
        steps.append(CUT)
    headers = tuple((name, value) for name, value in response["headers"] if name.lower() not in _HOP_BY_HOP)
    return Reply(response["status"], headers, tuple(steps), chunked=chunks is not None)


def with_content_type(headers: Headers, content_type: str) -> tuple[tuple[str, str], ...]:
    """Return the headers as pairs, with this content type unless they have one."""
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    if any(name.lower() == "content-type" for name, _ in pairs):
        return pairs
    return (("content-type", content_type), *pairs)
