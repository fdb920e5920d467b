"""What tests of raw and streaming responses share: the calls that have them, and how to make them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import openai

from server import Body, chat, completion, embeddings, response
from streamed import CHAT, COMPLETIONS, RESPONSES, Streamed
from support import Api


@dataclass(frozen=True)
class Plain:
    """A call whose answer is not streamed."""

    resource: str
    arguments: Mapping[str, Any]
    body: Body

    def __str__(self) -> str:
        return self.resource


PLAIN = [
    Plain("chat.completions", CHAT.arguments, chat()),
    Plain("completions", COMPLETIONS.arguments, completion()),
    Plain("responses", RESPONSES.arguments, response()),
    Plain("embeddings", {"model": "text-embedding-3-small", "input": "Hello"}, embeddings(as_base64=True)),
]


class Model(openai.BaseModel):
    """A type of the app's own."""

    id: str


async def raw(api: Api, call: Plain | Streamed, **more: Any) -> Any:
    resource = call.resource if isinstance(call, Plain) else call.method.removesuffix(".create")
    return await api.call(f"{resource}.with_raw_response.create", **call.arguments, **more)


def ask(api: Api, call: Plain | Streamed, **more: Any) -> Any:
    """The manager of a streaming response: nothing is sent before it is entered."""
    resource = api.client
    for name in (call.resource if isinstance(call, Plain) else call.method.removesuffix(".create")).split("."):
        resource = getattr(resource, name)
    return resource.with_streaming_response.create(**call.arguments, **more)


async def now(api: Api, method: Callable[[], Any]) -> Any:
    return await method() if api.is_async else method()


def without_answer(attributes: dict[str, Any]) -> dict[str, Any]:
    """What is known of a call whose body was not read, or not as its own type."""
    answered = ("gen_ai.response.", "gen_ai.usage.", "openai.response.", "otel_openai.", "gen_ai.embeddings.")
    return {name: value for name, value in attributes.items() if not name.startswith(answered)}


async def every_line(api: Api, answer: Any) -> None:
    async for _ in api.iterate(answer.iter_lines()):
        pass
