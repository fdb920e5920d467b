"""`cost`: every answered call is priced once, by the app's function or by what the server says of itself."""

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import openai
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from pydantic import BaseModel

import otel_openai
from otel_openai import _guard
from otel_openai.cost import CostFacts
from programs import ARGUMENTS, PARSE, every_mode
from seen import KINDS, Kind, seen_by_both
from server import (
    CUT,
    MODEL,
    Scripted,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    chat_usage,
    completion,
    embeddings,
    error_reply,
    json_reply,
    response,
    response_stream,
    response_usage,
    sse,
    transcription,
)
from support import Api, Told, attributes_of

CHAT = "chat.completions.create"
COST = "otel_openai.cost"
UNPRICED = "otel_openai.unpriced_calls"


class Pricing(Protocol):
    """Switches on with a price, and the provider that the scripted server is taken for."""

    def __call__(self, cost: Any, provider: str = "openai", told: Told | None = None) -> Told: ...


@pytest.fixture
def pricing() -> Iterator[Pricing]:
    made: list[Told] = []

    def switch_on(cost: Any, provider: str = "openai", told: Told | None = None) -> Told:
        made.append(told or Told())
        made[-1].instrument(cost=cost, providers={"127.0.0.1": provider})
        return made[-1]

    yield switch_on
    otel_openai.uninstrument()
    for told in made:
        told.shutdown()


class Till:
    """A price that keeps what it was asked."""

    def __init__(self, price: Any = 0.25) -> None:
        self.price = price
        self.asked: list[CostFacts] = []

    def __call__(self, facts: CostFacts) -> Any:
        self.asked.append(facts)
        return self.price(facts) if callable(self.price) else self.price


def reported(facts: CostFacts) -> float | None:
    """What the server says, and nothing else."""
    return facts.reported_cost


def facts(**more: Any) -> CostFacts:
    asked: dict[str, Any] = {
        "operation": "chat",
        "provider": "openai",
        "server_address": "127.0.0.1",
        "model": MODEL,
        "request_model": "gpt-4o-mini",
        "service_tier": "default",
    }
    return CostFacts(**{**asked, **more})


async def test_a_call_is_priced_once(api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    till = Till(0.000195)
    told = pricing(till)
    server.reply(chat(usage=chat_usage(1000, 100, cached=200, reasoning=40)))
    await api.chat()

    assert till.asked == [facts(input_tokens=1000, cache_read_tokens=200, output_tokens=100, reasoning_tokens=40)]
    assert told.attributes[COST] == 0.000195
    assert told.points(COST) == [
        (
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.response.model": MODEL,
                "server.address": "127.0.0.1",
                "server.port": server.port,
                "openai.response.service_tier": "default",
            },
            0.000195,
        )
    ]
    assert told.points(UNPRICED) == []


AUDIO = {"prompt_tokens_details": {"audio_tokens": 3}, "completion_tokens_details": {"audio_tokens": 2}}


class Called(NamedTuple):
    method: str
    reply: Scripted
    facts: CostFacts
    stream: bool = False


