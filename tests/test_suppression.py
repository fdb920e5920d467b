"""No second span: suppressed contexts are left alone, helpers are one request, and what is no inference is not told."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import openai
import pytest
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation

import otel_openai
from programs import ARGUMENTS, CHAT_HELPER, PARSE, every_mode, has, helper, settle
from seen import KINDS, Kind, Seen, seen
from server import ScriptedServer, chat, chat_stream, error_reply, response, response_stream, sse
from support import Api, Told

PROGRAMS = every_mode()
Suppression = Callable[[], AbstractContextManager[None]]


def key(name: str, *, value: object = True) -> Suppression:
    """Set a key in the context, as other instrumentations do around the calls that they tell themselves."""

    @contextmanager
    def suppressed() -> Generator[None, None, None]:
        token = attach(set_value(name, value))
        try:
            yield
        finally:
            detach(token)

    return suppressed


SUPPRESSIONS: dict[str, Suppression] = {
    "the utility": suppress_instrumentation,
    "the API's key": key(_SUPPRESS_INSTRUMENTATION_KEY),
    "the old key": key("suppress_instrumentation"),
    "the key of LLM frameworks": key("suppress_language_model_instrumentation"),
}
NOT_SUPPRESSED: dict[str, Suppression] = {
    "HTTP alone": suppress_http_instrumentation,
    "a key that is off": key("suppress_language_model_instrumentation", value=False),
    "a key of something else": key("suppress_database_instrumentation"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_every_operation_is_left_alone_where_suppressed(name: str, kind: Kind, told: Told) -> None:
    otel_openai.uninstrument()
    bare = await seen(PROGRAMS[name], kind)
    told.instrument()
    with suppress_instrumentation():
        instrumented = await seen(PROGRAMS[name], kind)

    assert instrumented.beside(bare) == []
    assert told.spans == []
    assert told.points("gen_ai.client.operation.duration") == []
    assert told.total("otel_openai.active_requests") == 0


@pytest.mark.parametrize("suppressed", SUPPRESSIONS.values(), ids=SUPPRESSIONS)
async def test_each_key_suppresses_and_ends(
    suppressed: Suppression, api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(chat(), sse(*chat_stream("a")), error_reply(400), chat())
    with suppressed():
        await api.chat()
        stream = await api.stream()
        with pytest.raises(openai.BadRequestError):
            await api.chat()
    await api.drain(stream)
    assert told.spans == []

    await api.chat()
    assert told.span.name == "chat gpt-4o-mini"


@pytest.mark.parametrize("context", NOT_SUPPRESSED.values(), ids=NOT_SUPPRESSED)
async def test_other_contexts_suppress_nothing(
    context: Suppression, api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(chat())
    with context():
        await api.chat()

    assert told.span.name == "chat gpt-4o-mini"


async def test_a_stream_that_is_read_where_suppressed_is_told_whole(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*chat_stream("a")))
    stream = await api.stream()
    with suppress_instrumentation():
        await api.drain(stream)

    assert told.attributes["otel_openai.stream.outcome"] == "completed"
    assert told.attributes["otel_openai.stream.chunk.count"] == 3


@pytest.mark.parametrize("api", ["async"], indirect=True)
async def test_where_a_coroutine_is_awaited_decides(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(chat())
    outside = api.client.chat.completions.create(**ARGUMENTS["chat.completions.create"])
    with suppress_instrumentation():
        inside = api.client.chat.completions.create(**ARGUMENTS["chat.completions.create"])
        await outside
        task = asyncio.create_task(api.chat())
    assert told.spans == []
    await task  # took the context with it
    assert told.spans == []
    await inside
    assert len(told.spans) == 1


async def test_one_suppressed_task_does_not_suppress_another(server: ScriptedServer, api: Api, told: Told) -> None:
    server.always(chat())

    async def suppressed() -> None:
        with suppress_instrumentation():
            await api.chat()

    await asyncio.gather(suppressed(), api.chat(model="told"), suppressed())
    assert told.span.name == "chat told"


HELPERS = sorted(
    {
        *(PARSE, "beta.chat.completions.parse", "responses.parse"),
        *(CHAT_HELPER, "beta.chat.completions.stream", "responses.stream"),
    }
)


@pytest.mark.parametrize("method", HELPERS)
async def test_a_helper_is_one_request(method: str, api: Api, server: ScriptedServer, told: Told) -> None:
    if not has(method):
        pytest.skip(f"openai {openai.__version__} has no {method}")
    is_response = method.startswith("responses")
    streamed = method.endswith("stream")
    plain, stream = (response(), response_stream()) if is_response else (chat(), chat_stream("a"))
    server.reply(sse(*stream) if streamed else plain)
    create = "responses.create" if is_response else "chat.completions.create"

    if streamed:
        await helper(method, {}).run(api, Seen())
    else:
        await api.call(method, **ARGUMENTS[create])

    assert len(server.requests) == 1
    assert told.span.name == "chat gpt-4o-mini"
    assert told.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert told.total("otel_openai.finish_reasons") == 1
    assert [count for _, (count, _) in told.points("gen_ai.client.operation.duration")] == [1]


NOT_TOLD: dict[str, dict[str, Any]] = {
    "models.list": {},
    "models.retrieve": {"model": "gpt-4o-mini"},
    "chat.completions.list": {},
    "chat.completions.retrieve": {"completion_id": "chatcmpl-1"},
    "chat.completions.update": {"completion_id": "chatcmpl-1", "metadata": {}},
    "chat.completions.delete": {"completion_id": "chatcmpl-1"},
    "responses.delete": {"response_id": "resp_1"},
    "responses.cancel": {"response_id": "resp_1"},
    "responses.input_items.list": {"response_id": "resp_1"},
    "responses.input_tokens.count": {"model": "gpt-4o-mini", "input": "x"},
    "files.list": {},
    "batches.list": {},
    "vector_stores.retrieve": {"vector_store_id": "vs_1"},
    "fine_tuning.jobs.list": {},
}


@pytest.mark.parametrize("method", NOT_TOLD)
async def test_what_is_no_inference_is_not_told(method: str, api: Api, server: ScriptedServer, told: Told) -> None:
    if not has(method):
        pytest.skip(f"openai {openai.__version__} has no {method}")
    server.always({"object": "list", "data": [], "has_more": False})

    await settle(await api.call(method, **NOT_TOLD[method]))

    assert len(server.requests) == 1
    assert told.spans == []
    assert told.points("gen_ai.client.operation.duration") == []
