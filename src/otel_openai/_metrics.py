"""Instruments, and the table of counts behind the observable ones.

Counters are observable: a finished call adds to a table in this process, under a lock, and the SDK reads the table when
it collects. That costs a call a few dictionary look-ups instead of one SDK measurement a counter. The lock is
re-entrant: the garbage collector may run an application's finaliser, which may make a call, while it is held.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isnan
from typing import TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel_openai import _semconv as names
from otel_openai._transport import HttpFacts
from otel_openai._values import AttributeValue
from otel_openai.operations._base import Outcome

Attributes: TypeAlias = Mapping[str, AttributeValue]
Key: TypeAlias = tuple[str | int | None, ...]
"""Values of metric attributes, in the order of `_KEY`. A call's own key ends before what only the answer tells."""

_Reading: TypeAlias = Iterable[tuple[Attributes, int | float]]

_KEY = (
    names.OPERATION_NAME,
    names.PROVIDER_NAME,
    names.REQUEST_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
    names.RESPONSE_MODEL,
    names.RESPONSE_SERVICE_TIER,
)

# Bounds against names that a server or a user makes up: past them everything is counted under `other`.
MAX_SERIES = 2000
MAX_TOOL_NAMES = 100
_MAX_TOTAL = 2**53  # OTLP takes 64 bits, and one number that it cannot take costs the app the export of all metrics
_FINISH_REASONS = frozenset(
    {
        "stop",
        "length",
        "tool_calls",
        "function_call",
        "content_filter",
        "eos",
        "error",
        "abort",
        "repetition",
        "incomplete",
        "max_output_tokens",
        "max_completion_tokens",
        "max_prompt_tokens",
        "expired",
        "cancelled",
        "budget_reached",
        "insufficient_system_resource",
        "model_length",
    }
)
_USAGE_COUNTERS = (
    names.USAGE_INPUT,
    names.USAGE_OUTPUT,
    names.USAGE_CACHE_READ,
    names.USAGE_CACHE_WRITE,
    names.USAGE_REASONING,
)


class _Totals:
    """What was counted for one key. The mappings of attributes are shared with the SDK and never changed."""

    __slots__ = (
        "attributes",
        "cost",
        "finish_reasons",
        "input",
        "output",
        "retries",
        "streams",
        "tools",
        "unpriced",
        "usage",
    )

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self.input: Attributes = {**attributes, names.TOKEN_TYPE: "input"}
        self.output: Attributes = {**attributes, names.TOKEN_TYPE: "output"}
        self.usage: defaultdict[str, float] = defaultdict(int)
        self.finish_reasons: defaultdict[str, int] = defaultdict(int)
        self.tools: defaultdict[str, int] = defaultdict(int)
        self.streams: defaultdict[str, int] = defaultdict(int)
        self.retries = 0
        self.cost: float | None = None
        self.unpriced = 0

    def add(self, outcome: Outcome, stream_outcome: str | None, *, billed: bool) -> None:
        """Add what an answer said, and how its stream ended."""
        for name, tokens in outcome.usage.items():
            self.usage[name] += tokens
        if billed:
            for reason in outcome.finish_reasons:
                self.finish_reasons[reason if reason in _FINISH_REASONS else names.OTHER] += 1
        if stream_outcome is not None:
            self.streams[stream_outcome] += 1

    def add_cost(self, dollars: float) -> None:
        """Add what a call cost, or count it as unpriced."""
        if isnan(dollars):
            self.unpriced += 1
        else:
            self.cost = (self.cost or 0.0) + dollars


