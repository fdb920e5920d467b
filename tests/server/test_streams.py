"""Streams of the scripted server: everything that can happen to one, seen with the real client."""

import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from server import (
    CUT,
    DONE,
    RESET,
    STALL,
    Delay,
    Gate,
    Item,
    ScriptedServer,
    chat_chunk,
    chat_stream,
    comment,
    data,
    event,
    replay,
    split,
    sse,
    together,
)
from server.asking import QUESTION, stream, text_of


@pytest.mark.parametrize(
    "items",
    [
        chat_stream("Hel", "lo"),
        [together(chat_chunk("Hel"), chat_chunk("lo"), DONE)],
        [*split(chat_chunk("Hel"), 7), *split(chat_chunk("lo")), DONE],
        [comment(), comment("OPENROUTER PROCESSING"), data(chat_chunk("Hel")), Delay(0.01), chat_chunk("lo")],
        [event("message", chat_chunk("Hello")), DONE],
        [chat_chunk("Hello"), b"data: [DONE]\r\n\r\n"],
    ],
    ids=["whole", "together", "split", "comments", "named", "bytes"],
)
def test_a_stream_arrives(server: ScriptedServer, client: OpenAI, items: list[Item]) -> None:
    server.reply(sse(*items))
    assert text_of(stream(client)) == "Hello"
    assert server.last.wait() == "complete"


def test_each_event_is_an_http_chunk(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(sse(together(comment(), data("1")), *split(data("22"), 2), DONE))
    with client.chat.completions.with_streaming_response.create(**QUESTION, stream=True) as raw:
        chunks = list(raw.http_response.iter_raw())
    assert chunks == [b": keep-alive\n\ndata: 1\n\n", b"data:", b" 22\n\n", b"data: [DONE]\n\n"]


def test_a_gate_holds_a_stream(server: ScriptedServer, client: OpenAI) -> None:
    gate = Gate()
    server.reply(sse(chat_chunk("Hel"), gate, chat_chunk("lo"), DONE))
    chunks = stream(client)
    assert text_of([next(chunks)]) == "Hel"
    assert gate.reached.wait(5)
    gate.open()
    assert text_of(chunks) == "lo"


@pytest.mark.parametrize("ending", [CUT, RESET])
def test_a_stream_may_be_cut(server: ScriptedServer, client: OpenAI, ending: Any) -> None:
    server.reply(sse(chat_chunk("Hel"), ending))
    chunks = stream(client)
    assert text_of([next(chunks)]) == "Hel"
    with pytest.raises(openai.APIConnectionError):
        next(chunks)
    assert server.last.wait() == "cut"


def test_a_stream_may_stall(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(sse(chat_chunk("Hel"), STALL))
    chunks = stream(client.with_options(timeout=0.1))
    assert text_of([next(chunks)]) == "Hel"
    with pytest.raises(openai.APITimeoutError):
        next(chunks)
    assert server.last.wait() == "disconnected"


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (data('{"id": "chatcmpl'), json.JSONDecodeError),
        ({"error": {"message": "Overloaded", "code": 502}}, openai.APIError),
    ],
)
def test_a_stream_may_break(server: ScriptedServer, client: OpenAI, last: Item, error: type[Exception]) -> None:
    server.reply(sse(chat_chunk("Hel"), last))
    chunks = stream(client)
    next(chunks)
    with pytest.raises(error):
        next(chunks)


def test_a_long_stream_waits_for_its_reader(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(sse(*[chat_chunk("x" * 1000)] * 20_000, DONE))
    with stream(client) as chunks:
        next(chunks)
        assert server.last.outcome == "pending"
    assert server.last.wait() == "disconnected"


def test_the_server_sees_that_a_client_left(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(sse(chat_chunk("Hel"), Gate()), sse(*chat_stream("Hello")))
    with stream(client) as chunks:
        next(chunks)
    assert server.last.wait() == "disconnected"
    assert text_of(stream(client)) == "Hello"
    assert [request.wait() for request in server.requests] == ["disconnected", "complete"]
    assert server.disconnects == server.requests[:1]


def test_a_record_is_replayed(server: ScriptedServer, client: OpenAI) -> None:
    body = "".join([data(chat_chunk("Hé")), data(chat_chunk("llo"))])
    sizes = [10, len(body.encode()) - 10]
    headers = [["server", "vllm"], ["content-type", "text/event-stream"], ["transfer-encoding", "chunked"]]
    record = {"status": 200, "headers": headers, "body": body, "http_chunks": [[size, 1.5] for size in sizes]}
    server.reply(replay({"response": record}), replay({"response": record | {"truncated": "killed"}}))

    with client.chat.completions.with_streaming_response.create(**QUESTION, stream=True) as raw:
        assert raw.headers["server"] == "vllm"
        assert [len(chunk) for chunk in raw.http_response.iter_raw()] == sizes
    with pytest.raises(openai.APIConnectionError):
        list(stream(client))
