"""vLLM 0.32 and its predecessors. Shapes and framing are those of recorded answers."""

from typing import Any

from .bodies import chat, chat_chunk, chat_usage, choice, finish_chunk, reasoning_chunk, tool_call, tool_chunk
from .bodies import usage_chunk as openai_usage_chunk
from .dialects import CHAT, CHAT_STREAMS, ERRORS, RESPONSES_STREAMS, dialect
from .errors import detail_error, old_vllm_error, string_error, vllm_error
from .events import DONE, data, sse
from .fields import ABSENT, Body
from .reply import Reply, json_reply
from .responses import response_stream

_HEADERS = {"server": "uvicorn"}
_FINGERPRINT = "vllm-0.32.0-56e8dadf"
_CHUNK: Body = {
    "id": "chatcmpl-9e36fda39ce3ac57",
    "model": "Qwen/Qwen3-8B",
    "service_tier": ABSENT,
    "system_fingerprint": ABSENT,
}
_WHOLE: Body = {
    "id": "chatcmpl-ad60c427f89b2132",
    "model": "Qwen/Qwen3-8B",
    "service_tier": None,
    "system_fingerprint": _FINGERPRINT,
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "kv_transfer_params": None,
    "metrics": None,
}
_CALL_ID = "chatcmpl-tool-869c54cb689eac5a"


@dialect(CHAT)
def plain() -> Reply:
    """Answer with every optional field present as null, and fields of its own."""
    return _whole(_choice("Hello!"))


@dialect(CHAT)
def n3() -> Reply:
    """Count the tokens of all three choices: 6 each, 18 in all."""
    return _whole(*(_choice(f"Answer {index}", index=index) for index in range(3)), usage=_usage(34, 18))


@dialect(CHAT)
def named_tool() -> Reply:
    """Call the tool that `tool_choice` names, with finish reason ``stop``."""
    return _whole(_choice(tool_calls=[tool_call(id=_CALL_ID)], finish_reason="stop"))


@dialect(CHAT)
def string_arguments() -> Reply:
    """Give arguments that are a JSON string, not an object."""
    return _whole(_choice(tool_calls=[tool_call(arguments='" "', id=_CALL_ID)]))


@dialect(CHAT)
def cut_tool() -> Reply:
    """Leave a call that the token limit cut as raw text: no tool call in the body."""
    return _whole(_choice('<tool_call>\n{"name": "get_weather"', finish_reason="length"))


@dialect(CHAT)
def repetition() -> Reply:
    """Finish for a reason that OpenAI does not have, told again in ``stop_reason``."""
    return _whole(_choice("0000", finish_reason="repetition", stop_reason="repetition_detected"))


@dialect(CHAT)
def reasoning() -> Reply:
    """Reason in the field ``reasoning``."""
    usage = _usage(34, 22, completion_tokens_details={"reasoning_tokens": 14})
    return _whole(_choice("Hello.", message={"reasoning": "User wants hi."}), usage=usage)


@dialect(CHAT_STREAMS)
def stream() -> Reply:
    """Stream text; the fingerprint comes only with the usage chunk."""
    return _sse(_role(), _text("Hel"), _text("lo!"), _finish("stop"), _usage_chunk(34, 3), DONE)


@dialect(CHAT_STREAMS)
def continuous_usage() -> Reply:
    """Put cumulative usage on every chunk, asked for or forced by the server."""
    return _sse(
        _role(usage=_usage(34, 0)),
        _text("Hel", usage=_usage(34, 1)),
        _text("lo!", usage=_usage(34, 2)),
        _finish("stop", usage=_usage(34, 3)),
        _usage_chunk(34, 3),
        DONE,
    )


@dialect(CHAT_STREAMS)
def continuous_usage_n2() -> Reply:
    """Count one choice on each chunk (4), and only at last the sum (8)."""
    return _sse(
        _role(index=0, usage=_usage(34, 0)),
        _role(index=1, usage=_usage(34, 0)),
        _text("a", index=0, usage=_usage(34, 2)),
        _text("b", index=1, usage=_usage(34, 1)),
        _finish("length", index=0, usage=_usage(34, 4)),
        _finish("length", index=1, usage=_usage(34, 4)),
        _usage_chunk(34, 8),
        DONE,
    )


@dialect(CHAT_STREAMS)
def tool_stream() -> Reply:
    """Send id and name first, without arguments."""
    return _sse(_role(), *_calls(0), _finish("tool_calls"), _usage_chunk(25, 30), DONE)


@dialect(CHAT_STREAMS)
def tool_stream_n2() -> Reply:
    """Interleave one call of each choice, both with tool index 0."""
    interleaved = [chunk for pair in zip(_calls(0), _calls(1), strict=True) for chunk in pair]
    ends = [_finish("tool_calls", index=0), _finish("tool_calls", index=1)]
    return _sse(_role(index=0), _role(index=1), *interleaved, *ends, _usage_chunk(25, 60), DONE)


