"""The shapes of the scripted answers: the real client accepts the usual ones, and survives the odd ones."""

import openai
import pytest
from openai import OpenAI

from server import (
    ABSENT,
    DONE,
    Body,
    Item,
    ScriptedServer,
    chat,
    chat_stream,
    chat_tool_stream,
    chat_usage,
    choice,
    compacted_response,
    completion,
    completion_stream,
    dialects,
    embeddings,
    function_call,
    reasoning_item,
    refusal_chunk,
    response,
    response_error_event,
    response_stream,
    response_tool_stream,
    sse,
    tool_call,
)
from server.asking import QUESTION, ask, stream

# Bodies.


def test_bodies_take_overrides() -> None:
    assert chat(model=ABSENT, id=None, prompt=[]).keys() - chat().keys() == {"prompt"}
    assert "model" not in chat(model=ABSENT)
    assert chat("Hel", finish_reason="length")["choices"][0]["finish_reason"] == "length"
    assert chat(choices=[choice(index=1)])["choices"][0]["index"] == 1


@pytest.mark.parametrize("body", [chat(), chat(tool_calls=[tool_call()]), chat(None, finish_reason="length")])
def test_chat_completions_pass_strict_validation(server: ScriptedServer, strict_client: OpenAI, body: Body) -> None:
    server.reply(body)
    assert ask(strict_client).to_dict() == body


@pytest.mark.parametrize(
    "body",
    [
        response(),
        response(status="incomplete"),
        response(status="failed"),
        response(output=[reasoning_item("Hm."), function_call()]),
    ],
    ids=["text", "incomplete", "failed", "tools"],
)
def test_responses_pass_strict_validation(server: ScriptedServer, strict_client: OpenAI, body: Body) -> None:
    server.reply(body)
    assert strict_client.responses.create(model="m", input="Hi").to_dict() == body


def test_a_compacted_response_arrives(server: ScriptedServer, client: OpenAI) -> None:
    server.reply(compacted_response())
    compacted = client.responses.compact(model="gpt-5")
    # A real one begins with the user's messages, which the client's own types do not allow: so no strict validation.
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    assert compacted.usage.total_tokens == 577


def test_a_completion_passes_strict_validation(server: ScriptedServer, strict_client: OpenAI) -> None:
    server.reply(completion())
    assert strict_client.completions.create(model="m", prompt="Hi").to_dict() == completion()


@pytest.mark.parametrize("as_base64", [False, True])
def test_embeddings_arrive_as_numbers(server: ScriptedServer, client: OpenAI, *, as_base64: bool) -> None:
    server.reply(embeddings([0.5, 1.0], [0.25], as_base64=as_base64))
    vectors = [one.embedding for one in client.embeddings.create(model="m", input=["a", "b"]).data]
    assert vectors == [[0.5, 1.0], [0.25]]


@pytest.mark.parametrize(
    "items",
    [
        chat_stream("Hel", "lo", usage=chat_usage()),
        chat_tool_stream(tool_call(), tool_call("get_time"), usage=chat_usage()),
        [refusal_chunk("No."), DONE],
    ],
)
def test_chat_chunks_pass_strict_validation(server: ScriptedServer, strict_client: OpenAI, items: list[Item]) -> None:
    server.reply(sse(*items))
    assert [chunk.to_dict() for chunk in stream(strict_client)] == items[:-1]


def test_a_completion_is_streamed(server: ScriptedServer, client: OpenAI) -> None:
    items = completion_stream("Hel", "lo", usage=chat_usage())
    server.reply(sse(*items))
    chunks = client.completions.create(model="m", prompt="Hi", stream=True)
    assert [chunk.to_dict() for chunk in chunks] == items[:-1]


@pytest.mark.parametrize(
    "events",
    [
        response_stream("Hel", "lo"),
        response_stream("Hel", status="incomplete"),
        response_stream("Hel", status="failed"),
        response_tool_stream(function_call(), function_call("get_time")),
        [*response_stream("Hel")[:4], response_error_event()],
    ],
    ids=["text", "incomplete", "failed", "tools", "error"],
)
def test_response_events_pass_strict_validation(
    server: ScriptedServer, strict_client: OpenAI, events: list[Item]
) -> None:
    server.reply(sse(*events))
    seen = strict_client.responses.create(model="m", input="Hi", stream=True)
    assert [one.to_dict() for one in seen] == events


# Dialects and records.


@pytest.mark.parametrize("name", [*dialects.CHAT, *dialects.ERRORS])
def test_plain_dialects_reach_the_client(server: ScriptedServer, client: OpenAI, name: str) -> None:
    server.reply((dialects.CHAT | dialects.ERRORS)[name]())
    raw = client.with_options(max_retries=0).chat.completions.with_raw_response
    if name in dialects.ERRORS:
        with pytest.raises(openai.APIStatusError):
            raw.create(**QUESTION)
    else:
        assert raw.create(**QUESTION).status_code == 200


FAILING = {"vllm.engine_died", "llamacpp.context_exceeded", "hosted.openrouter_stream_error"}


@pytest.mark.parametrize("name", dialects.CHAT_STREAMS)
def test_stream_dialects_reach_the_client(server: ScriptedServer, client: OpenAI, name: str) -> None:
    server.reply(dialects.CHAT_STREAMS[name]())
    if name in FAILING:
        with pytest.raises(openai.APIError):
            list(stream(client))
    else:
        assert bool(list(stream(client))) == (name != "hosted.json_instead_of_stream")


@pytest.mark.parametrize("name", dialects.RESPONSES_STREAMS)
def test_response_dialects_reach_the_client(server: ScriptedServer, client: OpenAI, name: str) -> None:
    server.reply(dialects.RESPONSES_STREAMS[name]())
    assert list(client.responses.create(model="m", input="Hi", stream=True))[-1].type == "response.completed"
