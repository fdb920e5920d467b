"""What only the HTTP layer knows: status, retries, and the few headers that are told."""

from typing import Any

import openai
import pytest

from expected import Attributes, asked, chatted
from server import (
    Reply,
    ScriptedServer,
    chat,
    chat_stream,
    error_reply,
    hang_up,
    json_reply,
    openai_headers,
    response,
    retry_after,
    role_chunk,
    sse,
)
from support import Api, Told, client

HEADER = "http.response.header."
OPENAI: Attributes = {
    f"{HEADER}x-request-id": ["req_5ee8a1f3c7e04b0c9a8d6d9a0d1f2b3c"],
    f"{HEADER}openai-processing-ms": ["412"],
    f"{HEADER}x-ratelimit-limit-requests": ["10000"],
    f"{HEADER}x-ratelimit-limit-tokens": ["200000"],
    f"{HEADER}x-ratelimit-remaining-requests": ["9999"],
    f"{HEADER}x-ratelimit-remaining-tokens": ["199967"],
    f"{HEADER}x-ratelimit-reset-requests": ["8.64s"],
    f"{HEADER}x-ratelimit-reset-tokens": ["9ms"],
}
"""What `openai_headers()` tells."""


def headers(told: Told) -> Attributes:
    return {name: value for name, value in told.attributes.items() if name.startswith(HEADER)}


async def test_a_plain_answer_tells_its_headers(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(json_reply(chat(), headers=openai_headers()))

    await api.chat()

    assert told.attributes == chatted(server, OPENAI)


async def test_a_stream_tells_its_headers(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*chat_stream("Hi"), headers=openai_headers()))

    await api.drain(await api.stream())

    assert headers(told) == OPENAI
    assert told.attributes["http.response.status_code"] == 200


async def test_an_error_tells_its_headers(api: Api, server: ScriptedServer, told: Told) -> None:
    limited = openai_headers(retry_after="7", x_ratelimit_remaining_requests="0")
    server.reply(error_reply(429, headers=limited))

    with pytest.raises(openai.RateLimitError):
        await api.chat()

    failed = {"http.response.status_code": 429, "error.type": "rate_limit_exceeded"}
    changes = {f"{HEADER}retry-after": ["7"], f"{HEADER}x-ratelimit-remaining-requests": ["0"]}
    assert told.attributes == asked(server, failed, OPENAI, changes)


@pytest.mark.parametrize("mode", ["with_raw_response", "with_streaming_response"])
async def test_a_raw_response_tells_its_headers(api: Api, server: ScriptedServer, told: Told, mode: str) -> None:
    server.reply(json_reply(chat(), headers=openai_headers()))
    arguments: Any = {"model": "gpt-4o-mini", "messages": []}
    create = getattr(api.client.chat.completions, mode).create

    if mode == "with_raw_response":
        raw = create(**arguments)
        assert (await raw if api.is_async else raw).headers["openai-organization"] == "org-test"
    elif api.is_async:
        async with create(**arguments) as response:
            await response.read()
    else:
        with create(**arguments) as response:
            response.read()

    assert told.attributes == chatted(server, OPENAI)


async def test_no_other_header_is_told(api: Api, server: ScriptedServer, told: Told) -> None:
    others = {
        "set-cookie": "secret=1",
        "authorization": "Bearer secret",
        "x-request-id-of-the-user": "secret",
        "x-ratelimit": "secret",
        "x-ratelimit-user": "secret",
        "x-litellm-key": "secret",
        "server": "secret",
    }
    server.reply(json_reply(chat(), headers=others))

    await api.chat()

    assert headers(told) == {}