@dialect(CHAT_STREAMS)
def cut_tool_stream() -> Reply:
    """Name a call whose arguments the token limit has cut away: here the call is there, unlike in the body."""
    return _sse(_role(), _calls(0)[0], _finish("length"), _usage_chunk(25, 30), DONE)


@dialect(CHAT_STREAMS)
def reasoning_stream() -> Reply:
    """Reason in the delta ``reasoning``, then speak."""
    thoughts = [reasoning_chunk(text, name="reasoning", **_CHUNK) for text in ("User ", "wants hi.")]
    return _sse(_role(), *thoughts, _text("Hello."), _finish("stop"), _usage_chunk(34, 22), DONE)


@dialect(CHAT_STREAMS)
def aborted_stream() -> Reply:
    """Finish with ``abort``."""
    return _sse(_role(), _text("Hel"), _finish("abort"), DONE)


@dialect(CHAT_STREAMS)
def engine_died() -> Reply:
    """Fail in mid-stream: HTTP 200, an error event and still ``[DONE]``."""
    error = vllm_error(500, message="EngineCore encountered an issue.", kind="InternalServerError")
    return _sse(_role(), _text("Hel"), _text("lo"), error, DONE)


@dialect(CHAT_STREAMS)
def old_stream_error() -> Reply:
    """Fail in mid-stream as before 0.11: a chunk that the client does not take for an error."""
    error = old_vllm_error(500, message="EngineCore encountered an issue.", kind="InternalServerError")
    return _sse(_role(), _text("Hel"), data(error), DONE)


@dialect(RESPONSES_STREAMS)
def responses_cut() -> Reply:
    """End with ``response.completed`` though the token limit cut the answer: the object says ``incomplete``."""
    *events, last = response_stream("Hel", "lo", status="incomplete", model="Qwen/Qwen3-8B")
    return _sse(*events, {**last, "type": "response.completed"})


@dialect(ERRORS)
def unknown_model() -> Reply:
    """Refuse the model; the same JSON also when a stream was asked for."""
    return _error(vllm_error(404, message="The model `nope` does not exist.", kind="NotFoundError", param="model"), 404)


@dialect(ERRORS)
def context_overflow() -> Reply:
    """Refuse a request that is too long."""
    message = "max_tokens=5000 cannot be greater than max_model_len=1024. (parameter=max_tokens, value=5000)"
    return _error(vllm_error(400, message=message, param="max_tokens"), 400)


@dialect(ERRORS)
def validation_error() -> Reply:
    """Refuse a malformed request in words that repeat what the user wrote."""
    problem = "{'type': 'string_type', 'loc': 'body.messages.0.content', 'input': 'my secret'}"
    return _error(vllm_error(400, message=f"1 validation error:\n  {problem}", kind="Bad Request"), 400)


@dialect(ERRORS)
def unauthorized() -> Reply:
    """Refuse the key with an error that is a string."""
    return _error(string_error("Unauthorized"), 401)


@dialect(ERRORS)
def no_such_route() -> Reply:
    """Answer with the body of FastAPI itself."""
    return _error(detail_error("Not Found"), 404)


def _whole(*choices: Body, usage: Body | None = None) -> Reply:
    return json_reply(chat(choices=list(choices), usage=usage or _usage(34, 12), **_WHOLE), headers=_HEADERS)


def _choice(content: Any = None, **fields: Any) -> Body:
    own: Body = {"audio": None, "function_call": None, "reasoning": None, **fields.pop("message", {})}
    nulls: Body = {"stop_reason": None, "token_ids": None}
    return choice(content, message=own, **nulls | fields)


def _usage(input_tokens: int, output_tokens: int, **fields: Any) -> Body:
    nulls: Body = {"prompt_tokens_details": None, "completion_tokens_details": None}
    return chat_usage(input_tokens, output_tokens, **nulls | fields)


def _sse(*items: Any) -> Reply:
    return sse(*items, headers=_HEADERS)


def _error(body: Body, status: int) -> Reply:
    return json_reply(body, status=status, headers=_HEADERS)


def _role(**fields: Any) -> Body:
    return chat_chunk("", delta={"role": "assistant"}, **_CHUNK, **fields)


def _text(text: str, **fields: Any) -> Body:
    return chat_chunk(text, **_CHUNK, **fields)


def _finish(reason: str, **fields: Any) -> Body:
    return finish_chunk(reason, **_CHUNK, **fields)


def _usage_chunk(input_tokens: int, output_tokens: int) -> Body:
    return openai_usage_chunk(_usage(input_tokens, output_tokens), **{**_CHUNK, "system_fingerprint": _FINGERPRINT})


def _calls(index: int) -> list[Body]:
    first = tool_chunk(name="get_weather", call_id=f"{_CALL_ID}{index}", index=index, **_CHUNK)
    return [first, *(tool_chunk(piece, index=index, **_CHUNK) for piece in ('{"', "city", '": "Paris"}'))]
