"""Content of responses: input and output items of every type, which are the same in a request and in an answer."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from otel_openai import _semconv as names
from otel_openai._content import Kind, Message, Part, Writer
from otel_openai._plain import members
from otel_openai._values import listed
from otel_openai._values import text as short_text
from otel_openai.operations._base import Messages
from otel_openai.operations._chat_content import content_parts, finish_reason, tool_result, unknown_part
from otel_openai.operations._responses_finish import UNDER_WAY, as_object, finish_reasons
from otel_openai.operations._responses_stream import ResponsesContentObserver
from otel_openai.operations._tools_content import tool_definitions

_Fields: TypeAlias = Mapping[str, Any]
_Tell: TypeAlias = Callable[[Writer, Kind, _Fields], Iterator[Part | None]]


def _request(writer: Writer, params: _Fields) -> None:
    writer.newest(names.INPUT_MESSAGES, _input_items(params), _asked)
    instructions = content_parts(writer, "instructions", params.get("instructions"))
    writer.parts(names.SYSTEM_INSTRUCTIONS, instructions)
    writer.parts(names.TOOL_DEFINITIONS, tool_definitions(writer, params.get("tools")))


def _input_items(params: _Fields) -> list[Any]:
    asked = params.get("input")
    return [{"role": "user", "content": asked}] if isinstance(asked, str) else listed(asked)


def _asked(writer: Writer, item: Any) -> Message:
    told = members(item)
    role = told.get("role")
    kind: Kind = "instructions" if role in ("system", "developer") else "prompt"
    return writer.message(role or _role(told.get("type")), item_parts(writer, kind, told))


def _role(item_type: object) -> str:
    if not isinstance(item_type, str) or item_type in ("item_reference", "mcp_approval_response"):
        return "user"
    return "tool" if item_type.endswith("_output") else "assistant"


def item_parts(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    """The parts of one item."""
    item_type = short_text(told.get("type"), 64) or "message"
    if item_type.endswith("_output"):
        call_id = told.get("call_id") or told.get("id")
        found = list(tool_definitions(writer, told.get("tools"))) or None  # they may hold tokens of servers
        yield tool_result(writer, call_id, told.get("output") or told.get("result") or found)
    elif item_type in _BY_SERVER:
        yield from _server_tool(writer, told, item_type)
    else:
        yield from _ITEMS.get(item_type, _unknown)(writer, kind, told)


def _message(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    return content_parts(writer, kind, told.get("content"))


def _reasoning(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    """Summaries and text; what is encrypted is for the server alone."""
    for item in listed(told.get("summary")) + listed(told.get("content")):
        yield writer.part(kind, members(item).get("text"), "reasoning")


def _call(arguments: str, *, is_json: bool = True) -> _Tell:
    """A call that the app is asked to run."""

    def tell(writer: Writer, _: Kind, told: _Fields) -> Iterator[Part | None]:
        name = told.get("name") or str(told.get("type")).removesuffix("_call")
        yield writer.tool_call(told.get("call_id") or told.get("id"), name, told.get(arguments), is_json=is_json)

    return tell


def _computer_call(writer: Writer, _: Kind, told: _Fields) -> Iterator[Part | None]:
    yield writer.tool_call(told.get("call_id"), "computer", told.get("action") or told.get("actions"))


def _image(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    """A picture that the server has drawn for the answer."""
    yield from _server_tool(writer, told, "image_generation_call")
    form = short_text(told.get("output_format"), 32)
    yield writer.base64("image", told.get("result"), None if form is None else f"image/{form}")
    yield writer.part(kind, told.get("revised_prompt"), "revised_prompt")


def _reference(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    """An item that says no more than its id, or nothing that anyone can read."""
    part: Part = {"type": short_text(told.get("type"), 64)}
    if (identity := writer.text(kind, told.get("id"))) is not None:
        part["id"] = identity
    yield part


def _unknown(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    yield unknown_part(writer, kind, told)


_ITEMS: Mapping[str, _Tell] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call("arguments"),
    "custom_tool_call": _call("input", is_json=False),
    "computer_call": _computer_call,
    "local_shell_call": _call("action"),
    "shell_call": _call("action"),
    "apply_patch_call": _call("operation"),
    "image_generation_call": _image,
    "compaction": _reference,
    "item_reference": _reference,
    "additional_tools": _reference,  # definitions may hold tokens of servers
}

# Tools that the server runs itself: what it asked for, and what came of it.
_BY_SERVER: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "web_search_call": (("action",), ()),
    "file_search_call": (("queries",), ("results",)),
    "code_interpreter_call": (("code",), ("outputs",)),
    "mcp_call": (("server_label", "arguments"), ("output", "error")),
    "mcp_list_tools": (("server_label",), ("tools", "error")),
    "tool_search_call": (("arguments",), ()),
    "program": (("code",), ()),
}


def _server_tool(writer: Writer, told: _Fields, item_type: str) -> Iterator[Part | None]:
    asked, answered = _BY_SERVER.get(item_type, ((), ()))
    name = short_text(told.get("name"), 128) or item_type.removesuffix("_call")
    identity = writer.text("tool_arguments", told.get("id"))
    called = {} if identity is None else {"id": identity}
    request = _details(writer, "tool_arguments", told, item_type, asked)
    yield {"type": "server_tool_call", **called, "name": name, "server_tool_call": request}
    if any(told.get(field) is not None for field in answered):
        response = _details(writer, "tool_result", told, item_type, answered)
        yield {"type": "server_tool_call_response", **called, "server_tool_call_response": response}


def _details(writer: Writer, kind: Kind, told: _Fields, item_type: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    told_fields = ((field, told.get(field)) for field in wanted)
    return {
        "type": item_type,
        **{field: writer.structure(kind, value) for field, value in told_fields if value is not None},
    }


def _response(writer: Writer, result: Any) -> None:
    """A response is one choice: one message, of all its items."""
    told = members(result)
    if not listed(told.get("output")) and told.get("status") in (None, *UNDER_WAY):
        return
    writer.choices(names.OUTPUT_MESSAGES, [result], _answered)


def _answered(writer: Writer, result: Any) -> Message:
    told = members(result)
    seen = as_object(result) if isinstance(result, dict) else result
    reasons = finish_reasons(seen, told.get("status"), has_calls=True)
    items = listed(told.get("output"))
    parts = (part for item in items for part in item_parts(writer, "answer", members(item)))
    reason = finish_reason({"finish_reason": reasons[0] if reasons else None})
    return writer.message("assistant", parts, finish_reason=reason)


def _nothing(_: Writer, __: _Fields) -> None:
    """A response that is read again was asked for before."""


def _decision_request(writer: Writer, params: _Fields) -> None:
    """What is to be judged, and a message of the questions: each is a part of the question's type."""
    questions = {"role": "user", "content": params.get("questions")}
    writer.newest(names.INPUT_MESSAGES, [*_input_items(params), questions], _asked)


def _decision_response(writer: Writer, result: Any) -> None:
    answers = listed(members(result).get("answers"))
    writer.choices(names.OUTPUT_MESSAGES, [answers] if answers else [], _decided)


def _decided(writer: Writer, answers: list[Any]) -> Message:
    parts = (unknown_part(writer, "answer", members(answer)) for answer in answers)
    return writer.message("assistant", parts, finish_reason="stop")


RESPONSES_MESSAGES = Messages(request=_request, response=_response, observer=ResponsesContentObserver)
DECISIONS_MESSAGES = Messages(request=_decision_request, response=_decision_response)
FETCH_MESSAGES = Messages(request=_nothing, response=_response, observer=ResponsesContentObserver)