CALLS = {
    "a stream": Called(
        CHAT, sse(*chat_stream("Hi", usage=chat_usage(9, 12))), facts(input_tokens=9, output_tokens=12), stream=True
    ),
    "a response": Called(
        "responses.create",
        response(usage=response_usage(9, 12, cached=4, reasoning=5)),
        facts(input_tokens=9, cache_read_tokens=4, output_tokens=12, reasoning_tokens=5),
    ),
    "a streamed response": Called(
        "responses.create",
        sse(*response_stream(usage=response_usage(9, 12))),
        facts(input_tokens=9, output_tokens=12),
        stream=True,
    ),
    "a legacy completion": Called(
        "completions.create",
        completion(model="instruct", usage=chat_usage(9, 12)),
        facts(
            operation="text_completion",
            model="instruct",
            request_model="gpt-3.5-turbo-instruct",
            service_tier=None,
            input_tokens=9,
            output_tokens=12,
        ),
    ),
    "embeddings": Called(
        "embeddings.create",
        embeddings(),
        facts(
            operation="embeddings",
            model="text-embedding-3-small",
            request_model="text-embedding-3-small",
            service_tier=None,
            input_tokens=5,
        ),
    ),
    "audio": Called(
        CHAT,
        chat(usage={**chat_usage(9, 12), **AUDIO}),
        facts(input_tokens=9, input_audio_tokens=3, output_tokens=12, output_audio_tokens=2),
    ),
    "seconds": Called(
        "audio.transcriptions.create",
        transcription(usage={"type": "duration", "seconds": 2}),
        facts(
            operation="generate_content",
            model="gpt-4o-transcribe",
            request_model="gpt-4o-transcribe",
            service_tier=None,
            seconds=2.0,
        ),
    ),
    "seconds and tokens": Called(
        CHAT,
        chat(usage={**chat_usage(9, 12), "prompt_audio_seconds": 3}),
        facts(input_tokens=9, output_tokens=12, seconds=3.0),
    ),
    "an answer that does not name its model": Called(
        CHAT,
        chat(model=None, usage=chat_usage(9, 12)),
        facts(model="gpt-4o-mini", input_tokens=9, output_tokens=12),
    ),
    "reasoning that the server counts beside the output": Called(
        CHAT,
        chat(usage=chat_usage(9, 12, reasoning=30, total_tokens=51)),
        facts(input_tokens=9, output_tokens=42, reasoning_tokens=30),
    ),
}


async def ask(api: Api, called: Called) -> None:
    arguments = {**ARGUMENTS[called.method], **({"stream": True} if called.stream else {})}
    result = await api.call(called.method, **arguments)
    if called.stream:
        await api.drain(result)


@pytest.mark.parametrize("called", CALLS.values(), ids=CALLS)
async def test_a_price_is_asked_for_with_the_facts(
    called: Called, api: Api, server: ScriptedServer, pricing: Pricing
) -> None:
    till = Till()
    told = pricing(till)
    server.reply(called.reply)
    await ask(api, called)

    assert till.asked == [called.facts]
    assert told.attributes[COST] == 0.25
    assert told.total(COST) == 0.25


def by_output(call: CostFacts) -> float:
    return call.output_tokens * 1e-6


def of_old_models(call: CostFacts) -> float | None:
    return None if call.model == "new" else 1.5


