"""The responses of one WebSocket connection: those that the app waits for, and those that are under way.

Everything is bounded, and nothing here refers to the connection: its finaliser would never run.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
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

    __slots__ = ("_session", "request")

    def __init__(self, call: Call, session: SessionFacts) -> None:
        super().__init__(call)
        self._session = session
        self.request: Waiting | None = None
        """What it is taken to answer."""
        reaper.watch(self)

    def answers(self, request: "Waiting") -> None:
        """It begins, and is taken to answer a request."""
        self.request = request
        request.watch = None
        request.answered_at = perf_counter()

    def leave_to(self, call: Call) -> None:
        """It does not answer that request, which waits on: the response is told by a call of its own."""
        if self.request is not None:
            self.request.watch = ResponseWatch(self._call, self._session)
        self.request = None
        self._call = call
        self._time = call.chunk_timer()

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
    """None where it is not told, as instrumentation was suppressed when it was asked for; or where it is answered."""
    mark: object
    """What the `response.created` event will have in common with the request."""
    event_id: object
    """The app's, if it gave one."""
    error: Any = None
    """An error event that may be the answer: the server does not say what it is about."""
    answered_at: float | None = None
    """`perf_counter` when its response began, seconds."""

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

    __slots__ = ("_lock", "_repeats", "_waiting", "begun")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finaliser of the app's may use the connection while it is held
        self._repeats: bool | None = None  # whether the server repeats the marks of requests, as soon as it has shown
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

    def mistaken(self, mark: object) -> list[ResponseWatch]:
        """The responses under way that were taken for answers, as a response now shows that marks are repeated."""
        with self._lock:
            if self._repeats or not mark:
                return []
            begun = [(watch, watch.request) for watch in self.begun.values()]
            taken = [(watch, request) for watch, request in begun if request is not None and request.mark]
            if all(request.mark != mark for request in (*self._waiting, *(request for _, request in taken))):
                return []
            self._repeats = True
            return [watch for watch, _ in taken]

    def ask_on(self, request: Waiting) -> None:
        """A request that was taken for answered waits on, before all others."""
        with self._lock:
            self._waiting.insert(0, request)

    def answer(self, mark: object) -> Waiting | None:
        """Take the request that a response answers; None where the server has begun it by itself.

        Args:
            mark: The response's. A server that is not known to repeat marks may answer any request without, and one
                of another mark with a mark of its own.
        """
        with self._lock:
            self._waiting = [one for one in self._waiting if one.watch is None or reaper.is_open(one.watch)]
            alike = [one for one in self._waiting if one.mark == mark]
            if not self._repeats and (self._repeats is False or not alike):
                alike = [one for one in self._waiting if one.mark or not mark]
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
            watch = self.begun.pop(key, None)
            if watch is not None and watch.request is not None and watch.request.mark and self._repeats is None:
                self._repeats = False
            return watch

    def blame(self, error: Any, cause: object, *, certain: bool) -> Waiting | None:
        """Take the request that an error event refuses; None where it may be about anything else.

        Args:
            error: The event.
            cause: The id of the app's event that it answers, if the server tells.
            certain: Whether such an error can only answer a request.
        """
        with self._lock:
            if cause is None and not certain:
                self._suspect(error)
                return None
            named = (one for one in self._waiting if one.event_id == cause)
            blamed = next((one for one in self._waiting if one.error is None) if cause is None else named, None)
            if blamed is not None:
                self._waiting.remove(blamed)
            return blamed

    def taken_for_answer(self, cause: object) -> ResponseWatch | None:
        """The response under way that was taken for the answer to a request which the server now refuses.

        Args:
            cause: The id of that request; None for the newest.
        """
        with self._lock:
            for watch in reversed(self.begun.values()):
                if watch.request is not None and cause in (None, watch.request.event_id):
                    return watch
        return None

    def blame_in_lane(self, error: Any, lane: object, *, under_way: bool) -> ResponseWatch | Waiting | None:
        """Take what an error has ended in a lane, where one response follows the other.

        One that names no lane, and is about none of the default lane, may be about any request.

        Args:
            error: The event.
            lane: The lane.
            under_way: Whether the error is known to come from a response that is under way.
        """
        with self._lock:
            waiting = next((one for one in self._waiting if one.mark == lane), None)
            if lane in self.begun and (under_way or waiting is None):
                return self.begun.pop(lane)
            if waiting is not None:
                self._waiting.remove(waiting)
            elif lane is None:
                self._suspect(error)
            return waiting

    def take_all(self) -> tuple[list[Waiting], list[ResponseWatch]]:
        """Take the requests, and the responses under way: the connection has come to its end."""
        with self._lock:
            waiting, begun = self._waiting, list(self.begun.values())
            self._waiting = []
            self.begun.clear()
        return waiting, begun

    def _suspect(self, error: Any) -> None:
        """Note what may be the answer to the request that waits the longest."""
        waiting = next((one for one in self._waiting if one.error is None), None)
        if waiting is not None:
            waiting.error = error
