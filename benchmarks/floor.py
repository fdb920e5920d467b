"""The floor: the least that any instrumentation has to do, written by hand for the programs of this benchmark only.

One span with 12 attributes, those known before the request given at start; three histogram records; one generator
frame a chunk. No error handling, no early ends, no odd answers: nothing here is an example to follow.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import Embeddings
from openai.resources.responses import Responses
from opentelemetry import context
from opentelemetry.metrics import get_meter
from opentelemetry.trace import Span, SpanKind, get_tracer, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

Attributes = dict[str, "AttributeValue"]
RAW_RESPONSE_HEADER = "X-Stainless-Raw-Response"
DURATION_BUCKETS = [0.01 * 2**power for power in range(14)]
TOKEN_BUCKETS = [4**power for power in range(14)]


class Answer(NamedTuple):
    """What the floor reads from an answer."""

    attributes: Attributes
    model: str
    input_tokens: int
    output_tokens: int | None


class Started(NamedTuple):
    """A request under way."""

    span: Span
    metric_attributes: Attributes
    at: float


class Floor:
    """Spans and histograms around requests."""

    def __init__(self, tracer_provider: TracerProvider, meter_provider: MeterProvider) -> None:
        self._tracer = get_tracer("floor", tracer_provider=tracer_provider)
        meter = get_meter("floor", meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", unit="s", explicit_bucket_boundaries_advisory=DURATION_BUCKETS
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", unit="{token}", explicit_bucket_boundaries_advisory=TOKEN_BUCKETS
        )

    def start(self, operation: str, kwargs: dict[str, Any]) -> Started:
        """Start the span of a request."""
        metric_attributes: Attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": kwargs["model"],
            "server.address": "api.openai.com",
            "server.port": 443,
        }
        attributes = metric_attributes.copy()
        for argument in ("max_tokens", "max_output_tokens", "temperature"):
            value = kwargs.get(argument)
            if value is not None:
                attributes["gen_ai.request." + argument] = value
        name = operation + " " + kwargs["model"]
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        return Started(span, metric_attributes, perf_counter())

    def end(self, started: Started, answer: Answer) -> None:
        """Record the answer and end the span."""
        span = started.span
        if span.is_recording():
            span.set_attributes(answer.attributes)
        attributes = started.metric_attributes
        attributes["gen_ai.response.model"] = answer.model
        self._duration.record(perf_counter() - started.at, attributes)
        self._tokens.record(answer.input_tokens, {**attributes, "gen_ai.token.type": "input"})
        if answer.output_tokens is not None:
            self._tokens.record(answer.output_tokens, {**attributes, "gen_ai.token.type": "output"})
        span.end()


def chat_answer(completion: Any) -> Answer:
    """Read a chat completion, or the last chunk of a stream that has usage."""
    usage = completion.usage
    attributes: Attributes = {
        "gen_ai.response.id": completion.id,
        "gen_ai.response.model": completion.model,
        "gen_ai.response.finish_reasons": [choice.finish_reason for choice in completion.choices],
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    return Answer(attributes, completion.model, usage.prompt_tokens, usage.completion_tokens)


def raw_chat_answer(raw: Any) -> Answer:
    """Read a raw response; the client keeps what `parse()` returns, so the application does not pay for it again."""
    return chat_answer(raw.parse())


def embedding_answer(embeddings: Any) -> Answer:
    """Read an embeddings answer, which has neither id, finish reason nor output tokens."""
    tokens = embeddings.usage.prompt_tokens
    attributes: Attributes = {"gen_ai.response.model": embeddings.model, "gen_ai.usage.input_tokens": tokens}
    return Answer(attributes, embeddings.model, tokens, None)


def responses_answer(response: Any) -> Answer:
    """Read a response of the Responses API."""
    usage = response.usage
    attributes: Attributes = {
        "gen_ai.response.id": response.id,
        "gen_ai.response.model": response.model,
        "gen_ai.response.finish_reasons": [response.status],
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    return Answer(attributes, response.model, usage.input_tokens, usage.output_tokens)


class ChatReader:
    """What the floor keeps of a chat stream."""

    def __init__(self) -> None:
        self.finish_reasons: list[str] = []
        self.last: Any = None

    def read(self, chunk: Any) -> None:
        """Look at one chunk."""
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                self.finish_reasons.append(choice.finish_reason)
        if chunk.usage is not None:
            self.last = chunk

    def answer(self) -> Answer:
        """Sum up."""
        answer = chat_answer(self.last)
        answer.attributes["gen_ai.response.finish_reasons"] = self.finish_reasons
        return answer


class ResponsesReader:
    """What the floor keeps of a Responses stream."""

    def __init__(self) -> None:
        self.last: Any = None

    def read(self, event: Any) -> None:
        """Look at one event."""
        if event.type == "response.completed":
            self.last = event.response

    def answer(self) -> Answer:
        """Sum up."""
        return responses_answer(self.last)


Reader = ChatReader | ResponsesReader


class Api(NamedTuple):
    """How the floor treats one API."""

    operation: str
    read: Callable[[Any], Answer]
    read_raw: Callable[[Any], Answer]
    reader: Callable[[], Reader]


CHAT = Api("chat", chat_answer, raw_chat_answer, ChatReader)
RESPONSES = Api("chat", responses_answer, responses_answer, ResponsesReader)
EMBEDDINGS = Api("embeddings", embedding_answer, embedding_answer, ChatReader)


def install(floor: Floor | None) -> None:
    """Patch the client, for the rest of the process; without a floor, patch it with a look at a switch that is off."""
    for resource, api in ((Completions, CHAT), (Responses, RESPONSES), (Embeddings, EMBEDDINGS)):
        patched: Any = resource
        patched.create = _patched(floor, patched.create, api)
    patched = AsyncCompletions
    patched.create = _patched_async(floor, patched.create, CHAT)


def _reader_of(api: Api, kwargs: dict[str, Any]) -> Callable[[Any], Answer]:
    headers = kwargs.get("extra_headers")
    return api.read_raw if headers and RAW_RESPONSE_HEADER in headers else api.read


def _patched(floor: Floor | None, create: Callable[..., Any], api: Api) -> Callable[..., Any]:
    def traced(self: Any, **kwargs: Any) -> Any:
        if floor is None:
            return create(self, **kwargs)
        started = floor.start(api.operation, kwargs)
        token = context.attach(set_span_in_context(started.span))
        try:
            result = create(self, **kwargs)
        finally:
            context.detach(token)
        if kwargs.get("stream"):
            result._iterator = _observed(result._iterator, api.reader(), floor, started)  # noqa: SLF001 - in place
        else:
            floor.end(started, _reader_of(api, kwargs)(result))
        return result

    return traced


def _patched_async(floor: Floor | None, create: Callable[..., Any], api: Api) -> Callable[..., Any]:
    async def traced(self: Any, **kwargs: Any) -> Any:
        if floor is None:
            return await create(self, **kwargs)
        started = floor.start(api.operation, kwargs)
        token = context.attach(set_span_in_context(started.span))
        try:
            result = await create(self, **kwargs)
        finally:
            context.detach(token)
        if kwargs.get("stream"):
            result._iterator = _observed_async(result._iterator, api.reader(), floor, started)  # noqa: SLF001
        else:
            floor.end(started, _reader_of(api, kwargs)(result))
        return result

    return traced


def _observed(chunks: Iterator[Any], reader: Reader, floor: Floor, started: Started) -> Iterator[Any]:
    read = reader.read
    for chunk in chunks:
        read(chunk)
        yield chunk
    floor.end(started, reader.answer())


async def _observed_async(
    chunks: AsyncIterator[Any], reader: Reader, floor: Floor, started: Started
) -> AsyncIterator[Any]:
    read = reader.read
    async for chunk in chunks:
        read(chunk)
        yield chunk
    floor.end(started, reader.answer())
