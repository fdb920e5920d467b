"""Every metric: its instrument, unit and buckets, its attributes exactly, and its values."""

from typing import Any

import openai
import pytest
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    Sum,
)

import otel_openai
from expected import MODEL, Attributes, at
from exported import metrics
from server import (
    ScriptedServer,
    chat,
    chat_stream,
    chat_tool_stream,
    chat_usage,
    choice,
    embeddings,
    error_reply,
    json_reply,
    openai_headers,
    response,
    response_usage,
    retry_after,
    sse,
    tool_call,
)
from support import Api, Told

OPERATION = "gen_ai.client.operation"
USAGE = "gen_ai.client.inference.usage"
SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]

# Name: kind, unit, buckets of a histogram or whether a sum only grows.
INSTRUMENTS: dict[str, tuple[type, str, Any]] = {
    f"{OPERATION}.duration": (Histogram, "s", SECONDS),
    f"{OPERATION}.time_to_first_chunk": (Histogram, "s", SECONDS),
    f"{OPERATION}.time_per_output_chunk": (Histogram, "s", SECONDS),
    "gen_ai.client.token.usage": (Histogram, "{token}", TOKENS),
    f"{USAGE}.input_tokens": (Sum, "{token}", True),
    f"{USAGE}.output_tokens": (Sum, "{token}", True),
    f"{USAGE}.cache_read.input_tokens": (Sum, "{token}", True),
    f"{USAGE}.cache_write.input_tokens": (Sum, "{token}", True),
    f"{USAGE}.reasoning.output_tokens": (Sum, "{token}", True),
    "otel_openai.finish_reasons": (Sum, "{choice}", True),
    "otel_openai.tool_calls": (Sum, "{call}", True),
    "otel_openai.retries": (Sum, "{retry}", True),
    "otel_openai.streams": (Sum, "{stream}", True),
    "otel_openai.active_requests": (Sum, "{request}", False),
    "otel_openai.ratelimit.remaining": (Gauge, "", None),
}


async def test_every_instrument_is_what_the_conventions_say(api: Api, server: ScriptedServer, told: Told) -> None:
    otel_openai.uninstrument()
    told.instrument(chunk_timing=True)
    usage = response_usage(9, 12)
    server.reply(
        sse(*chat_tool_stream(usage=chat_usage()), headers=openai_headers()),
        response(usage=usage),
    )

    await api.drain(await api.stream())
    await api.call("responses.create", model="m", input="Hi")

    seen = {name: (type(metric.data), metric.unit, _shape(metric.data)) for name, metric in metrics(told).items()}
    assert seen == INSTRUMENTS
    assert all(metric.description for metric in metrics(told).values())


def _shape(data: Any) -> Any:
    if isinstance(data, Histogram):
        return list(data.data_points[0].explicit_bounds)
    if isinstance(data, Sum):
        assert data.aggregation_temporality is AggregationTemporality.CUMULATIVE
        return data.is_monotonic
    return None


