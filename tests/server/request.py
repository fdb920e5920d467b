"""What the scripted server keeps of a request: the bytes of the wire, and how its reply ended."""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["pending", "complete", "cut", "disconnected", "stopped"]
"""How a reply ended.

- ``complete``: every byte was handed to the kernel (the client may still leave without reading them);
- ``cut``: the script ended the connection (``CUT``, ``RESET``);
- ``disconnected``: the client closed the connection before the end;
- ``stopped``: the server was closed while it was replying.
"""


@dataclass(eq=False)
class Request:
    """One request, exactly as it came.

    Attributes:
        method: ``GET``, ``POST`` ...
        path: The request target: path and query string.
        headers: Pairs in the order and spelling of the wire.
        body: The body without transfer coding.
        head: The bytes of request line and headers.
        connection: Number of the connection it came on, from 0: two requests with the same number shared it.
        outcome: How the reply ended.
    """

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    head: bytes
    connection: int = 0
    outcome: Outcome = "pending"
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """Return the first header of this name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def wait(self, timeout: float = 5) -> Outcome:
        """Return how the reply ended, after waiting for its end.

        Raises:
            TimeoutError: It has not ended after `timeout` seconds.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the reply to {self.method} {self.path} is still under way after {timeout} s")
        return self.outcome

    def end(self, outcome: Outcome) -> None:
        """Record the outcome; the first one stays."""
        if self.outcome == "pending":
            self.outcome = outcome
            self._ended.set()


async def read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """Read one request; None when the client closed the connection instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        request_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = request_line.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        request = Request(method, path, [(name, value.strip()) for name, _, value in pairs], b"", head, connection)
        if (request.header("transfer-encoding") or "").lower() == "chunked":
            request.body = await _read_chunked(reader)
        else:
            request.body = await reader.readexactly(int(request.header("content-length") or 0))
    except asyncio.IncompleteReadError:
        return None
    return request


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(body)