async def test_odd_headers_are_told_as_text(api: Api, server: ScriptedServer, told: Told) -> None:
    odd = [
        ("X-Request-ID", "req_1"),
        ("x-request-id", "req_2"),
        ("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ("x-ratelimit-remaining-tokens", "many"),
        ("x-ratelimit-remaining-requests", "-1"),
        ("openai-processing-ms", "x" * 300),
        ("x-ratelimit-reset-tokens", "\xff\xe9"),
        ("x-ratelimit-limit-tokens", ""),
    ]
    server.reply(json_reply(chat(), headers=odd))

    await api.chat()

    assert headers(told) == {
        f"{HEADER}x-request-id": ["req_1", "req_2"],
        f"{HEADER}retry-after": ["Wed, 21 Oct 2026 07:28:00 GMT"],
        f"{HEADER}x-ratelimit-remaining-tokens": ["many"],
        f"{HEADER}x-ratelimit-remaining-requests": ["-1"],
        f"{HEADER}openai-processing-ms": ["x" * 256],
        f"{HEADER}x-ratelimit-reset-tokens": ["ÿé"],
    }
    assert told.points("otel_openai.ratelimit.remaining") == []


async def test_a_flood_of_headers_is_bounded(api: Api, server: ScriptedServer, told: Told) -> None:
    flood = {f"x-ratelimit-limit-{number}": "1" for number in range(80)}
    server.reply(json_reply(chat(), headers=flood))

    await api.chat()

    assert len(headers(told)) == 16


RETRIED: dict[str, tuple[list[Reply], int]] = {
    "one answer": ([], 0),
    "a rate limit": ([retry_after()], 1),
    "two rate limits": ([retry_after(), retry_after()], 2),
    "a server error and a conflict": ([retry_after(status=503), retry_after(status=409)], 2),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("what", RETRIED)
async def test_retries_are_counted(api: Api, server: ScriptedServer, told: Told, what: str, *, streamed: bool) -> None:
    refusals, count = RETRIED[what]
    server.reply(*refusals, sse(*chat_stream("Hi")) if streamed else json_reply(chat()))
    api.client = api.client.with_options(max_retries=2)

    result = await api.chat(stream=streamed)
    if streamed:
        await api.drain(result)

    assert told.attributes.get("http.request.resend_count") == (count or None)
    assert told.attributes["http.response.status_code"] == 200
    assert told.span.status.status_code.name == "UNSET"
    assert told.events == []
    assert headers(told) == {}  # those of the last answer
    assert told.total("otel_openai.retries") == count


async def test_retries_that_fail_are_counted_too(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(retry_after())
    api.client = api.client.with_options(max_retries=2)

    with pytest.raises(openai.RateLimitError):
        await api.chat()

    failed = {
        "http.request.resend_count": 2,
        "http.response.status_code": 429,
        "error.type": "rate_limit_exceeded",
        f"{HEADER}retry-after": ["0.001"],
    }
    assert told.attributes == asked(server, failed)
    assert told.total("otel_openai.retries") == 2
    assert len(told.events) == 1


async def test_retries_of_lost_connections_are_counted(server: ScriptedServer, told: Told) -> None:
    server.always(hang_up())
    # The client waits half a second before it tries again: once is enough.
    with client("sync", server.base_url, max_retries=1) as patient, pytest.raises(openai.APIConnectionError):
        patient.chat.completions.create(model="gpt-4o-mini", messages=[])

    failed = {"http.request.resend_count": 1, "error.type": "APIConnectionError"}
    assert told.attributes == asked(server, failed)
    assert told.total("otel_openai.retries") == 1


async def test_calls_of_other_apis_tell_nothing_of_this_one(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(json_reply({"object": "list", "data": []}, headers={"x-request-id": "req_other"}), response())

    await api.call("models.list")
    await api.call("responses.create", model="m", input="Hi")

    assert headers(told) == {}


async def test_facts_of_a_request_inside_another_stay_with_it(server: ScriptedServer, told: Told) -> None:
    """A client's hook may make a request of its own, in the middle of ours."""
    server.reply(
        json_reply(chat(), headers={"x-request-id": "req_inner"}),
        json_reply(chat(), headers={"x-request-id": "req_outer"}),
    )

    with client("sync", server.base_url) as inner, client("sync", server.base_url) as outer:
        sent = outer._prepare_options

        def prepare(options: Any) -> Any:
            inner.chat.completions.create(model="inner", messages=[])
            return sent(options)

        outer._prepare_options = prepare
        outer.chat.completions.create(model="outer", messages=[])

    ids = {span.name: dict(span.attributes or {})[f"{HEADER}x-request-id"] for span in told.spans}
    assert ids == {"chat inner": ("req_inner",), "chat outer": ("req_outer",)}
    first, second = told.spans
    assert first.parent is not None
    assert second.context is not None
    assert first.parent.span_id == second.context.span_id


async def test_limits_are_told_as_last_seen(api: Api, server: ScriptedServer, told: Told) -> None:
    def left(requests: int, tokens: int) -> dict[str, str]:
        return openai_headers(x_ratelimit_remaining_requests=str(requests), x_ratelimit_remaining_tokens=str(tokens))

    refused = error_reply(429, headers=left(0, 0))
    server.reply(
        json_reply(chat(), headers=left(9, 900)),
        sse(role_chunk(), headers=left(8, 800)),
        refused,
        json_reply(response(), headers=left(7, 700)),
    )

    await api.chat(model="a")
    await api.drain(await api.stream(model="a"))
    with pytest.raises(openai.RateLimitError):
        await api.chat(model="b")
    await api.call("responses.create", model="a", input="Hi")  # a limit is not one of an operation

    at = {"gen_ai.provider.name": "openai_compatible", "server.address": "127.0.0.1", "server.port": server.port}
    points = told.points("otel_openai.ratelimit.remaining")
    expected = [
        ({**at, "gen_ai.request.model": model, "otel_openai.ratelimit.kind": kind}, value)
        for model, kind, value in [("a", "requests", 7), ("a", "tokens", 700), ("b", "requests", 0), ("b", "tokens", 0)]
    ]
    assert sorted(points, key=str) == sorted(expected, key=str)
