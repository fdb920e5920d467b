"""What the answers of other servers tell, quirk by quirk: each dialect of the scripted server has its expectation."""

from typing import Any

import openai
import pytest

from expected import Attributes, asked, changed
from server import MODEL, ScriptedServer, dialects
from server.responses import RESPONSE_ID
from support import Api, Told
from test_stream_values import without_times


def _usage(tokens_in: int, tokens_out: int, *, cached: int | None = None, reasoning: int | None = None) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": tokens_in,
        "gen_ai.usage.output_tokens": tokens_out,
        "gen_ai.usage.cache_read.input_tokens": cached,
        "gen_ai.usage.reasoning.output_tokens": reasoning,
    }


_AUDIO = {"gen_ai.usage.audio.input_tokens": 0, "gen_ai.usage.audio.output_tokens": 0}
_OPENAI_USAGE = {**_usage(9, 12, cached=0, reasoning=0), **_AUDIO}
_ID = "chatcmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1"


def _answer(
    model: str = MODEL,
    response_id: str = _ID,
    *,
    reasons: list[str] | None = None,
    tools: list[str] | None = None,
    fingerprint: str | None = "fp_44709d6fcb",
    tier: str | None = None,
) -> Attributes:
    return {
        "gen_ai.response.id": response_id,
        "gen_ai.response.model": model,
        "gen_ai.response.finish_reasons": reasons or ["stop"],
        "openai.response.system_fingerprint": fingerprint,
        "openai.response.service_tier": tier,
        "otel_openai.tool_call.count": len(tools or []),
        "otel_openai.tool_call.names": tools,
    }


_TOGETHER = ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "oBZ7c1p-4YNCb4-98c5")
_SEEDS = {"otel_openai.response.seeds": ["4182731937"]}
_VLLM = ("Qwen/Qwen3-8B", "chatcmpl-ad60c427f89b2132")
_VLLM_STREAM = ("Qwen/Qwen3-8B", "chatcmpl-9e36fda39ce3ac57")
_VLLM_FINGERPRINT = "vllm-0.32.0-56e8dadf"
_MISTRAL = ("magistral-medium-2509", "cf79f7daaee244b1a0ae5c7b1444424a")
_OPENROUTER = ("deepseek/deepseek-chat-v3.1", "gen-1795317258-Zx")
_QWEN = "qwen3-0.6b"
_LLAMACPP_USAGE = _usage(34, 6, cached=23)
_GET: list[str] = ["get_weather"]
_BOTH = ["get_weather", "get_time"]


def _vllm(**fields: Any) -> Attributes:
    return _answer(*_VLLM, fingerprint=_VLLM_FINGERPRINT, **fields)


def _vllm_stream(*, fingerprint: str | None = _VLLM_FINGERPRINT, **fields: Any) -> Attributes:
    return _answer(*_VLLM_STREAM, fingerprint=fingerprint, **fields)


def _llamacpp(**fields: Any) -> Attributes:
    return _answer(_QWEN, fingerprint="b0-unknown", **fields)


CHAT: dict[str, Attributes] = {
    "hosted.together_chat": {**_answer(*_TOGETHER, reasons=["eos"], fingerprint=None), **_usage(9, 12), **_SEEDS},
    "hosted.deepseek_chat": {**_answer("deepseek-reasoner"), **_usage(100, 12, cached=64, reasoning=7)}
    | {"gen_ai.usage.audio.output_tokens": 0},
    "hosted.openrouter_error_body": {"error.type": "provider_error"},
    "hosted.mistral_chat": {**_answer(*_MISTRAL, fingerprint=None), **_usage(9, 12)},
    "hosted.litellm_chat": {
        **_answer("claude-sonnet-4-5", fingerprint=None),
        **_usage(100, 12, cached=64, reasoning=0),
        **_AUDIO,
        "gen_ai.usage.cache_write.input_tokens": 20,
    },
    "hosted.html_page": {"error.type": "unexpected_response_body"},
    "llamacpp.plain": {**_llamacpp(), **_LLAMACPP_USAGE},
    "llamacpp.n3": {**_llamacpp(reasons=["stop"] * 3), **_LLAMACPP_USAGE},
    "llamacpp.reasoning": {**_llamacpp(), **_LLAMACPP_USAGE},
    "vllm.plain": {**_vllm(), **_usage(34, 12)},
    "vllm.n3": {**_vllm(reasons=["stop"] * 3), **_usage(34, 18)},
    "vllm.named_tool": {**_vllm(tools=_GET), **_usage(34, 12)},
    "vllm.string_arguments": {**_vllm(tools=_GET, reasons=["tool_calls"]), **_usage(34, 12)},
    "vllm.cut_tool": {**_vllm(reasons=["length"]), **_usage(34, 12)},
    "vllm.repetition": {**_vllm(reasons=["repetition"]), **_usage(34, 12)},
    "vllm.reasoning": {**_vllm(), **_usage(34, 22, reasoning=14)},
}

