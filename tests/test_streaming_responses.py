"""`with_streaming_response`: the body is the app's alone; what the app has read is told once the app has left."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

from server import CUT, Gate, ScriptedServer, chat, json_reply, raw_reply, sse
from streamed import CHAT, STREAMED, Streamed, described, entered, one_stream_was_told, seconds
from support import Api, Told, client
from test_raw_modes import PLAIN, Model, Plain


def ask(api: Api, call: Plain | Streamed, **more: Any) -> Any:
    """The manager of a streaming response: nothing is sent before it is entered."""
    resource = api.client
    for name in (call.resource if isinstance(call, Plain) else call.method.removesuffix(".create")).split("."):
        resource = getattr(resource, name)
    return resource.with_streaming_response.create(**call.arguments, **more)


async def now(api: Api, method: Callable[[], Any]) -> Any:
    return await method() if api.is_async else method()


def without_answer(attributes: dict[str, Any]) -> dict[str, Any]:
    """What is known of a call whose body was not read, or not as its own type."""
    answered = ("gen_ai.response.", "gen_ai.usage.", "openai.response.", "otel_openai.", "gen_ai.embeddings.")
    return {name: value for name, value in attributes.items() if not name.startswith(answered)}


# Plain answers.


@pytest.mark.parametrize("call", PLAIN, ids=str)
@pytest.mark.parametrize("method", ["parse", "json", "text", "read"])
async def test_a_body_that_was_read_tells_what_a_plain_call_tells(
    api: Api, server: ScriptedServer, told: Told, call: Plain, method: str
) -> None:
    server.always(json_reply(call.body))

    await api.call(f"{call.resource}.create", **call.arguments)
    async with entered(ask(api, call)) as answer:
        await now(api, getattr(answer, method))
        assert len(told.spans) == 1

    plain, same = told.spans
    assert described(same) == described(plain)


async def test_a_body_parsed_into_a_type_of_the_app_tells_what_a_plain_call_tells(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.always(json_reply(chat()))

    await api.chat()
    async with entered(ask(api, PLAIN[0])) as answer:
        assert type(await now(api, lambda: answer.parse(to=Model))) is Model

    plain, same = told.spans
    assert described(same) == described(plain)


@pytest.mark.parametrize("method", ["iter_bytes", "iter_text", "iter_lines"])
async def test_a_body_that_was_iterated_over_is_known_by_its_head(
    api: Api, server: ScriptedServer, told: Told, method: str
) -> None:
    server.always(json_reply(chat()))

    await api.chat()
    async with entered(ask(api, PLAIN[0])) as answer:
        parts = [part async for part in api.iterate(getattr(answer, method)())]

    assert (b"" if method == "iter_bytes" else "").join(parts) in (json.dumps(chat()), json.dumps(chat()).encode())
    plain, headless = told.spans
    assert described(headless) == without_answer(described(plain))
    assert headless.status.status_code.name == "UNSET"


async def test_a_body_arrives_as_the_server_sends_it(api: Api, server: ScriptedServer, told: Told) -> None:
    gate = Gate()
    server.reply(json_reply(chat(), halfway=gate))

    async with entered(ask(api, PLAIN[0])) as answer:
        parts = api.iterate(answer.iter_bytes())
        received = await parts.__anext__()
        assert json.dumps(chat()).encode().startswith(received)
        assert told.spans == []
        gate.open()
        async for part in parts:
            received += part

    assert json.loads(received) == chat()
    assert len(told.spans) == 1


@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
async def test_a_plain_answer_that_is_left_early_is_no_error(
    api: Api, server: ScriptedServer, told: Told, *, read: bool
) -> None:
    server.reply(json_reply(chat(), halfway=Gate()))

    async with entered(ask(api, PLAIN[0])) as answer:
        if read:
            await api.iterate(answer.iter_bytes()).__anext__()

    assert told.span.status.status_code.name == "UNSET"
    assert "gen_ai.response.id" not in described(told.span)
    assert told.total("otel_openai.active_requests") == 0


@pytest.mark.parametrize("method", ["parse", "json", "text", "read"])
async def test_a_body_that_is_no_json_is_the_apps_to_read(
    api: Api, server: ScriptedServer, told: Told, method: str
) -> None:
    server.reply(raw_reply(b'{"id": '))

    async with entered(ask(api, PLAIN[0])) as answer:
        if method in {"parse", "json"}:
            with pytest.raises(json.JSONDecodeError):
                await now(api, getattr(answer, method))
        else:
            assert await now(api, getattr(answer, method)) in {'{"id": ', b'{"id": '}

    attributes = described(told.span)
    assert attributes["http.response.status_code"] == 200
    assert "gen_ai.response.id" not in attributes
    assert told.span.status.status_code.name == "UNSET"


# Exceptions of the app.


async def test_an_exception_before_the_body_was_read_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(json_reply(chat(), halfway=Gate()))

    with suppress(LookupError):
        async with entered(ask(api, PLAIN[0])):
            raise LookupError

    assert described(told.span)["error.type"] == "LookupError"


async def test_an_exception_after_the_body_was_read_is_not_the_calls(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.always(json_reply(chat()))

    await api.chat()
    with suppress(LookupError):
        async with entered(ask(api, PLAIN[0])) as answer:
            await now(api, answer.parse)
            raise LookupError

    plain, same = told.spans
    assert described(same) == described(plain)
    assert same.status.status_code.name == "UNSET"


@pytest.mark.parametrize("caught", [True, False], ids=["caught", "not caught"])
@pytest.mark.parametrize("streams", [{}, {"stream": True}], ids=["plain", "stream"])
async def test_a_connection_that_is_cut_is_an_error_wherever_the_app_catches_it(
    api: Api, server: ScriptedServer, told: Told, streams: dict[str, Any], *, caught: bool
) -> None:
    if caught and openai.__version__ < "3":
        pytest.skip("httpx, before httpx2, does not close a response that breaks: nobody but the app can know")
    server.reply(sse(*CHAT.begin, CUT) if streams else json_reply(chat(), halfway=CUT))
    raised: list[str] = []

    try:
        async with entered(ask(api, PLAIN[0], **streams)) as answer:
            try:
                async for _ in api.iterate(answer.iter_lines()):
                    pass
            except Exception as error:
                raised.append(type(error).__name__)
                if not caught:
                    raise
    except Exception as error:  # noqa: BLE001 - versions differ in its class
        assert raised == [type(error).__name__]

    assert [described(told.span)["error.type"]] == raised
    assert described(told.span).get("otel_openai.stream.outcome") == ("error" if streams else None)


async def test_an_exception_that_is_handled_while_the_request_is_made_is_not_the_calls(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(json_reply(chat(), halfway=Gate()))

    try:
        json.loads("{")
    except ValueError:
        async with entered(ask(api, PLAIN[0])):
            pass

    assert told.span.status.status_code.name == "UNSET"


# Streams.


@pytest.mark.parametrize("streamed", STREAMED, ids=lambda streamed: streamed.name)
async def test_a_stream_in_a_streaming_response_tells_what_a_stream_tells(
    api: Api, server: ScriptedServer, told: Told, streamed: Streamed
) -> None:
    server.reply(sse(*streamed.frames))

    async with entered(ask(api, streamed, stream=True)) as answer:
        stream = await now(api, answer.parse)
        await api.next(stream)
        assert await now(api, answer.parse) is stream
        await api.drain(stream)

    assert described(told.span) == streamed.expected("completed", streamed.chunks, server=server, finished=True)
    one_stream_was_told(told, "completed")


async def test_a_stream_asked_for_twice_and_left_early_has_all_its_chunks(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    async with entered(ask(api, CHAT, stream=True)) as answer:
        await api.next(await now(api, answer.parse))
        await api.next(await now(api, answer.parse))

    assert described(told.span) == CHAT.expected("closed", 2, server=server)


async def test_a_stream_of_a_type_of_the_app_is_watched_too(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.frames))
    kind: Any = AsyncStream[ChatCompletionChunk] if api.is_async else Stream[ChatCompletionChunk]

    async with entered(ask(api, CHAT, stream=True)) as answer:
        await api.drain(await now(api, lambda: answer.parse(to=kind)))

    assert described(told.span) == CHAT.expected("completed", CHAT.chunks, server=server, finished=True)


Read = Callable[[Api, Any], Awaitable[None]]


async def every_line(api: Api, answer: Any) -> None:
    async for _ in api.iterate(answer.iter_lines()):
        pass


async def one_line(api: Api, answer: Any) -> None:
    await api.iterate(answer.iter_lines()).__anext__()


async def nothing(api: Api, answer: Any) -> None:
    pass


async def the_app_raises(api: Api, answer: Any) -> None:
    raise LookupError


@pytest.mark.parametrize(
    ("read", "outcome"),
    [(every_line, "completed"), (one_line, "closed"), (nothing, "closed"), (the_app_raises, "error")],
)
async def test_a_stream_that_is_read_as_bytes_has_an_outcome_and_no_chunks(
    api: Api, server: ScriptedServer, told: Told, read: Read, outcome: str
) -> None:
    server.reply(sse(*CHAT.begin, *([] if read is every_line else [Gate()]), *CHAT.rest))
    failed = {"error.type": "LookupError"} if outcome == "error" else {}

    with suppress(LookupError):
        async with entered(ask(api, CHAT, stream=True)) as answer:
            await read(api, answer)

    expected = without_answer(CHAT.expected("", 0, server=server))
    assert described(told.span) == {**expected, **failed, "otel_openai.stream.outcome": outcome}
    one_stream_was_told(told, outcome, failed.get("error.type"))


async def test_a_response_closed_twice_is_told_once(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    async with entered(ask(api, CHAT, stream=True)) as answer:
        await now(api, answer.close)
        assert answer.is_closed

    one_stream_was_told(told, "closed")


# A generator of the app, closed as web frameworks do.


def lines(bare: Any, **more: Any) -> Iterator[str]:
    with bare.chat.completions.with_streaming_response.create(**CHAT.arguments, **more) as answer:
        yield from answer.iter_lines()


async def async_lines(bare: Any, **more: Any) -> AsyncIterator[str]:
    async with bare.chat.completions.with_streaming_response.create(**CHAT.arguments, **more) as answer:
        async for line in answer.iter_lines():
            yield line


async def test_a_generator_of_the_app_around_a_streaming_response_is_closed(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.reply(sse(*CHAT.begin, Gate()))

    generator: Any = (async_lines if api.is_async else lines)(api.client, stream=True)
    await now(api, generator.__anext__ if api.is_async else generator.__next__)
    await now(api, generator.aclose if api.is_async else generator.close)

    one_stream_was_told(told, "closed")
    assert told.span.status.status_code.name == "UNSET"


def test_what_was_read_before_a_generator_of_the_app_is_closed_is_told(server: ScriptedServer, told: Told) -> None:
    server.always(json_reply(chat()))

    def ask_and_wait(bare: Any) -> Iterator[Any]:
        with bare.chat.completions.with_streaming_response.create(**CHAT.arguments) as answer:
            yield answer.parse()

    with client("sync", server.base_url) as bare:
        bare.chat.completions.create(**CHAT.arguments)
        generator: Any = ask_and_wait(bare)
        next(generator)
        generator.close()

    plain, same = told.spans
    assert described(same) == described(plain)
    assert seconds(same) > 0


def test_a_streaming_response_that_is_never_entered_asks_nothing(server: ScriptedServer, told: Told) -> None:
    with client("sync", server.base_url) as bare:
        bare.chat.completions.with_streaming_response.create(**CHAT.arguments)

    assert (server.requests, told.spans) == ([], [])
