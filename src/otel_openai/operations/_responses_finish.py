"""How a response ended, in the words of chat, so that both APIs are counted together."""

from types import SimpleNamespace
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import fields, listed, text

UNDER_WAY = ("queued", "in_progress")


def finish_reasons(result: Any, status: object, *, has_calls: bool) -> list[str]:
    """A response is one choice. Its status is told in the words of chat.

    Completed is `stop`, or `tool_calls` where the app is asked to run a tool; incomplete is the server's own reason;
    queued and in progress are no end yet.
    """
    if status == "completed":
        return ["tool_calls" if has_calls and _asks_app(result) else "stop"]
    if status == "incomplete":
        details = getattr(result, "incomplete_details", None)
        return [text(fields(details).get("reason"), 64) or "incomplete"]
    if status == "failed":
        return [names.FINISH_ERROR]
    if status in UNDER_WAY:
        return []
    spelled = text(status, 64)
    return [spelled] if spelled else []


_RUN_BY_APP = frozenset({"function_call", "custom_tool_call", "computer_call", "local_shell_call", "apply_patch_call"})


def _asks_app(result: Any) -> bool:
    return any(_is_run_by_app(item) for item in listed(result.output))


def _is_run_by_app(item: Any) -> bool:
    kind = getattr(item, "type", None)
    if kind == "shell_call":  # in a container of the server's, or on the app's machine
        return fields(getattr(item, "environment", None)).get("type") == "local"
    if kind == "tool_search_call":
        return getattr(item, "execution", None) == "client"
    return isinstance(kind, str) and kind in _RUN_BY_APP


def as_object(response: Any) -> Any:
    """A response in an event that this version of the client does not know: it comes as plain JSON."""
    items: list[Any] = listed(response.get("output"))
    output = [SimpleNamespace(**item) if isinstance(item, dict) else item for item in items]
    return SimpleNamespace(**{**response, "output": output})
