"""Prices calls with the function that the user chose, contained: `instrument(cost=...)`."""

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

from otel_openai import _guard
from otel_openai import _semconv as names
from otel_openai._metrics import Key
from otel_openai._transport import HttpFacts
from otel_openai._values import count, fields, number
from otel_openai.cost import CostFacts, list_price, load
from otel_openai.operations._base import Outcome

_COUNTS: Mapping[str, str] = {
    names.USAGE_DURATION: "seconds",
    names.USAGE_INPUT: "input_tokens",
    names.USAGE_CACHE_READ: "cache_read_tokens",
    names.USAGE_AUDIO_CACHE_READ: "cache_read_audio_tokens",
    names.USAGE_IMAGE_CACHE_READ: "cache_read_image_tokens",
    names.USAGE_CACHE_WRITE: "cache_write_tokens",
    names.USAGE_AUDIO_INPUT: "input_audio_tokens",
    names.USAGE_IMAGE_INPUT: "input_image_tokens",
    names.USAGE_OUTPUT: "output_tokens",
    names.USAGE_REASONING: "reasoning_tokens",
    names.USAGE_AUDIO_OUTPUT: "output_audio_tokens",
    names.USAGE_IMAGE_OUTPUT: "output_image_tokens",
}
_TELL_THEIR_COST = frozenset({"openrouter", "litellm", "perplexity"})


class CostedHttpFacts(HttpFacts):
    """HTTP facts with what a LiteLLM proxy says of itself."""

    __slots__ = ("cost", "is_litellm")

    def __init__(self) -> None:
        super().__init__()
        self.cost: str | None = None
        self.is_litellm = False

    def read(self, response: Any, retries: int | None) -> None:
        """Take the cost, too."""
        super().read(response, retries)
        self.is_litellm = "x-litellm-call-id" in response.headers
        self.cost = response.headers.get("x-litellm-response-cost")


class Costs:
    """Prices calls."""

    def __init__(self, price: bool | Callable[[CostFacts], Any]) -> None:  # noqa: FBT001 - the option's value
        if price is True:
            load()
        self._price = price if callable(price) else list_price

    def price(self, key: Key, outcome: Outcome, http: HttpFacts, *, is_stream: bool) -> float | None:
        """Price a call, and add what it cost to the attributes of the outcome.

        Args:
            key: What the metrics know of the request.
            outcome: What the answer said.
            http: Facts of its HTTP exchange.
            is_stream: Whether the answer came as a stream.

        Returns:
            The cost in US dollars: NaN where nobody knows it, None where there is nothing to be priced.
        """
        try:
            reported = _reported(key, outcome, http, is_stream=is_stream)
            if not outcome.usage and reported is None:
                return None
            cost = self._price(_facts(key, outcome, reported))
            if cost is None:
                return math.nan
            dollars = outcome.attributes[names.COST] = _dollars(cost)
        except Exception:
            _guard.contain("pricing a call")
            return math.nan
        return dollars


def _dollars(cost: Any) -> float:
    """A cost as a float; a Decimal, which genai-prices gives, will do.

    Raises:
        TypeError: It is no number.
        ValueError: It is none that can be added up.
    """
    if isinstance(cost, (bool, str)):
        raise TypeError(f"a cost is a number of US dollars, not {cost!r}")
    dollars = float(cost)
    if not _is_cost(dollars):
        raise ValueError(f"a cost is a finite number of US dollars that is not negative, not {cost!r}")
    return dollars


def _is_cost(dollars: float) -> bool:
    return math.isfinite(dollars) and dollars >= 0


def _facts(key: Key, outcome: Outcome, reported: float | None) -> CostFacts:
    operation, provider, request_model, address = key[:4]
    counts: dict[str, Any] = {_COUNTS[name]: used for name, used in outcome.usage.items() if name in _COUNTS}
    # xAI and Gemini report reasoning beside the output, not in it. Their own total tells.
    reasoning = counts.get("reasoning_tokens", 0)
    apart = counts.get("input_tokens", 0) + counts.get("output_tokens", 0) + reasoning
    if reasoning and count(fields(outcome.reported_usage).get("total_tokens")) == apart:
        counts["output_tokens"] = counts.get("output_tokens", 0) + reasoning
    return CostFacts(
        operation=str(operation),
        provider=str(provider),
        server_address=_text(address),
        model=outcome.response_model or _text(request_model),
        request_model=_text(request_model),
        service_tier=outcome.service_tier,
        reported_cost=reported,
        **counts,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _reported(key: Key, outcome: Outcome, http: HttpFacts, *, is_stream: bool) -> float | None:
    """What the server says that the call cost, where it is one that is known to speak of US dollars."""
    litellm = http if isinstance(http, CostedHttpFacts) and http.is_litellm else None
    told = None
    if litellm is not None or key[1] in _TELL_THEIR_COST:
        told = _in_usage(fields(outcome.reported_usage))
    if told is None and litellm is not None and not is_stream:  # a stream's headers come before it has cost anything
        with contextlib.suppress(TypeError, ValueError):
            told = float(litellm.cost or "")
    return told if told is not None and _is_cost(told) else None


def _in_usage(usage: Mapping[str, Any]) -> float | None:
    cost = usage.get("cost")
    told = number(cost)
    if told is None and cost is not None:
        told = number(fields(cost).get("total_cost"))  # Perplexity
    if told is not None and usage.get("is_byok") is True:  # OpenRouter takes a fee, and the provider sends a bill
        told += number(fields(usage.get("cost_details")).get("upstream_inference_cost")) or 0.0
    return told
