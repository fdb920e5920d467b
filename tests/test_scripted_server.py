"""The scripted server itself: each thing that a test can tell it to do, seen with the real client."""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, DefaultHttpxClient, OpenAI

from server import (
    CUT,
    DONE,
    RESET,
    STALL,
    Delay,
    Gate,
    Reply,
    Request,
    ScriptedServer,
    chat,
    chat_chunk,
    detail_error,
    error_reply,
    hang_up,
    json_reply,
    openai_headers,
    quota_error,
    raw_reply,
    retry_after,
    silence,
    sse,
    string_error,
    text_reply,
)
from server.asking import QUESTION, ask, text_of


@pytest.fixture(scope="module")
def http() -> Iterator[DefaultHttpxClient]:
    http = DefaultHttpxClient()  # making one takes longer than most of these tests
    yield http
    http.close()


@pytest.fixture
def client(server: ScriptedServer, http: DefaultHttpxClient) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="test-key", http_client=http)


# What the server keeps of a request.


def test_a_request_is_kept_as_it_came(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(chat("Hello!"))
    answer = client.with_options(default_headers={"X-Trace": "a"}).chat.completions.create(**QUESTION)

    assert answer.choices[0].message.content == "Hello!"
    request = server.last
    assert (request.method, request.path, request.json) == ("POST", "/v1/chat/completions", QUESTION)
    assert request.header("authorization") == "Bearer test-key"
    assert ("x-trace", "a") in request.headers
    assert request.head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert json.loads(request.body) == QUESTION
    assert request.wait() == "complete"


def test_requests_share_a_connection(server: ScriptedServer, client: OpenAI) -> None:
    server.always(chat())
    for _ in range(3):
        ask(client)
    assert [request.connection for request in server.requests] == [0, 0, 0]


def test_an_upload_without_content_length_is_read_whole(server: ScriptedServer) -> None:
    server.reply({})
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"POST /v1/files HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        raw.sendall(b"3\r\nabc\r\n2;extension\r\nde\r\n0\r\nTrailer: x\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.last.body == b"abcde"


# Replies.


def test_replies_come_in_order_and_then_the_lasting_one(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(chat("one"), chat("two"))
    server.always(chat("again"))
    assert [ask(client).choices[0].message.content for _ in range(4)] == ["one", "two", "again", "again"]


def test_a_request_without_a_reply_is_told_so_and_not_repeated(server: ScriptedServer, client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="no reply is scripted for request 1, POST /v1/chat"):
        ask(client)
    assert len(server.requests) == 1


def test_a_function_may_answer(server: ScriptedServer, client: OpenAI) -> None:
    def echo(request: Request) -> dict[str, Any]:
        return chat(request.json["messages"][0]["content"])

    server.reply(echo)
    assert ask(client).choices[0].message.content == "Hi"


def test_an_error_in_such_a_function_is_not_lost(http: DefaultHttpxClient) -> None:
    def broken(_request: Request) -> Reply:
        raise LookupError("my own mistake")

    server = ScriptedServer().start()
    server.reply(broken)
    with pytest.raises(openai.InternalServerError, match="my own mistake"):
        ask(OpenAI(base_url=server.base_url, api_key="test-key", http_client=http))
    with pytest.raises(LookupError):
        server.close()
    server.close()


def test_headers_are_sent_as_given(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(json_reply(chat(), headers=openai_headers(x_request_id="req_1")))
    raw = client.chat.completions.with_raw_response.create(**QUESTION)
    assert raw.headers["x-request-id"] == "req_1"
    assert raw.headers["x-ratelimit-remaining-requests"] == "9999"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (text_reply("<p>Sign in</p>", content_type="text/html"), "<p>Sign in</p>"),
        (text_reply("1\n00:00 --> 00:01"), "1\n00:00 --> 00:01"),
    ],
)
def test_a_body_need_not_be_json(server: ScriptedServer, client: OpenAI, reply: Reply, expected: str) -> None:
    server.reply(reply)
    assert ask(client) == expected


def test_a_body_may_be_broken_json(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(raw_reply(b'{"id": "chatcmpl'))
    with pytest.raises(json.JSONDecodeError):
        ask(client)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (error_reply(400), openai.BadRequestError),
        (error_reply(401, string_error()), openai.AuthenticationError),
        (error_reply(404, detail_error()), openai.NotFoundError),
        (error_reply(429, quota_error(), headers={"x-should-retry": "false"}), openai.RateLimitError),
        (error_reply(529, headers={"x-should-retry": "false"}), openai.InternalServerError),
    ],
)
def test_an_error_status_raises(
    server: ScriptedServer, client: OpenAI, reply: Reply, error: type[openai.APIStatusError]
) -> None:
    server.reply(reply)
    with pytest.raises(error) as caught:
        ask(client)
    assert caught.value.status_code == reply.status


