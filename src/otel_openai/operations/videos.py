"""Videos: `videos.create`, `.remix`, `.edit` and `.extend`. Each starts a job that is billed by the second.

The job says how long the new clip will be; that of `.extend`, how long old and new are together, which is no usage.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, text
from otel_openai.operations._base import Operation, Outcome
from otel_openai.operations._events import EventsObserver
from otel_openai.operations._media_content import VIDEOS_MESSAGES
from otel_openai.operations._usage import read_duration
from otel_openai.operations.chat import body_error


def _request(_params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {names.OUTPUT_TYPE: "video"}


def _job(result: Any) -> Outcome:
    status = getattr(result, "status", None)
    failure: object = getattr(result, "error", None) or {}
    return Outcome(
        response_id=getattr(result, "id", None),
        response_model=text(getattr(result, "model", None)),
        error=failure if status == "failed" else body_error(result, answered=status is not None),
    )


def _new_clip(result: Any) -> Outcome:
    outcome = _job(result)
    if outcome.error is None:
        seconds: object = getattr(result, "seconds", None)
        with contextlib.suppress(ValueError):
            outcome.usage = read_duration(float(seconds) if isinstance(seconds, str) else seconds)
    return outcome


VIDEOS = Operation(
    name="generate_content", request=_request, response=_new_clip, observer=EventsObserver, messages=VIDEOS_MESSAGES
)
EXTENSIONS = replace(VIDEOS, response=_job)
