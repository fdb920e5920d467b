"""Real-shaped bodies and stream events of the smaller APIs, as OpenAI sends them.

Every builder takes further fields as keywords, on the object that it returns; ABSENT leaves a field out.
"""

from collections.abc import Sequence
from typing import Any

from .bodies import CREATED, MODEL
from .events import DONE, event
from .fields import Body, merge
from .responses import response_usage

IMAGE = "iVBORw0KGgo="
RUN_ID = "run_qJL1kI9xxWlfE0z1yfL0fGg9"
THREAD_ID = "thread_qJL1kI9xxWlfE0z1yfL0fGg9"
ASSISTANT_ID = "asst_FSXZ1FyzfVZ9vDmWNN8G1rS8"
VECTOR_STORE_ID = "vs_abc123"


def image_usage(**fields: Any) -> Body:
    """Return token usage of images."""
    usage = {
        "input_tokens": 50,
        "output_tokens": 1056,
        "total_tokens": 1106,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    }
    return merge(usage, fields)


def images(**fields: Any) -> Body:
    """Return generated images."""
    defaults = {"created": CREATED, "data": [{"b64_json": IMAGE}], "output_format": "png", "usage": image_usage()}
    return merge(defaults, fields)


def image_stream(prefix: str = "image_generation", **fields: Any) -> list[Body]:
    """Return a whole stream: two partial images and the complete one, whose event takes the further fields."""
    picture = {"b64_json": IMAGE, "created_at": CREATED, "size": "1024x1024", "quality": "high"}
    picture |= {"background": "opaque", "output_format": "png"}
    partial = {**picture, "type": f"{prefix}.partial_image"}
    complete = {**picture, "type": f"{prefix}.completed", "usage": image_usage()}
    return [{**partial, "partial_image_index": 0}, {**partial, "partial_image_index": 1}, merge(complete, fields)]


def audio_usage(**fields: Any) -> Body:
    """Return token usage of a transcription."""
    usage = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
        "output_tokens": 31,
        "total_tokens": 45,
    }
    return merge(usage, fields)


def transcription(text: Any = "Hello!", **fields: Any) -> Body:
    """Return a transcription (or a translation)."""
    return merge({"text": text, "usage": audio_usage()}, fields)


def transcription_stream(*texts: str, **fields: Any) -> list[Body | str]:
    """Return a whole stream; the last event takes the further fields."""
    pieces = texts or ("Hel", "lo!")
    deltas: list[Body | str] = [{"type": "transcript.text.delta", "delta": piece} for piece in pieces]
    done = {"type": "transcript.text.done", "text": "".join(pieces), "usage": audio_usage()}
    return [*deltas, merge(done, fields), DONE]


def moderation(**fields: Any) -> Body:
    """Return a moderation of one input."""
    categories = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(categories, False),
        "category_scores": dict.fromkeys(categories, 0.01),
        "category_applied_input_types": {category: ["text"] for category in categories},
    }
    return merge({"id": "modr-0d9740456c391e43", "model": "omni-moderation-latest", "results": [result]}, fields)


def search_page(*texts: str, **fields: Any) -> Body:
    """Return what was found in a vector store."""
    data: list[Body] = [
        {
            "file_id": "file-1",
            "filename": "facts.txt",
            "score": 0.95,
            "attributes": {},
            "content": [{"type": "text", "text": text}],
        }
        for text in texts or ("Paris is a city.",)
    ]
    page: Body = {
        "object": "vector_store.search_results.page",
        "search_query": ["Paris"],
        "data": data,
        "has_more": False,
        "next_page": None,
    }
    return merge(page, fields)


def decision(**fields: Any) -> Body:
    """Return a decision on one question."""
    answer = {"type": "predicate", "name": "polite", "probability": 0.9}
    return merge({"model": "gpt-6-luna", "answers": [answer], "usage": response_usage()}, fields)


def video(**fields: Any) -> Body:
    """Return a video job that has begun."""
    defaults = {
        "id": "video_123",
        "object": "video",
        "created_at": CREATED,
        "model": "sora-2",
        "status": "queued",
        "progress": 0,
        "seconds": "8",
        "size": "720x1280",
    }
    return merge(defaults, fields)


def batch(status: str = "validating", **fields: Any) -> Body:
    """Return a batch."""
    defaults = {
        "id": "batch_abc123",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "completion_window": "24h",
        "status": status,
        "created_at": CREATED,
    }
    return merge(defaults, fields)


def run_usage(**fields: Any) -> Body:
    """Return token usage of a run."""
    return merge({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, fields)


def run(status: str = "queued", *, tools: Sequence[Body] = (), **fields: Any) -> Body:
    """Return a run of an assistant.

    Args:
        status: With ``completed`` it has usage.
        tools: Tool calls that the app is asked to make (with the status ``requires_action``).
        **fields: Further fields.
    """
    action: Body = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": list(tools)}}
    defaults: Body = {
        "id": RUN_ID,
        "object": "thread.run",
        "created_at": CREATED,
        "thread_id": THREAD_ID,
        "assistant_id": ASSISTANT_ID,
        "status": status,
        "model": MODEL,
        "instructions": "Be brief.",
        "tools": [],
        "parallel_tool_calls": True,
        "required_action": action if tools else None,
        "usage": run_usage() if status == "completed" else None,
    }
    return merge(defaults, fields)


def run_stream(*texts: str, status: str = "completed", **fields: Any) -> list[Body | str]:
    """Return a whole stream of a run; the run of the last event takes the further fields."""
    message = {"id": "msg_1", "object": "thread.message.delta"}
    deltas = [
        event("thread.message.delta", {**message, "delta": {"content": [_text_delta(text)]}})
        for text in texts or ("Hel", "lo!")
    ]
    return [
        event("thread.run.created", run()),
        event("thread.run.in_progress", run("in_progress")),
        event("thread.message.created", _message()),
        *deltas,
        event(f"thread.run.{status}", run(status, **fields)),
        DONE,
    ]


def _text_delta(text: str) -> Body:
    return {"index": 0, "type": "text", "text": {"value": text, "annotations": []}}


def _message() -> Body:
    return {
        "id": "msg_1",
        "object": "thread.message",
        "created_at": CREATED,
        "thread_id": THREAD_ID,
        "run_id": RUN_ID,
        "assistant_id": ASSISTANT_ID,
        "status": "in_progress",
        "role": "assistant",
        "content": [],
        "attachments": [],
        "metadata": {},
    }
