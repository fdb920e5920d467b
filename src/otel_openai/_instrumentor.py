"""OpenAIInstrumentor: the OpenTelemetry way to switch this package on and off; `instrument()` is a shorthand."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from otel_openai import _patching
from otel_openai._config import Config
from otel_openai._telemetry import Telemetry


class OpenAIInstrumentor(BaseInstrumentor):
    """Instruments the `openai` client. `opentelemetry-instrument` finds it by its entry point `otel_openai`.

    `instrument(**options)` takes the options of `otel_openai.instrument`. It does not import `openai`.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """The versions of the client that this package knows."""
        return ("openai >= 1.66, < 4",)

    def _instrument(self, **kwargs: Any) -> None:
        for name in kwargs.keys() - {field.name for field in fields(Config)}:
            raise TypeError(f"instrument() got an unexpected keyword argument {name!r}")
        config = Config(**kwargs)
        telemetry = Telemetry(config)
        if config.export is not None:
            from otel_openai.sdk import configure

            configure(config.export)
        _patching.install(telemetry)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the signature is the base class's
        _patching.uninstall()
