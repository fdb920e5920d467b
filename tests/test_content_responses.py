"""Content of responses: items of every type, asked and answered; streamed as plain, and as far as a cut stream came."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from content import INPUT, INSTRUCTIONS, OUTPUT, TOOLS, answer, message, on_event, on_span, on_spans, user
from exported import otlp
from server import (
    DONE,
    Body,
    Item,
    ScriptedServer,
    compacted_response,
    function_call,
    output_message,
    output_text,
    reasoning_item,
    response,
    response_stream,
    response_tool_stream,
    sse,
)
from support import Api, Told, need_stream

Telling = Callable[..., Told]
PNG = base64.b64encode(b"not really a picture").decode()
WEATHER = {"type": "tool_call", "id": "call_get_weather", "name": "get_weather", "arguments": {"city": "Paris"}}


async def ask(api: Api, **arguments: Any) -> Any:
    return await api.call("responses.create", **{"model": "m", "input": "Hi", **arguments})


async def test_a_call_tells_question_instructions_and_answer(
    api: Api, server: ScriptedServer, telling: Telling
) -> None:
    told = telling(capture_content="both")
    server.reply(response("Hello!"))

    await ask(api, instructions="Be brief.", tools=[{"type": "function", "name": "f"}, {"type": "web_search"}])

    assert on_span(told) == {
        INPUT: [user("Hi")],
        INSTRUCTIONS: [{"type": "text", "content": "Be brief."}],
        OUTPUT: [answer("Hello!")],
        TOOLS: [{"type": "function", "name": "f"}, {"type": "web_search", "name": "web_search"}],
    }
    assert on_event(told) == on_span(told)


async def test_secrets_of_tool_servers_are_never_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="both", capture_tool_schemas=True)
    server.reply(response())
    tool = {"type": "mcp", "server_label": "wiki", "authorization": "Zyxwv", "headers": {"x": "Zyxwv"}}

    found = [{"type": item, "call_id": "c", "tools": [tool]} for item in ("tool_search_output", "additional_tools")]

    await ask(api, tools=[tool], input=found)

    wiki = [{"type": "mcp", "name": "wiki"}]
    assert on_span(told)[TOOLS] == wiki
    assert on_span(told)[INPUT] == [
        message("tool", {"type": "tool_call_response", "id": "c", "response": wiki}),
        message("assistant", {"type": "additional_tools"}),
    ]
    assert b"Zyxwv" not in otlp(told)


ITEMS: dict[str, tuple[Body, Body]] = {
    "an item of a type that the conventions know otherwise": (
        {"type": "text", "text": "Hi"},
        message("assistant", {"type": "unknown", "content": {"type": "text", "text": "Hi"}}),
    ),
    "a message": ({"role": "user", "content": "Hi"}, user("Hi")),
    "a message of parts": (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        user("Hi"),
    ),
    "a system message": ({"role": "system", "content": "Be brief."}, message("system", "Be brief.")),
    "a picture": (
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://x.example/a.png"}]},
        user({"type": "uri", "modality": "image", "uri": "https://x.example/a.png"}),
    ),
    "a picture itself": (
        {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]},
        user({"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG}),
    ),
    "a picture by its id": (
        {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
        user({"type": "file", "modality": "image", "file_id": "file-1"}),
    ),
    "a file": (
        {"role": "user", "content": [{"type": "input_file", "file_id": "file-1", "filename": "a.pdf"}]},
        user({"type": "file", "modality": "document", "file_id": "file-1", "filename": "a.pdf"}),
    ),
    "a file by address": (
        {"role": "user", "content": [{"type": "input_file", "file_url": "https://x.example/a.pdf"}]},
        user({"type": "uri", "modality": "document", "uri": "https://x.example/a.pdf"}),
    ),
    "an earlier answer": (output_message("Sure."), message("assistant", "Sure.")),
    "an earlier thought": (
        reasoning_item("Hm.", "So.", encrypted_content="Zyxwv"),
        message("assistant", *({"type": "reasoning", "content": text} for text in ("Hm.", "So."))),
    ),
    "an earlier call": (function_call(), message("assistant", WEATHER)),
    "its result": (
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        message("tool", {"type": "tool_call_response", "id": "call_1", "response": "42"}),
    ),
    "a result in parts": (
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "42"}]},
        message("tool", {"type": "tool_call_response", "id": "c", "response": [{"type": "text", "content": "42"}]}),
    ),
    "a custom call": (
        {"type": "custom_tool_call", "call_id": "c", "name": "run_sql", "input": "42"},
        message("assistant", {"type": "tool_call", "id": "c", "name": "run_sql", "arguments": "42"}),
    ),
    "a screenshot": (
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{PNG}"},
        },
        message(
            "tool",
            {
                "type": "tool_call_response",
                "id": "c",
                "response": {
                    "type": "computer_screenshot",
                    "image_url": {
                        "type": "omitted",
                        "modality": "document",
                        "mime_type": "image/png",
                        "bytes": 20,
                        "sha256": hashlib.sha256(b"not really a picture").hexdigest(),
                    },
                },
            },
        ),
    ),
    "a click": (
        {"type": "computer_call", "call_id": "c", "action": {"type": "click", "x": 1, "y": 2}},
        message(
            "assistant",
            {"type": "tool_call", "id": "c", "name": "computer", "arguments": {"type": "click", "x": 1, "y": 2}},
        ),
    ),
    "a command": (
        {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
        message("assistant", {"type": "tool_call", "id": "c", "name": "local_shell", "arguments": {"command": ["ls"]}}),
    ),
    "a reference": (
        {"type": "item_reference", "id": "msg_1"},
        message("user", {"type": "item_reference", "id": "msg_1"}),
    ),
    "a compaction": (
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "Zyxwv"},
        message("assistant", {"type": "compaction", "id": "cmp_1"}),
    ),
    "an approval": (
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        message(
            "user",
            {"type": "mcp_approval_response", "content": {"approval_request_id": "a", "approve": True}},
        ),
    ),
    "what nobody knows yet": (
        {"type": "telepathy", "thought": "Hm.", "encrypted_content": "Zyxwv"},
        message("assistant", {"type": "telepathy", "content": {"thought": "Hm."}}),
    ),
}


@pytest.mark.parametrize("name", ITEMS)
async def test_every_item_that_is_sent_is_told(api: Api, server: ScriptedServer, telling: Telling, name: str) -> None:
    told = telling(capture_content="span")
    sent, expected = ITEMS[name]
    server.reply(response())

    await ask(api, input=[sent])

    assert on_span(told)[INPUT] == [expected]
    assert server.last.json["input"] == [sent]
    assert b"Zyxwv" not in otlp(told)


def _server_tool(item: str, name: str, called: Body, answered: Body | None = None) -> list[Body]:
    call = {"type": "server_tool_call", "id": "i", "name": name, "server_tool_call": {"type": item, **called}}
    if answered is None:
        return [call]
    returned = {"type": item, **answered}
    return [call, {"type": "server_tool_call_response", "id": "i", "server_tool_call_response": returned}]


SEARCH = {"type": "search", "query": "q"}
# What the server answers, and the parts of the message that tells it.
ANSWERED: dict[str, tuple[list[Body], list[Any], str]] = {
    "thought and text": (
        [reasoning_item("Hm."), output_message("Hi")],
        [{"type": "reasoning", "content": "Hm."}, "Hi"],
        "stop",
    ),
    "thought in full": (
        [reasoning_item(content=[{"type": "reasoning_text", "text": "Hm."}])],
        [{"type": "reasoning", "content": "Hm."}],
        "stop",
    ),
    "text in parts": ([output_message(content=[output_text("a"), output_text("b")])], ["a", "b"], "stop"),
    "a refusal": (
        [output_message(content=[{"type": "refusal", "refusal": "No."}])],
        [{"type": "refusal", "content": "No."}],
        "stop",
    ),
    "calls": (
        [output_message("Wait."), function_call(), function_call("f", "[1]", call_id="c")],
        ["Wait.", WEATHER, {"type": "tool_call", "id": "c", "name": "f", "arguments": [1]}],
        "tool_call",
    ),
    "a custom call": (
        [{"type": "custom_tool_call", "id": "i", "call_id": "c", "name": "run_sql", "input": "42"}],
        [{"type": "tool_call", "id": "c", "name": "run_sql", "arguments": "42"}],
        "tool_call",
    ),
    "a search of the web": (
        [{"type": "web_search_call", "id": "i", "status": "completed", "action": SEARCH}],
        _server_tool("web_search_call", "web_search", {"action": SEARCH}),
        "stop",
    ),
    "a search of files": (
        [{"type": "file_search_call", "id": "i", "queries": ["q"], "results": [{"text": "found"}]}],
        _server_tool("file_search_call", "file_search", {"queries": ["q"]}, {"results": [{"text": "found"}]}),
        "stop",
    ),
    "a program": (
        [{"type": "code_interpreter_call", "id": "i", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]}],
        _server_tool(
            "code_interpreter_call",
            "code_interpreter",
            {"code": "1+1"},
            {"outputs": [{"type": "logs", "logs": "2"}]},
        ),
        "stop",
    ),
    "a remote tool": (
        [{"type": "mcp_call", "id": "i", "name": "ask", "server_label": "w", "arguments": "{}", "output": "42"}],
        _server_tool("mcp_call", "ask", {"server_label": "w", "arguments": "{}"}, {"output": "42"}),
        "stop",
    ),
    "a drawing": (
        [{"type": "image_generation_call", "id": "i", "result": PNG, "output_format": "png", "status": "completed"}],
        [
            *_server_tool("image_generation_call", "image_generation", {}),
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": PNG},
        ],
        "stop",
    ),
}


def streamed(output: list[Body], *, cut: bool = False) -> list[Item]:
    """The events of these items, each begun, told in two deltas where it is text, and done."""
    events: list[Body] = []
    for index, item in enumerate(output):
        place = {"item_id": item.get("id"), "output_index": index}
        emptied: Body = {**item, **{name: [] for name in ("content", "summary") if name in item}}
        emptied |= {name: "" for name in ("arguments", "input", "code") if name in item}
        events.append({"type": "response.output_item.added", "output_index": index, "item": emptied})
        for number, part in enumerate(item.get("content") or []):
            kind = {"reasoning_text": "reasoning_text", "refusal": "refusal"}.get(part["type"], "output_text")
            events += _pieces(
                f"response.{kind}.delta", part.get("text") or part.get("refusal"), content_index=number, **place
            )
        for number, part in enumerate(item.get("summary") or []):
            events += _pieces("response.reasoning_summary_text.delta", part["text"], summary_index=number, **place)
        for name, delta in TEXTS.items():
            if name in item and (item["type"] == delta[0]):
                events += _pieces(f"response.{delta[1]}.delta", item[name], **place)
        if not cut:
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    first, last = response_stream()[0], {"type": "response.completed", "response": response(output=output)}
    return [first, *events, *([DONE] if cut else [last])]


TEXTS = {
    "arguments": ("function_call", "function_call_arguments"),
    "input": ("custom_tool_call", "custom_tool_call_input"),
    "code": ("code_interpreter_call", "code_interpreter_call_code"),
}


def _pieces(kind: str, text: str, **place: Any) -> list[Body]:
    return [{"type": kind, **place, "delta": piece, "logprobs": []} for piece in (text[:1], text[1:])]


@pytest.mark.parametrize("name", ANSWERED)
async def test_streamed_and_plain_answers_are_told_alike(
    api: Api, server: ScriptedServer, telling: Telling, name: str
) -> None:
    told = telling(capture_content="span")
    output, parts, reason = ANSWERED[name]
    no_last = streamed(output)[:-1]
    server.reply(response(output=output), sse(*streamed(output)), sse(*no_last), sse(*streamed(output, cut=True)))

    await ask(api)
    for _ in range(3):
        await api.drain(await ask(api, stream=True))

    plain, whole, unfinished, cut = (content[OUTPUT] for content in on_spans(told))
    assert plain == whole == [answer(*parts, finish_reason=reason)]
    assert unfinished == [answer(*parts, finish_reason="error")]
    if name not in ("a search of files", "a program", "a remote tool"):  # their results come with the end of the item
        assert cut == unfinished


async def test_a_stream_that_ends_with_an_empty_response_tells_what_came(
    api: Api, server: ScriptedServer, telling: Telling
) -> None:
    told = telling(capture_content="span")
    events = response_stream("Hel", "lo!")
    events[-1] = {"type": "response.incomplete", "response": response(status="incomplete", output=[])}
    server.reply(sse(*events))

    await api.drain(await ask(api, stream=True))

    assert on_span(told)[OUTPUT] == [answer("Hello!", finish_reason="max_output_tokens")]


async def test_an_item_that_is_none_costs_no_more_than_itself(
    api: Api, server: ScriptedServer, telling: Telling
) -> None:
    told = telling(capture_content="span")
    odd = [
        {"type": f"response.output_item.{kind}", "output_index": 7, "item": item}
        for kind in ("added", "done")
        for item in (5, "x", ["x"], None)
    ]
    server.reply(sse(*response_stream("Hel", "lo!")[:-1], *odd))

    await api.drain(await ask(api, stream=True))

    content = on_span(told)
    assert content[INPUT] == [user("Hi")]
    assert content[OUTPUT][0]["parts"][0] == {"type": "text", "content": "Hello!"}


async def test_events_without_index_are_put_together(api: Api, server: ScriptedServer, telling: Telling) -> None:
    """As llama.cpp sends them."""
    told = telling(capture_content="span")
    events = response_tool_stream(function_call(), function_call("f", "{}"))[:-1]
    server.reply(sse(*({key: value for key, value in event.items() if key != "output_index"} for event in events)))

    await api.drain(await ask(api, stream=True))

    called: Body = {"type": "tool_call", "id": "call_f", "name": "f", "arguments": {}}
    assert on_span(told)[OUTPUT] == [answer(WEATHER, called, finish_reason="error")]


async def test_events_without_their_item_do_no_harm(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    events = [{**event, "item": 5 if event["type"].endswith("done") else None} for event in response_stream()[:-1]]
    server.reply(sse(*events))

    await api.drain(await ask(api, stream=True))

    assert on_span(told)[OUTPUT] == [answer("Hello!", finish_reason="error")]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_that_is_read_again_is_told(
    api: Api, server: ScriptedServer, telling: Telling, *, stream: bool
) -> None:
    if stream:
        need_stream("responses.retrieve")
    told = telling(capture_content="span")
    server.reply(sse(*response_stream("Hel", "lo!")) if stream else response("Hello!"))

    result = await api.call("responses.retrieve", "resp_1", **({"stream": True} if stream else {}))
    if stream:
        await api.drain(result)

    assert on_span(told) == {OUTPUT: [answer("Hello!")]}


async def test_a_compaction_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    if not hasattr(api.client.responses, "compact"):
        pytest.skip("this client has no responses.compact")
    told = telling(capture_content="span")
    server.reply(compacted_response())

    await api.call("responses.compact", model="m", input="Hi")

    [asked], [told_back] = on_span(told)[INPUT], on_span(told)[OUTPUT]
    assert asked == user("Hi")
    assert [part["type"] for part in told_back["parts"]] == ["text", "compaction"]


@pytest.mark.parametrize("status", ["failed", "queued", "in_progress"])
async def test_a_response_without_output_tells_none(
    api: Api, server: ScriptedServer, telling: Telling, status: str
) -> None:
    told = telling(capture_content="span")
    server.reply(response(status=status))

    await ask(api)

    assert on_span(told).get(OUTPUT) == ([answer(finish_reason="error")] if status == "failed" else None)
