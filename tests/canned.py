"""A client whose answers come from memory, through the HTTP library's own mock transport: for thousands of calls."""

import json
from collections.abc import AsyncIterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, cast

from seen import Kind
from support import Api, client

HTTP: Any = import_module("httpx2" if int(version("openai").split(".")[0]) >= 3 else "httpx")
"""The HTTP library of this version of the client."""


class Canned:
    """Gives every request the answer that was put in last.

    Attributes:
        api: The client.
    """

    def __init__(self, kind: Kind) -> None:
        self._status = 200
        self._headers: Mapping[str, str] = {}
        self._pieces: list[bytes] = []
        transport = HTTP.MockTransport(self._answer_async if kind == "async" else self._answer)
        http = (HTTP.AsyncClient if kind == "async" else HTTP.Client)(transport=transport)
        self.api = Api(kind, client(kind, "https://api.openai.com/v1", http_client=http))

    def put(self, answer: Any, status: int = 200, *, streamed: bool = False) -> None:
        """Set the answer: a body, or the frames of a stream."""
        self._status = status
        self._headers = {"content-type": "text/event-stream" if streamed else "application/json", "x-request-id": "r"}
        frames = cast("list[Any]", answer) if isinstance(answer, list) else [answer]
        self._pieces = [_frame(frame) for frame in frames] if streamed else [json.dumps(answer).encode()]

    def _answer(self, _request: Any) -> Any:
        return HTTP.Response(self._status, headers=self._headers, content=iter(self._pieces))

    async def _answer_async(self, _request: Any) -> Any:
        return HTTP.Response(self._status, headers=self._headers, content=_later(self._pieces))


async def _later(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _frame(frame: Any) -> bytes:
    if isinstance(frame, str):
        return frame.encode("utf-8", "replace")
    name: Any = cast("dict[str, Any]", frame).get("type") if isinstance(frame, dict) else None
    line = f"event: {name}\n" if isinstance(name, str) and name.isascii() and name.isprintable() else ""
    return f"{line}data: {json.dumps(frame)}\n\n".encode()
