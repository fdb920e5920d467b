"""Content of chat completions: messages asked, choices answered, and the choices put together from a stream."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from otel_openai import _semconv as names
from otel_openai._binary import Binary
from otel_openai._content import Kind, Message, Part, Writer
from otel_openai._plain import members
from otel_openai._values import listed
from otel_openai._values import text as short_text
from otel_openai.operations._base import Messages
from otel_openai.operations._chat_stream import ChatContentObserver
from otel_openai.operations._choices import FinishReasons
from otel_openai.operations._tools_content import tool_definitions

_Fields: TypeAlias = Mapping[str, Any]

# A finish reason in the words of the conventions' messages.
_FINISH = {"tool_calls": "tool_call", "function_call": "tool_call"}


def _request(writer: Writer, params: _Fields) -> None:
    writer.newest(names.INPUT_MESSAGES, listed(params.get("messages")), _asked)
    writer.parts(names.TOOL_DEFINITIONS, tool_definitions(writer, params.get("tools"), params.get("functions")))


def _asked(writer: Writer, message: Any) -> Message:
    told = members(message)
    role = told.get("role")
    kind: Kind = "instructions" if role in ("system", "developer") else "prompt"
    if role == "tool":
        parts = iter([tool_result(writer, told.get("tool_call_id"), told.get("content"))])
    elif role == "function":  # the predecessor of `tool`
        parts = iter([tool_result(writer, None, told.get("content"))])
    else:
        parts = message_parts(writer, kind, told)
    return writer.message(role, parts, name=short_text(writer.text(kind, told.get("name"))))


def tool_result(writer: Writer, call_id: object, result: Any) -> Part:
    """A tool's result: any value, or a list of parts as messages have them."""
    if any(members(item).get("type") in PARTS for item in listed(result)):
        told = [part for part in content_parts(writer, "tool_result", result) if part is not None]
        return {**writer.tool_result(call_id, None), "response": told}
    return writer.tool_result(call_id, result)


def message_parts(writer: Writer, kind: Kind, told: _Fields) -> Iterator[Part | None]:
    """The parts of one message, asked or answered."""
    yield writer.part(kind, told.get("reasoning_content") or told.get("reasoning"), "reasoning")
    yield from content_parts(writer, kind, told.get("content"))
    yield writer.part(kind, told.get("refusal"), "refusal")
    if audio := told.get("audio"):
        yield _audio(writer, kind, members(audio))
    for call in listed(told.get("tool_calls")):
        yield _tool_call(writer, members(call))
    if function := told.get("function_call"):  # the predecessor of tool calls
        called = members(function)
        yield writer.tool_call(None, called.get("name"), called.get("arguments"))


def _tool_call(writer: Writer, call: _Fields) -> Part:
    if custom := call.get("custom"):
        called = members(custom)
        return writer.tool_call(call.get("id"), called.get("name"), called.get("input"), is_json=False)
    called = members(call.get("function"))
    return writer.tool_call(call.get("id"), called.get("name"), called.get("arguments"))


def _audio(writer: Writer, kind: Kind, audio: _Fields) -> Part | None:
    """Speech of an answer: its data and transcript, or, in a later request, its id."""
    data = audio.get("data")
    part = writer.binary("audio", data) if isinstance(data, Binary) else writer.base64("audio", data)
    if part is None and (identity := writer.text(kind, audio.get("id"))) is not None:
        part = {"type": "file", "modality": "audio", "file_id": identity}
    if (transcript := writer.text(kind, audio.get("transcript"))) is not None:
        part = part or {"type": "omitted", "modality": "audio"}
        part["transcript"] = transcript
    return part


def content_parts(writer: Writer, kind: Kind, content: Any) -> Iterator[Part | None]:
    """The content of a message: text, or a list of parts."""
    if isinstance(content, str):
        yield writer.part(kind, content)
        return
    for item in listed(content):
        told = {"type": "text", "text": item} if isinstance(item, str) else members(item)
        told_type = told.get("type")
        tell = PARTS.get(told_type) if isinstance(told_type, str) else None
        yield (tell or unknown_part)(writer, kind, told)


