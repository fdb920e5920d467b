"""Embeddings: `embeddings.create`."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, listed, mapped, text, texts
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._prompt_content import INPUT_ONLY
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import ChatObserver, body_error


def _request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    # The client itself asks for base64 when the app asked for nothing: only what the app asked for is told.
    return mapped(params, {"encoding_format": (names.REQUEST_ENCODING_FORMATS, texts)})


def _response(result: Any) -> Outcome:
    data = listed(getattr(result, "data", None))
    attributes: dict[str, AttributeValue] = {}
    if data and (dimensions := _dimensions(getattr(data[0], "embedding", None))):
        attributes[names.EMBEDDINGS_DIMENSION_COUNT] = dimensions
    reported = getattr(result, "usage", None)
    usage = read_usage(reported)
    usage.pop(names.USAGE_OUTPUT, None)  # vLLM reports 0: an embedding has no output tokens
    return Outcome(
        response_id=getattr(result, "id", None),
        response_model=text(getattr(result, "model", None)),
        usage=usage,
        reported_usage=reported,
        attributes=attributes,
        error=body_error(result, answered=bool(data)),
    )


def _dimensions(embedding: object) -> int:
    """Length of a vector: a list of floats, or the base64 text of 32-bit floats."""
    if isinstance(embedding, str):
        return len(embedding.rstrip("=")) * 3 // 4 // 4
    return len(listed(embedding))


# There are no streams of embeddings; should a server send one, it is watched like any other.
EMBEDDINGS = Operation(
    name="embeddings", request=_request, response=_response, observer=ChatObserver, messages=INPUT_ONLY
)
