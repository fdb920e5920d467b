"""Token usage, under every name that servers give it. Counts are taken as reported: never summed, never derived."""

from collections.abc import Mapping

from otel_openai import _semconv as names
from otel_openai._values import count, fields

_TOTALS: Mapping[str, str] = {
    "prompt_tokens": names.USAGE_INPUT,
    "input_tokens": names.USAGE_INPUT,
    "completion_tokens": names.USAGE_OUTPUT,
    "output_tokens": names.USAGE_OUTPUT,
    "prompt_cache_hit_tokens": names.USAGE_CACHE_READ,  # DeepSeek
    "cache_read_input_tokens": names.USAGE_CACHE_READ,  # LiteLLM
    "cache_creation_input_tokens": names.USAGE_CACHE_WRITE,  # LiteLLM
}
_INPUT_DETAILS: Mapping[str, str] = {
    "cached_tokens": names.USAGE_CACHE_READ,
    "cache_write_tokens": names.USAGE_CACHE_WRITE,
    "created_cache_tokens": names.USAGE_CACHE_WRITE,  # vLLM
    "text_tokens": names.USAGE_TEXT_INPUT,
    "image_tokens": names.USAGE_IMAGE_INPUT,
    "audio_tokens": names.USAGE_AUDIO_INPUT,
}
_OUTPUT_DETAILS: Mapping[str, str] = {
    "reasoning_tokens": names.USAGE_REASONING,
    "text_tokens": names.USAGE_TEXT_OUTPUT,
    "image_tokens": names.USAGE_IMAGE_OUTPUT,
    "audio_tokens": names.USAGE_AUDIO_OUTPUT,
}
_DETAILS: Mapping[str, Mapping[str, str]] = {
    "prompt_tokens_details": _INPUT_DETAILS,
    "input_tokens_details": _INPUT_DETAILS,
    "completion_tokens_details": _OUTPUT_DETAILS,
    "output_tokens_details": _OUTPUT_DETAILS,
}


def read_usage(usage: object) -> dict[str, int]:
    """The counts of a usage object by attribute name. A reported zero is a value; what is missing stays missing."""
    read: dict[str, int] = {}
    if usage is None:
        return read
    for key, value in fields(usage).items():
        if value is None:
            continue
        attribute = _TOTALS.get(key)
        if attribute is not None:
            if (tokens := count(value)) is not None:
                read.setdefault(attribute, tokens)
        elif (details := _DETAILS.get(key)) is not None:
            for detail, part in fields(value).items():
                name = details.get(detail)
                if name is not None and (tokens := count(part)) is not None:
                    read[name] = tokens
    return read
