"""What tests of content share: the content that was told, as plain values that follow the conventions' schemas."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from support import Told, attributes_of

INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
TOOLS = "gen_ai.tool.definitions"
QUERY = "gen_ai.retrieval.query.text"
DOCUMENTS = "gen_ai.retrieval.documents"
CONTENT = (INPUT, OUTPUT, INSTRUCTIONS, TOOLS, QUERY, DOCUMENTS)
CUT = "otel_openai.content.cut"
DETAILS = "gen_ai.client.inference.operation.details"

_SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "schemas" / "gen-ai.json").read_text())
Content = dict[str, Any]


def valid(attributes: Mapping[str, Any]) -> Content:
    """The content among attributes, held to the schemas."""
    found = {name: attributes[name] for name in CONTENT if name in attributes}
    for name, value in found.items():
        _VALIDATORS[name].validate(value)
        for part in _parts(name, value):
            assert not str(part.get("uri")).startswith("data:")
            if (
                known := _KNOWN.get((name == TOOLS, part.get("type")))
            ) is not None:  # else it would pass as a generic one
                known.validate(part)
    return found


def _parts(name: str, value: Any) -> list[dict[str, Any]]:
    if name in (INPUT, OUTPUT):
        return [part for told in value for part in told["parts"]]
    return [] if name == QUERY else value


def _validator(schema: Mapping[str, Any]) -> Any:
    return Draft202012Validator({"$defs": _SCHEMAS["$defs"], **schema})


_VALIDATORS = {name: _validator(schema) for name, schema in _SCHEMAS.items() if name.startswith("gen_ai.")}
_VALIDATORS[QUERY] = _validator({"type": "string"})
_KNOWN = {
    (title.endswith("ToolDefinition"), definition["properties"]["type"]["const"]): _validator(definition)
    for title, definition in _SCHEMAS["$defs"].items()
    if "const" in definition.get("properties", {}).get("type", ())
}


def on_spans(told: Told) -> list[Content]:
    """The content of every span."""
    parsed = [
        {
            name: value if name == QUERY else json.loads(value)
            for name, value in attributes_of(span).items()
            if name in CONTENT
        }
        for span in told.spans
    ]
    return [valid(content) for content in parsed]


def on_span(told: Told) -> Content:
    """The content of the only span."""
    [content] = on_spans(told)
    return content


def on_event(told: Told) -> Content:
    """The content of the only details event."""
    [event] = [event for event in told.events if event.event_name == DETAILS]
    return valid(listed_all(event.attributes))


def listed_all(value: Any) -> Any:
    """A value with lists where the SDK has made tuples."""
    if isinstance(value, Mapping):
        members: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: listed_all(member) for key, member in members.items()}
    if isinstance(value, (list, tuple)):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return [listed_all(item) for item in items]
    return value


def user(*parts: Any) -> dict[str, Any]:
    """A message of the user; a text stands for a part of it."""
    return message("user", *parts)


def message(role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    """A message; a text stands for a part of it."""
    told = [{"type": "text", "content": part} if isinstance(part, str) else part for part in parts]
    return {"role": role, "parts": told, **more}


def answer(*parts: Any, finish_reason: str = "stop") -> dict[str, Any]:
    """A message of the model."""
    return message("assistant", *parts, finish_reason=finish_reason)
