"""Hosted services and local servers of other makers, after their documentation and reported issues."""

import json

from .bodies import (
    chat,
    chat_chunk,
    chat_stream,
    chat_usage,
    choice,
    finish_chunk,
    reasoning_chunk,
    role_chunk,
    tool_call,
    tool_chunk,
    usage_chunk,
)
from .dialects import CHAT, CHAT_STREAMS, ERRORS, dialect
from .events import DONE, comment, sse
from .fields import ABSENT, Body
from .reply import Reply, json_reply, raw_reply

_BARE: Body = {"service_tier": ABSENT, "system_fingerprint": ABSENT}
_PLAIN_USAGE: Body = {"prompt_tokens_details": ABSENT, "completion_tokens_details": ABSENT}
_TOGETHER: Body = {"id": "oBZ7c1p-4YNCb4-98c5", "model": "meta-llama/Llama-3.3-70B-Instruct-Turbo", **_BARE}
_GROQ: Body = {"model": "llama-3.3-70b-versatile", "service_tier": ABSENT}
_MISTRAL: Body = {"id": "cf79f7daaee244b1a0ae5c7b1444424a", "model": "magistral-medium-2509", **_BARE}
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


@dialect(CHAT_STREAMS)
def azure_stream() -> Reply:
    """Begin with a chunk without choice, id, model or time; end with a chunk that has only annotations."""
    prompt = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    text = chat_chunk("Hello!")
    text["choices"][0]["content_filter_results"] = _SAFE
    checked = chat_chunk(id="", object="", model="", created=0, **_BARE)
    checked["choices"][0] |= {"content_filter_results": _SAFE, "content_filter_offsets": {"check_offset": 0}}
    first = {"id": "", "object": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": prompt}
    headers = {"apim-request-id": "7a1c9c0e", "x-ms-region": "Sweden Central", "azureml-model-session": "d021"}
    return sse(first, role_chunk(), text, checked, finish_chunk(), usage_chunk(), DONE, headers=headers)


@dialect(ERRORS)
def azure_content_filter() -> Reply:
    """Refuse a prompt."""
    results = {**_SAFE, "violence": {"filtered": True, "severity": "medium"}}
    error = {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results},
    }
    return json_reply({"error": error}, status=400, headers={"apim-request-id": "7a1c9c0e"})


@dialect(CHAT)
def together_chat() -> Reply:
    """Finish with ``eos``; fields of its own everywhere."""
    only = choice("Hello!", finish_reason="eos", seed=4182731937, message={"tool_calls": [], "refusal": ABSENT})
    return json_reply(chat(choices=[only], prompt=[], usage=chat_usage(**_PLAIN_USAGE), **_TOGETHER))


@dialect(CHAT_STREAMS)
def together_stream() -> Reply:
    """Put the usage on the last chunk with a choice, unasked, and finish with ``eos``."""
    chunks = [chat_chunk(text, delta={"role": "assistant", "token_id": 9906}, **_TOGETHER) for text in ("Hel", "lo!")]
    chunks.append(chat_chunk("", finish_reason="eos", usage=chat_usage(**_PLAIN_USAGE), **_TOGETHER))
    for chunk in chunks:
        chunk["choices"][0] |= {"text": chunk["choices"][0]["delta"]["content"], "seed": 4182731937}
    return sse(*chunks, DONE)


@dialect(CHAT_STREAMS)
def groq_stream() -> Reply:
    """Put the usage only into ``x_groq``, with times beside the counts."""
    usage = chat_usage(**_PLAIN_USAGE, queue_time=0.018, prompt_time=0.002, completion_time=0.04, total_time=0.042)
    last = finish_chunk(x_groq={"id": "req_01k2", "usage": usage}, **_GROQ)
    return sse(role_chunk(x_groq={"id": "req_01k2"}, **_GROQ), chat_chunk("Hello!", **_GROQ), last, DONE)


@dialect(CHAT_STREAMS)
def groq_stopped() -> Reply:
    """Stop early and tell why in ``x_groq.error``."""
    last = chat_chunk(x_groq={"id": "req_01k2", "error": "over capacity"}, **_GROQ)
    return sse(role_chunk(x_groq={"id": "req_01k2"}, **_GROQ), chat_chunk("Hel", **_GROQ), last, DONE)


