"""`with_streaming_response`: the body is the app's alone; what the app has read is told once the app has left."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest

from raw_modes import PLAIN, Plain, ask, every_line, now, without_answer
from server import CUT, Gate, ScriptedServer, chat, json_reply, raw_reply, sse
from streamed import CHAT, described, entered, seconds
from support import Api, Told, client

# Plain answers.


@pytest.mark.parametrize("call", PLAIN, ids=str)
@pytest.mark.parametrize("method", ["parse", "json", "text", "read"])
async def test_a_body_that_was_read_tells_what_a_plain_call_tells(
    api: Api, server: ScriptedServer, told: Told, call: Plain, method: str
) -> None:
    server.always(json_reply(call.body))

    await api.call(call.method, **call.arguments)
    async with entered(ask(api, call)) as answer:
        await now(api, getattr(answer, method))
        assert len(told.spans) == 1

    plain, same = told.spans
    assert described(same) == described(plain)


async def test_a_body_parsed_into_another_type_tells_what_a_plain_call_tells(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    server.always(json_reply(chat()))

    await api.chat()
    async with entered(ask(api, PLAIN[0])) as answer:
        assert await now(api, lambda: answer.parse(to=str)) == json.dumps(chat())

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

    with suppress(Exception):  # versions differ in its class
        async with entered(ask(api, PLAIN[0], **streams)) as answer:
            try:
                await every_line(api, answer)
            except Exception as error:
                raised.append(type(error).__name__)
                if not caught:
                    raise

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
