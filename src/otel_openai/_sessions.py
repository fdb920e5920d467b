"""What goes through one WebSocket connection: events are looked at on their way to the app, and never kept.

A connection may carry several responses at once, which are told apart by the id of the response (Realtime) or by the
lane (`stream_id`, Responses). A session must never refer to its connection, or the finaliser would never run.
"""

import json
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from opentelemetry.context import Context, get_current

from otel_openai import _guard
from otel_openai._call import Call, is_suppressed
from otel_openai._errors import is_cancellation
from otel_openai._open_responses import OpenResponses, ResponseWatch, SessionFacts, Waiting
from otel_openai._providers import Server
from otel_openai._reaper import reaper
from otel_openai._streams import exit_behind, is_collected
from otel_openai._telemetry import Telemetry
from otel_openai._transcriptions import Transcriptions
from otel_openai._values import extra, fields, text
from otel_openai.operations._base import Operation

_Fields: TypeAlias = dict[str, Any]


class Protocol(NamedTuple):
    """How one API speaks over WebSocket."""

    operation: Operation
    arguments: Callable[[_Fields], _Fields]
    """The arguments that a `response.create` event carries."""
    mark: Callable[[_Fields], object]
    """What a `response.create` event and the `response.created` event that answers it have in common."""
    key: Callable[[_Fields], str | None]
    """What tells the response of an event that begins or ends one."""
    part_key: str
    """The field that tells the response of any other event."""
    in_lanes: bool
    """Whether a lane carries one response after the other, and an error ends one of them."""