@dialect(CHAT)
def deepseek_chat() -> Reply:
    """Keep the connection alive with empty lines before the body; count cache hits in fields of its own."""
    own: Body = {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36, "prompt_tokens_details": ABSENT}
    usage = chat_usage(100, 12, reasoning=7, **own)
    only = choice("Hello!", message={"reasoning_content": "The user greets."})
    body = chat(choices=[only], usage=usage, model="deepseek-reasoner", service_tier=ABSENT)
    return raw_reply(b"\n\n\n", json.dumps(body).encode())


@dialect(CHAT_STREAMS)
def deepseek_stream() -> Reply:
    """Send comments while the request is queued; reason with ``content: null``."""
    own: Body = {"model": "deepseek-reasoner", "service_tier": ABSENT}
    thoughts = [chat_chunk(None, delta={"reasoning_content": text}, **own) for text in ("The user ", "greets.")]
    text = chat_chunk("Hello!", delta={"reasoning_content": None}, **own)
    usage = chat_usage(100, 12, cached=64, reasoning=7, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36)
    waiting = [comment("keep-alive")] * 2
    return sse(*waiting, role_chunk(**own), *thoughts, text, finish_chunk(usage=usage, **own), DONE)


@dialect(CHAT_STREAMS)
def deepseek_out_of_resources() -> Reply:
    """Finish for a reason that OpenAI does not have."""
    return sse(*chat_stream("Hel", finish_reason="insufficient_system_resource", model="deepseek-chat"))


@dialect(CHAT_STREAMS)
def gemini_tool_stream() -> Reply:
    """Call two tools without index, finish with ``stop``, repeat the usage on chunks with a choice."""
    own: Body = {"model": "gemini-2.5-flash", "usage": chat_usage(**_PLAIN_USAGE), **_BARE}
    calls = [
        tool_chunk('{"city":"Paris"}', name=name, call_id=f"function-call-{name}", call=ABSENT, **own)
        for name in ("get_weather", "get_time")
    ]
    return sse(*calls, finish_chunk("stop", **own), DONE)


@dialect(CHAT)
def openrouter_error_body() -> Reply:
    """Answer 200 with an error for a body."""
    error = {"message": "Provider returned error", "code": 502, "metadata": {"provider_name": "DeepInfra"}}
    return json_reply({"error": error, "user_id": "user_2x"})


@dialect(CHAT_STREAMS)
def openrouter_stream() -> Reply:
    """Send comments, the provider behind it, its finish reason and the cost."""
    own: Body = {"id": "gen-1795317258-Zx", "model": "deepseek/deepseek-chat-v3.1", "provider": "DeepInfra", **_BARE}
    last = finish_chunk(**own)
    last["choices"][0]["native_finish_reason"] = "stop"
    usage = usage_chunk(chat_usage(cost=0.00014, is_byok=False), **own)
    waiting = [comment("OPENROUTER PROCESSING")] * 2
    headers = {"X-Generation-Id": "gen-1795317258-Zx"}
    return sse(*waiting, role_chunk(**own), chat_chunk("Hello!", **own), last, usage, DONE, headers=headers)


@dialect(CHAT_STREAMS)
def openrouter_stream_error() -> Reply:
    """Fail in mid-stream with a chunk that has both an error and a choice."""
    own: Body = {"id": "gen-1795317258-Zx", "model": "deepseek/deepseek-chat-v3.1", "provider": "DeepInfra", **_BARE}
    error = {"code": 502, "message": "Provider disconnected unexpectedly"}
    return sse(role_chunk(**own), chat_chunk("Hel", **own), chat_chunk("", finish_reason="error", error=error, **own))


