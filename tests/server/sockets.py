"""SocketServer: a real WebSocket server on loopback that says what the test tells it to say."""

import asyncio
import json
import threading
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any

from typing_extensions import Self
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .fields import Body
from .steps import CUT, Gate


@dataclass(frozen=True)
class Await:
    """Go on when the client has sent an event of this type."""

    kind: str = "response.create"


@dataclass(frozen=True)
class Close:
    """Close the connection."""

    code: int = 1000
    reason: str = ""


Line = Body | str | bytes | Await | Close | Gate | Any


class SocketServer:
    """A WebSocket server in a thread of the test process.

    Scripts are given in order, one for each connection: events to send, `Await`, `Gate`, and at the end `Close` or CUT;
    without those the connection stays open until the client closes it. A number instead of a script refuses the
    connection with that HTTP status.

    Attributes:
        received: Every event of the clients, as it was on the wire.
        requests: Every handshake.
    """

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.requests: list[Request] = []
        self._scripts: list[tuple[Line, ...] | int] = []
        self._failures: list[Exception] = []
        self._speaking: set[Any] = set()
        self._running = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="socket-server", daemon=True)

    @property
    def base_url(self) -> str:
        """What a client wants as its ``base_url``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def websocket_base_url(self) -> str:
        """What a client wants as its ``websocket_base_url``."""
        return f"ws://127.0.0.1:{self.port}/v1"

    def script(self, *lines: Line) -> None:
        """Queue a script for one connection."""
        self._scripts.append(lines)

    def refuse(self, status: int = 401) -> None:
        """Queue a refusal of one connection."""
        self._scripts.append(status)

    def __enter__(self) -> Self:
        self._thread.start()
        self._running.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failures and error is None:
            raise self._failures[0]

    def listen_to_the_end(self) -> None:
        """Wait until everything is in `received` that was sent over connections that are closed by now."""

        async def ended() -> None:
            if self._speaking:
                await asyncio.wait(self._speaking, timeout=5)

        asyncio.run_coroutine_threadsafe(ended(), self._loop).result()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with serve(
            self._speak, "127.0.0.1", 0, process_request=self._refuse, compression=None, close_timeout=0.5
        ) as server:
            self.port: int = next(iter(server.sockets)).getsockname()[1]
            self._running.set()
            await self._stop.wait()
            for connection in list(server.connections):
                connection.transport.abort()
            for speaking in list(self._speaking):
                speaking.cancel()

    def _refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not isinstance(status := self._scripts[0], int):
            return None
        self._scripts.pop(0)
        response = connection.respond(
            HTTPStatus(status), json.dumps({"error": {"message": "No.", "code": "invalid_api_key"}})
        )
        response.headers["x-request-id"] = "req_websocket"
        return response

    async def _speak(self, connection: ServerConnection) -> None:
        lines = self._scripts.pop(0)
        assert not isinstance(lines, int)
        self._speaking.add(asyncio.current_task())
        try:
            for line in lines:
                await self._say(connection, line)
            while True:
                self._hear(await connection.recv())
        except (ConnectionClosed, asyncio.CancelledError):
            pass
        except Exception as failure:  # noqa: BLE001 - whatever it is, the test has to fail
            self._failures.append(failure)

    async def _say(self, connection: ServerConnection, line: Line) -> None:
        if isinstance(line, Await):
            while self._hear(await connection.recv()).get("type") != line.kind:
                pass
        elif isinstance(line, Close):
            await connection.close(line.code, line.reason)
        elif isinstance(line, Gate):
            await line.passed()
        elif line is CUT:
            connection.transport.abort()
        else:
            await connection.send(line if isinstance(line, str | bytes) else json.dumps(line))

    def _hear(self, message: Any) -> Any:
        self.received.append(json.loads(message))
        return self.received[-1]
