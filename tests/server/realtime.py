"""Real-shaped objects and events of the Realtime API, as OpenAI sends them.

Every builder takes further fields as keywords, on the object that it returns; ABSENT leaves a field out.
"""

from typing import Any

from .fields import Body, merge
from .others import audio_usage

REALTIME_MODEL = "gpt-realtime-2025-08-28"
REALTIME_ID = "resp_C9CGVzVZJmrQYzT9TMJPP"
CONVERSATION_ID = "conv_C9CEzAYfLmhZUTB4Aq8TX"
SESSION_ID = "sess_C9CEzMGhpKcVbN8uQzFYd"

_EMPTY: Body = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}


def realtime_usage(**fields: Any) -> Body:
    """Return token usage by modality, a part of the input from the cache."""
    usage = {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {
            "text_tokens": 119,
            "audio_tokens": 13,
            "image_tokens": 0,
            "cached_tokens": 64,
            "cached_tokens_details": {**_EMPTY, "text_tokens": 64},
        },
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
    }
    return merge(usage, fields)


def realtime_message(transcript: str = "Hello!", **fields: Any) -> Body:
    """Return a message item of the output."""
    content = [{"type": "output_audio", "transcript": transcript}]
    defaults = {"id": "item_1", "object": "realtime.item", "type": "message", "status": "completed"}
    return merge({**defaults, "role": "assistant", "content": content}, fields)


def realtime_call(name: str = "get_weather", **fields: Any) -> Body:
    """Return a function call item of the output."""
    defaults = {"id": f"item_{name}", "object": "realtime.item", "type": "function_call", "status": "completed"}
    return merge({**defaults, "call_id": f"call_{name}", "name": name, "arguments": '{"city":"Paris"}'}, fields)


def realtime_response(
    *, status: str = "completed", reason: str | None = None, error: Any = None, output: Any = None, **fields: Any
) -> Body:
    """Return a response.

    Args:
        status: ``completed``, ``cancelled``, ``incomplete``, ``failed`` or ``in_progress``.
        reason: Why it is cancelled or incomplete.
        error: Why it has failed.
        output: Items instead of one message.
        **fields: Further fields.
    """
    under_way = status == "in_progress"
    details: Body = {"type": status, **({"reason": reason} if reason else {}), **({"error": error} if error else {})}
    defaults = {
        "id": REALTIME_ID,
        "object": "realtime.response",
        "status": status,
        "status_details": None if under_way or status == "completed" else details,
        "output": [] if under_way or status == "failed" else [realtime_message()] if output is None else output,
        "conversation_id": CONVERSATION_ID,
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        "usage": None if under_way or status == "failed" else realtime_usage(),
        "metadata": None,
    }
    return merge(defaults, fields)


def realtime_session(kind: str = "created", **fields: Any) -> Body:
    """Return the event ``session.created`` or ``session.updated``; `fields` are those of the session."""
    session = {"id": SESSION_ID, "object": "realtime.session", "type": "realtime", "model": REALTIME_MODEL}
    return {"type": f"session.{kind}", "event_id": "event_session", "session": merge(session, fields)}


def realtime_begin(**fields: Any) -> Body:
    """Return the event ``response.created``; `fields` are those of the response."""
    known = {name: value for name, value in fields.items() if name in {"id", "conversation_id", "metadata"}}
    return {
        "type": "response.created",
        "event_id": "event_begin",
        "response": realtime_response(status="in_progress", **known),
    }


def realtime_item(kind: str, item: Body, response_id: str = REALTIME_ID) -> Body:
    """Return the event ``response.output_item.added`` or ``.done``."""
    event = {"type": f"response.output_item.{kind}", "event_id": "event_item", "response_id": response_id}
    return {**event, "output_index": 0, "item": item}


def realtime_delta(delta: str = "UklGRg==", kind: str = "output_audio", response_id: str = REALTIME_ID) -> Body:
    """Return one piece of the output: of ``output_audio``, ``output_audio_transcript``, ``output_text`` ..."""
    place = {"item_id": "item_1", "output_index": 0, "content_index": 0}
    return {
        "type": f"response.{kind}.delta",
        "event_id": "event_delta",
        "response_id": response_id,
        **place,
        "delta": delta,
    }


def realtime_end(**fields: Any) -> Body:
    """Return the event ``response.done``; `fields` are the arguments of `realtime_response`."""
    return {"type": "response.done", "event_id": "event_end", "response": realtime_response(**fields)}


def realtime_stream(*calls: Body, **fields: Any) -> list[Body]:
    """Return the events of one response: two pieces of audio, or function calls; `fields` as in `realtime_end`."""
    identity = fields.get("id", REALTIME_ID)
    if calls:
        parts = [realtime_item(kind, call, identity) for call in calls for kind in ("added", "done")]
    else:
        message = realtime_message()
        deltas = [realtime_delta(response_id=identity), realtime_delta(response_id=identity)]
        parts = [realtime_item("added", message, identity), *deltas, realtime_item("done", message, identity)]
    return [realtime_begin(**fields), *parts, realtime_end(**({"output": list(calls)} if calls else {}), **fields)]


def realtime_error(code: str | None = None, event_id: str | None = None, **fields: Any) -> Body:
    """Return the event ``error``; `fields` are those of the error."""
    error = {"type": "invalid_request_error", "code": code, "message": "It cannot be done.", "param": None}
    return {"type": "error", "event_id": "event_error", "error": merge({**error, "event_id": event_id}, fields)}


def realtime_heard(item: str = "item_said", kind: str = "input_audio_buffer.committed") -> Body:
    """Return the event that tells that the user has said something."""
    return {"type": kind, "event_id": "event_heard", "item_id": item, "previous_item_id": None}


def realtime_transcription(kind: str = "completed", item: str = "item_said", **fields: Any) -> Body:
    """Return the event that tells what the user has said; a piece of it (``delta``); or why not (``failed``)."""
    told: dict[str, Body] = {
        "completed": {"transcript": "Hello?", "usage": audio_usage()},
        "delta": {"delta": "Hel"},
        "failed": {"error": {"type": "transcription_error", "code": "audio_unintelligible", "message": "x"}},
    }
    event = {"type": f"conversation.item.input_audio_transcription.{kind}", "event_id": "event_transcription"}
    return merge({**event, "item_id": item, "content_index": 0, **told[kind]}, fields)
