"""The options of `instrument()`, checked once: bad values raise there, nothing is lost at run time."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction, signature
from typing import Any, Literal

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

_EXPORTS = ("otlp", "console")
_PLACES = ("span", "event", "both")
_NOT_OF_A_HOST = re.compile(r"[/:@*\s]")
_LEAST_SIZE = 1024  # in less, no message says anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the user chose. The arguments are documented at `otel_openai.instrument`."""

    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    logger_provider: LoggerProvider | None = None
    export: Literal["otlp", "console"] | None = None
    capture_content: bool | Literal["span", "event", "both"] | None = None
    redact: Callable[[str, str], str | None] | None = None
    max_content_length: int = 8192
    max_content_size: int = 65_536
    capture_tool_schemas: bool = False
    error_messages: bool = False
    chunk_timing: bool = False
    stream_usage: bool = False
    propagate: bool | Collection[str] = False
    providers: Mapping[str, str] | None = None
    cost: bool | Callable[..., Any] = False
    request_hook: Callable[..., Any] | None = None
    response_hook: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            TypeError: A value is of the wrong type.
            ValueError: A value is of the right type and means nothing.
        """
        for name, method in (
            ("tracer_provider", "get_tracer"),
            ("meter_provider", "get_meter"),
            ("logger_provider", "get_logger"),
        ):
            provider = getattr(self, name)
            good = provider is None or (callable(getattr(provider, method, None)) and not isinstance(provider, type))
            _check(good, name, f"a {_title(name)}", provider)
        for name in ("capture_tool_schemas", "error_messages", "chunk_timing", "stream_usage"):
            _check(isinstance(getattr(self, name), bool), name, "True or False", getattr(self, name))
        for name in ("redact", "request_hook", "response_hook"):
            hook = getattr(self, name)
            _check(hook is None or _takes(hook, 2), name, "a callable of two arguments that is not async", hook)
        good = isinstance(self.cost, bool) or _takes(self.cost, 1)
        _check(good, "cost", "True, False, or a callable of one argument that is not async", self.cost)
        self._check_content()
        if self.export is not None and self.export not in _EXPORTS:
            choices = " or ".join(map(repr, _EXPORTS))
            raise ValueError(f"instrument(export=...) takes None, {choices}, not {self.export!r}")
        if self.providers is not None:
            _check_providers(self.providers)
        if not isinstance(self.propagate, bool):
            object.__setattr__(self, "propagate", _hosts(self.propagate))

    def _check_content(self) -> None:
        capture = self.capture_content
        if not (capture is None or isinstance(capture, bool) or capture in _PLACES):
            choices = ", ".join(map(repr, _PLACES))
            raise ValueError(f"instrument(capture_content=...) takes True, False, {choices} or None, not {capture!r}")
        for name, least in (("max_content_length", 1), ("max_content_size", _LEAST_SIZE)):
            limit = getattr(self, name)
            _check(isinstance(limit, int) and not isinstance(limit, bool), name, "a whole number", limit)
            if limit < least:
                raise ValueError(f"instrument({name}=...) takes a whole number of {least} or more, not {limit!r}")


def _takes(hook: object, count: int) -> bool:
    """Whether the app's function can be called with so many arguments. Where nothing says how many, it is believed."""
    if not callable(hook) or iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__):
        return False
    if hasattr(hook, "__wrapped__"):  # a decorator may give it more arguments than it takes itself
        return True
    try:
        parameters = signature(hook, follow_wrapped=False)
    except (TypeError, ValueError):
        return True
    try:
        parameters.bind(*range(count))
    except TypeError:
        return False
    return True


def _check_providers(providers: Any) -> None:
    takes = "a mapping of host to provider name, both strings"
    _check(isinstance(providers, Mapping), "providers", takes, providers)
    for host, provider in providers.items():
        _check(isinstance(host, str) and isinstance(provider, str), "providers", takes, {host: provider})
        _check_host("providers", host)
        if not provider:
            raise ValueError(f"instrument(providers=...) takes a name for each host, not {host!r}: {provider!r}")


def _hosts(propagate: Any) -> frozenset[str]:
    takes = "True, False, or a collection of host names"
    _check(_is_collection(propagate), "propagate", takes, propagate)
    hosts: Collection[Any] = propagate
    for host in hosts:
        _check(isinstance(host, str), "propagate", takes, hosts)
        _check_host("propagate", host)
    return frozenset(host.lower() for host in hosts)


def _is_collection(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, (str, bytes))


def _check_host(name: str, host: str) -> None:
    if not host or _NOT_OF_A_HOST.search(host):
        raise ValueError(
            f"instrument({name}=...) takes host names without scheme, port or path "
            f"('llm.example.com', or '.example.com' for every host below it), not {host!r}"
        )


def _title(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _check(good: bool, name: str, takes: str, value: object) -> None:  # noqa: FBT001 - a condition, not a switch
    if not good:
        raise TypeError(f"instrument({name}=...) takes {takes}, not {value!r}")