@dialect(CHAT)
def mistral_chat() -> Reply:
    """Give a list of parts, thinking and text, for content."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "The user greets."}]},
        {"type": "text", "text": "Hello!"},
    ]
    only = choice(parts, message={"tool_calls": None, "refusal": ABSENT, "annotations": ABSENT})
    return json_reply(chat(choices=[only], usage=chat_usage(**_PLAIN_USAGE), **_MISTRAL))


@dialect(CHAT_STREAMS)
def mistral_stream() -> Reply:
    """Stream parts, then a whole tool call with an id of nine characters; usage on the last chunk, unasked."""
    thinking = chat_chunk([{"type": "thinking", "thinking": [{"type": "text", "text": "Weather."}]}], **_MISTRAL)
    call = tool_chunk('{"city":"Paris"}', name="get_weather", call_id="D681PevKs", **_MISTRAL)
    call |= {"usage": chat_usage(**_PLAIN_USAGE)}
    call["choices"][0]["finish_reason"] = "tool_calls"
    return sse(chat_chunk("", delta={"role": "assistant"}, **_MISTRAL), thinking, call, DONE)


@dialect(CHAT_STREAMS)
def ollama_stream() -> Reply:
    """Reason in ``reasoning``; one whole tool call a chunk; always one choice."""
    own: Body = {"id": "chatcmpl-187", "model": "qwen3:0.6b", "service_tier": ABSENT, "system_fingerprint": "fp_ollama"}
    thought = chat_chunk("", delta={"role": "assistant", "reasoning": "Weather."}, **own)
    call = tool_chunk('{"city":"Paris"}', name="get_weather", call_id="call_ju7f1q0v", **own)
    return sse(thought, call, chat_chunk("", finish_reason="tool_calls", **own), usage_chunk(**own), DONE)


@dialect(CHAT)
def litellm_chat() -> Reply:
    """Proxy another vendor: cost and ids in headers, cache counts in Anthropic's words, thinking blocks."""
    headers = {
        "x-litellm-call-id": "0b1c8d1e",
        "x-litellm-model-id": "b5f6",
        "x-litellm-response-cost": "0.000345",
        "llm_provider-anthropic-ratelimit-requests-limit": "4000",
    }
    thinking = {"type": "thinking", "thinking": "The user greets.", "signature": "EqoB"}
    message = {"reasoning_content": "The user greets.", "thinking_blocks": [thinking]}
    usage = chat_usage(100, 12, cached=64, cache_creation_input_tokens=20, cache_read_input_tokens=64)
    only = choice("Hello!", message=message)
    return json_reply(chat(choices=[only], usage=usage, model="claude-sonnet-4-5", **_BARE), headers=headers)


@dialect(CHAT_STREAMS)
def moonshot_stream() -> Reply:
    """Put the usage into the choice."""
    own: Body = {"model": "kimi-k2-0905-preview", "service_tier": ABSENT}
    last = finish_chunk(**own)
    last["choices"][0]["usage"] = chat_usage(**_PLAIN_USAGE)
    return sse(role_chunk(**own), chat_chunk("Hello!", **own), last, DONE)


@dialect(CHAT_STREAMS)
def sglang_tool_stream() -> Reply:
    """Number both calls of a choice 0."""
    own: Body = {"model": "Qwen/Qwen3-8B", **_BARE}
    calls = [
        tool_chunk(arguments, name=name, call_id=call_id, call=0, **own)
        for name in ("get_weather", "get_time")
        for arguments, name, call_id in (("", name, f"call_{name}"), ('{"city":"Paris"}', None, ABSENT))
    ]
    thought = reasoning_chunk(None, **own)
    return sse(role_chunk(**own), thought, *calls, finish_chunk("tool_calls", **own), usage_chunk(**own), DONE)


@dialect(CHAT_STREAMS)
def json_instead_of_stream() -> Reply:
    """Ignore ``stream=True``: the client then sees an empty stream."""
    return json_reply(chat(tool_calls=[tool_call()]))


@dialect(CHAT_STREAMS)
def silent_end() -> Reply:
    """End a stream without finish reason, usage or ``[DONE]``: the client takes it for success."""
    return sse(role_chunk(), chat_chunk("Hel"))


@dialect(CHAT)
def html_page() -> Reply:
    """Answer 200 with a page, as captive portals do: the client returns a string."""
    return raw_reply(b"<!doctype html><title>Sign in</title>", content_type="text/html; charset=utf-8")
