"""`cost=True`: prices of the table, computed here by hand from its own numbers, and offline."""

import logging
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import data_snapshot

import otel_openai
from otel_openai import cost
from otel_openai.cost import CostFacts, list_price
from programs import ARGUMENTS
from server import (
    ABSENT,
    MODEL,
    Scripted,
    ScriptedServer,
    chat,
    chat_stream,
    chat_usage,
    embeddings,
    raw_reply,
    response,
    response_usage,
    sse,
    transcription,
    video,
)
from server.realtime import realtime_session, realtime_stream
from server.sockets import Await, SocketServer
from spoken import REALTIME, Spoken, cases
from support import Api, Told, need

COST = "otel_openai.cost"
UNPRICED = "otel_openai.unpriced_calls"
MILLION = 1_000_000


@pytest.fixture(params=["openai"])
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    recorded = Told()
    recorded.instrument(cost=True, providers={"127.0.0.1": request.param})
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


def prices(provider: str, model: str) -> dict[str, Decimal]:
    """What the table says of a model today: US dollars for a million tokens."""
    (found,) = (each for each in data_snapshot.get_snapshot().providers if each.id == provider)
    named = found.find_model(model)
    assert named is not None
    told: dict[str, Any] = named.get_prices(datetime.now(timezone.utc)).__dict__
    return {name: price for name, price in told.items() if isinstance(price, Decimal)}


def facts(model: str | None = "gpt-4o-mini", **more: Any) -> CostFacts:
    asked: dict[str, Any] = {
        "operation": "chat",
        "provider": "openai",
        "server_address": "api.openai.com",
        "model": model,
        "request_model": model,
        "service_tier": None,
        "input_tokens": 1000,
        "output_tokens": 100,
    }
    return CostFacts(**{**asked, **more})


