"""What a recorded body says, read the plain way: without the client's models and without our code."""

import json
from typing import Any

from expected import Attributes


def an_object(value: Any) -> dict[str, Any]:
    """A JSON object, an empty one for null."""
    return value or {}


def a_list(value: Any) -> list[Any]:
    """A JSON list, an empty one for null."""
    return value or []


def usage(reported: Any) -> Attributes:
    reported = an_object(reported)
    inputs = an_object(reported.get("prompt_tokens_details") or reported.get("input_tokens_details"))
    outputs = an_object(reported.get("completion_tokens_details") or reported.get("output_tokens_details"))
    written = inputs.get("cache_write_tokens")
    return {
        "gen_ai.usage.input_tokens": reported.get("prompt_tokens", reported.get("input_tokens")),
        "gen_ai.usage.output_tokens": reported.get("completion_tokens", reported.get("output_tokens")),
        "gen_ai.usage.cache_read.input_tokens": inputs.get("cached_tokens"),
        "gen_ai.usage.cache_write.input_tokens": inputs.get("created_cache_tokens") if written is None else written,
        "gen_ai.usage.reasoning.output_tokens": outputs.get("reasoning_tokens"),
        "gen_ai.usage.audio.output_tokens": outputs.get("audio_tokens"),
        "gen_ai.usage.audio.input_tokens": inputs.get("audio_tokens"),
    }


def whole(body: Any) -> Attributes:
    """What an object of any API says of itself."""
    return {
        "gen_ai.response.id": body.get("id"),
        "gen_ai.response.model": body.get("model"),
        "openai.response.service_tier": body.get("service_tier"),
        "openai.response.system_fingerprint": body.get("system_fingerprint"),
    }


def tools(names: list[str]) -> Attributes:
    return {"otel_openai.tool_call.count": len(names), "otel_openai.tool_call.names": names or None}


def of_choices(body: Any, *, may_call: bool) -> Attributes:
    choices = sorted(body["choices"], key=lambda choice: choice["index"])
    names = [
        call["function"]["name"]
        for choice in choices
        for call in a_list(an_object(choice.get("message")).get("tool_calls"))
    ]
    reasons = [choice["finish_reason"] for choice in choices]
    told = {**whole(body), **usage(body.get("usage")), "gen_ai.response.finish_reasons": reasons}
    return {**told, **tools(names)} if may_call else told


def of_response(body: Any) -> Attributes:
    names = [item["name"] for item in body["output"] if item["type"] == "function_call"]
    if body["status"] == "incomplete":
        reason = body["incomplete_details"]["reason"]
    else:
        assert body["status"] == "completed"
        reason = "tool_calls" if names else "stop"
    return {
        **whole(body),
        **usage(body.get("usage")),
        **tools(names),
        "gen_ai.response.finish_reasons": [reason],
    }


def of_embeddings(body: Any) -> Attributes:
    vector = body["data"][0]["embedding"]
    tokens = body["usage"]["prompt_tokens"]
    if isinstance(vector, str):  # of floats of four bytes
        padding = vector.count("=")
        vector = range((len(vector) * 3 // 4 - padding) // 4)
    counted = {"gen_ai.usage.input_tokens": tokens, "gen_ai.embeddings.dimension.count": len(vector)}
    return {**whole(body), **counted}


def said(path: str, body: Any) -> Attributes:
    if path == "/v1/responses":
        return of_response(body)
    if path == "/v1/embeddings":
        return of_embeddings(body)
    return of_choices(body, may_call=path == "/v1/chat/completions")


def events(record: Any) -> list[Any]:
    lines: list[str] = record["response"]["body"].split("\n")
    frames = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(frame) for frame in frames if frame != "[DONE]"]


def of_chunks(chunks: list[Any], *, may_call: bool) -> Attributes:
    """Put the chunks together to the body that they stand for."""
    reasons: dict[int, str | None] = {}
    calls: dict[tuple[int, int], str] = {}
    told: Attributes = {}
    for chunk in chunks:
        told |= {name: value for name, value in whole(chunk).items() if value and name not in told}
        told |= usage(chunk["usage"]) if chunk.get("usage") else {}
        for choice in chunk["choices"]:
            index = choice["index"]
            reasons[index] = choice["finish_reason"] or reasons.get(index)
            for call in a_list(an_object(choice.get("delta")).get("tool_calls")):
                if name := call["function"].get("name"):
                    calls[index, call["index"]] = name
    told["gen_ai.response.finish_reasons"] = [reasons[index] or "error" for index in sorted(reasons)]
    return {**told, **tools(list(calls.values()))} if may_call else told
