"""Tells the no-op objects of the OpenTelemetry API from a real implementation.

The API has no public test for "no SDK is configured", but it ships nothing besides no-op and proxy classes, so the
module that defines an object's class answers the question. A proxy is as real as the global provider that it forwards
to.
"""

from opentelemetry import _logs, metrics, trace

_GLOBAL_PROVIDERS = {
    "opentelemetry.trace": trace.get_tracer_provider,
    "opentelemetry.metrics": metrics.get_meter_provider,
    "opentelemetry._logs": _logs.get_logger_provider,
}


def is_noop(obj: object) -> bool:
    """Tell whether what is given to this object goes nowhere, because the API package alone implements it.

    Works for providers, tracers, meters, loggers, instruments and spans. The answer for a proxy changes once a provider
    is set; the answer for anything else never changes.

    Args:
        obj: Any object. One that the API package did not define counts as real.

    Returns:
        True for the API's no-op classes, and for its proxy classes while no real global provider is set.
    """
    signal = _api_signal(obj)
    if signal is None:
        return False
    if not _is_proxy(obj):
        return True
    provider = _GLOBAL_PROVIDERS[signal]()
    return _is_proxy(provider) or is_noop(provider)


def is_unset(provider: object) -> bool:
    """Tell whether a global provider is the placeholder that the API gives out until the application sets one.

    A no-op provider that the application set on purpose is not a placeholder: `is_noop` is True for it, this is False.

    Args:
        provider: What `get_tracer_provider()`, `get_meter_provider()` or `get_logger_provider()` returned.
    """
    return _api_signal(provider) is not None and _is_proxy(provider)


def _api_signal(obj: object) -> str | None:
    # "opentelemetry.metrics._internal.instrument" gives "opentelemetry.metrics"; the SDK gives "opentelemetry.sdk".
    signal = ".".join(type(obj).__module__.split(".", 2)[:2])
    return signal if signal in _GLOBAL_PROVIDERS else None


def _is_proxy(obj: object) -> bool:
    return type(obj).__name__.startswith(("Proxy", "_Proxy"))
