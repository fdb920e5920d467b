"""What Responses tell: every status, every kind of tool, and every method besides `create`."""

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from expected import NO_RESPONSE_USAGE, RESPONSE_USAGE, Attributes, at, changed
from server import (
    ABSENT,
    MODEL,
    Body,
    ScriptedServer,
    compacted_response,
    error_reply,
    function_call,
    openai_error,
    output_message,
    reasoning_item,
    response,
    response_usage,
)
from server.responses import RESPONSE_ID
from support import Api, Told, attributes_of


def answered(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "openai.api.type": "responses",
        "http.response.status_code": 200,
        "gen_ai.response.id": RESPONSE_ID,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ["stop"],
        "openai.response.service_tier": "default",
        "otel_openai.tool_call.count": 0,
    }
    return changed({**at(server), **answer, **RESPONSE_USAGE}, *changes)


async def respond(api: Api, **arguments: Any) -> Any:
    return await api.call("responses.create", **{"model": "gpt-4o-mini", "input": "Hi", **arguments})


def _tools(*names: str, reason: str = "tool_calls") -> Attributes:
    return {
        "gen_ai.response.finish_reasons": [reason],
        "otel_openai.tool_call.count": len(names),
        "otel_openai.tool_call.names": list(names),
    }


def _finish(*reasons: str) -> Attributes:
    return {"gen_ai.response.finish_reasons": list(reasons) or None}


# No end yet: how many tools it will call is not known.
_UNDER_WAY: Attributes = {**_finish(), **NO_RESPONSE_USAGE, "otel_openai.tool_call.count": None}


def _with(*items: Body, **fields: Any) -> Body:
    return response(output=list(items), **fields)


def _item(kind: str, **fields: Any) -> Body:
    return {"type": kind, "id": f"{kind}_1", "status": "completed", **fields}


_SHELL = {"call_id": "c", "action": {"commands": ["ls"]}}
_SEARCH: Body = {"call_id": None, "arguments": {}}

