"""Content is bounded: pieces are cut and marked, attributes have a size, and a stream keeps no more than will leave."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from content import CUT, INPUT, INSTRUCTIONS, OUTPUT, TOOLS, answer, message, on_event, on_span, user
from exported import otlp
from server import (
    DONE,
    ScriptedServer,
    chat,
    chat_chunk,
    chat_stream,
    choice,
    finish_chunk,
    reasoning_item,
    response,
    response_stream,
    role_chunk,
    sse,
    tool_call,
    tool_chunk,
)
from support import Api, Told, attributes_of

Telling = Callable[..., Told]
KIB_64 = 65_536


async def test_what_is_long_is_cut_and_marked(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both", max_content_length=10)
    server.reply(chat("b" * 15), sse(*chat_stream("bbbb", "bbbb", "bbbb", "bbb")))

    await api.chat(messages=[{"role": "user", "content": "a" * 110}, {"role": "user", "content": "c" * 10}])

    assert on_span(told) == {
        INPUT: [user("a" * 10 + "… [100 characters cut]"), user("c" * 10)],
        OUTPUT: [answer("b" * 10 + "… [5 characters cut]")],
    }
    assert on_event(told) == on_span(told)
    assert told.attributes[CUT] == 2

    told.clear()
    await api.drain(await api.stream())

    assert on_span(told)[OUTPUT] == [answer("b" * 10 + "… [5 characters cut]")]
    assert told.attributes[CUT] == 1


async def test_nothing_cut_nothing_counted(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    server.reply(chat())

    await api.chat()

    assert CUT not in told.attributes


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("éééé", "ééé"),
        ("ab👋c", "ab👋"),
        ("abe\u0301", "ab"),
        ("a👩\u200d💻", "a"),
        ("ab👍🏽", "ab"),
        ("ab❤\ufe0f", "ab"),
    ],
    ids=["two bytes", "four bytes", "accent", "joined", "skin tone", "variation"],
)
async def test_no_character_is_parted(api: Api, server: ScriptedServer, telling: Telling, text: str, kept: str) -> None:
    told = telling(capture_content="span", max_content_length=3)
    server.reply(chat())

    await api.chat(messages=[{"role": "user", "content": text + "x"}])

    [asked] = on_span(told)[INPUT]
    assert asked["parts"][0]["content"] == f"{kept}… [{len(text) + 1 - len(kept)} characters cut]"


async def test_arguments_that_are_cut_stay_text(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span", max_content_length=10)
    server.reply(chat(tool_calls=[tool_call(arguments='{"city":"Paris"}')]))

    await api.chat()

    [part] = on_span(told)[OUTPUT][0]["parts"]
    assert part["arguments"] == '{"city":"P… [6 characters cut]'


async def test_schemas_that_are_cut_are_left_out(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span", max_content_length=10, capture_tool_schemas=True)
    server.reply(chat())

    await api.chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"title": "x" * 100}}}])

    assert on_span(told)[TOOLS] == [{"type": "function", "name": "f"}]
    assert told.attributes[CUT] == 1


async def test_of_a_long_conversation_the_end_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both")
    messages = [{"role": "user", "content": f"{number} " + "x" * 1000} for number in range(1000)]
    server.reply(chat())

    await api.chat(messages=messages)

    first, *rest = on_span(told)[INPUT]
    left_out = first["parts"][0]["messages"]
    assert first == message("system", {"type": "omitted", "messages": left_out})
    texts = [asked["parts"][0]["content"] for asked in rest]
    assert texts[1:] == [sent["content"] for sent in messages[left_out + 1 :]]
    assert 50 < len(rest) < 66
    assert 1 <= told.attributes[CUT] <= 2  # the oldest that is told may itself be cut
    assert on_event(told) == on_span(told)


# Texts whose JSON is longer than they are.
HEAVY = {"plain": "x", "escaped": "\x00", "quoted": '"', "of three bytes": "語", "of four bytes": "👋"}


@pytest.mark.parametrize("heavy", HEAVY.values(), ids=HEAVY)
@pytest.mark.parametrize("size", [1024, KIB_64])
async def test_no_attribute_is_larger_than_it_may_be(
    api: Api, server: ScriptedServer, telling: Telling, heavy: str, *, size: int
) -> None:
    told = telling(
        capture_content="span", max_content_length=1_000_000, max_content_size=size, capture_tool_schemas=True
    )
    text = heavy * 70_000
    called = [tool_call(f"tool_{number}", json.dumps({"a": text[:3000]})) for number in range(50)]
    server.reply(
        chat(choices=[choice(text, message={"tool_calls": called, "reasoning": text})]),
        sse(role_chunk(), *(chat_chunk(text[:1000]) for _ in range(70)), finish_chunk(), DONE),
        response(text),
    )
    parts = [{"type": "text", "text": text[:50]} for _ in range(1500)]
    tools = [{"type": "function", "function": {"name": f"f{i}", "description": text[:1000]}} for i in range(500)]

    await api.chat(messages=[{"role": "user", "content": text}, {"role": "user", "content": parts}], tools=tools)
    await api.drain(await api.stream())
    await api.call("responses.create", model="m", input=text, instructions=text)

    sizes = [len(value.encode()) for span in told.spans for name, value in attributes_of(span).items() if name in _ALL]
    assert max(sizes) <= size
    assert sorted(sizes)[-5] > size * 0.6  # it is used, too
    assert otlp(told)


_ALL = (INPUT, OUTPUT, INSTRUCTIONS, TOOLS)


async def test_every_choice_keeps_its_message(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span", max_content_size=4096)
    server.reply(chat(choices=[choice("x" * 2000, index=index) for index in range(5)]))

    await api.chat()

    answered = on_span(told)[OUTPUT]
    assert len(answered) == 5
    assert [one["finish_reason"] for one in answered] == ["stop"] * 5
    assert answered[-1]["parts"] == [{"type": "omitted", "name": "omitted"}]


@pytest.mark.parametrize(("size", "kept"), [(KIB_64, 128), (4096, None)])
@pytest.mark.parametrize("text", ["x" * 2000, "\x00" * 600], ids=["plain", "escaped"])
async def test_many_choices_are_bounded_too(
    api: Api, server: ScriptedServer, telling: Telling, *, text: str, size: int, kept: int | None
) -> None:
    told = telling(capture_content="span", max_content_size=size)
    server.reply(chat(choices=[choice(text, index=index) for index in range(128)]))

    await api.chat()

    assert size / 2 < len(told.attributes[OUTPUT].encode()) <= size
    answered = on_span(told)[OUTPUT]
    left_out = answered[-1]["parts"][0].get("messages", 0)
    assert len(answered) - bool(left_out) + left_out == 128
    assert kept is None or (len(answered), left_out) == (kept, 0)


@pytest.mark.parametrize("kind", ["content", "reasoning", "calls", "one call", "choices", "responses"])
async def test_endless_streams_are_told_within_bounds(
    api: Api, server: ScriptedServer, telling: Telling, kind: str
) -> None:
    told = telling(capture_content="span")
    piece = "x" * 2000
    streams: dict[str, list[Any]] = {
        "content": [chat_chunk(piece) for _ in range(500)],
        "reasoning": [chat_chunk(delta={"reasoning": piece}) for _ in range(500)],
        "calls": [tool_chunk(piece, name="f", call_id=f"c{i}", call=i) for i in range(1500)],
        "one call": [tool_chunk(piece, name="f", call_id="c") for _ in range(500)],
        "choices": [chat_chunk(piece, index=i) for i in range(500)],
        "responses": response_stream(*[piece] * 500),
    }
    server.reply(sse(*streams[kind], *([] if kind == "responses" else [finish_chunk(), DONE])))

    if kind == "responses":
        await api.drain(await api.call("responses.create", model="m", input="Hi", stream=True))
    else:
        await api.drain(await api.stream())

    exported = json.dumps(on_span(told)[OUTPUT])
    assert 8192 < len(exported) < KIB_64 * 1.1
    assert told.attributes[CUT] > 0


async def test_what_is_never_told_takes_no_room(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    begin, *rest = response_stream("Hel", "lo!")
    sealed = [{**reasoning_item(), "id": f"rs_{number}", "encrypted_content": "x" * 10_000} for number in range(20)]
    thoughts = [
        {"type": "response.output_item.done", "output_index": 10 + number, "item": item}
        for number, item in enumerate(sealed)
    ]
    server.reply(sse(begin, *thoughts, *rest[:-1]))  # the end, which carries everything, never comes

    await api.drain(await api.call("responses.create", model="m", input="Hi", stream=True))

    [answered] = on_span(told)[OUTPUT]
    assert {"type": "text", "content": "Hello!"} in answered["parts"]


async def test_a_message_that_does_not_fit_at_all_is_counted(
    api: Api, server: ScriptedServer, telling: Telling
) -> None:
    told = telling(capture_content="span", max_content_size=1024)
    server.reply(chat())

    await api.chat(
        messages=[{"role": "user", "content": "Hi", "name": "\x00" * 200}, {"role": "user", "content": "Ho"}]
    )

    assert on_span(told)[INPUT] == [message("system", {"type": "omitted", "messages": 1}), user("Ho")]
    assert told.attributes[CUT] >= 1


@pytest.mark.parametrize(
    ("scheme", "told_as"),
    [
        ("https://images.test/", {"type": "uri", "uri": "https://ima… [99990 characters cut]"}),
        ("data:image/jpeg;base64,", {"type": "omitted"}),
    ],
)
async def test_a_url_of_a_stream_that_was_not_kept_whole_is_not_told_as_whole(
    api: Api, server: ScriptedServer, telling: Telling, scheme: str, told_as: dict[str, str]
) -> None:
    told = telling(capture_content="span", max_content_length=11)
    begin, *_ = response_stream()
    shown = {"type": "input_image", "image_url": scheme.ljust(100_001, "A")}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [shown]}
    server.reply(sse(begin, {"type": "response.output_item.done", "output_index": 0, "item": item}))

    await api.drain(await api.call("responses.create", model="m", input="Hi", stream=True))

    [answered] = on_span(told)[OUTPUT]
    assert answered["parts"] == [{**told_as, "modality": "image"}]


async def test_a_parameter_may_have_the_name_of_what_is_never_told(
    api: Api, server: ScriptedServer, telling: Telling
) -> None:
    told = telling(capture_content="span", capture_tool_schemas=True)
    begin, *_ = response_stream()
    tool = {
        "type": "function",
        "name": "draw",
        "parameters": {"type": "object", "properties": {"annotations": {"type": "array"}}},
    }
    item = {"type": "tool_search_output", "id": "tso_1", "call_id": "call_1", "status": "completed", "tools": [tool]}
    server.reply(sse(begin, {"type": "response.output_item.done", "output_index": 0, "item": item}))

    await api.drain(await api.call("responses.create", model="m", input="Hi", stream=True))

    [answered] = on_span(told)[OUTPUT]
    assert answered["parts"] == [{"type": "tool_call_response", "id": "call_1", "response": [tool]}]
