"""What is told of a request: every attribute at the start of the span, where samplers read it, and nothing invented."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

import openai
import pytest
from openai import NOT_GIVEN
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from pydantic import BaseModel

import otel_openai
from expected import Attributes, at
from server import (
    Body,
    Reply,
    Request,
    ScriptedServer,
    chat,
    chat_stream,
    completion,
    completion_stream,
    embeddings,
    response,
    response_stream,
    sse,
)
from support import MESSAGES, Api, Told

CHAT = "chat.completions.create"
RESPONSE = "responses.create"
COMPLETION = "completions.create"
EMBEDDING = "embeddings.create"
REQUIRED: dict[str, dict[str, Any]] = {
    CHAT: {"messages": MESSAGES},
    "chat.completions.parse": {"messages": MESSAGES},
    RESPONSE: {"input": "Say hello."},
    "responses.parse": {"input": "Say hello."},
    COMPLETION: {"prompt": "Say"},
    EMBEDDING: {"input": "Say hello."},
}
ALWAYS: dict[str, Attributes] = {
    "chat": {"gen_ai.operation.name": "chat", "openai.api.type": "chat_completions"},
    "responses": {"gen_ai.operation.name": "chat", "openai.api.type": "responses"},
    "completions": {"gen_ai.operation.name": "text_completion"},
    "embeddings": {"gen_ai.operation.name": "embeddings"},
}


class Person(BaseModel):
    name: str


class Model(str, Enum):
    SMALL = "gpt-4o-mini"


class RecordingSampler(Sampler):
    """Samples everything, and keeps what it was given to decide with."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, SpanKind | None, Attributes]] = []

    def should_sample(  # noqa: PLR0917 - the SDK's interface
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        self.seen.append((name, kind, dict(attributes or {})))
        return ALWAYS_ON.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return "RecordingSampler"


@pytest.fixture
def sampler() -> RecordingSampler:
    return RecordingSampler()


@pytest.fixture
def told(sampler: RecordingSampler) -> Iterator[Told]:
    recorded = Told(sampler)
    recorded.instrument()
    yield recorded
    otel_openai.uninstrument()
    recorded.shutdown()


def answer(request: Request) -> Reply | Body:
    """Answer any of the four APIs, streamed if it was asked to."""
    name = request.path.removeprefix("/v1/")
    streams: dict[str, Any] = {
        "chat/completions": chat_stream,
        "responses": response_stream,
        "completions": completion_stream,
    }
    if request.json.get("stream"):
        return sse(*streams[name]("Hi"))
    plain: dict[str, Any] = {
        "chat/completions": lambda: chat('{"name":"Ada"}'),
        "responses": lambda: response('{"name":"Ada"}'),
        "completions": completion,
        "embeddings": embeddings,
    }
    return plain[name]()


def json_schema(name: str) -> Any:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": {"type": "object"}}}


class Asked(NamedTuple):
    method: str
    arguments: dict[str, Any]
    """Beside the required ones and the model."""
    attributes: Attributes
    """Beside those that are always there."""

    def __str__(self) -> str:
        return f"{self.method} {','.join(map(str, self.arguments)) or 'nothing'}"


REQUESTS = [
    Asked(CHAT, {}, {}),
    Asked(CHAT, {"max_tokens": 10}, {"gen_ai.request.max_tokens": 10}),
    Asked(CHAT, {"max_completion_tokens": 20}, {"gen_ai.request.max_tokens": 20}),
    Asked(CHAT, {"max_tokens": 10, "max_completion_tokens": 20}, {"gen_ai.request.max_tokens": 20}),
    Asked(CHAT, {"temperature": 0}, {"gen_ai.request.temperature": 0.0}),
    Asked(CHAT, {"top_p": 0.9}, {"gen_ai.request.top_p": 0.9}),
    Asked(CHAT, {"frequency_penalty": -1.5}, {"gen_ai.request.frequency_penalty": -1.5}),
    Asked(CHAT, {"presence_penalty": 2}, {"gen_ai.request.presence_penalty": 2.0}),
    Asked(CHAT, {"stop": "END"}, {"gen_ai.request.stop_sequences": ["END"]}),
    Asked(CHAT, {"stop": ["a", "b"]}, {"gen_ai.request.stop_sequences": ["a", "b"]}),
    Asked(CHAT, {"stop": []}, {}),
    Asked(CHAT, {"seed": 0}, {"gen_ai.request.seed": 0}),
    Asked(CHAT, {"seed": -7}, {"gen_ai.request.seed": -7}),
    Asked(CHAT, {"n": 3}, {"gen_ai.request.choice.count": 3}),
    Asked(CHAT, {"n": 1}, {}),
    Asked(CHAT, {"stream": True}, {"gen_ai.request.stream": True}),
    Asked(CHAT, {"stream": False}, {}),
    Asked(CHAT, {"reasoning_effort": "high"}, {"gen_ai.request.reasoning.level": "high"}),
    Asked(CHAT, {"service_tier": "flex"}, {"openai.request.service_tier": "flex"}),
    Asked(CHAT, {"service_tier": "auto"}, {}),
    Asked(CHAT, {"response_format": {"type": "json_object"}}, {"gen_ai.output.type": "json"}),
    Asked(CHAT, {"response_format": json_schema("person")}, {"gen_ai.output.type": "json"}),
    Asked(CHAT, {"response_format": {"type": "text"}}, {"gen_ai.output.type": "text"}),
    Asked(CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "ash"}}, {"gen_ai.output.type": "speech"}),
    Asked(CHAT, {"modalities": ["text"]}, {}),
    Asked(CHAT, {"logprobs": True, "top_logprobs": 5}, {}),
    Asked(CHAT, {"extra_body": {"top_k": 40}}, {"gen_ai.request.top_k": 40}),
    Asked(CHAT, {"extra_body": {"temperature": 0.5}, "temperature": 1}, {"gen_ai.request.temperature": 0.5}),
    Asked(CHAT, {"extra_body": {"temperature": None}, "temperature": 1}, {}),
    Asked(CHAT, {"extra_body": {"model": "other"}}, {"gen_ai.request.model": "other"}),
    Asked(CHAT, {"model": Model.SMALL}, {"gen_ai.request.model": "gpt-4o-mini"}),
    Asked(CHAT, {"model": "meta-llama/Llama-3"}, {"gen_ai.request.model": "meta-llama/Llama-3"}),
    Asked("chat.completions.parse", {"response_format": Person}, {"gen_ai.output.type": "json"}),
    Asked(
        "chat.completions.parse",
        {"response_format": Person, "seed": 1},
        {
            "gen_ai.output.type": "json",
            "gen_ai.request.seed": 1,
        },
    ),
    Asked(RESPONSE, {}, {}),
    Asked(RESPONSE, {"temperature": 0.1, "top_p": 1}, {"gen_ai.request.temperature": 0.1, "gen_ai.request.top_p": 1.0}),
    Asked(RESPONSE, {"max_output_tokens": 16}, {"gen_ai.request.max_tokens": 16}),
    Asked(RESPONSE, {"stream": True}, {"gen_ai.request.stream": True}),
    Asked(RESPONSE, {"reasoning": {"effort": "low"}}, {"gen_ai.request.reasoning.level": "low"}),
    Asked(RESPONSE, {"reasoning": {"summary": "auto"}}, {}),
    Asked(RESPONSE, {"service_tier": "priority"}, {"openai.request.service_tier": "priority"}),
    Asked(RESPONSE, {"previous_response_id": "resp_1"}, {"gen_ai.request.previous_response.id": "resp_1"}),
    Asked(RESPONSE, {"conversation": "conv_1"}, {"gen_ai.conversation.id": "conv_1"}),
    Asked(RESPONSE, {"conversation": {"id": "conv_2"}}, {"gen_ai.conversation.id": "conv_2"}),
    Asked(RESPONSE, {"prompt": {"id": "pmpt_1"}}, {"gen_ai.prompt.name": "pmpt_1"}),
    Asked(
        RESPONSE,
        {"prompt": {"id": "pmpt_1", "version": "2", "variables": {"city": "Paris"}}},
        {
            "gen_ai.prompt.name": "pmpt_1",
            "gen_ai.prompt.version": "2",
        },
    ),
    Asked(RESPONSE, {"text": {"format": {"type": "json_object"}}}, {"gen_ai.output.type": "json"}),
    Asked(RESPONSE, {"text": {"format": {"type": "text"}}}, {"gen_ai.output.type": "text"}),
    Asked(RESPONSE, {"text": {"verbosity": "low"}}, {}),
    Asked(RESPONSE, {"extra_body": {"top_k": 5}}, {"gen_ai.request.top_k": 5}),
    Asked("responses.parse", {"text_format": Person}, {"gen_ai.output.type": "json"}),
    Asked(COMPLETION, {}, {}),
    Asked(
        COMPLETION,
        {"max_tokens": 5, "n": 2, "stop": "."},
        {
            "gen_ai.request.max_tokens": 5,
            "gen_ai.request.choice.count": 2,
            "gen_ai.request.stop_sequences": ["."],
        },
    ),
    Asked(COMPLETION, {"stream": True}, {"gen_ai.request.stream": True}),
    Asked(EMBEDDING, {}, {}),
    Asked(EMBEDDING, {"encoding_format": "float"}, {"gen_ai.request.encoding_formats": ["float"]}),
    Asked(EMBEDDING, {"encoding_format": "base64"}, {"gen_ai.request.encoding_formats": ["base64"]}),
]


