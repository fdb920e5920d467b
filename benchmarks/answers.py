"""What the canned server answers: bodies and streams as OpenAI sends them, optional fields included."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass

MODEL = "gpt-4o-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
_ANSWERED_BY = "gpt-4o-mini-2024-07-18"
_CREATED = 1_762_000_000


@dataclass(frozen=True, slots=True)
class Sse:
    """A stream: the frames at its start, one frame that repeats, and the frames at its end."""

    start: tuple[bytes, ...]
    repeated: bytes
    end: tuple[bytes, ...]


def _data(body: object) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _event(sequence: int, kind: str, **fields: object) -> bytes:
    body = {"type": kind, "sequence_number": sequence, **fields}
    return b"event: " + kind.encode() + b"\n" + _data(body)


_CHAT_USAGE = {
    "prompt_tokens": 142,
    "completion_tokens": 37,
    "total_tokens": 179,
    "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_ANSWER = (
    "A span is one unit of work with a start, an end and attributes. "
    "A trace is the tree of the spans that one request has caused, across processes."
)
CHAT = json.dumps(
    {
        "id": "chatcmpl-CXmJ2pWf0cQb1n7aVt3kZy9sLr5Ue",
        "object": "chat.completion",
        "created": _CREATED,
        "model": _ANSWERED_BY,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _ANSWER, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _CHAT_USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
    }
).encode()


def _chat_chunk(delta: object, finish_reason: str | None = None, usage: object = None, *, choice: bool = True) -> bytes:
    entry = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data(
        {
            "id": "chatcmpl-CXmJ2pWf0cQb1n7aVt3kZy9sLr5Ue",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": _ANSWERED_BY,
            "service_tier": "default",
            "system_fingerprint": "fp_560af6e559",
            "choices": [entry] if choice else [],
            "usage": usage,
            "obfuscation": "q8Zr2T",
        }
    )


_CHAT_END = (_chat_chunk({}, usage=_CHAT_USAGE, choice=False), b"data: [DONE]\n\n")
CHAT_STREAM = Sse(
    start=(_chat_chunk({"role": "assistant", "content": "", "refusal": None}),),
    repeated=_chat_chunk({"content": " request"}),
    end=(_chat_chunk({}, "stop"), *_CHAT_END),
)
_TOOL_CALL = {"index": 0, "id": "call_Zk3s", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
TOOL_CALL_STREAM = Sse(
    start=(_chat_chunk({"role": "assistant", "content": None, "tool_calls": [_TOOL_CALL], "refusal": None}),),
    repeated=_chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"'}}]}),
    end=(_chat_chunk({}, "tool_calls"), *_CHAT_END),
)


def _response(status: str, output: list[object], usage: object) -> dict[str, object]:
    return {
        "id": "resp_68f1c0d6a7b481908b1d2f3a4c5e6f70",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": 256,
        "model": _ANSWERED_BY,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 0.2,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _responses_stream() -> Sse:
    item_id = "msg_68f1c0d7b2c081909c3e4f5a6b7c8d9e"
    text: dict[str, object] = {"type": "output_text", "annotations": [], "logprobs": [], "text": _ANSWER}
    item: dict[str, object] = {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [text],
    }
    opened: dict[str, object] = {**item, "status": "in_progress", "content": []}
    usage = {
        "input_tokens": 142,
        "input_tokens_details": {"cached_tokens": 128},
        "output_tokens": 37,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 179,
    }
    place: dict[str, object] = {"item_id": item_id, "output_index": 0, "content_index": 0}
    delta: dict[str, object] = {**place, "delta": " request", "logprobs": [], "obfuscation": "q8Zr2T"}
    return Sse(
        start=(
            _event(0, "response.created", response=_response("in_progress", [], None)),
            _event(1, "response.output_item.added", output_index=0, item=opened),
            _event(2, "response.content_part.added", **place, part={**text, "text": ""}),
        ),
        repeated=_event(3, "response.output_text.delta", **delta),
        end=(
            _event(4, "response.output_text.done", **place, text=_ANSWER, logprobs=[]),
            _event(5, "response.content_part.done", **place, part=text),
            _event(6, "response.output_item.done", output_index=0, item=item),
            _event(7, "response.completed", response=_response("completed", [item], usage)),
        ),
    )


RESPONSES_STREAM = _responses_stream()

_VECTOR = struct.pack("<1536f", *(index / 1536 for index in range(1536)))
EMBEDDING = json.dumps(
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": base64.b64encode(_VECTOR).decode()}],
        "model": EMBEDDING_MODEL,
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
).encode()
