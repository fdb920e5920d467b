"""Usage, under every name that servers give it. It is taken as reported: never summed, never derived."""

from collections.abc import Mapping
from typing import TypeAlias

from otel_openai import _semconv as names
from otel_openai._values import MAX_INT, count, fields, number

_Names: TypeAlias = Mapping[str, "str | _Names"]
"""Attribute names by field, or those of the fields of an object."""

_INPUT_DETAILS: _Names = {
    "cached_tokens": names.USAGE_CACHE_READ,
    "cache_write_tokens": names.USAGE_CACHE_WRITE,
    "created_cache_tokens": names.USAGE_CACHE_WRITE,  # vLLM
    "cache_creation_tokens": names.USAGE_CACHE_WRITE,  # LiteLLM
    "text_tokens": names.USAGE_TEXT_INPUT,
    "image_tokens": names.USAGE_IMAGE_INPUT,
    "audio_tokens": names.USAGE_AUDIO_INPUT,
}
_OUTPUT_DETAILS: _Names = {
    "reasoning_tokens": names.USAGE_REASONING,
    "text_tokens": names.USAGE_TEXT_OUTPUT,
    "image_tokens": names.USAGE_IMAGE_OUTPUT,
    "audio_tokens": names.USAGE_AUDIO_OUTPUT,
}
_USAGE: _Names = {
    "prompt_tokens": names.USAGE_INPUT,
    "input_tokens": names.USAGE_INPUT,
    "completion_tokens": names.USAGE_OUTPUT,
    "output_tokens": names.USAGE_OUTPUT,
    "prompt_cache_hit_tokens": names.USAGE_CACHE_READ,  # DeepSeek
    "cached_tokens": names.USAGE_CACHE_READ,  # Together
    "num_cached_tokens": names.USAGE_CACHE_READ,  # Mistral
    "cache_read_input_tokens": names.USAGE_CACHE_READ,  # LiteLLM
    "cache_creation_input_tokens": names.USAGE_CACHE_WRITE,  # LiteLLM
    "reasoning_tokens": names.USAGE_REASONING,  # SGLang
    "seconds": names.USAGE_DURATION,
    "prompt_audio_seconds": names.USAGE_DURATION,  # Mistral
    "prompt_tokens_details": _INPUT_DETAILS,
    "input_tokens_details": _INPUT_DETAILS,
    "completion_tokens_details": _OUTPUT_DETAILS,
    "output_tokens_details": _OUTPUT_DETAILS,
    "prompt_token_details": _INPUT_DETAILS,  # runs
    "input_token_details": _INPUT_DETAILS,  # audio
    "output_token_details": _OUTPUT_DETAILS,
}


def read_usage(usage: object) -> dict[str, float]:
    """The usage of a usage object by attribute name. A reported zero is a value; what is missing stays missing."""
    read: dict[str, float] = {}
    if usage is None:
        return read
    objects: list[tuple[object, _Names]] = [(usage, _USAGE)]
    for told, attributes in objects:  # it grows by the details, which come second to the counts
        for field, value in fields(told).items():
            if value is not None and field in attributes:
                name = attributes[field]
                if not isinstance(name, str):
                    objects.append((value, name))
                elif name is names.USAGE_DURATION:
                    read.update(read_duration(value))
                elif (tokens := value if type(value) is int and 0 <= value < MAX_INT else count(value)) is not None:
                    read.setdefault(name, tokens)
    return read


def read_duration(seconds: object) -> dict[str, float]:
    """Seconds that were used, by attribute name; nothing where they cannot be added up."""
    duration = number(seconds)
    return {names.USAGE_DURATION: duration} if duration is not None and 0 <= duration < MAX_INT else {}
