"""What the scripted server says that it served.

Read from the bytes of its replies, without the client and without the instrumentation.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from server import Body, Reply

USAGE = {
    "input": ("prompt_tokens", "input_tokens"),
    "output": ("completion_tokens", "output_tokens"),
    "cache_read_input": ("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"),
    "reasoning_output": ("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
}
"""Where the bodies of the two kinds of API have token usage."""


@dataclass
class Tally:
    """What was served."""

    calls: int = 0
    retries: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])
    tokens: Counter[str] = field(default_factory=Counter[str])
    seconds: int = 0
    finish_reasons: Counter[str] = field(default_factory=Counter[str])
    tools: Counter[str] = field(default_factory=Counter[str])
    streams: Counter[str] = field(default_factory=Counter[str])

    def add(self, replies: Sequence[Reply], error: str, stream: str) -> None:
        """Count one call, of which the last reply decides."""
        self.calls += 1
        self.retries += len(replies) - 1
        if error:
            self.errors[error] += 1
        if stream:
            self.streams[stream] += 1
        usage: Body = {}
        for body in _bodies(replies[-1]):
            whole = body.get("response") or body
            usage = whole.get("usage") or usage
            self._count_answers(whole, is_last=body.get("type") in {None, "response.completed"})
        self.seconds += usage.get("seconds", 0)
        for kind, names in USAGE.items():
            self.tokens[kind] += next((found for name in names if (found := _inside(usage, name))), 0)

    def _count_answers(self, body: Body, *, is_last: bool) -> None:
        for choice in body.get("choices", ()):
            if reason := choice.get("finish_reason"):
                self.finish_reasons[reason] += 1
            said: Body = choice.get("message") or choice.get("delta") or {}
            self.tools.update(
                name for call in said.get("tool_calls") or () if (name := call.get("function", {}).get("name"))
            )
        if is_last and "output" in body:
            called = [item["name"] for item in body["output"] if item["type"] == "function_call"]
            self.tools.update(called)
            self.finish_reasons["tool_calls" if called else "stop"] += 1


def _inside(body: Any, path: str) -> int:
    for name in path.split("."):
        body = body.get(name, {})
    return body or 0


def _bodies(reply: Reply) -> Iterator[Body]:
    """The JSON objects of a reply, up to where it breaks off."""
    text = b"".join(step for step in reply.steps if isinstance(step, bytes)).decode()
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith(("data: ", "{"))]
    yield from (json.loads(line) for line in lines if line.startswith("{"))