async def test_costs_add_up_by_model(api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    told = pricing(Till(by_output))
    for model, tokens in (("a", 1), ("b", 10), ("a", 2), ("a", 3)):
        server.reply(chat(model=model, usage=chat_usage(9, tokens)))
        await api.chat(model=model)

    assert [attributes_of(span)[COST] for span in told.spans] == [tokens * 1e-6 for tokens in (1, 10, 2, 3)]
    costs = {attributes["gen_ai.request.model"]: cost for attributes, cost in told.points(COST)}
    assert costs == {"a": pytest.approx(6e-6, rel=1e-12), "b": pytest.approx(1e-5, rel=1e-12)}


@pytest.mark.parametrize("cost", [0, 0.0, 5, Decimal("0.000195")], ids=repr)
async def test_any_number_of_dollars_will_do(cost: Any, api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    told = pricing(Till(cost))
    server.reply(chat())
    await api.chat()

    assert told.attributes[COST] == float(cost)
    assert type(told.attributes[COST]) is float
    assert told.total(COST) == float(cost)
    assert told.points(UNPRICED) == []


async def test_what_nobody_knows_is_counted_and_not_guessed(api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    told = pricing(Till(of_old_models))
    for model in ("new", "old", "new"):
        server.reply(chat(model=model))
        await api.chat(model=model)

    assert [attributes_of(span).get(COST) for span in told.spans] == [None, 1.5, None]
    assert told.total(COST) == 1.5
    ((attributes, calls),) = told.points(UNPRICED)
    assert (attributes["gen_ai.response.model"], calls) == ("new", 2)


def breaks(_: CostFacts) -> float:
    raise RuntimeError("the price list is gone")


@pytest.mark.parametrize(
    "price",
    [math.nan, math.inf, -0.01, True, "0.5", object(), [1.0], 10**400, breaks],
    ids=lambda price: str(price)[:9],
)
async def test_a_price_that_is_none_is_refused(
    price: Any, api: Api, server: ScriptedServer, pricing: Pricing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_guard, "reraise", False)
    told = pricing(Till(price))
    server.reply(chat())
    answer = await api.chat()

    assert answer.choices[0].message.content == "Hello!"
    assert told.span.status.is_unset
    assert COST not in told.attributes
    assert told.attributes["gen_ai.usage.output_tokens"] == 12
    assert told.points(COST) == []
    assert told.total(UNPRICED) == 1
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 12


async def test_sums_stay_what_can_be_exported(api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    told = pricing(Till(1.7e308))
    server.always(chat())
    await api.chat()
    await api.chat()

    assert math.isfinite(told.total(COST))


NOT_PRICED: dict[str, tuple[Scripted, Mapping[str, Any]]] = {
    "refused": (error_reply(429), {}),
    "an answer without usage": (chat(usage=None), {}),
    "a stream without usage": (sse(*chat_stream("Hi")), {"stream": True}),
    "a stream that was cut": (sse(chat_chunk("Hi"), CUT), {"stream": True}),
}


@pytest.mark.parametrize(("reply", "arguments"), NOT_PRICED.values(), ids=NOT_PRICED)
async def test_without_usage_nothing_is_priced(
    reply: Scripted, arguments: Mapping[str, Any], api: Api, server: ScriptedServer, pricing: Pricing
) -> None:
    till = Till()
    told = pricing(till)
    server.reply(reply)
    with suppress(Exception):
        await api.drain(await api.chat(**arguments))

    assert till.asked == []
    assert COST not in told.attributes
    assert (told.points(COST), told.points(UNPRICED)) == ([], [])


async def test_a_stream_that_breaks_is_priced_as_far_as_it_told(
    api: Api, server: ScriptedServer, pricing: Pricing
) -> None:
    told = pricing(Till())
    server.reply(sse(chat_chunk("Hi", usage=chat_usage(9, 1)), CUT))
    with suppress(Exception):
        await api.drain(await api.stream())

    assert told.attributes["gen_ai.usage.output_tokens"] == 1
    assert told.total(COST) == 0.25


class Weather(BaseModel):
    city: str


async def test_an_answer_that_raises_is_billed_all_the_same(api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    told = pricing(Till())
    server.reply(chat('{"ci', finish_reason="length"))
    with pytest.raises(openai.LengthFinishReasonError):
        await api.call(PARSE, **ARGUMENTS[PARSE], response_format=Weather)

    assert told.attributes[COST] == 0.25


async def test_an_answer_that_is_fetched_again_costs_nothing_again(
    api: Api, server: ScriptedServer, pricing: Pricing
) -> None:
    till = Till()
    told = pricing(till, "openrouter")
    server.reply(response(usage=response_usage(9, 12, cost=0.5)))
    await api.call("responses.retrieve", **ARGUMENTS["responses.retrieve"])

    assert till.asked == []
    assert COST not in told.attributes
    assert told.points(COST) == []


async def test_a_call_that_is_not_sampled_is_counted(api: Api, server: ScriptedServer, pricing: Pricing) -> None:
    told = pricing(Till(), told=Told(ALWAYS_OFF))
    server.reply(chat())
    await api.chat()

    assert told.spans == []
    assert told.total(COST) == 0.25


async def test_nothing_is_priced_where_suppressed_or_switched_off(
    api: Api, server: ScriptedServer, pricing: Pricing
) -> None:
    till = Till()
    told = pricing(till)
    server.always(chat())
    with suppress_instrumentation():
        await api.chat()
    otel_openai.uninstrument()
    await api.chat()
    told.instrument()
    await api.chat()

    assert till.asked == []
    assert COST not in told.attributes
    assert (told.points(COST), told.points(UNPRICED)) == ([], [])


def openrouter(**usage: Any) -> Scripted:
    return chat(usage=chat_usage(**usage))


def litellm(cost: str, *, body: Scripted | None = None, **headers: str) -> Scripted:
    told = {"x-litellm-call-id": "1", "x-litellm-response-cost": cost, **headers}
    return json_reply(body or chat(), headers={name: value for name, value in told.items() if value})


STREAMED = chat_stream("Hi", usage=chat_usage(cost=0.5))
REPORTED: dict[str, tuple[str, Scripted, float | None]] = {
    "OpenRouter": ("openrouter", openrouter(cost=0.00014), 0.00014),
    "OpenRouter, a free model": ("openrouter", openrouter(cost=0), 0.0),
    "OpenRouter, a stream": ("openrouter", sse(*STREAMED), 0.5),
    "OpenRouter with a key of one's own": (
        "openrouter",
        openrouter(cost=0.01, is_byok=True, cost_details={"upstream_inference_cost": 0.2}),
        0.01 + 0.2,
    ),
    "OpenRouter without such a key": (
        "openrouter",
        openrouter(cost=0.2, is_byok=False, cost_details={"upstream_inference_cost": 0.2}),
        0.2,
    ),
    "OpenRouter, nothing": ("openrouter", chat(), None),
    "OpenRouter, nonsense": ("openrouter", openrouter(cost="free"), None),
    "OpenRouter, less than nothing": ("openrouter", openrouter(cost=-1), None),
    "Perplexity": ("perplexity", openrouter(cost={"input_tokens_cost": 0.1, "total_cost": 0.3}), 0.3),
    "LiteLLM": ("openai_compatible", litellm("0.00021"), 0.00021),
    "LiteLLM, very little": ("openai_compatible", litellm("2.1e-06"), 2.1e-06),
    "LiteLLM in the body": ("openai_compatible", litellm("", body=openrouter(cost=0.5)), 0.5),
    "LiteLLM, a stream": ("openai_compatible", sse(*STREAMED, headers={"x-litellm-call-id": "1"}), 0.5),
    "LiteLLM, a stream of which the header cannot know": (
        "openai_compatible",
        sse(
            *chat_stream("Hi", usage=chat_usage()),
            headers={"x-litellm-call-id": "1", "x-litellm-response-cost": "0.0"},
        ),
        None,
    ),
    "LiteLLM, nothing": ("openai_compatible", litellm(""), None),
    "LiteLLM, None": ("openai_compatible", litellm("None"), None),
    "LiteLLM, NaN": ("openai_compatible", litellm("nan"), None),
    "LiteLLM, less than nothing": ("openai_compatible", litellm("-1"), None),
    "a server of which nobody knows what it means": ("openai_compatible", openrouter(cost=0.5), None),
    "such a stream": ("openai_compatible", sse(*STREAMED), None),
}


@pytest.mark.parametrize(("provider", "reply", "cost"), REPORTED.values(), ids=REPORTED)
async def test_what_the_server_says_is_known(
    *, provider: str, reply: Any, cost: float | None, api: Api, server: ScriptedServer, pricing: Pricing
) -> None:
    told = pricing(reported, provider)
    server.reply(reply)
    is_stream = getattr(reply, "chunked", False)
    result = await api.chat(**({"stream": True} if is_stream else {}))
    if is_stream:
        await api.drain(result)

    assert told.attributes.get(COST) == cost
    assert told.total(COST) == (cost or 0)
    assert told.total(UNPRICED) == (cost is None)
    assert [name for name in told.attributes if "litellm" in name] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", every_mode())
async def test_the_app_sees_the_same(name: str, kind: Kind) -> None:
    bare, instrumented, _ = await seen_by_both(every_mode()[name], kind, cost=Till())

    assert instrumented.beside(bare) == []


@pytest.mark.parametrize("option", ["", "cost=False", "cost=lambda facts: 1.0"])
def test_the_table_is_not_imported_unless_it_is_asked_for(option: str) -> None:
    program = f"import sys, otel_openai; otel_openai.instrument({option}); print('genai_prices' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603

    assert run.stdout == "False\n"