@pytest.mark.parametrize("asked", REQUESTS, ids=str)
async def test_a_request_is_told_at_the_start(
    api: Api, server: ScriptedServer, told: Told, sampler: RecordingSampler, asked: Asked
) -> None:
    server.always(answer)

    result = await _call(api, asked.method, {"model": "m", **REQUIRED[asked.method], **asked.arguments})
    if asked.arguments.get("stream"):
        await api.close(result)

    always = ALWAYS[asked.method.partition(".")[0]]
    expected = {**at(server), "gen_ai.request.model": "m", **always, **asked.attributes}
    name = f"{expected['gen_ai.operation.name']} {expected['gen_ai.request.model']}"
    assert sampler.seen == [(name, SpanKind.CLIENT, expected)]
    assert told.attributes.items() >= expected.items()
    assert not {key for key in told.attributes.keys() - expected.keys() if "request." in key}


async def _call(api: Api, method: str, arguments: dict[str, Any]) -> Any:
    try:
        return await api.call(method, **arguments)
    except AttributeError:
        return pytest.skip(f"openai {openai.__version__} has no {method}")
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            pytest.skip(f"openai {openai.__version__}: {error}")
        raise


SENTINELS = {"NotGiven": NOT_GIVEN, "Omit": getattr(openai, "omit", None), "None": None}


@pytest.mark.parametrize("sentinel", SENTINELS)
async def test_what_was_not_given_is_not_told(
    api: Api, server: ScriptedServer, told: Told, caplog: pytest.LogCaptureFixture, sentinel: str
) -> None:
    if sentinel == "Omit" and SENTINELS[sentinel] is None:
        pytest.skip(f"openai {openai.__version__} has no Omit")
    server.always(answer)
    optional = (
        "max_tokens max_completion_tokens temperature top_p frequency_penalty presence_penalty stop seed n stream "
        "reasoning_effort service_tier response_format modalities"
    )
    not_given = dict.fromkeys(optional.split(), SENTINELS[sentinel])

    await api.chat(model="m", extra_body=None, extra_headers=None, **not_given)
    await api.call(EMBEDDING, model="m", input="a", encoding_format=SENTINELS[sentinel])

    for span, api_name in zip(told.spans, ("chat", "embeddings"), strict=True):
        given = {name for name in span.attributes or {} if "request." in name or "output.type" in name}
        assert given == {"gen_ai.request.model"}, api_name
    assert caplog.records == []
