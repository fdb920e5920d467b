"""One client connection: reads requests, plays replies, notices when the client goes away."""

import asyncio
import socket
import struct
from typing import Protocol, cast

from .reply import Reply
from .request import Outcome, Request, read_request
from .steps import Ending

_FLUSH_AT = 65536
_NO_LINGER = struct.pack("ii", 1, 0)  # close() then resets the connection


class Owner(Protocol):
    """What a connection needs of its server."""

    def answer(self, request: Request) -> Reply:
        """Record the request and return the reply to it."""
        ...

    def failed(self, failure: Exception) -> None:
        """Take note of an error in the server or in the script of the test."""
        ...

    def opened(self, connection: "Connection") -> int:
        """Take note of a new connection and return its number."""
        ...

    def closed(self, connection: "Connection") -> None:
        """Take note of the end of a connection."""
        ...


class Connection(asyncio.Protocol):
    """The server's end of one connection.

    asyncio turns Nagle's algorithm off by itself. Steps between two pauses leave in one write: a client cannot tell,
    and a load test costs one system call for each stream.
    """

    _transport: asyncio.Transport
    _task: asyncio.Task[None]
    _number: int

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = asyncio.StreamReader()
        self._request: Request | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        self._transport = cast("asyncio.Transport", transport)
        # Writing waits as soon as the kernel does not take a byte, so that "written" means "in the kernel".
        self._transport.set_write_buffer_limits(high=0)
        self._number = self._owner.opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the reader."""
        self._reader.feed_data(data)

    def eof_received(self) -> None:
        """Take the end of the client's side for its departure: no HTTP client closes half a connection."""
        self._stop("disconnected")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop whatever is under way."""
        del exc  # a reset is as good a departure as any
        self._stop("disconnected")
        self.closed.set()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """Wait for a slow client."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on, since the slow client has read."""
        self._writable.set()

    def stop(self) -> None:
        """Close at once, whatever is under way."""
        self._stop("stopped")
        self._transport.abort()

    def _stop(self, outcome: Outcome) -> None:
        if self._request is not None:
            self._request.end(outcome)
        self._task.cancel()

    async def _serve(self) -> None:
        try:
            keep_alive = True
            while keep_alive and (request := await read_request(self._reader, self._number)):
                self._request = request
                keep_alive = await self._play(self._owner.answer(request), request)
        except Exception as failure:  # noqa: BLE001  the test hears of it when it closes the server
            self._owner.failed(failure)
        finally:
            self._transport.close()

    async def _play(self, reply: Reply, request: Request) -> bool:
        """Send the reply; return whether the connection can be used again."""
        out = bytearray()
        for step in reply.wire():
            if isinstance(step, bytes):
                out += step
                if len(out) >= _FLUSH_AT:
                    await self._write(out)
                    await asyncio.sleep(0)  # the other connections' turn, and the time to notice that this client left
                continue
            await self._write(out)
            if isinstance(step, Ending):
                await self._end(step)
                request.end("cut")
                return False
            await step.passed()
        await self._write(out)
        request.end("complete")
        return (request.header("connection") or "").lower() != "close"

    async def _write(self, out: bytearray) -> None:
        if out:
            self._transport.write(bytes(out))
            out.clear()
        if self._transport.is_closing():  # the kernel has refused the bytes
            self._stop("disconnected")
        await self._writable.wait()

    async def _end(self, ending: Ending) -> None:
        if ending is Ending.STALL:
            await asyncio.Event().wait()
        if ending is Ending.RESET:
            cast("socket.socket", self._transport.get_extra_info("socket")).setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER
            )