def unknown_part(writer: Writer, kind: Kind, told: _Fields) -> Part | None:
    """A part of no known type: its type, and its fields as they are, but for what is for the server alone."""
    if not told:
        return None
    given = short_text(told.get("type"), 64)
    of_type = "unknown" if given is None or given in _TAKEN else given
    left_out = ("encrypted_content", "type" if given == of_type else None)
    rest = {key: value for key, value in told.items() if key not in left_out and value is not None}
    return {"type": of_type, "content": writer.structure(kind, rest)}


# What the conventions have a shape for, which these have not.
_TAKEN = frozenset(
    {
        "text",
        "reasoning",
        "tool_call",
        "tool_call_response",
        "server_tool_call",
        "server_tool_call_response",
        "blob",
        "file",
        "uri",
        "compaction",
    }
)


def _text(field: str, of_type: str = "text") -> "_Tell":
    def tell(writer: Writer, kind: Kind, told: _Fields) -> Part | None:
        return writer.part(kind, told.get(field), of_type)

    return tell


def _link(field: str, modality: str) -> "_Tell":
    """A URL, or an object that has one; or a file by its id."""

    def tell(writer: Writer, kind: Kind, told: _Fields) -> Part | None:
        address = told.get(field)
        url = address if isinstance(address, str) else members(address).get("url")
        return writer.link(kind, modality, url) or _file_id(writer, kind, modality, told)

    return tell


def _input_audio(writer: Writer, _: Kind, told: _Fields) -> Part | None:
    audio = members(told.get("input_audio"))
    form = short_text(audio.get("format"), 32)
    return writer.base64("audio", audio.get("data"), None if form is None else f"audio/{form}")


def _file(writer: Writer, kind: Kind, told: _Fields) -> Part | None:
    file = members(told.get("file")) or told
    part = (
        writer.base64("document", file.get("file_data"))
        or _file_id(writer, kind, "document", file)
        or writer.link(kind, "document", file.get("file_url"))
    )
    if part is not None and (name := writer.text(kind, file.get("filename"))) is not None:
        part["filename"] = name
    return part


def _file_id(writer: Writer, kind: Kind, modality: str, told: _Fields) -> Part | None:
    identity = writer.text(kind, told.get("file_id"))
    return None if identity is None else {"type": "file", "modality": modality, "file_id": identity}


def _thinking(writer: Writer, kind: Kind, told: _Fields) -> Part | None:
    """Reasoning of Mistral's models: a list of texts."""
    texts = [members(item).get("text") for item in listed(told.get("thinking"))]
    return writer.part(kind, "".join(text for text in texts if isinstance(text, str)), "reasoning")


_Tell: TypeAlias = Callable[[Writer, Kind, _Fields], Part | None]
PARTS: Mapping[str, _Tell] = {
    "text": _text("text"),
    "input_text": _text("text"),
    "output_text": _text("text"),
    "refusal": _text("refusal", "refusal"),
    "thinking": _thinking,
    "image_url": _link("image_url", "image"),
    "input_image": _link("image_url", "image"),
    "video_url": _link("video_url", "video"),  # vLLM
    "audio_url": _link("audio_url", "audio"),  # vLLM
    "input_audio": _input_audio,
    "file": _file,
    "input_file": _file,
}
"""How each type of part is told, of chat and of responses."""


def _response(writer: Writer, result: Any) -> None:
    order = FinishReasons()
    choices: dict[int, _Fields] = {}
    for position, item in enumerate(listed(members(result).get("choices"))):
        choice = members(item)
        choices.setdefault(order.whole(choice.get("index"), position), choice)
    writer.choices(names.OUTPUT_MESSAGES, [choices[key] for key in sorted(choices)], _answered)


def _answered(writer: Writer, choice: _Fields) -> Message:
    told = members(choice.get("message"))
    parts = message_parts(writer, "answer", told)
    return writer.message(told.get("role") or "assistant", parts, finish_reason=finish_reason(choice))


def finish_reason(choice: _Fields) -> str:
    """Why a choice ended, in the words of the conventions' messages."""
    reason = short_text(choice.get("finish_reason"), 64) or names.FINISH_ERROR
    return _FINISH.get(reason, reason)


CHAT_MESSAGES = Messages(request=_request, response=_response, observer=ChatContentObserver)