async def test_cached_tokens_are_part_of_the_input_and_reasoning_of_the_output(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(chat(usage=chat_usage(1000, 100, cached=200, reasoning=40)))
    await api.chat()

    by_million = prices("openai", MODEL)
    expected = 800 * by_million["input_mtok"] + 200 * by_million["cache_read_mtok"] + 100 * by_million["output_mtok"]
    assert 0 < by_million["cache_read_mtok"] < by_million["input_mtok"]
    assert told.attributes[COST] == float(expected / MILLION)
    assert told.total(COST) == float(expected / MILLION)
    assert told.points(UNPRICED) == []


async def test_the_price_that_everybody_knows() -> None:
    """GPT-4o mini: $0.15, $0.075 and $0.60 for a million of input, cached input and output."""
    assert list_price(facts(cache_read_tokens=200)) == pytest.approx(
        (800 * 0.15 + 200 * 0.075 + 100 * 0.60) / MILLION, rel=1e-12
    )


async def test_streams_responses_and_embeddings_are_priced(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(
        sse(*chat_stream("Hi", usage=chat_usage(1000, 100))),
        response(usage=response_usage(1000, 100, cached=1000)),
        embeddings(),
    )
    await api.drain(await api.stream())
    await api.call("responses.create", model="gpt-4o-mini", input="Hi")
    await api.call("embeddings.create", model="text-embedding-3-small", input="Hi")

    chat_prices, vector_prices = prices("openai", MODEL), prices("openai", "text-embedding-3-small")
    assert [dict(span.attributes or {})[COST] for span in told.spans] == [
        float((1000 * chat_prices["input_mtok"] + 100 * chat_prices["output_mtok"]) / MILLION),
        float((1000 * chat_prices["cache_read_mtok"] + 100 * chat_prices["output_mtok"]) / MILLION),
        float(5 * vector_prices["input_mtok"] / MILLION),
    ]


async def test_audio_is_priced_with_what_of_it_came_from_the_cache(
    talker: Api, sockets: SocketServer, told: Told
) -> None:
    sockets.script(*REALTIME.hello, Await(), *REALTIME.events)
    async with REALTIME.connected(talker) as line:
        await line.send(REALTIME.create)
        await line.take(len(REALTIME.events))

    cost = prices("openai", "gpt-realtime")
    text = 55 * cost["input_mtok"] + 64 * cost["cache_read_mtok"] + 30 * cost["output_mtok"]
    audio = 13 * cost["input_audio_mtok"] + 91 * cost["output_audio_mtok"]
    assert told.attributes[COST] == float((text + audio) / MILLION)
    assert told.points(UNPRICED) == []


@pytest.mark.parametrize("spoken", cases(REALTIME))
async def test_what_realtime_reads_from_the_cache_has_the_price_of_its_modality(
    talker: Api, sockets: SocketServer, told: Told, spoken: Spoken
) -> None:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 200,
        "input_token_details": {
            "text_tokens": 200,
            "audio_tokens": 700,
            "image_tokens": 100,
            "cached_tokens": 900,
            "cached_tokens_details": {"text_tokens": 180, "audio_tokens": 640, "image_tokens": 80},
        },
        "output_token_details": {"text_tokens": 50, "audio_tokens": 150},
    }
    events = realtime_stream(usage=usage)
    sockets.script(realtime_session(model="gpt-realtime"), *events)
    async with spoken.connected(talker) as line:
        await line.take(len(events))

    by_million = prices("openai", "gpt-realtime")
    tokens = {
        "input_mtok": 20,
        "cache_read_mtok": 180,
        "input_audio_mtok": 60,
        "cache_audio_read_mtok": 640,
        "input_image_mtok": 20,
        "cache_image_read_mtok": 80,
        "output_mtok": 50,
        "output_audio_mtok": 150,
    }
    assert told.attributes[COST] == float(sum(by_million[name] * count for name, count in tokens.items()) / MILLION)
    assert told.points(UNPRICED) == []


@pytest.mark.parametrize("told", ["openrouter"], indirect=True)
async def test_what_the_server_says_is_preferred(api: Api, server: ScriptedServer, told: Told) -> None:
    usage = chat_usage(1000, 100)
    server.reply(chat(model="openai/gpt-4o-mini", usage={**usage, "cost": 0.5}))
    server.reply(chat(model="openai/gpt-4o-mini", usage=usage))
    await api.chat()
    await api.chat()

    by_million = prices("openrouter", "openai/gpt-4o-mini")
    by_table = float((1000 * by_million["input_mtok"] + 100 * by_million["output_mtok"]) / MILLION)
    assert [dict(span.attributes or {})[COST] for span in told.spans] == [0.5, by_table]


PROVIDERS = {
    "azure.ai.openai": "azure",
    "deepseek": "deepseek",
    "groq": "groq",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "aws.bedrock": "aws",
    "moonshot_ai": "moonshotai",
    "perplexity": "perplexity",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "cerebras": "cerebras",  # named by the app as the table names it
}


def a_priced_model(provider: str) -> tuple[str, dict[str, Decimal]]:
    """The first model of a provider whose tokens have one price each."""
    (found,) = (each for each in data_snapshot.get_snapshot().providers if each.id == provider)
    for model in found.models:
        for name in (model.id, f"accounts/{provider}/models/{model.id}"):
            told = prices(provider, name) if found.find_model(name) is model else {}
            if told.get("input_mtok") and told.get("output_mtok") and "requests_kcount" not in told:
                return name, told
    raise AssertionError(f"no model of {provider} has a price")


@pytest.mark.parametrize(("provider", "table"), PROVIDERS.items())
async def test_every_provider_has_its_own_prices(provider: str, table: str) -> None:
    model, by_million = a_priced_model(table)
    expected = (1000 * by_million["input_mtok"] + 100 * by_million["output_mtok"]) / MILLION
    assert list_price(facts(model, provider=provider)) == float(expected)


UNKNOWN = {
    "a model of nobody's": facts("no-such-model"),
    "no model": facts(None),
    "a server of one's own": facts(provider="openai_compatible"),
    "a name that is like another": facts(provider="my-openai"),
    "vLLM": facts(provider="vllm"),
    "another provider's model": facts("claude-3-5-haiku-latest"),
    "a tier without a price": facts(service_tier="scale"),
    "a batch of a provider without a price for it": facts(
        "gpt-4o", provider="azure.ai.openai", operation="fetch_batch"
    ),
    "a tier that the provider does not have": facts("gpt-5", provider="azure.ai.openai", service_tier="priority"),
    "audio without a price": facts("gpt-4o-mini", input_audio_tokens=10),
    "spoken audio without a price": facts("gpt-4o-mini", output_audio_tokens=10),
    "priced by the hour": facts("whisper-1"),
    "seconds without a price": facts("sora-2", input_tokens=0, output_tokens=0, seconds=2.0),
    "seconds beside tokens that have a price": facts(seconds=2.0),
    "tokens beside seconds that have a price": facts("whisper-1", seconds=2.0),
    "output of a model that is priced by its input": facts("text-embedding-3-small"),
    "more cached than there was": facts(cache_read_tokens=2000),
    "audio of which nobody knows what was cached": facts("gpt-realtime", cache_read_tokens=10, input_audio_tokens=10),
}


@pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN)
async def test_what_the_table_does_not_have_is_not_guessed(unknown: CostFacts) -> None:
    assert list_price(unknown) is None


SECONDS = {
    "a minute of Whisper, for $0.006": (facts("whisper-1", input_tokens=0, output_tokens=0, seconds=60.0), 0.006),
    "a second of Groq, which bills ten": (
        facts("whisper-large-v3", provider="groq", input_tokens=0, output_tokens=0, seconds=1.0),
        10 * 0.111 / 3600,
    ),
    "an hour and tokens of Voxtral": (
        facts("voxtral-small-24b-2507", provider="mistral_ai", seconds=3600.0),
        0.24 + (1000 * 0.1 + 100 * 0.4) / MILLION,
    ),
}