CHUNKS = "otel_openai.stream.chunk.count"
_ERROR = {"otel_openai.stream.outcome": "error"}
_TRUNCATED = {"otel_openai.stream.outcome": "truncated"}
_CUT = ["error"]

CHAT_STREAMS: dict[str, Attributes] = {
    "hosted.azure_stream": {**_answer(tier="default"), **_OPENAI_USAGE, CHUNKS: 6},
    "hosted.together_stream": {
        **_answer(*_TOGETHER, reasons=["eos"], fingerprint=None),
        **_usage(9, 12),
        **_SEEDS,
        CHUNKS: 3,
    },
    "hosted.groq_stream": {**_answer("llama-3.3-70b-versatile"), **_usage(9, 12), CHUNKS: 3},
    "hosted.groq_stopped": {
        **_answer("llama-3.3-70b-versatile", reasons=_CUT),
        **_ERROR,
        "error.type": "provider_error",
        CHUNKS: 3,
    },
    "hosted.deepseek_stream": {
        **_answer("deepseek-reasoner"),
        **_usage(100, 12, cached=64, reasoning=7),
        **_AUDIO,
        CHUNKS: 5,
    },
    "hosted.deepseek_out_of_resources": {
        **_answer("deepseek-chat", reasons=["insufficient_system_resource"], tier="default"),
        CHUNKS: 3,
    },
    "hosted.gemini_tool_stream": {
        **_answer("gemini-2.5-flash", fingerprint=None, tools=_BOTH),
        **_usage(9, 12),
        CHUNKS: 3,
    },
    "hosted.openrouter_stream": {**_answer(*_OPENROUTER, fingerprint=None), **_OPENAI_USAGE, CHUNKS: 4},
    "hosted.openrouter_stream_error": {
        **_answer(*_OPENROUTER, fingerprint=None, reasons=_CUT),
        **_ERROR,
        "error.type": "APIError",
        CHUNKS: 2,
    },
    "hosted.mistral_stream": {
        **_answer(*_MISTRAL, fingerprint=None, reasons=["tool_calls"], tools=_GET),
        **_usage(9, 12),
        CHUNKS: 3,
    },
    "hosted.ollama_stream": {
        **_answer("qwen3:0.6b", "chatcmpl-187", fingerprint="fp_ollama", reasons=["tool_calls"], tools=_GET),
        **_OPENAI_USAGE,
        CHUNKS: 4,
    },
    "hosted.moonshot_stream": {**_answer("kimi-k2-0905-preview"), **_usage(9, 12), CHUNKS: 3},
    "hosted.sglang_tool_stream": {
        **_answer("Qwen/Qwen3-8B", fingerprint=None, reasons=["tool_calls"], tools=_BOTH),
        **_OPENAI_USAGE,
        CHUNKS: 8,
    },
    "hosted.json_instead_of_stream": {**_TRUNCATED, CHUNKS: 0},
    "hosted.silent_end": {**_answer(reasons=_CUT, tier="default"), **_TRUNCATED, CHUNKS: 2},
    "llamacpp.stream": {**_llamacpp(), **_LLAMACPP_USAGE, CHUNKS: 5},
    "llamacpp.no_usage": {**_llamacpp(), CHUNKS: 3},
    "llamacpp.progress_stream": {**_llamacpp(), **_LLAMACPP_USAGE, CHUNKS: 6},
    "llamacpp.usage_n2": {**_llamacpp(reasons=["length", "stop"]), **_LLAMACPP_USAGE, CHUNKS: 9},
    "llamacpp.tool_stream": {**_llamacpp(reasons=["length"], tools=_BOTH), **_LLAMACPP_USAGE, CHUNKS: 20},
    "llamacpp.reasoning_stream": {**_llamacpp(), **_LLAMACPP_USAGE, CHUNKS: 6},
    "llamacpp.context_exceeded": {**_llamacpp(reasons=_CUT), **_ERROR, "error.type": "server_error", CHUNKS: 3},
    "vllm.stream": {**_vllm_stream(), **_usage(34, 3), CHUNKS: 5},
    "vllm.continuous_usage": {**_vllm_stream(), **_usage(34, 3), CHUNKS: 5},
    "vllm.continuous_usage_n2": {**_vllm_stream(reasons=["length", "length"]), **_usage(34, 8), CHUNKS: 7},
    "vllm.tool_stream": {**_vllm_stream(reasons=["tool_calls"], tools=_GET), **_usage(25, 30), CHUNKS: 7},
    "vllm.tool_stream_n2": {
        **_vllm_stream(reasons=["tool_calls"] * 2, tools=_GET * 2),
        **_usage(25, 60),
        CHUNKS: 13,
    },
    "vllm.cut_tool_stream": {**_vllm_stream(reasons=["length"], tools=_GET), **_usage(25, 30), CHUNKS: 4},
    "vllm.reasoning_stream": {**_vllm_stream(), **_usage(34, 22), CHUNKS: 6},
    "vllm.aborted_stream": {**_vllm_stream(reasons=["abort"], fingerprint=None), CHUNKS: 3},
    "vllm.engine_died": {
        **_vllm_stream(reasons=_CUT, fingerprint=None),
        **_ERROR,
        "error.type": "APIError",
        CHUNKS: 3,
    },
    "vllm.old_stream_error": {
        **_vllm_stream(reasons=_CUT, fingerprint=None),
        **_ERROR,
        "error.type": "provider_error",
        CHUNKS: 3,
    },
}

