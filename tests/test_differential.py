"""An app cannot tell the instrumented client from the bare one: answers, streams, modes and helpers."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from programs import (
    ARGUMENTS,
    CHAT_HELPER,
    PARSE,
    call,
    drain,
    entered,
    every_mode,
    helper,
    other,
    raw,
    settle,
    streaming,
)
from seen import KINDS, Kind, Program, Seen, seen_by_both
from server import (
    DONE,
    STALL,
    chat,
    chat_chunk,
    chat_stream,
    chat_tool_stream,
    choice,
    data,
    dialects,
    embeddings,
    function_call,
    json_reply,
    openai_error,
    openai_headers,
    raw_reply,
    response,
    response_error_event,
    response_stream,
    response_tool_stream,
    sse,
    text_reply,
    tool_call,
)
from support import MESSAGES, Api


class Weather(BaseModel):
    city: str
    celsius: float


WEATHER_TOOL = openai.pydantic_function_tool(Weather)
CREATE = "chat.completions.create"
WEATHER = '{"city": "Paris", "celsius": 21.5}'
WRONG = '{"city": "Paris"}'
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": SCHEMA}}


async def reads_and_leaves(api: Api, see: Seen) -> None:
    stream = await api.stream()
    see(await api.next(stream))
    async for chunk in api.iterate(stream):
        see(chunk)
        break
    see(await api.next(stream), stream.response)
    await api.close(stream)
    see(stream.response)
    async for chunk in api.iterate(stream):  # what was received before the close is still given out
        see(chunk)
    with see.raising():
        await api.next(stream)


async def raises_in_a_with_block(api: Api, see: Seen) -> None:
    with see.raising():
        async with entered(await api.stream()) as stream:
            see(await api.next(stream))
            raise KeyError("the app's own")
    see(stream.response)


async def looks_at_a_stream(api: Api, see: Seen) -> None:
    stream: Any = await api.stream()
    fields: dict[str, Any] = stream.__dict__
    see(type(stream), isinstance(stream, (openai.Stream, openai.AsyncStream)))
    see({name: type(value) for name, value in fields.items()}, stream.response)
    see(inspect.iscoroutinefunction(stream.close), isinstance(stream, (Iterator, AsyncIterator)), repr(stream))
    see(await api.drain(stream), list(stream.response.__dict__))


async def copies_results(api: Api, see: Seen) -> None:
    for result in [await api.chat(), *await api.drain(await api.stream())]:
        copies = [copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result)), result.model_copy()]  # noqa: S301
        see(copies, [twin == result for twin in copies], repr(result), result.to_dict(), result.model_dump_json())


async def gives_generators(api: Api, see: Seen) -> None:
    def messages() -> Iterator[dict[str, Any]]:
        see("messages are read")
        yield {"role": "user", "content": ({"type": "text", "text": text} for text in ("Hello", "again"))}

    given = messages()
    with see.raising():
        see(await api.chat(messages=given, tools=(tool for tool in [TOOL]), stop=("\n",)))
    see(list(given))


async def keeps_what_it_gave(api: Api, see: Seen) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    headers, body, query = {"X-Team": "blue"}, {"top_k": 4, "model": "other"}, {"trace": "1"}
    see(await api.chat(messages=messages, extra_headers=headers, extra_body=body, extra_query=query, timeout=5))
    see(messages, headers, body, query)


async def changes_options(api: Api, see: Seen) -> None:
    changed = other(api, api.client.with_options(timeout=7, max_retries=1, default_headers={"X-Team": "blue"}))
    copied = other(api, api.client.copy(default_query={"trace": "1"}))
    see(await changed.chat(), await copied.chat(), type(changed.client), changed.client.max_retries)


async def gathers(api: Api, see: Seen) -> None:
    coroutines = [api.client.chat.completions.create(model="m", messages=MESSAGES) for _ in range(2)]
    see([(type(c), c.__name__, c.__qualname__, asyncio.iscoroutine(c)) for c in coroutines])
    see(await asyncio.gather(*coroutines))
    task = asyncio.create_task(api.client.embeddings.create(**ARGUMENTS["embeddings.create"]))
    coroutine: Any = task.get_coro()
    see(await task, coroutine.__qualname__)


async def reaches_other_apis(api: Api, see: Seen) -> None:
    see(await settle(api.client.models.retrieve("gpt-4o-mini")))
    with see.raising():
        see(await settle(api.client.chat.completions.retrieve("chatcmpl-1")))
    with see.raising():
        see(await settle(api.client.post("/own", cast_to=object, body={"a": 1})))


PROGRAMS = {
    **every_mode(),
    "n=3": call(CREATE, chat(choices=[choice(f"Answer {index}", index=index) for index in range(3)]), n=3),
    "tools": call(CREATE, chat(tool_calls=[tool_call(), tool_call("get_time")]), tools=[TOOL]),
    "logprobs": call(CREATE, chat(choices=[choice(logprobs={"content": None, "refusal": None})]), logprobs=True),
    "parse": call(PARSE, chat(WEATHER), response_format=Weather),
    "parse what does not fit": call(PARSE, chat(WRONG), response_format=Weather),
    "parse a cut answer": call(PARSE, chat(WEATHER, finish_reason="length"), response_format=Weather),
    "parse a filtered answer": call(PARSE, chat("", finish_reason="content_filter"), response_format=Weather),
    "parse a tool": call(
        PARSE, chat(tool_calls=[tool_call("Weather", WEATHER)]), tools=[openai.pydantic_function_tool(Weather)]
    ),
    "parse a refusal": call(PARSE, chat(choices=[choice(None, message={"refusal": "No."})]), response_format=Weather),
    "parse raw": raw(PARSE, chat(WEATHER, finish_reason="length"), response_format=Weather),
    "parse a response": call("responses.parse", response(WEATHER), text_format=Weather),
    "parse a wrong response": call("responses.parse", response(WRONG), text_format=Weather),
    "parse a response with a tool": call("responses.parse", response(output=[function_call()])),
    "helper, parsed": helper(CHAT_HELPER, sse(*chat_stream(WEATHER)), response_format=Weather),
    "helper, cut": helper(CHAT_HELPER, sse(*chat_stream(WEATHER, finish_reason="length")), response_format=Weather),
    "helper, tools": helper(CHAT_HELPER, sse(*chat_tool_stream()), tools=[TOOL]),
    "helper, error": helper(CHAT_HELPER, sse(chat_chunk("Hel"), openai_error(500))),
    "response helper, parsed": helper("responses.stream", sse(*response_stream(WEATHER)), text_format=Weather),
    "response helper, tools": helper("responses.stream", sse(*response_tool_stream())),
    "response helper, cut": helper("responses.stream", sse(*response_stream()[:4])),
    "response error event": drain("responses.create", sse(*response_stream()[:4], response_error_event())),
    "failed response": drain("responses.create", sse(*response_stream(status="failed"))),
    "embeddings": call("embeddings.create", embeddings(as_base64=True), encoding_format=openai.NOT_GIVEN),
    "embeddings as base64": call("embeddings.create", embeddings(as_base64=True), encoding_format="base64"),
    "no embeddings": call("embeddings.create", json_reply({"data": []})),
    "a page for an answer": call(CREATE, text_reply("<html>", content_type="text/html")),
    "an error for an answer": call(CREATE, openai_error(502)),
    "nothing for an answer": call(CREATE, raw_reply(b"", content_type="text/plain")),
    "invalid JSON": call(CREATE, raw_reply(b'{"id": ')),
    "invalid JSON, raw": raw(CREATE, raw_reply(b'{"id": ')),
    "JSON for a stream": drain(CREATE, chat()),
    "a page for a stream": drain(CREATE, text_reply("<html>", content_type="text/html")),
    "a broken frame": drain(CREATE, sse(chat_chunk("Hel"), data('{"id": '), chat_chunk("lo!"))),
    "an error in the stream": drain(CREATE, sse(chat_chunk("Hel"), openai_error(500), DONE)),
    "a cut stream": drain(CREATE, sse(chat_chunk("Hel"))),
    "streams by the body": call(CREATE, sse(*chat_stream("Hel")), extra_body={"stream": True}),
    "reads and leaves": Program(reads_and_leaves, [sse(*chat_stream(*"Hello!"))]),
    "raises in a with block": Program(raises_in_a_with_block, [sse(*chat_stream(*"Hello!"), STALL)]),
    "looks at a stream": Program(looks_at_a_stream, [sse(*chat_stream("Hello!"), headers=openai_headers())]),
    "copies results": Program(
        copies_results, [json_reply(chat(), headers=openai_headers()), sse(*chat_stream("a"))], 2
    ),
    "gives generators": Program(gives_generators, [chat()]),
    "keeps what it gave": Program(keeps_what_it_gave, [chat()]),
    "changes options": Program(changes_options, [chat(), chat()], 2),
    "gathers": Program(gathers, [chat("1"), chat("1"), embeddings()], 3, kinds=("async",), concurrent=True),
    "reaches other APIs": Program(reaches_other_apis, [{"id": "gpt-4o-mini", "object": "model"}, chat(), {"b": 2}], 0),
    **{
        f"streaming response by {how}": streaming(CREATE, chat("two\nlines"), how)
        for how in ("", "read", "parse", "json", "text", "iter_bytes", "iter_text", "iter_lines", "close")
    },
    **{
        f"streamed response by {how}": streaming(CREATE, sse(*chat_stream("Hel", "lo!")), how, stream=True)
        for how in ("", "read", "text", "iter_bytes", "iter_lines", "close")
    },
    **{f"dialect {name}": call(CREATE, reply()) for name, reply in dialects.CHAT.items()},
    **{f"dialect {name}": drain(CREATE, reply()) for name, reply in dialects.CHAT_STREAMS.items()},
    **{f"dialect {name}": drain("responses.create", reply()) for name, reply in dialects.RESPONSES_STREAMS.items()},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_app_sees_the_same(name: str, kind: Kind) -> None:
    program = PROGRAMS[name]
    if kind not in program.kinds:
        pytest.skip(f"only an {program.kinds[0]} app does this")

    bare, instrumented, spans = await seen_by_both(program, kind)

    assert instrumented.beside(bare) == []
    assert len(spans) == program.spans