@pytest.mark.parametrize(("call", "dollars"), SECONDS.values(), ids=SECONDS)
async def test_seconds_of_sound_have_the_price_of_the_table(call: CostFacts, dollars: float) -> None:
    assert list_price(call) == pytest.approx(dollars, rel=1e-12)


async def test_a_transcription_is_priced_by_its_seconds(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(transcription(usage={"type": "duration", "seconds": 90}))
    await api.call("audio.transcriptions.create", model="whisper-1", file=("hello.wav", b"RIFF"))

    assert told.attributes[COST] == told.total(COST) == pytest.approx(0.009, rel=1e-12)
    assert told.points(UNPRICED) == []


BY_THE_SECOND: dict[str, tuple[str, Scripted, int]] = {
    "a transcription by an unknown model": (
        "audio.transcriptions.create",
        transcription(usage={"type": "duration", "seconds": 2}),
        1,
    ),
    "a transcription without usage": ("audio.transcriptions.create", transcription(usage=ABSENT, duration=2.0), 0),
    "a translation": ("audio.translations.create", transcription(usage=ABSENT), 0),
    "speech": ("audio.speech.create", raw_reply(b"RIFF", content_type="audio/wav"), 0),
    "a video": ("videos.create", video(), 1),
    "a longer video": ("videos.extend", video(), 0),
}


@pytest.mark.parametrize("billed", BY_THE_SECOND.values(), ids=BY_THE_SECOND)
async def test_what_is_billed_by_an_unknown_price_is_never_free(
    api: Api, server: ScriptedServer, told: Told, billed: tuple[str, Scripted, int]
) -> None:
    method, reply, unpriced = billed
    need(method)
    server.reply(reply)
    await api.call(method, **ARGUMENTS[method])

    assert COST not in told.attributes
    assert (told.points(COST), told.total(UNPRICED)) == ([], unpriced)


async def test_a_tier_has_its_own_price() -> None:
    standard, default, flex, priority = (
        list_price(facts("gpt-5", service_tier=tier)) for tier in (None, "default", "flex", "priority")
    )
    assert standard == default
    assert (flex or 0) < (standard or 0) < (priority or 0)


async def test_a_batch_has_its_own_price() -> None:
    standard, batch = (list_price(facts("gpt-4o", operation=operation)) for operation in ("chat", "fetch_batch"))
    assert batch == pytest.approx((standard or 0) / 2, rel=1e-12)


async def test_an_unknown_model_is_named_once_and_counted(
    api: Api, server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "otel_openai")
    cost.load.cache_clear()
    server.always(chat(model="brand-new-model"))
    for _ in range(3):
        await api.chat()

    assert told.total(UNPRICED) == 3
    assert told.points(COST) == []
    assert [record.getMessage() for record in caplog.records if record.name == "otel_openai"] == [
        "No price is known of the model brand-new-model of openai: its calls are counted as unpriced."
    ]


async def test_made_up_models_are_neither_kept_nor_named_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "otel_openai")
    cost.load.cache_clear()
    for number in range(cost._MAX_MODELS + 200):
        assert list_price(facts(f"made-up-{number}", provider="cohere")) is None

    assert len(caplog.records) == cost._MAX_LINES
    assert cost.load()._find.cache_info().currsize == cost._MAX_MODELS


async def test_a_newer_table_of_the_apps_is_used() -> None:
    before = list_price(facts())
    old = data_snapshot.get_snapshot()
    providers = [provider for provider in old.providers if provider.id != "openai"]
    data_snapshot.set_custom_snapshot(data_snapshot.DataSnapshot(providers=providers, from_auto_update=True))
    without = list_price(facts())
    data_snapshot.set_custom_snapshot(None)

    assert without is None
    assert list_price(facts()) == before
    assert before is not None


async def test_nothing_is_fetched(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cost.load.cache_clear()
    threads = set(threading.enumerate())

    def connect(*_: object) -> None:
        raise AssertionError("prices come from nowhere but the installed package")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert list_price(facts()) is not None
    assert set(threading.enumerate()) == threads
    assert server.requests == []


@pytest.mark.parametrize("module", ["genai_prices", "genai_prices.data_snapshot"])
async def test_without_the_extra_it_says_so_and_switches_nothing_on(
    module: str, api: Api, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost.load.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    told = Told()
    with pytest.raises(ModuleNotFoundError, match=r'pip install "otel-openai\[cost\]"'):
        told.instrument(cost=True)
    server.reply(chat())
    await api.chat()

    assert told.spans == []
    told.shutdown()
