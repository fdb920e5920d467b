"""Sessions of agents: `beta.agents.sessions.create`, `.events.create`, and `.events.stream`.

A session goes on without its requests, and tells everybody who reads its events what a turn has used. A turn is
counted by the stream that sees its end first in this process; a request that is not streamed has only begun a turn.
"""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import MAX_INT, AttributeValue, Rule, fields, listed, mapped, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._choices import MAX_CHOICES, ToolCalls
from otel_openai.operations._once import is_first
from otel_openai.operations._request import not_auto, only_true, output_type, reasoning_level
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_RULES: Mapping[str, Rule] = {
    "session_id": (names.CONVERSATION_ID, text),
    "agent_id": (names.AGENT_ID, text),
    "output_type": (names.OUTPUT_TYPE, output_type),
    "stream": (names.REQUEST_STREAM, only_true),
}
_AGENT_RULES: Mapping[str, Rule] = {
    "model": (names.REQUEST_MODEL, text),
    "reasoning": (names.REQUEST_REASONING_LEVEL, reasoning_level),
    "service_tier": (names.REQUEST_SERVICE_TIER, not_auto),
    "text": (names.OUTPUT_TYPE, lambda value: output_type(fields(value).get("format"))),
}
_SESSION_RULES: Mapping[str, Rule] = {"id": (names.CONVERSATION_ID, text)}
_SESSION_AGENT_RULES: Mapping[str, Rule] = {"id": (names.AGENT_ID, text)}
_TURN_ENDS = {
    "agent.session.turn.completed": "stop",
    "agent.session.turn.failed": names.FINISH_ERROR,
    "agent.session.turn.cancelled": "cancelled",
}


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {**mapped(fields(params.get("agent")), _AGENT_RULES), **mapped(params, _RULES)}


def _fetch_request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {**mapped(params, _RULES), names.REQUEST_STREAM: True}  # which nobody sends: there is no other way


def _response(session: Any) -> Outcome:
    """A session as it stands. Its usage is that of all its turns, and is not told here."""
    told = fields(session)
    agent = fields(told.get("agent"))
    status = told.get("status")
    return Outcome(
        response_model=text(agent.get("model")),
        service_tier=not_auto(agent.get("service_tier")),
        attributes={**mapped(told, _SESSION_RULES), **mapped(agent, _SESSION_AGENT_RULES)},
        error=_error_in(told) or {} if status == "failed" else body_error(session, answered=status is not None),
    )


def _error_in(told: Mapping[str, Any]) -> object:
    error = told.get("error")
    return {"message": error} if error and isinstance(error, str) else error


def _accepted(_: object) -> Outcome:
    """The server has taken the events, and says nothing else."""
    return Outcome()