class Session:
    """One connection."""

    def __init__(
        self, protocol: Protocol, telemetry: Callable[[], Telemetry | None], server: Server, model: object
    ) -> None:
        self.is_parsing = False
        """Whether it is for the client, which parses them, that the next bytes are received."""
        self._protocol = protocol
        self._telemetry = telemetry
        self._server = server
        self._asked: _Fields = {} if text(model) is None else {"model": model}
        self._context = get_current()
        self._started = perf_counter()
        self._facts = SessionFacts()
        self._responses = OpenResponses()
        self._transcriptions = Transcriptions(server, self._context, self._facts)
        self._is_closed = False
        reaper.stand_by()

    # The beginning of the connection.

    @_guard.contained("observing a WebSocket that was opened")
    def opened(self, connection: Any) -> None:
        """The client has made its connection."""
        self._facts.identity = text(str(getattr(connection._connection, "id", "")))
        weakref.finalize(connection, reaper.put, self.abandoned).atexit = False

    @_guard.contained("observing a WebSocket that could not be opened")
    def unopened(self, error: BaseException) -> None:
        """The client could not make its connection."""
        if exit_behind(error) is None:
            self._tell_unopened(error)
        else:  # perhaps the garbage collector's
            reaper.put(lambda: self._tell_unopened(error))

    def _tell_unopened(self, error: BaseException) -> None:
        if (telemetry := self._telemetry()) is None:
            return
        call = self._call(telemetry, self._asked, self._context, self._started)
        answer: Any = getattr(error, "response", None)
        if (
            items := getattr(getattr(answer, "headers", None), "raw_items", None)
        ) is not None:  # the server has refused
            headers = [
                (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in items()
            ]
            call.http.read(SimpleNamespace(status_code=answer.status_code, headers=SimpleNamespace(raw=headers)), None)
        call.failed(error)

    # What the app sends.

    @_guard.contained("observing what is sent over WebSocket")
    def sending(self, event: Any) -> Waiting | None:
        """The app is about to send an event; what it asks for is waited for."""
        told = fields(event)
        if told.get("type") != "response.create":
            return None
        params = {**self._asked, **self._protocol.arguments(told)}
        request = Waiting(self._begin(params, get_current()), self._protocol.mark(told), told.get("event_id"))
        self._responses.ask(request)
        return request

    @_guard.contained("observing what could not be sent over WebSocket")
    def unsent(self, request: Waiting, error: BaseException) -> None:
        """An event could not be sent."""
        if is_cancellation(error) or exit_behind(error) is not None:
            return  # it was: what is cancelled is the wait for room in the buffer that it is in
        self._responses.withdraw(request)
        if request.watch is not None:
            request.watch.left(error)
        self.failed(error)

    # What the app receives.

    def received(self, event: Any) -> None:
        """Take note of an event. The hot path: most events are one more piece of some response, or of none."""
        try:
            told = event if event.__class__ is dict else getattr(event, "__dict__", _NO_FIELDS)
            kind = told.get("type")
            handle = _HANDLERS.get(kind) if type(kind) is str else None
            if handle is not None:
                handle(self, event, fields(event))
            elif begun := self._responses.begun:
                key = told.get(self._protocol.part_key)
                watch = begun.get(key if type(key) is str else identifier(extra(event, self._protocol.part_key)))
                if watch is not None:
                    watch.feeder(event)
        except Exception:
            _guard.contain("observing an event")

    def received_bytes(self, message: Any) -> None:
        """Take note of an event that the app has received unparsed."""
        with suppress(ValueError, TypeError, RecursionError):  # the app will see what is wrong with it
            event = json.loads(message, object_hook=_as_object)
            if isinstance(event, SimpleNamespace):
                self.received(event)

    @_guard.contained("observing a WebSocket that has failed")
    def failed(self, error: BaseException) -> None:
        """Receiving or sending has failed. Only a connection that is closed is the end of what is open."""
        if not any(base.__name__ == "ConnectionClosed" for base in type(error).__mro__):
            return
        if type(error).__name__ == "ConnectionClosedOK":
            self._end_all(ResponseWatch.exhausted)
        else:
            self._end_all(lambda watch: watch.failed(error))

    # The end of the connection.

    @_guard.contained("observing a WebSocket that is closed")
    def closed(self, error: BaseException | None) -> None:
        """The app closes the connection, or leaves its `with` block by an exception."""
        self._is_closed = True
        if is_collected(sys._getframe(), error):
            reaper.put(lambda: self._end_all(lambda watch: watch.abandoned("closed")))
        else:
            self._end_all(lambda watch: watch.left(error))

    def abandoned(self) -> None:
        """Nobody holds the connection any more."""
        self._end_all(ResponseWatch.abandoned)

    def _end_all(self, end: Callable[[ResponseWatch], object]) -> None:
        """End what is open: all of it, also where a function of the app's interrupts."""
        waiting, begun = self._responses.take_all()
        with ExitStack() as ends:  # the last one first
            for watch in reversed(begun):
                ends.callback(end, watch)
            for request in reversed(waiting):
                ends.callback(request.unanswered, end)

    # What events mean.

    def on_session(self, _: Any, told: _Fields) -> None:
        """The server tells of the session."""
        session = fields(told.get("session"))
        self._facts.identity = text(session.get("id")) or self._facts.identity
        self._facts.model = text(session.get("model")) or self._facts.model
        self._transcriptions.configured(session)

    def on_begin(self, event: Any, told: _Fields) -> None:
        """A response begins: one that the app has asked for, or one that the server has begun by itself."""
        if self._is_closed:  # what had come before is still given to the app
            return
        mark = self._protocol.mark(told)
        for mistaken in reversed(self._responses.mistaken(mark)):
            if (request := self._wait_on(mistaken)) is not None:
                self._responses.ask_on(request)
        request = self._responses.answer(mark)
        watch = self._begin(self._asked, self._context) if request is None else request.watch
        if watch is not None:
            if request is not None:
                watch.answers(request)
            watch.feeder(event)
            self._responses.begin(self._protocol.key(told), watch)

    def _wait_on(self, watch: ResponseWatch) -> Waiting | None:
        """The request that a response was taken to answer, where another one will: this one is the server's own."""
        request, telemetry = watch.request, self._telemetry()
        if request is None or telemetry is None or not reaper.is_open(watch):
            return None
        call = self._call(telemetry, self._asked, self._context, request.answered_at)
        watch.leave_to(call)
        return request

    def on_end(self, event: Any, told: _Fields) -> None:
        """A response ends."""
        watch = self._responses.end(self._protocol.key(told))
        if watch is not None:
            watch.finished(event, fields(told.get("response")).get("status"))

    def on_heard(self, _: Any, told: _Fields) -> None:
        """The user has said something, or the first of it is transcribed."""
        self._transcriptions.heard(identifier(told.get("item_id")))

    def on_transcribed(self, event: Any, told: _Fields) -> None:
        """What the user has said is transcribed."""
        if (telemetry := self._telemetry()) is not None:
            self._transcriptions.ended(telemetry, event, identifier(told.get("item_id")))

    def on_error(self, event: Any, told: _Fields) -> None:
        """Something went wrong; perhaps a response."""
        if self._protocol.in_lanes:
            under_way = told.get("sequence_number") is not None
            blamed = self._responses.blame_in_lane(event, self._protocol.key(told), under_way=under_way)
        else:
            error = fields(told.get("error"))
            cause, certain = error.get("event_id"), _is_of_request(error)
            blamed = self._responses.blame(event, cause, certain=certain)
            if blamed is None and certain and (taken := self._responses.taken_for_answer(cause)) is not None:
                blamed = self._wait_on(taken)
        if blamed is not None:
            blamed.refused(event)

    def _begin(self, params: _Fields, context: Context) -> ResponseWatch | None:
        telemetry = self._telemetry()
        if telemetry is None or is_suppressed(context):
            return None
        return ResponseWatch(self._call(telemetry, params, context), self._facts)

    def _call(self, telemetry: Telemetry, params: _Fields, context: Context, started: float | None = None) -> Call:
        return Call(telemetry, self._protocol.operation, self._server, params, context=context, started=started)


_HANDLERS: Mapping[str, Callable[[Session, Any, _Fields], None]] = {
    "session.created": Session.on_session,
    "session.updated": Session.on_session,
    "response.created": Session.on_begin,
    "response.done": Session.on_end,
    "response.completed": Session.on_end,
    "response.incomplete": Session.on_end,
    "response.failed": Session.on_end,
    "response.cancelled": Session.on_end,
    "error": Session.on_error,
    "transcription_session.created": Session.on_session,
    "transcription_session.updated": Session.on_session,
    "input_audio_buffer.committed": Session.on_heard,
    "conversation.item.input_audio_transcription.delta": Session.on_heard,
    "conversation.item.input_audio_transcription.completed": Session.on_transcribed,
    "conversation.item.input_audio_transcription.failed": Session.on_transcribed,
}


_NO_FIELDS: _Fields = {}


def identifier(value: object) -> str | None:
    """A string, whatever else a server may send."""
    return value if isinstance(value, str) else None


def _is_of_request(error: _Fields) -> bool:
    """Whether an error that names no cause can only be about a `response.create` event."""
    parameter = error.get("param")
    about_response = isinstance(parameter, str) and parameter.partition(".")[0] == "response"
    return about_response or error.get("code") == "conversation_already_has_active_response"


def _as_object(value: _Fields) -> SimpleNamespace:
    return SimpleNamespace(**value)