async def test_every_attribute_is_on_the_list(api: Api, server: ScriptedServer, told: Told) -> None:
    answer = chat(
        choices=[choice("a"), choice(index=1, tool_calls=[tool_call(), tool_call("get_time"), tool_call()])],
        usage=chat_usage(100, 50, cached=64, reasoning=20),
    )
    server.reply(retry_after(), json_reply(answer, headers=openai_headers()))
    api.client = api.client.with_options(max_retries=1)

    await api.chat(user="user-1", metadata={"a": "b"}, n=2, temperature=1, stop="x")

    called = {**at(server), "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    answered = {**called, "gen_ai.response.model": MODEL, "openai.response.service_tier": "default"}
    limited = {name: value for name, value in called.items() if name != "gen_ai.operation.name"}
    expected: dict[str, list[tuple[Attributes, Any]]] = {
        f"{OPERATION}.duration": [(answered, 1)],
        "gen_ai.client.token.usage": [
            ({**answered, "gen_ai.token.type": "input"}, (1, 100)),
            ({**answered, "gen_ai.token.type": "output"}, (1, 50)),
        ],
        f"{USAGE}.input_tokens": [(answered, 100)],
        f"{USAGE}.output_tokens": [(answered, 50)],
        f"{USAGE}.cache_read.input_tokens": [(answered, 64)],
        f"{USAGE}.reasoning.output_tokens": [(answered, 20)],
        "otel_openai.finish_reasons": [
            ({**answered, "otel_openai.finish_reason": "stop"}, 1),
            ({**answered, "otel_openai.finish_reason": "tool_calls"}, 1),
        ],
        "otel_openai.tool_calls": [
            ({**answered, "gen_ai.tool.name": "get_weather"}, 2),
            ({**answered, "gen_ai.tool.name": "get_time"}, 1),
        ],
        "otel_openai.retries": [(answered, 1)],
        "otel_openai.active_requests": [(called, 0)],
        "otel_openai.ratelimit.remaining": [
            ({**limited, "otel_openai.ratelimit.kind": "requests"}, 9999),
            ({**limited, "otel_openai.ratelimit.kind": "tokens"}, 199967),
        ],
    }
    duration = f"{OPERATION}.duration"
    seen = {name: told.points(name) for name in metrics(told)}
    seen[duration] = [(attributes, count) for attributes, (count, _) in seen[duration]]
    assert seen == expected


async def test_a_stream_tells_its_own(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*chat_stream("Hi", usage=chat_usage())), sse(*chat_stream("Hi")))

    await api.drain(await api.stream())
    left = await api.stream()
    await api.next(left)
    await api.close(left)

    called = {**at(server), "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    answered = {**called, "gen_ai.response.model": MODEL, "openai.response.service_tier": "default"}
    assert told.points("otel_openai.streams") == [
        ({**answered, "otel_openai.stream.outcome": "completed"}, 1),
        ({**answered, "otel_openai.stream.outcome": "closed"}, 1),
    ]
    [(attributes, (count, _))] = told.points(f"{OPERATION}.time_to_first_chunk")
    assert (attributes, count) == (answered, 1)  # the other was left before any output
    assert told.points(f"{USAGE}.input_tokens") == [(answered, 9)]
    assert told.total("otel_openai.finish_reasons", otel_openai__finish_reason="error") == 1
    assert told.total("otel_openai.finish_reasons", otel_openai__finish_reason="stop") == 1


async def test_durations_are_those_of_the_spans(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat())

    for _ in range(3):
        await api.chat()

    durations = [(span.end_time or 0) - (span.start_time or 0) for span in told.spans]
    [(_, (count, total))] = told.points(f"{OPERATION}.duration")
    assert count == 3
    assert total == pytest.approx(sum(durations) / 1e9, abs=1e-5)


async def test_failures_tell_their_type(api: Api, server: ScriptedServer, told: Told) -> None:
    # A failure that is known, one that is not, and one that was billed.
    server.reply(error_reply(429), error_reply(400), chat(choices=[choice()], error={"code": 502}), chat())

    for raised in (openai.RateLimitError, openai.BadRequestError):
        with pytest.raises(raised):
            await api.chat()
    for _ in range(2):
        await api.chat()

    types = {attributes.get("error.type"): count for attributes, (count, _) in told.points(f"{OPERATION}.duration")}
    assert types == {"rate_limit_exceeded": 1, "BadRequestError": 1, "provider_error": 1, None: 1}
    tokens = [
        (attributes.get("error.type"), attributes["gen_ai.token.type"], value)
        for attributes, value in told.points("gen_ai.client.token.usage")
    ]
    assert tokens == [
        ("provider_error", "input", (1, 9)),
        ("provider_error", "output", (1, 12)),
        (None, "input", (1, 9)),
        (None, "output", (1, 12)),
    ]
    assert told.total(f"{USAGE}.input_tokens") == 18
    for name, metric in metrics(told).items():
        if name not in (f"{OPERATION}.duration", "gen_ai.client.token.usage"):
            assert not [point for point in metric.data.data_points if "error.type" in (point.attributes or {})], name


USAGES: dict[str, tuple[Any, list[tuple[str, int]]]] = {
    "reported": (chat_usage(9, 12), [("input", 9), ("output", 12)]),
    "zero": ({"prompt_tokens": 0, "completion_tokens": 0}, [("input", 0), ("output", 0)]),
    "partly": ({"completion_tokens": 3}, [("output", 3)]),
    "only in details": ({"prompt_tokens_details": {"cached_tokens": 3}}, []),
    "not": (None, []),
    "in nulls": ({"prompt_tokens": None}, []),
}


@pytest.mark.parametrize("how", USAGES)
async def test_tokens_are_told_as_reported(api: Api, server: ScriptedServer, told: Told, how: str) -> None:
    usage, expected = USAGES[how]
    server.reply(chat(usage=usage))

    await api.chat()

    histograms = told.points("gen_ai.client.token.usage")
    assert [(attributes["gen_ai.token.type"], value) for attributes, value in histograms] == [
        (kind, (1, tokens)) for kind, tokens in expected
    ]
    for kind in ("input", "output"):
        counters = [value for _, value in told.points(f"{USAGE}.{kind}_tokens")]
        assert counters == [tokens for name, tokens in expected if name == kind]


async def test_embeddings_have_no_output(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(embeddings(usage={"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5}))

    await api.call("embeddings.create", model="m", input="Hi")

    assert [a["gen_ai.token.type"] for a, _ in told.points("gen_ai.client.token.usage")] == ["input"]
    assert told.points(f"{USAGE}.output_tokens") == []
    assert told.points("otel_openai.finish_reasons") == []


async def test_histograms_and_counters_agree(api: Api, server: ScriptedServer, told: Told) -> None:
    for number in range(1, 8):
        server.reply(chat(usage=chat_usage(number, 10 * number), model=f"m-{number % 2}"))

    for number in range(7):
        await api.chat(model=f"m-{number % 3}")

    for kind, total in (("input", 28), ("output", 280)):
        assert told.total("gen_ai.client.token.usage", gen_ai__token__type=kind) == total
        assert told.total(f"{USAGE}.{kind}_tokens") == total


async def test_measurements_lead_to_their_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*chat_stream("Hi", usage=chat_usage())))

    await api.drain(await api.stream())

    context = told.span.context
    assert context is not None
    ours = (context.trace_id, context.span_id)
    leading = {name: _exemplars(metric.data) for name, metric in metrics(told).items()}
    assert {name: places for name, places in leading.items() if places} == {
        f"{OPERATION}.duration": [ours],
        f"{OPERATION}.time_to_first_chunk": [ours],
        "gen_ai.client.token.usage": [ours] * 2,
    }


def _exemplars(data: Any) -> list[tuple[int | None, int | None]]:
    return [(exemplar.trace_id, exemplar.span_id) for point in data.data_points for exemplar in point.exemplars]