class SessionObserver:
    """Watches the events of a session: no turn, one, or many."""

    __slots__ = (
        "_calls",
        "_ended",
        "_error",
        "_failure",
        "_last",
        "_output",
        "_reasons",
        "_session",
        "_turn",
        "_turn_id",
        "_usage",
        "_waits_for",
    )

    def __init__(self) -> None:
        self._session = Outcome()  # as the newest event had it
        self._turn_id: str | None = None  # of the first turn
        self._turn: str | None = None  # that goes on
        self._last: str | None = None  # that has ended
        self._ended = False  # a turn has, or the session
        self._waits_for: list[str] | None = None  # None, or what the finish reasons are while it waits for the app
        self._reasons: list[str] = []
        self._usage: dict[str, float] = {}
        self._calls = ToolCalls()
        self._failure: object = None
        self._error: object = None  # which may yet be overcome
        self._output = False

    def chunk(self, event: Any, /) -> bool:
        """Take note of one event. Most are deltas."""
        kind = getattr(event, "type", None)
        if type(kind) is not str:
            self._error = _error_in(fields(event)) or body_error(event, answered=False) or self._error
            return False
        handle = _HANDLERS.get(kind)
        if handle is not None:
            handle(self, event)
        if self._output:
            return False
        is_text = kind.startswith("agent.session.turn.") and kind.endswith(".delta")
        self._output = bool(self._calls.count or (is_text and getattr(event, "delta", None)))
        return self._output

    def session(self, event: Any) -> None:
        """An event that carries the session as it stands."""
        self._waits_for = None
        session = getattr(event, "session", None)
        if session is not None:
            self._session = _response(session)

    def idle(self, event: Any) -> None:
        """No turn goes on."""
        self.session(event)
        if self._turn is not None:
            self._turn_ended(self._turn)

    def waits(self, event: Any) -> None:
        """The turn goes on when the app has done something."""
        self.session(event)
        session = fields(getattr(event, "session", None))
        self._waits_for = []
        for action in map(fields, listed(session.get("required_actions"))):
            if action.get("type") == "function_call":
                self._waits_for = ["tool_calls"]
                self._call(session.get("id"), action)

    def budget_reached(self, event: Any) -> None:
        """The session has spent what it may, and its turn with it."""
        if self._turn is not None:
            session = fields(getattr(event, "session", None))
            self._reason("budget_reached", session.get("id"), self._turn)
        elif not self._ended:
            self._reasons.append("budget_reached")
        self.idle(event)
        self._ended = True

    def failed(self, event: Any) -> None:
        """The session has failed, and its turn with it."""
        session = fields(getattr(event, "session", None))
        if self._turn is not None:
            self._reason(names.FINISH_ERROR, session.get("id"), self._turn)
        self.idle(event)
        self._ended = True
        self._failure = self._failure or self._error or _error_in(session) or {}

    def begins(self, event: Any) -> None:
        """A turn has begun."""
        turn = fields(getattr(event, "turn", None))
        turn_id = text(turn.get("id"))
        if turn.get("subagent_id") is None and turn_id is not None and turn_id != self._last:
            self._turn = turn_id
            self._turn_id = self._turn_id or turn_id
            self._waits_for = None

    def ends(self, event: Any) -> None:
        """A turn has ended, of the agent or of a subagent, which has a usage of its own."""
        turn = fields(getattr(event, "turn", None))
        turn_id = text(turn.get("id"))
        session_id = turn.get("session_id")
        usage = read_usage(getattr(event, "usage", None) or turn.get("usage"))
        if usage and turn_id is not None and is_first("usage", text(session_id) or "", turn_id):
            self._add(usage)
        if turn.get("subagent_id") is not None:
            return
        reason = _TURN_ENDS[event.type]
        if turn_id is not None:
            self._reason(reason, session_id, turn_id)
        self._turn_ended(turn_id)
        if reason == names.FINISH_ERROR:
            self._failure = _error_in(turn) or self._error or {}
        elif reason == "stop":
            self._error = None

    def _turn_ended(self, turn_id: str | None) -> None:
        self._turn_id = self._turn_id or turn_id
        self._last = turn_id
        self._turn = None
        self._waits_for = None
        self._ended = True

    def _reason(self, reason: str, session_id: object, turn_id: str) -> None:
        """Why a turn has ended: of two events that tell it, the first."""
        if is_first("turn", text(session_id) or "", turn_id) and len(self._reasons) < MAX_CHOICES:
            self._reasons.append(reason)

    def _add(self, usage: Mapping[str, float]) -> None:
        for name, tokens in usage.items():
            self._usage[name] = min(self._usage.get(name, 0) + tokens, MAX_INT - 1)

    def item(self, event: Any) -> None:
        """An item has been added to a turn."""
        item = fields(getattr(event, "item", None))
        if item.get("type") == "function_call":
            self._call(getattr(event, "session_id", None), item)

    def _call(self, session_id: object, call: Mapping[str, Any]) -> None:
        call_id = text(call.get("call_id"))
        if call_id is not None and is_first("call", text(session_id) or "", call_id):
            self._calls.add(call.get("name"))

    def error(self, event: Any) -> None:
        """An error event, which the client does not raise."""
        self._error = _error_in(fields(event)) or event

    def outcome(self) -> Outcome:
        """What was seen until now. A turn that goes on has no finish reason: it does not end with the stream."""
        outcome = self._session
        outcome.response_id = self._turn_id
        outcome.finish_reasons = self._reasons + (self._waits_for or [])
        outcome.usage = self._usage
        outcome.tool_calls = self._calls if self._calls.count else None
        outcome.error = self._error if self._failure is None else self._failure
        outcome.complete = self._waits_for is not None or (self._ended and self._turn is None)
        return outcome


_HANDLERS = {
    "agent.session.created": SessionObserver.session,
    "agent.session.in_progress": SessionObserver.session,
    "agent.session.idle": SessionObserver.idle,
    "agent.session.requires_action": SessionObserver.waits,
    "agent.session.budget_reached": SessionObserver.budget_reached,
    "agent.session.failed": SessionObserver.failed,
    "agent.session.turn.created": SessionObserver.begins,
    "agent.session.turn.in_progress": SessionObserver.begins,
    "agent.session.turn.item.added": SessionObserver.item,
    **dict.fromkeys(_TURN_ENDS, SessionObserver.ends),
    "error": SessionObserver.error,
}

SESSION = Operation(
    name="invoke_agent", request=_request, response=_response, observer=SessionObserver, open_ended=True
)
SEND_EVENTS = Operation(
    name="invoke_agent",
    request=_request,
    response=_accepted,
    observer=SessionObserver,
    positional=("session_id",),
)
FETCH_SESSION = Operation(
    name="fetch_session",
    request=_fetch_request,
    response=_response,
    observer=SessionObserver,
    positional=("session_id",),
    open_ended=True,
)
