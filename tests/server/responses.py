"""Real-shaped bodies and stream events of the Responses API, as OpenAI sends them.

Every builder takes further fields as keywords, on the object that it returns; ABSENT leaves a field out.
"""

from collections.abc import Sequence
from typing import Any

from .bodies import CREATED, MODEL
from .fields import ABSENT, Body, merge

RESPONSE_ID = "resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78"
MESSAGE_ID = "msg_68af40337e58819392e935fb404414d00e6967589f080e78"

_FINAL = {"completed": "response.completed", "incomplete": "response.incomplete", "failed": "response.failed"}


def response_usage(
    input_tokens: int = 9, output_tokens: int = 12, *, cached: int = 0, reasoning: int = 0, **fields: Any
) -> Body:
    """Return token usage; `cached` is part of the input, `reasoning` of the output."""
    usage = {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": cached},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + output_tokens,
    }
    return merge(usage, fields)


def output_text(text: Any = "Hello!", **fields: Any) -> Body:
    """Return a text part of a message."""
    return merge({"type": "output_text", "annotations": [], "logprobs": [], "text": text}, fields)


def output_message(text: Any = "Hello!", **fields: Any) -> Body:
    """Return a message item of the output."""
    defaults = {"id": MESSAGE_ID, "type": "message", "status": "completed", "role": "assistant"}
    return merge({**defaults, "content": [output_text(text)]}, fields)


def function_call(name: Any = "get_weather", arguments: Any = '{"city":"Paris"}', **fields: Any) -> Body:
    """Return a function call item of the output."""
    defaults = {"id": f"fc_{name}", "type": "function_call", "status": "completed", "call_id": f"call_{name}"}
    return merge({**defaults, "name": name, "arguments": arguments}, fields)


def reasoning_item(*summaries: str, **fields: Any) -> Body:
    """Return a reasoning item of the output."""
    summary = [{"type": "summary_text", "text": text} for text in summaries]
    return merge({"id": "rs_68af4032", "type": "reasoning", "summary": summary}, fields)


def response(text: Any = "Hello!", *, status: str = "completed", output: Any = None, **fields: Any) -> Body:
    """Return a Response object.

    Args:
        text: The text of its only message.
        status: ``completed``, ``incomplete`` (cut at the token limit), ``failed`` (no output, no usage),
            ``in_progress`` or ``queued``; what belongs to it is filled in.
        output: Items instead of that message.
        **fields: Further fields.
    """
    ended = status in {"completed", "incomplete"}
    message = output_message(text, status=status)
    defaults = {
        "id": RESPONSE_ID,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": {"code": "server_error", "message": "The model failed to answer."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": MODEL,
        "output": ([message] if output is None else output) if ended else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": response_usage() if ended else None,
        "user": None,
    }
    return merge(defaults, fields)


def response_stream(*texts: str, status: str = "completed", **fields: Any) -> list[Body]:
    """Return the events of a streamed text, ending as `status` says; `fields` are those of the Response."""
    texts = texts or ("Hel", "lo!")
    whole = "".join(texts)
    place = {"item_id": MESSAGE_ID, "output_index": 0, "content_index": 0}
    started = output_message(status="in_progress", content=[])
    events: list[Body] = [
        {"type": "response.output_item.added", "output_index": 0, "item": started},
        {"type": "response.content_part.added", **place, "part": output_text("")},
        *({"type": "response.output_text.delta", **place, "delta": text, "logprobs": []} for text in texts),
    ]
    if status != "failed":
        item = output_message(whole, status=status)
        events += [
            {"type": "response.output_text.done", **place, "text": whole, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": output_text(whole)},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
        ]
    return _framed(events, response(whole, status=status, **fields), fields)


def response_tool_stream(*calls: Body, status: str = "completed", **fields: Any) -> list[Body]:
    """Return the events of streamed function calls, the arguments of each in two pieces."""
    calls = calls or (function_call(),)
    events: list[Body] = []
    for index, call in enumerate(calls):
        place = {"item_id": call["id"], "output_index": index}
        arguments = call["arguments"]
        middle = len(arguments) // 2
        pieces = [arguments[:middle], arguments[middle:]]
        started = {**call, "status": "in_progress", "arguments": ""}
        events += [
            {"type": "response.output_item.added", "output_index": index, "item": started},
            *({"type": "response.function_call_arguments.delta", **place, "delta": piece} for piece in pieces),
            {"type": "response.function_call_arguments.done", **place, "name": call["name"], "arguments": arguments},
            {"type": "response.output_item.done", "output_index": index, "item": call},
        ]
    return _framed(events, response(status=status, output=list(calls), **fields), fields)


def response_error_event(
    message: str = "The server had an error.", *, code: Any = "server_error", param: Any = None, **fields: Any
) -> Body:
    """Return the event `error`, which stands in place of a final event. The client yields it like any other."""
    return merge({"type": "error", "code": code, "message": message, "param": param, "sequence_number": 0}, fields)


def compacted_response(*, output: Any = ABSENT, **fields: Any) -> Body:
    """Return the result of ``responses.compact``."""
    compaction = {"id": "cmp_001", "type": "compaction", "encrypted_content": "gAAAAABpM0Yj"}
    question = {
        "id": "msg_000",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "Create a simple landing page."}],
    }
    defaults = {
        "id": "resp_001",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [question, compaction] if output is ABSENT else output,
        "usage": response_usage(139, 438, reasoning=64),
    }
    return merge(defaults, fields)


def numbered(events: Sequence[Body]) -> list[Body]:
    """Return the events with their sequence numbers."""
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _framed(events: list[Body], final: Body, fields: Body) -> list[Body]:
    unknown_yet = {"usage", "error", "incomplete_details"}
    known = {name: value for name, value in fields.items() if name not in unknown_yet}
    started = response(status="in_progress", **known)
    first: list[Body] = [{"type": f"response.{step}", "response": started} for step in ("created", "in_progress")]
    return numbered([*first, *events, {"type": _FINAL[final["status"]], "response": final}])