RESPONSES_STREAMS: dict[str, Attributes] = {
    "llamacpp.responses_stream": {
        "gen_ai.response.id": RESPONSE_ID,
        "gen_ai.response.model": _QWEN,
        "gen_ai.response.finish_reasons": ["stop"],
        "openai.response.service_tier": "default",
        "otel_openai.tool_call.count": 0,
        **_usage(9, 12, cached=0, reasoning=0),
        "gen_ai.usage.cache_write.input_tokens": 0,
        CHUNKS: 10,
    },
    "vllm.responses_cut": {
        "gen_ai.response.id": RESPONSE_ID,
        "gen_ai.response.model": "Qwen/Qwen3-8B",
        "gen_ai.response.finish_reasons": ["max_output_tokens"],
        "openai.response.service_tier": "default",
        "otel_openai.tool_call.count": 0,
        **_usage(9, 12, cached=0, reasoning=0),
        "gen_ai.usage.cache_write.input_tokens": 0,
        CHUNKS: 10,
    },
}


def test_every_dialect_has_its_expectation() -> None:
    assert CHAT.keys() == dialects.CHAT.keys()
    assert CHAT_STREAMS.keys() == dialects.CHAT_STREAMS.keys()
    assert RESPONSES_STREAMS.keys() == dialects.RESPONSES_STREAMS.keys()


@pytest.mark.parametrize("name", CHAT)
async def test_a_plain_answer(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    server.reply(dialects.CHAT[name]())

    await api.chat()

    assert told.attributes == changed(asked(server), {"http.response.status_code": 200}, CHAT[name])
    failed = "error.type" in CHAT[name]
    assert told.span.status.status_code.name == ("ERROR" if failed else "UNSET")


def _streamed(expected: Attributes) -> Attributes:
    return {
        "http.response.status_code": 200,
        "gen_ai.request.stream": True,
        "otel_openai.stream.outcome": "completed",
        **expected,
    }


@pytest.mark.parametrize("name", CHAT_STREAMS)
async def test_a_stream(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    server.reply(dialects.CHAT_STREAMS[name]())
    expected = CHAT_STREAMS[name]

    stream = await api.stream()
    if expected.get("error.type") in (None, "provider_error"):
        await api.drain(stream)
    else:
        with pytest.raises(openai.APIError):
            await api.drain(stream)

    assert without_times(told) == changed(asked(server), _streamed(expected))
    assert told.span.status.status_code.name == ("ERROR" if "error.type" in expected else "UNSET")


@pytest.mark.parametrize("name", RESPONSES_STREAMS)
async def test_a_streamed_response(api: Api, server: ScriptedServer, told: Told, name: str) -> None:
    server.reply(dialects.RESPONSES_STREAMS[name]())

    await api.drain(await api.call("responses.create", model="gpt-4o-mini", input="Hi", stream=True))

    start = asked(server, {"openai.api.type": "responses"})
    assert without_times(told) == changed(start, _streamed(RESPONSES_STREAMS[name]))
