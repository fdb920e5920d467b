"""An app cannot tell the instrumented client from the bare one: errors, retries, timeouts, arguments and clients."""

from typing import Any

import openai
import pytest

from programs import ARGUMENTS, call, drain, other, raw, settle, streaming
from seen import KINDS, Kind, Program, Run, Seen, seen_by_both
from server import (
    CUT,
    RESET,
    STALL,
    chat,
    chat_chunk,
    dialects,
    embeddings,
    error_reply,
    hang_up,
    json_reply,
    openai_headers,
    retry_after,
    silence,
    sse,
)
from support import MESSAGES, Api, has

CREATE = "chat.completions.create"
STATUSES = (400, 401, 403, 404, 408, 409, 418, 422, 429, 500, 503, 529)
CHAT = ARGUMENTS[CREATE]


def calls(method: str, *args: Any, **kwargs: Any) -> Program:
    """A program that calls with odd arguments, and tells a raise at the call from a raise at the await."""

    async def run(api: Api, see: Seen) -> None:
        target: Any = api.client
        for name in method.split("."):
            target = getattr(target, name)
        with see.raising():
            result = target(*args, **kwargs)
            see("called")
            see(await settle(result))

    return Program(run, [chat()], None)  # what never becomes a request may be told or not


def twice(program: Program) -> Run:
    """The same in a row: what the first call leaves behind shows in the second."""

    async def run(api: Api, see: Seen) -> None:
        await program.run(api, see)
        await program.run(api, see)

    return run


async def asks_azure(api: Api, see: Seen) -> None:
    azure: Any = openai.AsyncAzureOpenAI if api.is_async else openai.AzureOpenAI
    options = {"api_version": "2025-04-01-preview", "api_key": "k", "http_client": api.client._client, "max_retries": 0}
    at = other(api, azure(azure_endpoint=str(api.client.base_url).removesuffix("/v1/"), **options))
    for client in (at, other(api, at.client.with_options(max_retries=1))):
        see(await client.chat(), await client.call("embeddings.create", **ARGUMENTS["embeddings.create"]))
        see(await client.drain(await client.stream()))
        with see.raising():
            await client.chat()


async def asks_the_module(api: Api, see: Seen) -> None:
    before = openai.base_url, openai.api_key, openai.http_client
    openai.base_url, openai.api_key, openai.http_client = api.client.base_url, "sk-module", api.client._client
    try:
        see(openai.chat.completions.create(**CHAT), openai.embeddings.create(**ARGUMENTS["embeddings.create"]))
        see(list(openai.chat.completions.create(**CHAT, stream=True)))
    finally:
        openai.base_url, openai.api_key, openai.http_client = before
        openai._reset_client()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def fails_while_handling(api: Api, see: Seen) -> None:
    try:
        {}["the app's own"]
    except KeyError:
        with see.raising():
            await api.chat()


ANSWERS = [chat(), embeddings(), sse(chat_chunk("Hel"), chat_chunk("lo!")), error_reply(404)]
SLOW = retry_after(1)

PROGRAMS = {
    **{f"status {status}": call(CREATE, error_reply(status, headers=openai_headers())) for status in STATUSES},
    **{f"dialect {name}": call(CREATE, reply()) for name, reply in dialects.ERRORS.items()},
    **{f"{method} refused": call(method, error_reply(429)) for method in ARGUMENTS if has(method)},
    "a stream refused": drain(CREATE, error_reply(401)),
    "an error without a body": call(CREATE, json_reply(None, status=500)),
    "hangs up": call(CREATE, hang_up(CUT)),
    "resets": call(CREATE, hang_up(RESET)),
    "cuts the body": call(CREATE, json_reply(chat(), halfway=CUT)),
    "cuts the stream": drain(CREATE, sse(chat_chunk("Hel"), CUT)),
    "resets the stream": drain(CREATE, sse(chat_chunk("Hel"), RESET)),
    "never answers": call(CREATE, silence(), timeout=0.05),
    "stalls in the stream": drain(CREATE, sse(chat_chunk("Hel"), STALL), timeout=0.2),
    "stalls in a raw stream": raw(CREATE, sse(chat_chunk("Hel"), STALL), timeout=0.2, stream=True),
    "stalls in the body": call(CREATE, json_reply(chat(), halfway=STALL), timeout=0.05),
    "fails while handling": Program(fails_while_handling, [error_reply(500)]),
    "retries": Program(call(CREATE, chat()).run, [SLOW, SLOW, chat()], options={"max_retries": 2}),
    "retries a stream": Program(drain(CREATE, chat()).run, [SLOW, sse(chat_chunk("Hel"))], options={"max_retries": 2}),
    "retries, raw": Program(raw(CREATE, chat()).run, [SLOW, chat()], options={"max_retries": 2}),
    "retries, streaming": Program(streaming(CREATE, chat(), "json").run, [SLOW, chat()], options={"max_retries": 2}),
    "retries in vain": Program(call(CREATE, SLOW).run, [SLOW, SLOW, retry_after(1, 503)], options={"max_retries": 2}),
    "strict": Program(call(CREATE, chat()).run, [chat(choices=5)], options={"_strict_response_validation": True}),
    "strict stream": Program(
        drain(CREATE, chat()).run, [sse(chat_chunk(id=5))], options={"_strict_response_validation": True}
    ),
    "fails twice": Program(twice(call(CREATE, chat())), [error_reply(400), chat()], 2),
    "no arguments": calls(CREATE),
    "no messages": calls(CREATE, model="m"),
    "no model, streaming": calls(CREATE, messages=MESSAGES, stream=True),
    "unknown argument": calls(CREATE, **CHAT, temprature=1),
    "by position": calls(CREATE, MESSAGES, "gpt-4o-mini"),
    "not JSON": calls(CREATE, **{**CHAT, "messages": {"a", "b"}}),
    "no input": calls("embeddings.create", model="m"),
    "no prompt": calls("completions.create", model="m"),
    "no response id": calls("responses.retrieve"),
    "an empty response id": calls("responses.retrieve", ""),
    "a response id by position": calls("responses.retrieve", "resp_1"),
    "headers that are none": calls(CREATE, **CHAT, extra_headers=["X-Team"]),
    "a body that is none": calls(CREATE, **CHAT, extra_body=5),
    "a response format that is none": calls(CREATE, **CHAT, response_format=dict),
    "sentinels": calls(CREATE, **CHAT, temperature=openai.NOT_GIVEN, stop=None, extra_headers=None, extra_body=None),
    "Azure": Program(asks_azure, [*ANSWERS, *ANSWERS], 8),
    "the module": Program(asks_the_module, ANSWERS[:3], 3, kinds=("sync",)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_the_app_sees_the_same(name: str, kind: Kind) -> None:
    program = PROGRAMS[name]
    if kind not in program.kinds:
        pytest.skip(f"only a {program.kinds[0]} app does this")

    bare, instrumented, spans = await seen_by_both(program, kind)

    assert instrumented.beside(bare) == []
    assert program.spans in (None, len(spans))
