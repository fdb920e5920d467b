"""A canned OpenAI: clients whose transport answers from memory, without a network and without threads.

The answers are in `answers`; this module knows nothing of telemetry and makes no request itself.
"""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import ModuleType

    from benchmarks.answers import Sse


class Headers(Enum):
    """Which response headers the canned server sends."""

    MINIMAL = "minimal"
    OPENAI = "openai"


_REQUEST_ID = ("x-request-id", "req_8f1c0d6a7b4e4d0f9a2b3c4d5e6f7a8b")
_RESPONSE_HEADERS: dict[Headers, list[tuple[str, str]]] = {
    Headers.MINIMAL: [_REQUEST_ID],
    Headers.OPENAI: [
        ("date", "Sat, 01 Nov 2025 12:26:40 GMT"),
        ("server", "cloudflare"),
        ("cf-ray", "98f0c3a1bd2c9a3e-FRA"),
        ("cf-cache-status", "DYNAMIC"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("openai-organization", "example-org"),
        ("openai-processing-ms", "412"),
        ("openai-project", "proj_5kYx2VfJq8sT"),
        ("openai-version", "2020-10-01"),
        ("x-envoy-upstream-service-time", "431"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "10000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "9999752"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "1ms"),
        _REQUEST_ID,
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("x-content-type-options", "nosniff"),
        ("alt-svc", 'h3=":443"; ma=86400'),
    ],
}


class CannedServer:
    """The handler of a mock transport: every request gets the same answer.

    `chunks` is how often the repeated frame of an `Sse` answer is sent.
    """

    def __init__(self, answer: bytes | Sse, headers: Headers) -> None:
        self.chunks = 1
        self._answer = answer
        media_type = "application/json" if isinstance(answer, bytes) else "text/event-stream; charset=utf-8"
        self._headers = [("content-type", media_type), *_RESPONSE_HEADERS[headers]]
        self._http = http_library()

    def client(self) -> Any:  # the programs pass dictionaries of arguments, which typed overloads do not take
        """Return an `OpenAI` that talks to this server."""
        transport = self._http.MockTransport(self._handle)
        return openai.OpenAI(api_key="sk-benchmark", http_client=self._http.Client(transport=transport))

    def async_client(self) -> Any:
        """Return an `AsyncOpenAI` that talks to this server."""
        transport = self._http.MockTransport(self._handle_async)
        return openai.AsyncOpenAI(api_key="sk-benchmark", http_client=self._http.AsyncClient(transport=transport))

    def _handle(self, _request: object) -> Any:
        return self._respond(self._answer if isinstance(self._answer, bytes) else self._frames(self._answer))

    async def _handle_async(self, _request: object) -> Any:
        return self._respond(self._answer if isinstance(self._answer, bytes) else self._async_frames(self._answer))

    def _respond(self, content: object) -> Any:
        return self._http.Response(200, headers=self._headers, content=content)

    def _frames(self, answer: Sse) -> Iterator[bytes]:
        yield from answer.start
        for _ in range(self.chunks):
            yield answer.repeated
        yield from answer.end

    async def _async_frames(self, answer: Sse) -> AsyncIterator[bytes]:
        for frame in self._frames(answer):
            yield frame


def http_library() -> ModuleType:
    """Return the HTTP library that the installed client is built on."""
    major = int(version("openai").split(".", 1)[0])
    return import_module("httpx2" if major >= 3 else "httpx")  # noqa: PLR2004 - the client changed its library in 3.0
