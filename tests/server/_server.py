"""ScriptedServer: a real HTTP/1.1 server on loopback that answers what the test tells it to."""

import asyncio
import socket
import threading
from collections import deque
from types import TracebackType

from typing_extensions import Self

from ._connection import Connection
from .errors import openai_error
from .reply import Reply, Scripted, error_reply, to_reply
from .request import Request

_NEVER_REPEAT = {"x-should-retry": "false"}  # the client's back-off would only delay the failure of the test
_BACKLOG = 1024


class ScriptedServer:
    """An OpenAI-compatible server in a thread of the test process.

    Replies are given in order, one for each request, whatever its path; then comes the reply of `always`, if any. A
    request without a reply gets a 500 that says so, and is not repeated by the client.

    Example:
        >>> with ScriptedServer() as server:
        ...     server.reply(chat("Hello!"))
        ...     client = OpenAI(base_url=server.base_url, api_key="key")
        ...     client.chat.completions.create(model="gpt-4o-mini", messages=[])
        ...     assert server.last.json == {"model": "gpt-4o-mini", "messages": []}

    Attributes:
        requests: Every request in the order of arrival. A test that counts objects clears it first.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._replies: deque[Scripted] = deque()
        self._always: Scripted | None = None
        self._arrived = threading.Condition()
        self._connections: set[Connection] = set()
        self._connection_count = 0
        self._failures: list[Exception] = []
        self._running = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The root: ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client wants as its ``base_url``: ``http://127.0.0.1:PORT/v1``."""
        return f"{self.url}/v1"

    @property
    def last(self) -> Request:
        """The latest request."""
        return self.requests[-1]

    @property
    def disconnects(self) -> list[Request]:
        """The requests whose client left before the end of the reply."""
        return [request for request in self.requests if request.outcome == "disconnected"]

    def reply(self, *replies: Scripted) -> None:
        """Queue replies: a `Reply`, a JSON body, or a function of the request that returns either."""
        self._replies.extend(replies)

    def always(self, reply: Scripted) -> None:
        """Set the reply to every request that finds the queue empty."""
        self._always = reply

    def wait_for(self, count: int = 1, timeout: float = 5) -> list[Request]:
        """Return the requests as soon as there are `count` of them.

        Raises:
            TimeoutError: Fewer came within `timeout` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {timeout} s")
        return self.requests

    def start(self) -> Self:
        """Listen on a free port of the loopback interface."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="scripted-server", daemon=True)
        self._thread.start()
        self._running.wait()
        return self

    def close(self) -> None:
        """Stop at once, also in the middle of replies; a second call does nothing.

        Raises:
            Exception: The first error of the server or of a reply function, so that no script fails unseen.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()
        if self._failures:
            raise self._failures[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # otherwise the test has failed already and says why
                raise

    def _run(self, listener: socket.socket) -> None:
        asyncio.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: Connection(self), sock=listener, backlog=_BACKLOG)
        self._running.set()
        await self._stop.wait()
        server.close()
        for connection in (connections := list(self._connections)):
            connection.stop()
        for connection in connections:
            await connection.closed.wait()

    # What connections call, in the server's thread.

    def opened(self, connection: Connection) -> int:
        """Take note of a new connection and return its number."""
        self._connections.add(connection)
        self._connection_count += 1
        return self._connection_count - 1

    def closed(self, connection: Connection) -> None:
        """Take note of the end of a connection."""
        self._connections.discard(connection)

    def failed(self, failure: Exception) -> None:
        """Keep an error for `close`."""
        self._failures.append(failure)

    def answer(self, request: Request) -> Reply:
        """Record the request and return the reply to it."""
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        scripted = self._replies.popleft() if self._replies else self._always
        if scripted is None:
            number = len(self.requests)
            return _refusal(f"no reply is scripted for request {number}, {request.method} {request.path}")
        try:
            return to_reply(scripted, request)
        except Exception as failure:  # noqa: BLE001  whatever the test's function raises
            self.failed(failure)
            return _refusal(f"the reply function raised {failure!r}")


def _refusal(text: str) -> Reply:
    return error_reply(500, openai_error(500, message=f"scripted server: {text}"), headers=_NEVER_REPEAT)
