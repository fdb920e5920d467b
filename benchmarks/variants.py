"""The three variants of a program (bare, floor, ours) and the telemetry set-ups that they run under.

Installing a variant changes the client's classes for the rest of the process: every measurement has a process of its
own. Measures nothing itself.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

import otel_openai
from benchmarks import floor

if TYPE_CHECKING:
    from collections.abc import Mapping


class Variant(Enum):
    """What is installed around the client."""

    BARE = "bare"
    FLOOR = "floor"
    OURS = "ours"


class Telemetry(Enum):
    """Which SDK the application has set up."""

    SDK = "sdk"
    NOT_SAMPLED = "not sampled"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Providers:
    """A real SDK that keeps nothing: spans go to an empty processor, metrics to a reader that is never asked."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider

    @classmethod
    def create(cls, telemetry: Telemetry) -> Providers | None:
        """Set the SDK up; None without one."""
        if telemetry is Telemetry.NONE:
            return None
        sampler = ALWAYS_OFF if telemetry is Telemetry.NOT_SAMPLED else ALWAYS_ON
        tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        tracer_provider.add_span_processor(SpanProcessor())
        meter_provider = MeterProvider(metric_readers=[InMemoryMetricReader()], shutdown_on_exit=False)
        return cls(tracer_provider, meter_provider)


def install(variant: Variant, telemetry: Telemetry, options: Mapping[str, Any]) -> None:
    """Install a variant, for the rest of the process; `options` are further arguments of `instrument()`."""
    if variant is Variant.BARE:
        return
    providers = Providers.create(telemetry)
    if variant is Variant.FLOOR:
        floor.install(providers and floor.Floor(providers.tracer_provider, providers.meter_provider))
    elif providers is None:
        otel_openai.instrument(**options)
    else:
        otel_openai.instrument(
            tracer_provider=providers.tracer_provider, meter_provider=providers.meter_provider, **options
        )


def accepts(option: str) -> bool:
    """Whether `instrument()` of this checkout has the argument."""
    return option in inspect.signature(otel_openai.instrument).parameters