class Metrics:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self.reset()

        def seconds(name: str, description: str) -> Callable[..., None]:
            buckets = names.SECONDS_BUCKETS
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=buckets).record

        self._duration = seconds(names.METRIC_DURATION, "Time from the request to the end of the answer.")
        self._first_chunk = seconds(names.METRIC_TIME_TO_FIRST_CHUNK, "Time from the request to the first output.")
        self._chunk_time = seconds(names.METRIC_TIME_PER_OUTPUT_CHUNK, "Time between two chunks of a stream.")
        self._tokens = meter.create_histogram(
            names.METRIC_TOKEN_USAGE,
            "{token}",
            "Tokens that one call used.",
            explicit_bucket_boundaries_advisory=names.TOKENS_BUCKETS,
        ).record
        self._create_observables(meter)

    def reset(self) -> None:
        """Begin at zero. In the child of a fork too: no thread is left to release the lock, or to end what is open."""
        self._lock = threading.RLock()
        self._totals: dict[Key, _Totals] = {}
        self._active: dict[Key, tuple[Attributes, list[int]]] = {}
        self._remaining: dict[Key, tuple[Attributes, int]] = {}
        self._tool_names: set[str] = set()

    def started(self, key: Key) -> list[int]:
        """Count a call as open. The returned cell is given back to `ended`."""
        with self._lock:
            known = self._active.get(key)
            if known is None:
                key = _bounded(key, self._active)
                known = self._active.setdefault(key, (_attributes(key), [0]))
            known[1][0] += 1
            return known[1]

    def ended(
        self,
        cell: list[int],
        key: Key,
        outcome: Outcome,
        *,
        duration: float,
        http: HttpFacts,
        error_type: str | None,
        time_to_first_chunk: float | None,
        stream_outcome: str | None,
        billed: bool,
        cost: float | None,
        context: Context,
    ) -> None:
        """Record a call that has ended: histograms once, counts into the table.

        Args:
            cell: What `started` returned.
            key: What `started` was given.
            outcome: What the answer said.
            duration: Seconds.
            http: Facts of its HTTP exchange.
            error_type: What went wrong.
            time_to_first_chunk: Seconds; streams only.
            stream_outcome: How the stream ended.
            billed: False for an answer that was counted before.
            cost: US dollars: NaN where nobody knows, None where there is nothing to be priced.
            context: The context of its span, for exemplars.
        """
        with self._lock:
            cell[0] -= 1
            totals = self._totals_of((*key, outcome.response_model, outcome.service_tier))
            totals.add(outcome, stream_outcome, billed=billed)
            totals.retries += http.retries
            if cost is not None:
                totals.add_cost(cost)
            if outcome.tool_calls is not None:
                for tool, calls in outcome.tool_calls.by_name.items():
                    totals.tools[self._tool_name(tool)] += calls
            for kind, left in http.remaining.items():
                self._remain(key, kind, left)
        attributes, input_attributes, output_attributes = totals.attributes, totals.input, totals.output
        if error_type is not None:
            error = {names.ERROR_TYPE: error_type}
            attributes = {**attributes, **error}
            input_attributes, output_attributes = {**input_attributes, **error}, {**output_attributes, **error}
        self._duration(duration, attributes, context)
        if time_to_first_chunk is not None:
            self._first_chunk(time_to_first_chunk, totals.attributes, context)
        usage = outcome.usage
        if (tokens := usage.get(names.USAGE_INPUT)) is not None:
            self._tokens(tokens, input_attributes, context)
        if (tokens := usage.get(names.USAGE_OUTPUT)) is not None:
            self._tokens(tokens, output_attributes, context)

    def chunk_timer(self, key: Key, context: Context | None) -> Callable[[float], None]:
        """What records the seconds between two chunks of one stream."""
        with self._lock:
            attributes = _attributes(key if key in self._active else _bounded(key, self._active))
        return lambda gap: self._chunk_time(gap, attributes, context)

    def _totals_of(self, key: Key) -> _Totals:
        totals = self._totals.get(key)
        if totals is None:
            key = _bounded(key, self._totals)
            totals = self._totals.setdefault(key, _Totals(_attributes(key)))
        return totals

    def _tool_name(self, tool: str) -> str:
        if tool in self._tool_names:
            return tool
        if len(self._tool_names) >= MAX_TOOL_NAMES:
            return names.OTHER
        self._tool_names.add(tool)
        return tool

    def _remain(self, key: Key, kind: str, left: int) -> None:
        limited = (None, *key[1:], kind)  # a limit is one of a model and a server, whatever the operation
        known = self._remaining.get(limited)
        if known is not None:
            self._remaining[limited] = (known[0], left)
        elif len(self._remaining) < MAX_SERIES:
            self._remaining[limited] = ({**_attributes(limited[:-1]), names.RATELIMIT_KIND: kind}, left)

    def _create_observables(self, meter: Meter) -> None:
        def counter(name: str, unit: str, description: str, read: Callable[[_Totals], _Reading]) -> None:
            def callback(_: CallbackOptions) -> Iterable[Observation]:
                with self._lock:
                    return [
                        Observation(min(value, _MAX_TOTAL), {**totals.attributes, **more})
                        for totals in self._totals.values()
                        for more, value in read(totals)
                    ]

            meter.create_observable_counter(name, [callback], unit, description)

        for usage in _USAGE_COUNTERS:
            suffix = usage.removeprefix("gen_ai.usage.")
            counter(names.METRIC_INFERENCE_USAGE + suffix, "{token}", "Tokens used.", _usage_reader(usage))
        counter(
            names.METRIC_USAGE_DURATION, "s", "Seconds of sound and video used.", _usage_reader(names.USAGE_DURATION)
        )
        counter(names.METRIC_FINISH_REASONS, "{choice}", "Choices by the reason that ended them.", _read_reasons)
        counter(names.METRIC_TOOL_CALLS, "{call}", "Tool calls that models asked for.", _read_tools)
        counter(names.METRIC_RETRIES, "{retry}", "Retries that the client made.", _read_retries)
        counter(names.METRIC_COST, "{USD}", "What calls cost, as estimated.", _read_cost)
        counter(names.METRIC_UNPRICED_CALLS, "{call}", "Calls whose cost nobody knows.", _read_unpriced)
        counter(names.METRIC_STREAMS, "{stream}", "Streams by the way they ended.", _read_streams)
        meter.create_observable_up_down_counter(
            names.METRIC_ACTIVE_REQUESTS, [self._read_active], "{request}", "Calls and streams open now."
        )
        meter.create_observable_gauge(
            names.METRIC_RATELIMIT_REMAINING, [self._read_remaining], "", "What the rate limits left, as last seen."
        )

    def _read_active(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            return [Observation(cell[0], attributes) for attributes, cell in self._active.values()]

    def _read_remaining(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            return [Observation(left, attributes) for attributes, left in self._remaining.values()]


def _attributes(key: Key) -> Attributes:
    return {name: value for name, value in zip(_KEY, key, strict=False) if value is not None}


def _bounded(key: Key, table: Mapping[Key, object]) -> Key:
    """The key itself while there is room; then one for all models, operation and provider apart."""
    return key if len(table) < MAX_SERIES else (*key[:2], names.OTHER)


def _usage_reader(name: str) -> Callable[[_Totals], _Reading]:
    def read(totals: _Totals) -> Iterator[tuple[Attributes, float]]:
        if name in totals.usage:
            yield {}, totals.usage[name]

    return read


def _read_reasons(totals: _Totals) -> _Reading:
    return [({names.FINISH_REASON: reason}, choices) for reason, choices in totals.finish_reasons.items()]


def _read_tools(totals: _Totals) -> _Reading:
    return [({names.TOOL_NAME: tool}, calls) for tool, calls in totals.tools.items()]


def _read_streams(totals: _Totals) -> _Reading:
    return [({names.STREAM_OUTCOME: outcome}, streams) for outcome, streams in totals.streams.items()]


def _read_cost(totals: _Totals) -> _Reading:
    return [] if totals.cost is None else [({}, totals.cost)]


def _read_unpriced(totals: _Totals) -> _Reading:
    return [({}, totals.unpriced)] if totals.unpriced else []


def _read_retries(totals: _Totals) -> _Reading:
    return [({}, totals.retries)]  # a zero is told, so that the first retry shows as an increase