def test_the_client_repeats_after_a_rate_limit(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(retry_after(), retry_after(status=503), chat())
    assert ask(client).choices[0].message.content == "Hello!"
    assert [request.header("x-stainless-retry-count") for request in server.requests] == ["0", "1", "2"]


def test_a_body_may_stop_halfway_until_a_gate_opens(server: ScriptedServer, client: OpenAI) -> None:
    gate = Gate()
    server.reply(json_reply(chat("Hello!"), halfway=gate))
    with client.chat.completions.with_streaming_response.create(**QUESTION) as raw:
        parts = raw.iter_bytes()
        first = next(parts)
        assert gate.reached.wait(5)
        assert server.last.outcome == "pending"
        gate.open()
        assert json.loads(first + b"".join(parts)) == chat("Hello!")


def test_a_reply_may_wait_before_it_begins(server: ScriptedServer, client: OpenAI) -> None:
    gate = Gate()
    server.reply(json_reply(chat()).after(gate, Delay(0.01)))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, client)
        assert gate.reached.wait(5)
        assert not answer.done()
        gate.open()
        assert answer.result(5).choices[0].message.content == "Hello!"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (silence(), openai.APITimeoutError),
        (json_reply(chat(), halfway=STALL), openai.APITimeoutError),
        (hang_up(), openai.APIConnectionError),
        (hang_up(RESET), openai.APIConnectionError),
        (json_reply(chat(), halfway=CUT), openai.APIConnectionError),
        (json_reply(chat(), halfway=RESET), openai.APIConnectionError),
    ],
)
def test_an_answer_may_never_arrive(
    server: ScriptedServer, client: OpenAI, reply: Reply, error: type[openai.APIConnectionError]
) -> None:
    server.reply(reply)
    with pytest.raises(openai.APIConnectionError) as caught:
        ask(client.with_options(max_retries=0, timeout=0.1))
    assert type(caught.value) is error


# Load and life cycle.


async def test_the_server_sees_that_a_task_was_cancelled(server: ScriptedServer) -> None:
    server.reply(silence())
    async with AsyncOpenAI(base_url=server.base_url, api_key="test-key") as client:
        task = asyncio.ensure_future(client.chat.completions.create(**QUESTION))
        [request] = await asyncio.to_thread(server.wait_for)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(request.wait) == "disconnected"


async def test_a_hundred_streams_at_once_and_hundreds_of_requests(server: ScriptedServer) -> None:
    gate = Gate()
    async with AsyncOpenAI(base_url=server.base_url, api_key="test-key", max_retries=0) as client:
        server.always(sse(chat_chunk("Hel"), gate, chat_chunk("lo"), DONE))
        streams = [await client.chat.completions.create(**QUESTION, stream=True) for _ in range(100)]
        gate.open()
        for one in streams:
            assert text_of([chunk async for chunk in one]) == "Hello"

        server.always(chat())
        slots = asyncio.Semaphore(100)

        async def call() -> None:
            async with slots:
                await client.chat.completions.create(**QUESTION)

        await asyncio.gather(*(call() for _ in range(300)))
    assert {request.wait() for request in server.requests} == {"complete"}


def test_close_stops_stalled_replies_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncio")
    threads = threading.active_count()
    with ScriptedServer() as server:
        server.always(sse(chat_chunk("Hel"), STALL))
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for one in sockets:
            one.sendall(b"GET / HTTP/1.1\r\n\r\n")
        requests = server.wait_for(20)
    assert {request.outcome for request in requests} == {"stopped"}
    assert threading.active_count() == threads
    for one in sockets:
        one.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_gate_outlives_its_server() -> None:
    gate = Gate()
    with ScriptedServer() as server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        server.reply(sse(gate))
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert gate.reached.wait(5)
    gate.open()
