"""llama.cpp's server of October 2026. Shapes and framing are those of recorded answers."""

from typing import Any

from .bodies import chat, chat_chunk, chat_usage, choice, finish_chunk, reasoning_chunk, tool_chunk
from .bodies import usage_chunk as openai_usage_chunk
from .dialects import CHAT, CHAT_STREAMS, ERRORS, RESPONSES_STREAMS, dialect
from .errors import llamacpp_error
from .events import DONE, Item, sse, together
from .fields import ABSENT, Body
from .reply import Reply, json_reply
from .responses import response_stream

_HEADERS = {"Server": "llama.cpp", "Access-Control-Allow-Origin": ""}
_OWN: Body = {"model": "qwen3-0.6b", "service_tier": ABSENT, "system_fingerprint": "b0-unknown"}


@dialect(CHAT)
def plain() -> Reply:
    """Answer under its own alias whatever model was asked for; with timings and cached tokens."""
    return _whole(choice("Hello!"))


@dialect(CHAT)
def n3() -> Reply:
    """Count the tokens of one choice only."""
    return _whole(*(choice(f"Answer {index}", index=index) for index in range(3)))


@dialect(CHAT)
def reasoning() -> Reply:
    """Reason in ``reasoning_content``, without counting reasoning tokens."""
    return _whole(choice("Hello.", message={"reasoning_content": "User wants hi.\n"}))


@dialect(CHAT_STREAMS)
def stream() -> Reply:
    """Begin with a role and null content, in one HTTP chunk with the first text; end with usage and timings."""
    return _sse(together(_role(), _text("Hel")), _text("lo!"), together(_finish("stop"), _usage_chunk()), DONE)


@dialect(CHAT_STREAMS)
def no_usage() -> Reply:
    """Count tokens only in the timings of the last chunk."""
    return _sse(together(_role(), _text("Hello!")), _finish("stop", timings=_timings()), DONE)


@dialect(CHAT_STREAMS)
def progress_stream() -> Reply:
    """Send chunks with a role and null content before the first token."""
    progress = [
        _role(prompt_progress={"total": 87, "cache": 0, "processed": processed, "time_ms": 5}) for processed in (0, 87)
    ]
    return _sse(*progress, together(_role(), _text("Hello!")), together(_finish("stop"), _usage_chunk()), DONE)


@dialect(CHAT_STREAMS)
def usage_n2() -> Reply:
    """Send one usage chunk a choice, the first before the other choice has ended; choice 1 starts."""
    return _sse(
        _role(index=1),
        _text("b", index=1),
        _role(index=0),
        _text("a", index=0),
        together(_finish("stop", index=1), _usage_chunk()),
        _text("aa", index=0),
        together(_finish("length", index=0), _usage_chunk()),
        DONE,
    )


@dialect(CHAT_STREAMS)
def tool_stream() -> Reply:
    """Send id, name and the first piece of the arguments at once, then single characters, and cut the second."""
    calls = [_call("get_weather", 0), *(_piece(letter, 0) for letter in '"city":"Paris"}'), _call("get_time", 1)]
    return _sse(_role(), *calls, together(_finish("length"), _usage_chunk()), DONE)


@dialect(CHAT_STREAMS)
def reasoning_stream() -> Reply:
    """Reason in the delta ``reasoning_content``, then speak."""
    thoughts = [reasoning_chunk(text, **_OWN) for text in ("User ", "wants hi.\n")]
    return _sse(_role(), *thoughts, _text("Hello."), together(_finish("stop"), _usage_chunk()), DONE)


@dialect(CHAT_STREAMS)
def context_exceeded() -> Reply:
    """Fail in mid-stream: an error event and no ``[DONE]``."""
    error = llamacpp_error(500, message="Context size has been exceeded.")
    return _sse(together(_role(), _text("Hel")), _text("lo"), error)


@dialect(RESPONSES_STREAMS)
def responses_stream() -> Reply:
    """Stream a Response without sequence numbers and output indexes, ``completed`` although it was cut."""
    unknown = {"sequence_number", "output_index", "content_index", "logprobs"}
    events = [
        {name: value for name, value in event.items() if name not in unknown}
        for event in response_stream("Hel", "lo", model="qwen3-0.6b")
    ]
    brief = {"id": "resp_vUgEcvWhE0zcneMDyDAafMRrf2hz1QmV", "object": "response", "status": "in_progress"}
    for event in events[:2]:
        event["response"] = brief
    return _sse(*events)


@dialect(ERRORS)
def embeddings_off() -> Reply:
    """Refuse embeddings with a status that the client takes for worth repeating."""
    return _error(501, "This server does not support embeddings. Start it with `--embeddings`", "not_supported_error")


@dialect(ERRORS)
def grammar_error() -> Reply:
    """Fail for good with a 500."""
    return _error(500, "Grammar trigger word should be marked as preserved token: <tool_call>\n", "server_error")


@dialect(ERRORS)
def context_overflow() -> Reply:
    """Refuse a request that is too long, with the numbers beside the message."""
    message = "request (2419 tokens) exceeds the available context size (1024 tokens), try increasing it"
    return _error(400, message, "exceed_context_size_error", n_prompt_tokens=2419, n_ctx=1024)


@dialect(ERRORS)
def wrong_key() -> Reply:
    """Refuse the key."""
    return _error(401, "Invalid API Key", "authentication_error")


def _whole(*choices: Body) -> Reply:
    return json_reply(chat(choices=list(choices), usage=_usage(), timings=_timings(), **_OWN), headers=_HEADERS)


def _usage() -> Body:
    details: Body = {"prompt_tokens_details": {"cached_tokens": 23}, "completion_tokens_details": ABSENT}
    return chat_usage(34, 6, **details)


def _timings() -> Body:
    return {"cache_n": 23, "prompt_n": 11, "prompt_ms": 3.131, "predicted_n": 6, "predicted_ms": 7.407}


def _sse(*items: Item) -> Reply:
    return sse(*items, headers={**_HEADERS, "X-Accel-Buffering": "no", "Content-Type": "text/event-stream"})


def _error(status: int, message: str, kind: str, **fields: Any) -> Reply:
    return json_reply(llamacpp_error(status, message=message, kind=kind, **fields), status=status, headers=_HEADERS)


def _role(**fields: Any) -> Body:
    return chat_chunk(None, delta={"role": "assistant"}, **_OWN, **fields)


def _text(text: str, **fields: Any) -> Body:
    return chat_chunk(text, **_OWN, **fields)


def _finish(reason: str, **fields: Any) -> Body:
    return finish_chunk(reason, **_OWN, **fields)


def _usage_chunk() -> Body:
    return openai_usage_chunk(_usage(), **_OWN, timings=_timings())


def _call(name: str, call: int) -> Body:
    return tool_chunk("{", name=name, call_id=f"ADi3h5oEWxP1VqUwuHk2tyaIHaMwMPo{call}", call=call, **_OWN)


def _piece(arguments: str, call: int) -> Body:
    return tool_chunk(arguments, call=call, **_OWN)
