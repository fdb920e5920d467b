"""Recorded and documented exchanges, and what their bodies say, read the plain way: without the client's models and
without our code.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expected import Attributes

FOLDER = Path(__file__).parent / "recordings"
DOCUMENTED = FOLDER / "documented"

# Counts of a `usage` object, wherever it is, by their path in it.
USAGE: dict[str, str] = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "input_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "prompt_tokens_details.cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "input_tokens_details.cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "prompt_cache_hit_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "num_cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "prompt_tokens_details.created_cache_tokens": "gen_ai.usage.cache_write.input_tokens",
    "prompt_tokens_details.cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "input_tokens_details.cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "prompt_tokens_details.cache_creation_tokens": "gen_ai.usage.cache_write.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_write.input_tokens",
    "completion_tokens_details.reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "output_tokens_details.reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "prompt_tokens_details.audio_tokens": "gen_ai.usage.audio.input_tokens",
    "completion_tokens_details.audio_tokens": "gen_ai.usage.audio.output_tokens",
    "input_token_details.audio_tokens": "gen_ai.usage.audio.input_tokens",
    "input_token_details.text_tokens": "gen_ai.usage.text.input_tokens",
    "prompt_tokens_details.text_tokens": "gen_ai.usage.text.input_tokens",
    "completion_tokens_details.text_tokens": "gen_ai.usage.text.output_tokens",
    "completion_tokens_details.image_tokens": "gen_ai.usage.image.output_tokens",
    "seconds": "otel_openai.usage.duration",
    "prompt_audio_seconds": "otel_openai.usage.duration",
}


def exchanges() -> dict[str, Any]:
    """Every exchange by its name, `server/what`, in the form of the recorded ones."""
    recorded = {
        f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8"))
        for path in sorted(FOLDER.glob("*/*.json"))
        if path.parent != DOCUMENTED
    }
    for path in sorted(DOCUMENTED.glob("*.json")):
        told = json.loads(path.read_text("utf-8"))
        recorded |= {f"{path.stem}/{name}": _as_recorded(exchange) for name, exchange in told["exchanges"].items()}
    return recorded


def _as_recorded(exchange: Any) -> Any:
    lines = [event if isinstance(event, str) else f"data: {json.dumps(event)}" for event in exchange.get("events", ())]
    body = "".join(f"{line}\n\n" for line in lines) if lines else json.dumps(exchange["body"])
    headers = {"content-type": "text/event-stream" if lines else "application/json", **exchange.get("headers", {})}
    return {
        "request": {"path": exchange.get("path", "/v1/chat/completions"), "body": exchange.get("request")},
        "response": {"status": exchange.get("status", 200), "headers": [*headers.items()], "body": body},
    }


def an_object(value: Any) -> dict[str, Any]:
    """A JSON object, an empty one for null."""
    return value or {}


def a_list(value: Any) -> list[Any]:
    """A JSON list, an empty one for null."""
    return value or []


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a body that is neither object nor list, with its path: `choices.message.content`."""
    if isinstance(value, dict):
        for key, item in an_object(value).items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in a_list(value):
            yield from leaves(item, path)
    else:
        yield path, value


def usage(reported: Any) -> Attributes:
    told: Attributes = {}
    for path, value in leaves(reported):
        if path in USAGE and value is not None:
            assert told.setdefault(USAGE[path], value) == value, "no test can say which of two counts is right"
    return told


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


def error_of(body: Any) -> Any:
    """The error that an answer with status 200 carries, in any of its places, or that it ended in."""
    choices = a_list(body.get("choices"))
    places = [body, an_object(body.get("x_groq")), *choices]
    unexplained: Any = {"code": None} if any(choice.get("finish_reason") == "error" for choice in choices) else None
    return next((place["error"] for place in places if place.get("error")), unexplained)


def seeds(choices: list[Any]) -> Attributes:
    told = [str(choice["seed"]) for choice in choices if choice.get("seed") is not None]
    return {"otel_openai.response.seeds": told or None}


def of_choices(body: Any, *, may_call: bool) -> Attributes:
    choices = sorted(a_list(body.get("choices")), key=lambda choice: choice["index"])
    names = [
        call["function"]["name"]
        for choice in choices
        for call in a_list(an_object(choice.get("message")).get("tool_calls"))
    ]
    reasons = [choice["finish_reason"] for choice in choices]
    told = {**whole(body), **usage(body.get("usage")), "gen_ai.response.finish_reasons": reasons or None}
    told |= seeds(choices)
    return {**told, **tools(names)} if may_call and choices else told


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
    if isinstance(vector, str):  # of floats of four bytes
        padding = vector.count("=")
        vector = range((len(vector) * 3 // 4 - padding) // 4)
    counted = {**usage(body.get("usage")), "gen_ai.usage.output_tokens": None}  # an embedding has none
    return {**whole(body), **counted, "gen_ai.embeddings.dimension.count": len(vector)}


def said(path: str, body: Any) -> Attributes:
    if path == "/v1/responses":
        return of_response(body)
    if path == "/v1/embeddings":
        return of_embeddings(body)
    if path.startswith("/v1/audio/"):
        return of_sound(body)
    if path == "/v1/videos":
        return of_video(body)
    return of_choices(body, may_call=path == "/v1/chat/completions")


def events(record: Any) -> list[Any]:
    lines: list[str] = record["response"]["body"].split("\n")
    frames = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(frame) for frame in frames if frame != "[DONE]"]


def of_chunks(chunks: list[Any], *, may_call: bool) -> Attributes:
    """Put the chunks together to the body that they stand for."""
    reasons: dict[int, str | None] = {}
    calls: dict[tuple[int, str | None], str] = {}
    told: Attributes = {}
    counted: Attributes = {}
    for chunk in chunks:
        places = [chunk, an_object(chunk.get("x_groq")), *chunk["choices"]]
        counted = next((usage(place["usage"]) for place in places if place.get("usage")), counted)
        told |= {name: value for name, value in whole(chunk).items() if value and name not in told}
        for choice in chunk["choices"]:
            index = choice["index"]
            reasons[index] = choice.get("finish_reason") or reasons.get(index)
            for call in a_list(an_object(choice.get("delta")).get("tool_calls")):
                if name := call["function"].get("name"):
                    calls[index, call.get("id")] = name
    told["gen_ai.response.finish_reasons"] = [reasons[index] or "error" for index in sorted(reasons)]
    told |= seeds([choice for chunk in chunks for choice in chunk["choices"]])
    return {**told, **counted, **tools(list(calls.values()))} if may_call else {**told, **counted}


def of_sound(body: Any) -> Attributes:
    """What a transcription or a translation says of itself."""
    reason = body.get("finish_reason")
    told = {"gen_ai.response.model": body.get("model"), "gen_ai.response.finish_reasons": [reason] if reason else None}
    return {**told, **usage(body.get("usage"))}


def of_sound_events(events: list[Any]) -> Attributes:
    """A streamed transcription: its last event, or chunks like those of chat, where each piece of sound has an end."""
    if "choices" not in events[-1]:
        return of_sound(events[-1])
    reasons = [choice.get("finish_reason") for event in events for choice in event["choices"]]
    counted = [usage(event["usage"]) for event in events if event.get("usage")]
    return {**whole(events[0]), "gen_ai.response.finish_reasons": reasons[-1:], **(counted or [{}])[-1]}


def of_video(body: Any) -> Attributes:
    return {**whole(body), "otel_openai.usage.duration": float(body["seconds"])}
