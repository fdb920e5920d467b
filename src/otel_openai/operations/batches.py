"""Batches: `batches.create`, and `.retrieve`, which tells the usage of a finished batch, once."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._once import is_first
from otel_openai.operations._usage import read_usage
from otel_openai.operations.chat import body_error

_FINISHED = frozenset({"completed", "expired", "cancelled", "failed"})


def _create_request(_params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {}


def _fetch_request(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    batch_id = text(params.get("batch_id"))
    return {} if batch_id is None else {names.RESPONSE_ID: batch_id}


def _response(result: Any) -> Outcome:
    batch_id = text(getattr(result, "id", None))
    status = getattr(result, "status", None)
    is_finished = isinstance(status, str) and status in _FINISHED
    usage = read_usage(getattr(result, "usage", None)) if is_finished else {}
    return Outcome(
        response_id=batch_id,
        response_model=text(getattr(result, "model", None)),
        usage=usage if usage and batch_id is not None and is_first("batch", batch_id) else {},
        error=body_error(result, answered=status is not None),
    )


CREATE_BATCH = Operation(name="create_batch", request=_create_request, response=_response, observer=EventsObserver)
FETCH_BATCH = Operation(
    name="fetch_batch", request=_fetch_request, response=_response, observer=EventsObserver, positional=("batch_id",)
)
