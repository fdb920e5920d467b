"""What tests of raw and streaming responses share: the calls that have them, and how to make them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import openai

from programs import ARGUMENTS
from programs import PLAIN as PLAIN_REPLIES
from streamed import Streamed
from support import Api, has, raw_form


@dataclass(frozen=True)
class Plain:
    """A call whose answer is not streamed."""

    method: str
    arguments: Mapping[str, Any]
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return self.method


PLAIN = [
    Plain(method, ARGUMENTS[method], cast("Mapping[str, Any]", reply))
    for method, reply in PLAIN_REPLIES.items()
    if isinstance(reply, Mapping) and has(raw_form(method, "raw")) and has(raw_form(method, "streaming"))
]


class Model(openai.BaseModel):
    """A type of the app's own."""

    id: str


async def raw(api: Api, call: Plain | Streamed, **more: Any) -> Any:
    return await api.call(raw_form(call.method, "raw"), **call.arguments, **more)


def ask(api: Api, call: Plain | Streamed, **more: Any) -> Any:
    """The manager of a streaming response: nothing is sent before it is entered."""
    manager = reduce(getattr, raw_form(call.method, "streaming").split("."), api.client)
    return manager(**call.arguments, **more)


async def now(api: Api, method: Callable[[], Any]) -> Any:
    return await method() if api.is_async else method()


def without_answer(attributes: dict[str, Any]) -> dict[str, Any]:
    """What is known of a call whose body was not read, or not as its own type."""
    answered = ("gen_ai.response.", "gen_ai.usage.", "openai.response.", "otel_openai.", "gen_ai.embeddings.")
    return {name: value for name, value in attributes.items() if not name.startswith(answered)}


async def every_line(api: Api, answer: Any) -> None:
    async for _ in api.iterate(answer.iter_lines()):
        pass
