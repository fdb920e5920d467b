"""A small OTLP/HTTP receiver on loopback: what programs export to it, decoded with opentelemetry-proto."""

from ._receiver import Attributes, OtlpReceiver, attributes

__all__ = ["Attributes", "OtlpReceiver", "attributes"]
