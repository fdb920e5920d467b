"""Tool definitions: their names, and only if asked their descriptions and parameters."""

from collections.abc import Iterator
from typing import Any

from otel_openai._content import Part, Writer
from otel_openai._plain import members
from otel_openai._values import listed, text


def tool_definitions(writer: Writer, tools: object, functions: object = None) -> Iterator[Part]:
    """The tools of a request.

    Args:
        writer: Where they are written.
        tools: Of chat, where a function is an object of its own, or of responses, where it is not.
        functions: Predecessor of `tools`.
    """
    for item in listed(tools):
        tool = members(item)
        kind = text(tool.get("type"), 64) or "function"
        inner = tool.get(kind)  # chat: {"type": "function", "function": {...}}
        yield _definition(writer, kind, members(inner) if inner is not None else tool)
    for item in listed(functions):
        yield _definition(writer, "function", members(item))


def _definition(writer: Writer, kind: str, tool: dict[str, Any]) -> Part:
    # A server's tool has no name but its type; what else it has (addresses, headers, tokens) is never told.
    told: Part = {"type": kind, "name": text(tool.get("name"), 128) or text(tool.get("server_label"), 128) or kind}
    if writer.limits.tool_schemas:
        if (description := writer.text("tool_definition", tool.get("description"))) is not None:
            told["description"] = description
        parameters = writer.structure("tool_definition", tool.get("parameters"))
        if isinstance(parameters, dict):  # what was cut is no schema any more
            told["parameters"] = parameters
    return told
