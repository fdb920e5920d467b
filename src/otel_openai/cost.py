"""What a call cost, in US dollars: what the server says, else an estimate from a table of prices (extra `cost`).

`instrument(cost=True)` prices calls with `list_price`. A function of the app's own, `instrument(cost=my_price)`, gets
the same `CostFacts`, and may fall back on it.
"""

import importlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["CostFacts", "list_price", "load"]

_MAX_MODELS = 1024
_MAX_LINES = 100

# Ids in the table, where they differ from `gen_ai.provider.name`.
_IDS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "x_ai": "x-ai",
}
# Fields of `CostFacts`, and what the table calls them.
_COUNTS = {
    "input_tokens": "input_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "input_image_tokens": "input_image_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "output_image_tokens": "output_image_tokens",
}
# Likewise, of those where a reported 0 says something.
_CACHED = {
    "cache_read_audio_tokens": "cache_audio_read_tokens",
    "cache_read_image_tokens": "cache_image_read_tokens",
}
_BATCH = "fetch_batch"  # the operation that tells the usage of a batch
_STANDARD_TIERS = frozenset({"auto", "default", "standard", "on_demand"})

_log = logging.getLogger("otel_openai")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFacts:
    """One answered call, as far as its cost depends on it. Counts are 0 where the server reported none."""

    operation: str
    """`gen_ai.operation.name`."""
    provider: str
    """`gen_ai.provider.name`: by the host, or as the app said with `instrument(providers=...)`."""
    server_address: str | None
    model: str | None
    """The model that answered; where the server did not name it, the one that was asked for."""
    request_model: str | None
    service_tier: str | None
    """As the server reported it."""
    input_tokens: int = 0
    """Everything that went in: tokens of the cache, audio and images are part of it."""
    cache_read_tokens: int = 0
    cache_read_audio_tokens: int | None = None
    """How much of what was read from the cache is audio; None where the server does not say."""
    cache_read_image_tokens: int | None = None
    """Likewise of images."""
    cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_tokens: int = 0
    """Everything that came out: reasoning, audio and images are part of it."""
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    seconds: float = 0.0
    """Of sound that went in, or of video that comes out, where the server counts them."""
    reported_cost: float | None = None
    """What OpenRouter, LiteLLM or Perplexity say that the call cost, in US dollars."""


def list_price(call: CostFacts) -> float | None:
    """What the server says that the call cost, else its price by the table; None where neither knows.

    The table is that of the library genai-prices as it is installed: nothing is fetched. An app that keeps it up to
    date with `genai_prices.UpdatePrices` gets the newer prices here too.

    Raises:
        ModuleNotFoundError: The extra `cost` is not installed.
    """
    return call.reported_cost if call.reported_cost is not None else load().price(call)


@lru_cache(maxsize=1)
def load() -> "_Table":
    """Import the table, which takes a good part of a second, once.

    Raises:
        ModuleNotFoundError: The extra `cost` is not installed.
    """
    return _Table()


class _Table:
    """The prices of genai-prices, and the models that were looked for."""

    def __init__(self) -> None:
        try:
            prices: Any = importlib.import_module("genai_prices")
            self._data: Any = importlib.import_module("genai_prices.data_snapshot")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'instrument(cost=True) needs packages that are not installed: pip install "otel-openai[cost]"',
                name=error.name,
            ) from error
        self._usage: Any = prices.Usage
        self._snapshot: Any = None
        self._lines = 0
        self._find: Any = None
        self._ready()

    def _ready(self) -> None:
        """Forget what was found in a table that the app has replaced."""
        snapshot = self._data.get_snapshot()
        if snapshot is not self._snapshot:
            providers = {provider.id: provider for provider in snapshot.providers}
            self._find = lru_cache(maxsize=_MAX_MODELS)(lambda *key: self._look(snapshot, providers, *key))
            self._snapshot = snapshot

    def price(self, call: CostFacts) -> float | None:
        """The price of a call; None where the table does not have it."""
        self._ready()
        found = self._find(call.provider, call.model) if call.model is not None else None
        if found is None:
            return None
        provider, model = found
        context = {} if call.operation != _BATCH else {"processing": "batch"}
        if call.service_tier is not None and call.service_tier not in _STANDARD_TIERS:
            context["service_tier"] = call.service_tier
        if not all(_has_variant(provider, model, *wanted) for wanted in context.items()):
            return None
        used = {theirs: tokens for ours, theirs in _COUNTS.items() if (tokens := getattr(call, ours))}
        used.update((theirs, cached) for ours, theirs in _CACHED.items() if (cached := getattr(call, ours)) is not None)
        if call.seconds:
            used.update(audio_seconds=call.seconds, input_audio_seconds=call.seconds)
        try:
            priced = model.calc_price(self._usage(**used), provider, price_context=context)
        except ValueError:  # counts that contradict one another
            return None
        return float(priced.total_price) if _covers(priced.model_price, call) else None

    def _look(self, snapshot: Any, providers: dict[str, Any], name: str, model: str) -> tuple[Any, Any] | None:
        provider = providers.get(_IDS.get(name, name))
        found = provider.find_model(model, all_providers=snapshot.providers) if provider is not None else None
        if found is not None:
            return provider, found
        if self._lines < _MAX_LINES:
            self._lines += 1
            _log.info("No price is known of the model %s of %s: its calls are counted as unpriced.", model, name)
        return None


def _has_variant(provider: Any, model: Any, name: str, value: str) -> bool:
    """Whether the table has prices of a tier, or of batches. The library ignores them where a provider resells."""
    own = any(model is offered for offered in provider.models)
    return own and any(variant.when.get(name) == value for variant in model.price_variants or ())


def _covers(price: Any, call: CostFacts) -> bool:
    """Whether there is a price for everything that was used. The library takes what has none for free."""
    prices: dict[str, object] = price.__dict__
    known = {name for name, value in prices.items() if value is not None}
    others_in = call.input_tokens - call.input_audio_tokens - call.input_image_tokens
    others_out = call.output_tokens - call.output_audio_tokens - call.output_image_tokens
    return (
        ("input_mtok" in known or others_in <= 0)
        and ("output_mtok" in known or others_out <= 0)
        and ("input_audio_hours" in known or not call.seconds)
        and ("input_audio_mtok" in known or not call.input_audio_tokens)
        and ("output_audio_mtok" in known or not call.output_audio_tokens)
        and (not {"input_mtok", "input_image_mtok"}.isdisjoint(known) or not call.input_image_tokens)
        and (not {"output_mtok", "output_image_mtok"}.isdisjoint(known) or not call.output_image_tokens)
    )
