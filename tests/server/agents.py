"""Real-shaped sessions of agents and their events, in the order in which OpenAI sends them."""

from collections.abc import Sequence
from typing import Any

from .bodies import CREATED, MODEL
from .fields import Body, merge

AGENT_ID = "agent_01k6w3m2vq"
SESSION_ID = "sess_01k6w3m2vr"
TURN_ID = "turn_01k6w3m2vs"


def token_usage(input_tokens: int = 9, output_tokens: int = 12) -> Body:
    """Return token usage of a turn."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def agent_session(status: str = "idle", *, actions: Sequence[Body] = (), **fields: Any) -> Body:
    """Return a session; `actions` are what it waits for."""
    agent: Body = {
        "id": AGENT_ID,
        "instructions": "Be brief.",
        "model": MODEL,
        "multi_agent": {"enabled": False, "max_concurrent_subagents": None},
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "auto",
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tools": [],
        "name": None,
    }
    defaults: Body = {
        "id": SESSION_ID,
        "agent": agent,
        "created_at": CREATED,
        "environment": {"type": "none"},
        "error": None,
        "last_active_at": CREATED,
        "metadata": {},
        "object": "agent.session",
        "required_actions": list(actions),
        "status": status,
        "usage": None,
        "vault_ids": [],
    }
    return merge(defaults, fields)


def agent_turn(status: str = "completed", **fields: Any) -> Body:
    """Return a turn; once it has ended it has usage."""
    has_ended = status in ("completed", "failed", "cancelled")
    defaults: Body = {
        "id": TURN_ID,
        "agent_id": AGENT_ID,
        "completed_at": CREATED + 1 if has_ended else None,
        "created_at": CREATED,
        "error": None,
        "object": "agent.session.turn",
        "session_id": SESSION_ID,
        "started_at": CREATED,
        "status": status,
        "subagent_id": None,
        "usage": token_usage() if has_ended else None,
    }
    return merge(defaults, fields)


def session_event(name: str, **fields: Any) -> Body:
    """Return an event that carries the session: `idle`, `failed` ..."""
    status = "idle" if name == "created" else name
    kind = f"agent.session.{name}"
    return {"type": kind, "event_id": f"evt_{name}", "session": agent_session(status, **fields)}


def turn_event(name: str, **fields: Any) -> Body:
    """Return an event that carries a turn: `created`, `completed` ... Its usage is the turn's."""
    turn = agent_turn("queued" if name == "created" else name, **fields)
    own = {"turn": turn, "turn_id": turn.get("id"), "session_id": SESSION_ID}
    usage: Body = {"usage": turn["usage"]} if turn.get("usage") else {}
    return {"type": f"agent.session.turn.{name}", "event_id": f"evt_{turn.get('id')}_{name}", **own, **usage}


def item_event(item: Body, **fields: Any) -> Body:
    """Return an event of an item that begins."""
    own = {"item": {"id": "item_1", "turn_id": TURN_ID, **item}, "turn_id": TURN_ID, "session_id": SESSION_ID}
    kind = "agent.session.turn.item.added"
    return merge({"type": kind, "event_id": f"evt_{item.get('call_id')}", **own, "output_index": 0}, fields)


def agent_call(name: str = "get_weather", call_id: str = "call_1") -> Body:
    """Return a call of a function, as an item."""
    own = {"name": name, "call_id": call_id, "arguments": {"city": "Paris"}}
    return {"type": "function_call", "status": "in_progress", **own}


def text_event(text: Any = "Hello!", **fields: Any) -> Body:
    """Return a piece of the answer."""
    place = {"item_id": "item_1", "output_index": 0, "content_index": 0, "turn_id": TURN_ID, "session_id": SESSION_ID}
    kind = "agent.session.turn.output_text.delta"
    return merge({"type": kind, "event_id": f"evt_{text}", "delta": text, **place}, fields)


def agent_error_event(code: str | None = "server_error", message: str = "The server had an error.") -> Body:
    """Return an error event."""
    error = {"code": code, "message": message, "param": None, "type": "server_error"}
    return {"type": "error", "event_id": "evt_error", "session_id": SESSION_ID, "error": error}


def turn_stream(*texts: str, status: str = "completed", **fields: Any) -> list[Body]:
    """Return the events of a session with one turn, whose end takes the further fields."""
    return [
        session_event("created"),
        turn_event("created"),
        session_event("in_progress"),
        turn_event("in_progress"),
        *map(text_event, texts or ("Hel", "lo!")),
        turn_event(status, **fields),
        session_event("idle"),
    ]
