"""The responses of one WebSocket connection: those that the app waits for, and those that are under way.

Everything is bounded, and nothing here refers to the connection: its finaliser would never run.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otel_openai import _semconv as names
from otel_openai._call import Call
from otel_openai._reaper import reaper
from otel_openai._streams import StreamWatch, is_collected
from otel_openai._values import count
from otel_openai.operations._base import Outcome

MAX_OPEN = 64  # of a connection; one more pushes out the oldest


@dataclass(slots=True)
class SessionFacts:
    """What the server says of a session, for all its responses."""

    identity: str | None = None
    """The server's id of the session; until it tells one, the id of the connection."""
    model: str | None = None


class ResponseWatch(StreamWatch):
    """One response that is told."""

    __slots__ = ("_session",)

    def __init__(self, call: Call, session: SessionFacts) -> None:
        super().__init__(call)
        self._session = session
        reaper.watch(self)

    def finished(self, event: Any, status: object) -> None:
        """The server has told the end."""
        self.feeder(event)
        try:
            self._call.respond(event)
        finally:
            if status == "cancelled":
                self._end("cancelled", self._read())
            else:
                self.exhausted()

    def refused(self, event: Any) -> None:
        """The server has told an error instead of an end."""
        self._call.http.status = count(getattr(event, "status", None))
        self.feeder(event)
        self.exhausted()

    def left(self, error: BaseException | None) -> None:
        """The app will not read it to its end: it closes the connection, or an exception keeps it from that."""
        if is_collected(sys._getframe(), error):
            self.dropped("closed")
        elif error is None:
            self._end("closed", self._read())
        else:
            self.failed(error)

    def _read(self) -> Outcome | None:
        outcome = StreamWatch._read(self)
        if outcome is not None:
            if outcome.response_id is not None:
                outcome.response_model = outcome.response_model or self._session.model
            if self._session.identity is not None:
                outcome.attributes[names.SESSION_ID] = self._session.identity
        return outcome


@dataclass(slots=True, eq=False)
class Waiting:
    """A response that the app has asked for, and that the server has not begun."""

    watch: ResponseWatch | None
    """None where it is not told: instrumentation was suppressed when it was asked for."""
    mark: object
    """What the `response.created` event will have in common with the request."""
    event_id: object
    """The app's, if it gave one."""
    error: Any = None
    """An error event that may be the answer: the server does not say what it is about."""

    def refused(self, event: Any) -> None:
        """The server will not begin it."""
        if self.watch is not None:
            self.watch.refused(event)

    def unanswered(self, end: Callable[[ResponseWatch], object]) -> None:
        """No answer will come: the error that may have been the answer was it, if there was one."""
        if self.error is not None:
            self.refused(self.error)
        elif self.watch is not None:
            end(self.watch)


class OpenResponses:
    """All of a connection. The app may send and receive in different threads."""

    __slots__ = ("_lock", "_waiting", "begun")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finaliser of the app's may use the connection while it is held
        self._waiting: list[Waiting] = []
        self.begun: dict[object, ResponseWatch] = {}
        """Those under way, by what the events of a response have in common."""

    def ask(self, request: Waiting) -> None:
        """The app asks for a response."""
        with self._lock:
            self._waiting.append(request)
            oldest = self._waiting.pop(0) if len(self._waiting) > MAX_OPEN else None
        if oldest is not None:
            oldest.unanswered(ResponseWatch.abandoned)

    def withdraw(self, request: Waiting) -> None:
        """The request was not sent, or has been answered."""
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)

    def answer(self, mark: object) -> Waiting | None:
        """Take the request that a response answers; None where the server has begun it by itself."""
        with self._lock:
            self._waiting = [one for one in self._waiting if one.watch is None or reaper.is_open(one.watch)]
            alike = [one for one in self._waiting if one.mark == mark]
            position = next((place for place, one in enumerate(alike) if one.error is None), 0)
            taken = alike[: position + 1]
            self._waiting = [one for one in self._waiting if one not in taken]
        for passed_over in taken[:-1]:
            passed_over.refused(passed_over.error)
        return taken[-1] if taken else None

    def begin(self, key: object, watch: ResponseWatch) -> None:
        """A response is under way."""
        with self._lock:
            before = self.begun.pop(key, None)
            self.begun[key] = watch
            oldest = self.begun.pop(next(iter(self.begun))) if len(self.begun) > MAX_OPEN else None
        if before is not None:
            before.exhausted()
        if oldest is not None:
            oldest.abandoned()

    def end(self, key: object) -> ResponseWatch | None:
        """Take the response that ends."""
        with self._lock:
            return self.begun.pop(key, None)

    def blame(self, error: Any, cause: object, *, certain: bool) -> Waiting | None:
        """Take the request that an error event refuses; None where it may be about anything else.

        Args:
            error: The event.
            cause: The id of the app's event that it answers, if the server tells.
            certain: Whether such an error can only answer a request.
        """
        with self._lock:
            if cause is not None:
                blamed = next((one for one in self._waiting if one.event_id == cause), None)
            else:
                blamed = next((one for one in self._waiting if one.error is None), None)
                if blamed is not None and not certain:
                    blamed.error = error
                    return None
            if blamed is not None:
                self._waiting.remove(blamed)
            return blamed

    def blame_in_lane(self, lane: object, *, under_way: bool) -> ResponseWatch | Waiting | None:
        """Take what an error has ended in a lane, where one response follows the other.

        Args:
            lane: The lane.
            under_way: Whether the error is known to come from a response that is under way.
        """
        with self._lock:
            waiting = next((one for one in self._waiting if one.mark == lane), None)
            if lane in self.begun and (under_way or waiting is None):
                return self.begun.pop(lane)
            if waiting is not None:
                self._waiting.remove(waiting)
            return waiting

    def take_all(self) -> tuple[list[Waiting], list[ResponseWatch]]:
        """Take the requests, and the responses under way: the connection has come to its end."""
        with self._lock:
            waiting, begun = self._waiting, list(self.begun.values())
            self._waiting = []
            self.begun.clear()
        return waiting, begun