ANSWERS: dict[str, tuple[Any, Attributes]] = {
    "text": (response(), {}),
    "incomplete": (response(status="incomplete"), _finish("max_output_tokens")),
    "incomplete by the filter": (
        response(status="incomplete", incomplete_details={"reason": "content_filter"}),
        _finish("content_filter"),
    ),
    "incomplete without a reason": (response(status="incomplete", incomplete_details=None), _finish("incomplete")),
    "queued": (response(status="queued"), _UNDER_WAY),
    "in progress": (response(status="in_progress"), _UNDER_WAY),
    "cancelled": (response(status="cancelled"), {**_finish("cancelled"), **NO_RESPONSE_USAGE}),
    "an unknown status": (response(status="paused"), {**_finish("paused"), **NO_RESPONSE_USAGE}),
    "reasoning": (
        _with(reasoning_item("Hm."), output_message(), usage=response_usage(9, 30, cached=4, reasoning=18)),
        {
            "gen_ai.usage.output_tokens": 30,
            "gen_ai.usage.cache_read.input_tokens": 4,
            "gen_ai.usage.reasoning.output_tokens": 18,
        },
    ),
    "a function": (_with(function_call()), _tools("get_weather")),
    "two functions and text": (
        _with(output_message(), function_call(), function_call("get_time")),
        _tools("get_weather", "get_time"),
    ),
    "a function that was cut": (
        _with(function_call(arguments='{"ci'), status="incomplete"),
        _tools("get_weather", reason="max_output_tokens"),
    ),
    "a custom tool": (_with(_item("custom_tool_call", name="run_sql", call_id="c", input="x")), _tools("run_sql")),
    "a computer": (_with(_item("computer_call", call_id="c")), _tools("computer")),
    "a local shell": (_with(_item("local_shell_call", call_id="c")), _tools("local_shell")),
    "a shell of the app's": (_with(_item("shell_call", **_SHELL, environment={"type": "local"})), _tools("shell")),
    "a patch": (_with(_item("apply_patch_call", call_id="c")), _tools("apply_patch")),
    "a search of the app's": (_with(_item("tool_search_call", **_SEARCH, execution="client")), _tools("tool_search")),
    "tools that the server has run": (
        _with(
            _item("web_search_call"),
            _item("file_search_call", queries=[]),
            _item("code_interpreter_call", code="1"),
            _item("image_generation_call", result=None),
            _item("mcp_list_tools", tools=[], server_label="s"),
            _item("mcp_call", name="lookup", arguments="{}", server_label="s"),
            _item("shell_call", **_SHELL, environment={"type": "container_reference", "container_id": "c"}),
            _item("shell_call_output", call_id="c", output=[]),
            _item("tool_search_call", **_SEARCH, execution="server"),
            output_message(),
        ),
        _tools(
            "web_search",
            "file_search",
            "code_interpreter",
            "image_generation",
            "lookup",
            "shell",
            "tool_search",
            reason="stop",
        ),
    ),
    "a fingerprint": (response(system_fingerprint="fp_1"), {"openai.response.system_fingerprint": "fp_1"}),
    "no output": (response(output=[]), {}),
    "null output": (response() | {"output": None}, {"otel_openai.tool_call.count": None}),
    "odd output": (_with({}, {"type": 5}, {"type": {}}, {"type": "function_call"}), _tools("function")),
    "no usage": (response(usage=None), NO_RESPONSE_USAGE),
    "usage of another API": (
        response(usage={"prompt_tokens": 3, "completion_tokens": 4}),
        {**NO_RESPONSE_USAGE, "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4},
    ),
    "nothing": (
        {},
        {
            **NO_RESPONSE_USAGE,
            **_finish(),
            **dict.fromkeys(
                (
                    "gen_ai.response.id",
                    "gen_ai.response.model",
                    "openai.response.service_tier",
                    "otel_openai.tool_call.count",
                )
            ),
        },
    ),
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_an_answer_tells_what_it_holds(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    body, changes = ANSWERS[shape]
    server.reply(body)

    await respond(api)

    assert told.span.name == "chat gpt-4o-mini"
    assert told.span.kind.name == "CLIENT"
    assert told.span.status.status_code.name == "UNSET"
    assert told.attributes == answered(server, changes)


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        ({"code": "server_error", "message": "Failed."}, "server_error"),
        ({"code": "rate_limit_exceeded", "message": "Slow down."}, "rate_limit_exceeded"),
        ({"code": "something_new", "message": "Failed."}, "provider_error"),
        (None, "provider_error"),
    ],
)
async def test_a_failed_response_is_an_error(
    api: Api, server: ScriptedServer, told: Told, error: Body | None, error_type: str
) -> None:
    server.reply(response(status="failed", error=error))

    await respond(api)

    assert told.span.status.status_code.name == "ERROR"
    failed = {**_finish("error"), **NO_RESPONSE_USAGE, "error.type": error_type}
    assert told.attributes == answered(server, failed)


async def test_a_template_needs_no_model(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(response())

    try:
        await api.call("responses.create", prompt={"id": "pmpt_1", "version": "2", "variables": {"city": "Paris"}})
    except TypeError as error:
        pytest.skip(f"openai {openai.__version__}: {error}")

    assert told.span.name == "chat"
    template = {"gen_ai.request.model": None, "gen_ai.prompt.name": "pmpt_1", "gen_ai.prompt.version": "2"}
    assert told.attributes == answered(server, template)


class Person(BaseModel):
    name: str


async def test_a_parsed_response_tells_the_same(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(response('{"name":"Ada"}'))

    answer = await api.call("responses.parse", model="gpt-4o-mini", input="Hi", text_format=Person)

    assert answer.output_parsed == Person(name="Ada")
    assert told.attributes == answered(server, {"gen_ai.output.type": "json"})


async def test_a_background_response_is_billed_once_however_often_it_is_read(
    api: Api, server: ScriptedServer, told: Told
) -> None:
    done = response(output=[function_call()])
    server.reply(response(status="queued"), response(status="in_progress"), done, done)

    queued = await respond(api, extra_body={"background": True})
    for _ in range(3):
        await api.call("responses.retrieve", queued.id)

    begun, *reads = map(attributes_of, told.spans)
    assert begun == answered(server, _UNDER_WAY)
    fetched = {
        "gen_ai.operation.name": "fetch_response",
        "gen_ai.request.model": None,
        "otel_openai.tool_call.count": None,
        **NO_RESPONSE_USAGE,
    }
    assert reads == [
        answered(server, fetched, _finish()),
        answered(server, fetched, _finish("tool_calls")),
        answered(server, fetched, _finish("tool_calls")),
    ]
    assert [span.name for span in told.spans] == ["chat gpt-4o-mini"] + ["fetch_response"] * 3
    for metric in ("token.usage", "inference.usage.input_tokens", "inference.usage.output_tokens"):
        assert told.points(f"gen_ai.client.{metric}") == []
    assert told.points("otel_openai.finish_reasons") == []
    assert told.points("otel_openai.tool_calls") == []
    assert told.total("gen_ai.client.operation.duration", gen_ai__operation__name="fetch_response") > 0


async def test_a_response_that_failed_is_read_without_failing(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(response(status="failed"))

    await api.call("responses.retrieve", RESPONSE_ID)

    assert told.span.status.status_code.name == "UNSET"
    assert told.attributes["gen_ai.response.finish_reasons"] == ["error"]
    assert "error.type" not in told.attributes


async def test_a_response_that_is_not_found_is_an_error(api: Api, server: ScriptedServer, told: Told) -> None:
    error = openai_error(404, kind="invalid_request_error", code="response_not_found")
    server.reply(error_reply(404, error))

    with pytest.raises(openai.NotFoundError):
        await api.call("responses.retrieve", "resp_nope")

    assert told.span.name == "fetch_response"
    assert told.attributes["gen_ai.response.id"] == "resp_nope"
    assert told.attributes["error.type"] == "NotFoundError"


async def test_compacting_is_billed(api: Api, server: ScriptedServer, told: Told) -> None:
    if not hasattr(api.client.responses, "compact"):
        pytest.skip(f"openai {openai.__version__} has no responses.compact")
    call = function_call()
    server.reply(compacted_response(output=[call, {"id": "cmp_1", "type": "compaction", "encrypted_content": "g"}]))

    await api.call("responses.compact", model="gpt-4o-mini", input="Hi")

    compacted = {
        **_finish(),
        "gen_ai.response.id": "resp_001",
        "gen_ai.response.model": None,
        "openai.response.service_tier": None,
        "otel_openai.tool_call.count": None,
        "gen_ai.usage.input_tokens": 139,
        "gen_ai.usage.output_tokens": 438,
        "gen_ai.usage.reasoning.output_tokens": 64,
    }
    assert told.attributes == answered(server, compacted)
    assert told.total("gen_ai.client.inference.usage.output_tokens") == 438
    assert told.points("otel_openai.tool_calls") == []


async def test_what_is_no_inference_is_no_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always({"object": "list", "data": [], "deleted": True, "id": RESPONSE_ID, "status": ABSENT.value})

    await api.call("models.list")
    await api.call("responses.delete", RESPONSE_ID)
    await api.call("responses.input_items.list", RESPONSE_ID)

    assert told.spans == []
    assert told.points("gen_ai.client.operation.duration") == []
