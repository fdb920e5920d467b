"""What the scripted server's usual answers are expected to tell: whole sets of attributes, changed by the test."""

from collections.abc import Mapping
from typing import Any

from server import MODEL, ScriptedServer

Attributes = dict[str, Any]

CHAT_ID = "chatcmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1"
COMPLETION_ID = "cmpl-CfZ5rQH0YxXv2mWz3kTq8uVbNcDe1"


def changed(attributes: Mapping[str, Any], *changes: Mapping[str, Any]) -> Attributes:
    """The attributes with the changes; what is changed to None is not there."""
    merged = dict(attributes)
    for change in changes:
        merged |= change
    return {name: value for name, value in merged.items() if value is not None}


def at(server: ScriptedServer) -> Attributes:
    """Where a call to this server goes."""
    return {
        "gen_ai.provider.name": "openai_compatible",
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }


def asked(server: ScriptedServer, *changes: Mapping[str, Any]) -> Attributes:
    """What `Api.chat` asks for."""
    request = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    return changed({**at(server), **request, "openai.api.type": "chat_completions"}, *changes)


CHAT_USAGE: Attributes = {
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 12,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 0,
    "gen_ai.usage.audio.input_tokens": 0,
    "gen_ai.usage.audio.output_tokens": 0,
}
"""What `chat_usage()` tells."""

NO_USAGE: Attributes = dict.fromkeys(CHAT_USAGE)
"""A change: nothing of it."""


def chatted(server: ScriptedServer, *changes: Mapping[str, Any]) -> Attributes:
    """What `Api.chat` tells when the server answers `chat()`."""
    answer = {
        "http.response.status_code": 200,
        "gen_ai.response.id": CHAT_ID,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["stop"],
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_44709d6fcb",
        "otel_openai.tool_call.count": 0,
    }
    return changed({**asked(server), **answer, **CHAT_USAGE}, *changes)


RESPONSE_USAGE: Attributes = {
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 12,
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.cache_write.input_tokens": 0,
    "gen_ai.usage.reasoning.output_tokens": 0,
}
"""What `response_usage()` tells."""

NO_RESPONSE_USAGE: Attributes = dict.fromkeys(RESPONSE_USAGE)
