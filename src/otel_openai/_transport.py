"""What only the HTTP layer knows: status, headers, retries.

A parsed answer keeps none of it, so the client's `_process_response` is observed: it runs once for each successful
request, inside the call that asked for it.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from otel_openai import _guard
from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, count, text

_RETRY_COUNT = "x-stainless-retry-count"  # a request header of the client's own
_HEADERS = {
    name.encode(): names.HTTP_RESPONSE_HEADER + name for name in ("x-request-id", "retry-after", "openai-processing-ms")
}
_RATELIMIT = b"x-ratelimit-"
_RATELIMIT_KINDS = (b"limit-", b"remaining-", b"reset-")
_REMAINING = b"x-ratelimit-remaining-"
_INITIALS = frozenset(name[:1] for listed in (_RATELIMIT, *_HEADERS) for name in (listed, listed.upper()))
_MAX_HEADERS = 16


class HttpFacts:
    """Facts of the last HTTP exchange of a call."""

    __slots__ = ("headers", "remaining", "retries", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self.retries = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Listed headers as they came, names in lower case."""
        self.remaining: dict[str, int] = {}
        """What the rate limits leave, by kind (`requests`, `tokens`)."""

    def read(self, response: Any, retries: int | None) -> None:
        """Take what is listed from a response; nothing else is looked at."""
        self.status = count(getattr(response, "status_code", None))
        self.retries = retries or 0
        self.headers.clear()
        for name, value in response.headers.raw:
            if name[:1] not in _INITIALS:  # most of them
                continue
            key = name.lower()
            if key in _HEADERS or (key.startswith(_RATELIMIT) and key[12:].startswith(_RATELIMIT_KINDS)):
                if len(self.headers) < _MAX_HEADERS:
                    self.headers.append((key, value))
                if key.startswith(_REMAINING):
                    self._remaining(key[len(_REMAINING) :], value)

    def _remaining(self, kind: bytes, value: bytes) -> None:
        if kind in (b"requests", b"tokens") and value.isdigit() and (left := count(int(value[:19]))) is not None:
            self.remaining[kind.decode()] = left

    def read_error(self, error: BaseException) -> None:
        """Take the facts of a failed request from the exception that tells of it."""
        retries = _sent_headers(error).get(_RETRY_COUNT)
        taken = int(retries) if retries is not None and retries.isdigit() else self.retries
        response = getattr(error, "response", None)
        if getattr(response, "headers", None) is not None:
            self.read(response, taken)
        else:
            self.retries = taken

    def attributes(self) -> dict[str, AttributeValue]:
        """Span attributes."""
        attributes: dict[str, AttributeValue] = {}
        if self.status is not None:
            attributes[names.HTTP_STATUS_CODE] = self.status
        if self.retries:
            attributes[names.HTTP_RESEND_COUNT] = self.retries
        headers: dict[str, list[str]] = {}
        for key, value in self.headers:
            name = _HEADERS.get(key) or names.HTTP_RESPONSE_HEADER + key[:64].decode("latin-1")
            if (told := text(value.decode("latin-1"))) is not None:
                headers.setdefault(name, []).append(told)
        attributes.update(headers)
        return attributes


def _sent_headers(error: BaseException) -> Mapping[str, str]:
    try:
        request: Any = getattr(error, "request", None)
    except RuntimeError:  # exceptions of the HTTP library raise it where they know no request
        return {}
    headers: Mapping[str, str] | None = getattr(request, "headers", None)
    return {} if headers is None else headers


class _HasHttp(Protocol):
    @property
    def http(self) -> HttpFacts: ...


current_call: ContextVar[_HasHttp | None] = ContextVar("otel_openai_call", default=None)


def process_response(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wrapper of `_process_response`, sync and async: it looks at the arguments only."""
    call = current_call.get()
    if call is not None:
        try:
            call.http.read(kwargs["response"], kwargs.get("retries_taken"))
        except Exception:
            _guard.contain("reading HTTP facts")
    return wrapped(*args, **kwargs)
