"""Metrics over time: unsampled calls, open calls, bounds, and instrumentation that is switched off and on."""

import logging
from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler

import otel_openai
from exported import metrics, otlp
from server import (
    DONE,
    Gate,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_usage,
    embeddings,
    error_reply,
    finish_chunk,
    response,
    role_chunk,
    sse,
    tool_call,
    usage_chunk,
)
from support import Api, Told

INPUT = "gen_ai.client.inference.usage.input_tokens"
DURATION = "gen_ai.client.operation.duration"


def telling(sampler: Sampler | None = None) -> Told:
    recorded = Told() if sampler is None else Told(sampler)
    recorded.instrument()
    return recorded


@pytest.fixture
def unsampled() -> Iterator[Told]:
    recorded = telling(ALWAYS_OFF)
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


async def _everything(api: Api, server: ScriptedServer) -> None:
    """One call of each kind."""
    server.reply(
        chat(tool_calls=[tool_call()], usage=chat_usage(9, 12, cached=4, reasoning=3)),
        sse(role_chunk(), chat_chunk("Hi"), finish_chunk(), usage_chunk(), DONE),
        error_reply(400),
        response(),
        embeddings(),
    )
    await api.chat()
    await api.drain(await api.stream())
    with pytest.raises(openai.BadRequestError):
        await api.chat()
    await api.call("responses.create", model="m", input="Hi")
    await api.call("embeddings.create", model="m", input="Hi")


async def test_metrics_do_not_depend_on_sampling(api: Api, server: ScriptedServer, unsampled: Told) -> None:
    await _everything(api, server)
    otel_openai.uninstrument()
    sampled = telling()
    await _everything(api, server)

    assert unsampled.spans == []
    assert len(sampled.spans) == 5
    counts = [
        {name: [(attributes, _countable(value)) for attributes, value in told.points(name)] for name in metrics(told)}
        for told in (sampled, unsampled)
    ]
    assert counts[0] == counts[1]
    assert len(counts[0]) >= 12
    sampled.shutdown()


def _countable(value: Any) -> Any:
    """Without the sums of seconds, which differ from run to run."""
    if isinstance(value, tuple):
        count, total = cast("tuple[int, float]", value)
        return count if isinstance(total, float) else (count, total)
    return value


async def test_calls_are_active_until_they_end(api: Api, server: ScriptedServer, told: Told) -> None:
    gate = Gate()
    server.always(sse(chat_chunk("Hel"), gate, finish_chunk(), DONE))

    def active() -> dict[str, int]:
        return {
            attributes["gen_ai.request.model"]: value
            for attributes, value in told.points("otel_openai.active_requests")
        }

    streams = [await api.stream(model=model) for model in ("a", "a", "b")]
    assert active() == {"a": 2, "b": 1}
    await api.close(streams[0])
    assert active() == {"a": 1, "b": 1}
    gate.open()
    await api.drain(streams[1])
    assert active() == {"a": 0, "b": 1}
    await api.drain(streams[2])
    server.always(error_reply(400))
    with pytest.raises(openai.BadRequestError):
        await api.chat(model="a")
    assert active() == {"a": 0, "b": 0}


async def test_a_stream_that_outlives_the_instrumentation_is_not_active_any_more(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(chat_chunk("Hel"), finish_chunk(), DONE))

    stream = await api.stream()
    otel_openai.uninstrument()

    assert told.total("otel_openai.active_requests") == 0
    await api.drain(stream)
    assert told.total("otel_openai.active_requests") == 0
    assert told.total(DURATION) > 0
    assert [count for _, (count, _) in told.points(DURATION)] == [1]


async def test_switching_off_and_on_counts_on(
    api: Api, server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    server.always(chat())

    await api.chat()
    otel_openai.uninstrument()
    await api.chat()
    assert told.total(INPUT) == 9
    told.instrument()
    told.instrument()
    await api.chat()

    assert told.total(INPUT) == 18
    assert [count for _, (count, _) in told.points(DURATION)] == [2]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING and _is_sdks(record)] == []


def _is_sdks(record: logging.LogRecord) -> bool:
    return record.name.startswith("opentelemetry.sdk")


async def test_another_set_up_counts_for_itself(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat())

    await api.chat()
    otel_openai.uninstrument()
    other = telling()
    await api.chat()

    assert (told.total(INPUT), other.total(INPUT)) == (9, 9)
    other.shutdown()


async def test_what_is_collected_as_differences_adds_up(api: Api, server: ScriptedServer) -> None:
    reader = InMemoryMetricReader({ObservableCounter: AggregationTemporality.DELTA})
    provider = MeterProvider([reader])
    otel_openai.instrument(meter_provider=provider)
    server.always(chat())

    seen: list[float] = []
    for calls in (1, 3, 2):
        for _ in range(calls):
            await api.chat()
        data = reader.get_metrics_data()
        assert data is not None
        [scope] = data.resource_metrics[0].scope_metrics
        seen += [
            point.value
            for metric in scope.metrics
            if metric.name == INPUT
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        ]
    otel_openai.uninstrument()
    provider.shutdown()

    assert seen == [9, 27, 18]


async def test_models_that_a_user_makes_up_are_bounded(
    api: Api, server: ScriptedServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_openai._metrics.MAX_SERIES", 5)
    server.always(chat())

    for number in range(12):
        await api.chat(model=f"made-up-{number}")

    counters = {attributes["gen_ai.request.model"]: value for attributes, value in told.points(INPUT)}
    assert counters == {**{f"made-up-{number}": 9 for number in range(5)}, "other": 7 * 9}
    [other] = [attributes for attributes, _ in told.points(INPUT) if attributes["gen_ai.request.model"] == "other"]
    assert other == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "other",
    }
    assert told.total("otel_openai.active_requests") == 0
    assert len(told.points("otel_openai.active_requests")) == 6


async def test_names_of_tools_are_bounded(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(*(chat(tool_calls=[tool_call(f"t{10 * n + i}") for i in range(10)]) for n in range(11)), chat())

    for _ in range(11):
        await api.chat()

    calls = {attributes["gen_ai.tool.name"]: value for attributes, value in told.points("otel_openai.tool_calls")}
    assert calls == {**{f"t{number}": 1 for number in range(100)}, "other": 10}


async def test_finish_reasons_that_nobody_knows_are_bounded(api: Api, server: ScriptedServer, told: Told) -> None:
    known = ["stop", "length", "tool_calls", "function_call", "content_filter", "eos", "error", "abort", "repetition"]
    for reason in (*known, "made-up-1", "made-up-2"):
        server.reply(chat(finish_reason=reason))

    for _ in range(len(known) + 2):
        await api.chat()

    reasons = {
        attributes["otel_openai.finish_reason"]: value
        for attributes, value in told.points("otel_openai.finish_reasons")
    }
    assert reasons == {**dict.fromkeys(known, 1), "other": 2}


async def test_a_collection_during_a_call_is_possible(api: Api, server: ScriptedServer, told: Told) -> None:
    collected: list[bytes] = []

    def answer(_: object) -> dict[str, object]:
        collected.append(otlp(told))
        return chat()

    server.always(answer)

    await api.chat()
    await api.chat()

    assert len(collected) == 2
