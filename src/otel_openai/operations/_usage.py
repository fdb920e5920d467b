"""Token usage, under every name that servers give it. Counts are taken as reported: never summed, never derived."""

from collections.abc import Mapping
from typing import TypeAlias, cast

from otel_openai import _semconv as names
from otel_openai._values import MAX_INT, count, fields

_Table: TypeAlias = Mapping[str, "str | _Table"]
"""The attribute of each field; where a field is an object of its own, the table of its fields."""

_INPUT_DETAILS: _Table = {
    "cached_tokens": names.USAGE_CACHE_READ,
    "cache_write_tokens": names.USAGE_CACHE_WRITE,
    "created_cache_tokens": names.USAGE_CACHE_WRITE,  # vLLM
    "text_tokens": names.USAGE_TEXT_INPUT,
    "image_tokens": names.USAGE_IMAGE_INPUT,
    "audio_tokens": names.USAGE_AUDIO_INPUT,
}
_OUTPUT_DETAILS: _Table = {
    "reasoning_tokens": names.USAGE_REASONING,
    "text_tokens": names.USAGE_TEXT_OUTPUT,
    "image_tokens": names.USAGE_IMAGE_OUTPUT,
    "audio_tokens": names.USAGE_AUDIO_OUTPUT,
}
_USAGE: _Table = {
    "prompt_tokens": names.USAGE_INPUT,
    "input_tokens": names.USAGE_INPUT,
    "completion_tokens": names.USAGE_OUTPUT,
    "output_tokens": names.USAGE_OUTPUT,
    "prompt_cache_hit_tokens": names.USAGE_CACHE_READ,  # DeepSeek
    "cached_tokens": names.USAGE_CACHE_READ,  # Together
    "cache_read_input_tokens": names.USAGE_CACHE_READ,  # LiteLLM
    "cache_creation_input_tokens": names.USAGE_CACHE_WRITE,  # LiteLLM
    "prompt_tokens_details": _INPUT_DETAILS,
    "input_tokens_details": _INPUT_DETAILS,
    "completion_tokens_details": _OUTPUT_DETAILS,
    "output_tokens_details": _OUTPUT_DETAILS,
}


def read_usage(usage: object) -> dict[str, int]:
    """The counts of a usage object by attribute name. A reported zero is a value; what is missing stays missing."""
    read: dict[str, int] = {}
    if usage is not None:
        _read(fields(usage), _USAGE, read)
    return read


def _read(told: Mapping[str, object], table: _Table, read: dict[str, int]) -> None:
    for field, value in told.items():
        if field in table:
            attribute = table[field]
            if type(attribute) is str:
                tokens = value if type(value) is int and 0 <= value < MAX_INT else count(value)
                if tokens is not None and attribute not in read:
                    read[attribute] = tokens
            elif value is not None:
                _read(fields(value), cast("_Table", attribute), read)
