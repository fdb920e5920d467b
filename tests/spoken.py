"""The APIs that speak over WebSocket, as data; and how a test drives a connection of either kind of client."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from programs import entered, has, settle
from server import MODEL, Body, response_stream
from server.realtime import (
    CONVERSATION_ID,
    REALTIME_ID,
    REALTIME_MODEL,
    SESSION_ID,
    realtime_error,
    realtime_session,
    realtime_stream,
)
from server.sockets import SocketServer
from streamed import TIMES
from support import Api, Told, attributes_of

CREATE: Body = {"type": "response.create"}


@dataclass(frozen=True)
class Spoken:
    """One API."""

    method: str
    """What connects."""
    arguments: Mapping[str, Any]
    """Of that method."""
    hello: list[Body]
    """What the server sends at once."""
    create: Body
    """What asks for a response."""
    events: list[Body]
    """A whole response."""
    begun_after: int
    """So many events in, the first output has come."""
    refusal: Body
    """What refuses a request."""
    told: Mapping[str, Any]
    """What the request and the first event tell."""
    finished: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the end tells besides, or instead."""

    @property
    def begin(self) -> list[Body]:
        """The first events, output included."""
        return self.events[: self.begun_after]

    @property
    def rest(self) -> list[Body]:
        """The other events."""
        return self.events[self.begun_after :]

    def connect(self, api: Api, **more: Any) -> Any:
        """The client's manager."""
        manager = api.client
        for name in self.method.split("."):
            manager = getattr(manager, name)
        return manager(**self.arguments, **more)

    @asynccontextmanager
    async def connected(self, api: Api, **more: Any) -> AsyncGenerator["Line", None]:
        """A connection, past what the server says at once."""
        async with entered(self.connect(api, **more)) as connection:
            line = Line(connection)
            for _ in self.hello:
                await line.recv()
            yield line

    def expected(self, outcome: str, chunks: int, server: SocketServer, *, answered: bool = True) -> dict[str, Any]:
        """Every attribute of a span, times and the id of the connection apart."""
        told = {name: value for name, value in self.told.items() if answered or not name.startswith(_ANSWERED)}
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai_compatible",
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "gen_ai.request.stream": True,
            **told,
            **(self.finished if outcome == "completed" else {}),
            "otel_openai.stream.outcome": outcome,
            "otel_openai.stream.chunk.count": chunks,
        }


class Line:
    """A connection of either kind of client."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def recv(self) -> Any:
        """Receive one event."""
        return await settle(self.connection.recv())

    async def take(self, count: int) -> list[Any]:
        """Receive so many events."""
        return [await self.recv() for _ in range(count)]

    async def send(self, event: Any) -> None:
        """Send one event."""
        await settle(self.connection.send(event))

    async def close(self) -> None:
        """Close the connection."""
        await settle(self.connection.close())

    async def drain(self) -> list[Any]:
        """Receive every event until the server closes the connection."""
        if hasattr(self.connection, "__aiter__"):
            return [event async for event in self.connection]
        return list(self.connection)


_ANSWERED = ("gen_ai.response.", "gen_ai.conversation.", "openai.response.", "otel_openai.tool_call")

_REALTIME_TOLD = {
    "gen_ai.request.model": "gpt-realtime",
    "gen_ai.response.id": REALTIME_ID,
    "gen_ai.response.model": REALTIME_MODEL,
    "gen_ai.response.finish_reasons": ["error"],
    "gen_ai.conversation.id": CONVERSATION_ID,
    "otel_openai.session.id": SESSION_ID,
    "otel_openai.tool_call.count": 0,
}
REALTIME_USAGE = {
    "gen_ai.usage.input_tokens": 132,
    "gen_ai.usage.output_tokens": 121,
    "gen_ai.usage.cache_read.input_tokens": 64,
    "gen_ai.usage.text.input_tokens": 119,
    "gen_ai.usage.audio.input_tokens": 13,
    "gen_ai.usage.image.input_tokens": 0,
    "gen_ai.usage.text.output_tokens": 30,
    "gen_ai.usage.audio.output_tokens": 91,
    "gen_ai.usage.text.cache_read.input_tokens": 64,
    "gen_ai.usage.audio.cache_read.input_tokens": 0,
    "gen_ai.usage.image.cache_read.input_tokens": 0,
}


def _realtime(method: str) -> Spoken:
    return Spoken(
        method=method,
        arguments={"model": "gpt-realtime"},
        hello=[realtime_session()],
        create={**CREATE, "event_id": "event_ask"},
        events=realtime_stream(),
        begun_after=3,
        refusal=realtime_error("rate_limit_exceeded", event_id="event_ask"),
        told=_REALTIME_TOLD,
        finished={"gen_ai.response.finish_reasons": ["stop"], **REALTIME_USAGE},
    )


def _responses(method: str) -> Spoken:
    return Spoken(
        method=method,
        arguments={},
        hello=[],
        create={**CREATE, "model": "gpt-4o-mini", "input": "Say hello."},
        events=response_stream("Hel", "lo!"),
        begun_after=5,
        refusal={
            "type": "error",
            "status": 429,
            "error": {"type": "requests", "code": "rate_limit_exceeded", "message": "x"},
        },
        told={
            "gen_ai.request.model": "gpt-4o-mini",
            "openai.api.type": "responses",
            "gen_ai.response.id": "resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78",
            "gen_ai.response.model": MODEL,
            "gen_ai.response.finish_reasons": ["error"],
            "openai.response.service_tier": "default",
            "otel_openai.tool_call.count": 0,
        },
        finished={
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 12,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.usage.cache_write.input_tokens": 0,
            "gen_ai.usage.reasoning.output_tokens": 0,
        },
    )


REALTIME = _realtime("realtime.connect" if has("realtime.connect") else "beta.realtime.connect")
RESPONSES = _responses("responses.connect")
SPOKEN = [
    _realtime("realtime.connect"),
    _realtime("beta.realtime.connect"),
    RESPONSES,
    _responses("beta.responses.connect"),
]


def cases(*spoken: Spoken) -> list[Any]:
    """Parameters of a test; those that this version of the client does not have are skipped."""
    return [
        pytest.param(
            one,
            id=one.method,
            marks=pytest.mark.skipif(not has(one.method), reason=f"openai {openai.__version__} has no {one.method}"),
        )
        for one in spoken
    ]


def described(span: ReadableSpan) -> dict[str, Any]:
    """Attributes of a span, times apart, and an id of the connection that is another each time."""
    attributes = {name: value for name, value in attributes_of(span).items() if name not in TIMES}
    if len(attributes.get("otel_openai.session.id", "")) == len("00000000-0000-0000-0000-000000000000"):
        del attributes["otel_openai.session.id"]
    return attributes


def ask(limit: int, **fields: Any) -> Body:
    """A Realtime request that is known by its limit of tokens."""
    return {**CREATE, "response": {"max_output_tokens": limit, **fields.pop("response", {})}, **fields}


def told_of(told: Told) -> dict[Any, Any]:
    """Of each response by its limit of tokens (None where the server began it): how it went, and its id."""
    return {
        attributes.get("gen_ai.request.max_tokens"): (
            attributes["otel_openai.stream.outcome"],
            attributes.get("gen_ai.response.id"),
        )
        for attributes in map(attributes_of, told.spans)
    }
