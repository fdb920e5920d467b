"""Real-shaped bodies of Chat Completions, the legacy Completions and Embeddings, as OpenAI sends them.

Every builder takes further fields as keywords, on the object that it returns; ABSENT leaves a field out.
"""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from .events import DONE
from .fields import ABSENT, Body, merge

CREATED = 1795317258
MODEL = "gpt-4o-mini-2024-07-18"
"""The model that answers; a request names ``gpt-4o-mini``."""


def chat_usage(
    input_tokens: int = 9, output_tokens: int = 12, *, cached: int = 0, reasoning: int = 0, **fields: Any
) -> Body:
    """Return token usage; `cached` is part of the input, `reasoning` of the output."""
    usage = {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return merge(usage, fields)


def tool_call(name: Any = "get_weather", arguments: Any = '{"city":"Paris"}', **fields: Any) -> Body:
    """Return a function call of a message."""
    function = merge({"name": name, "arguments": arguments})
    return merge({"id": f"call_{name}", "type": "function", "function": function}, fields)


def choice(
    content: Any = "Hello!", *, tool_calls: Sequence[Body] = (), message: Mapping[str, Any] | None = None, **fields: Any
) -> Body:
    """Return a choice; with tool calls the content is null and the finish reason ``tool_calls``."""
    said: Body = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    if tool_calls:
        said |= {"content": None, "tool_calls": list(tool_calls)}
    defaults = {
        "index": 0,
        "message": merge(said, message),
        "logprobs": None,
        "finish_reason": "tool_calls" if tool_calls else "stop",
    }
    return merge(defaults, fields)


def chat(
    content: Any = "Hello!", *, tool_calls: Sequence[Body] = (), finish_reason: str | None = None, **fields: Any
) -> Body:
    """Return a chat completion of one choice; pass ``choices=[choice(...), ...]`` for others.

    A finish reason of None is the usual one; for null give the choice itself.
    """
    only = choice(content, tool_calls=tool_calls)
    if finish_reason is not None:
        only["finish_reason"] = finish_reason
    defaults = {
        "id": "chatcmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1",
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "choices": [only],
        "usage": chat_usage(),
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }
    return merge(defaults, fields)


def chat_chunk(
    content: Any = ABSENT,
    *,
    index: Any = 0,
    finish_reason: Any = None,
    delta: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Body:
    """Return a chunk of one choice; `delta` holds further fields of the delta."""
    said = merge({"content": content}, delta)
    only = {"index": index, "delta": said, "logprobs": None, "finish_reason": finish_reason}
    defaults = {
        "id": "chatcmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [merge(only)],
    }
    return merge(defaults, fields)


def role_chunk(*, index: Any = 0, **fields: Any) -> Body:
    """Return the first chunk: the role and no text yet."""
    return chat_chunk("", index=index, delta={"role": "assistant", "refusal": None}, **fields)


def reasoning_chunk(text: Any, *, name: str = "reasoning_content", index: Any = 0, **fields: Any) -> Body:
    """Return a chunk of reasoning, in the field ``reasoning_content`` or (vLLM, Ollama) ``reasoning``."""
    return chat_chunk(index=index, delta={name: text}, **fields)


def refusal_chunk(text: Any, *, index: Any = 0, **fields: Any) -> Body:
    """Return a chunk of a refusal."""
    return chat_chunk(index=index, delta={"refusal": text}, **fields)


def tool_chunk(
    arguments: Any = ABSENT, *, name: Any = ABSENT, call_id: Any = ABSENT, call: Any = 0, index: Any = 0, **fields: Any
) -> Body:
    """Return a chunk of a tool call: the first of a call has id and name, the others only arguments.

    Args:
        arguments: A piece of the JSON text.
        name: Of the function.
        call_id: Of the call.
        call: Index of the call in the choice.
        index: Index of the choice.
        **fields: Further fields of the chunk.
    """
    kind = ABSENT if call_id is ABSENT else "function"
    function = merge({"name": name, "arguments": arguments})
    delta = merge({"index": call, "id": call_id, "type": kind, "function": function})
    return chat_chunk(index=index, delta={"tool_calls": [delta]}, **fields)


def finish_chunk(reason: Any = "stop", *, index: Any = 0, **fields: Any) -> Body:
    """Return the last chunk of a choice: an empty delta and the finish reason."""
    return chat_chunk(index=index, finish_reason=reason, **fields)


def usage_chunk(usage: Any = None, **fields: Any) -> Body:
    """Return the chunk that ends a stream with ``include_usage``: no choice, only the usage."""
    return chat_chunk(choices=[], usage=usage or chat_usage(), **fields)


def chat_stream(*texts: str, finish_reason: str = "stop", usage: Body | None = None, **fields: Any) -> list[Body | str]:
    """Return a whole stream of text up to ``[DONE]``; with a usage chunk if `usage` is given."""
    chunks = [role_chunk(**fields)]
    chunks += [chat_chunk(text, **fields) for text in texts]
    chunks.append(finish_chunk(finish_reason, **fields))
    return [*chunks, *_last(usage, fields), DONE]


def chat_tool_stream(*calls: Body, usage: Body | None = None, **fields: Any) -> list[Body | str]:
    """Return a whole stream of tool calls, the arguments of each in two pieces."""
    chunks = [role_chunk(**fields)]
    for call, whole in enumerate(calls or [tool_call()]):
        function = whole["function"]
        middle = len(function["arguments"]) // 2
        chunks.append(tool_chunk("", name=function["name"], call_id=whole["id"], call=call, **fields))
        chunks.append(tool_chunk(function["arguments"][:middle], call=call, **fields))
        chunks.append(tool_chunk(function["arguments"][middle:], call=call, **fields))
    chunks.append(finish_chunk("tool_calls", **fields))
    return [*chunks, *_last(usage, fields), DONE]


def _last(usage: Body | None, fields: Body) -> list[Body]:
    return [] if usage is None else [usage_chunk(usage, **fields)]


def completion(text: Any = "Hello!", *, finish_reason: Any = "stop", **fields: Any) -> Body:
    """Return a legacy completion of one choice; pass ``choices=[...]`` for others."""
    defaults = completion_chunk(text, finish_reason=finish_reason, usage=chat_usage())
    return merge(defaults, fields)


def completion_chunk(text: Any = "", *, index: Any = 0, finish_reason: Any = None, **fields: Any) -> Body:
    """Return a chunk of a legacy completion."""
    defaults = {
        "id": "cmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1",
        "object": "text_completion",
        "created": CREATED,
        "model": "gpt-3.5-turbo-instruct:20230824-v2",
        "choices": [merge({"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason})],
    }
    return merge(defaults, fields)


def completion_stream(
    *texts: str, finish_reason: str = "stop", usage: Body | None = None, **fields: Any
) -> list[Body | str]:
    """Return a whole stream of a legacy completion up to ``[DONE]``."""
    chunks = [completion_chunk(text, **fields) for text in texts]
    chunks.append(completion_chunk(finish_reason=finish_reason, **fields))
    if usage is not None:
        chunks.append(completion_chunk(choices=[], usage=usage, **fields))
    return [*chunks, DONE]


def embeddings(*vectors: Sequence[float], as_base64: bool = False, **fields: Any) -> Body:
    """Return embeddings, as lists of numbers or (what the client asks for by itself) base64 of 32-bit floats."""
    vectors = vectors or ((0.25, -0.5, 0.125),)
    data = [
        {"object": "embedding", "index": index, "embedding": to_base64(vector) if as_base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5 * len(vectors), "total_tokens": 5 * len(vectors)}
    return merge({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}, fields)


def to_base64(vector: Sequence[float]) -> str:
    """Return little-endian 32-bit floats in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
