"""`with_raw_response` and `with_streaming_response`: the app gets the same object, with nothing read that it has not.

A raw response of a plain call was read by the client, and what it parses to is kept in it, so we look at that. A
streaming response belongs to the app alone: its body is only looked at after the app has read it.
"""

import inspect
import sys
import weakref
from asyncio import CancelledError
from collections.abc import Mapping
from time import perf_counter
from types import FrameType
from typing import Any

from otel_openai import _guard
from otel_openai._call import Call, StreamFacts
from otel_openai._reaper import reaper
from otel_openai._streams import is_generator, observe, shadow_close
from otel_openai._values import fields, text

_SENTINEL = "X-Stainless-Raw-Response"  # a header that the client itself sets to choose the mode


def raw_mode(params: Mapping[str, Any]) -> str | None:
    """`true` for with_raw_response, `stream` (or another value) for with_streaming_response, None for neither."""
    headers = params.get("extra_headers")
    return text(fields(headers).get(_SENTINEL)) if headers else None


def observe_raw(call: Call, raw: Any) -> None:
    """End a call that returned a raw response: now, or with the stream that it parses to."""
    options = getattr(raw, "_options", None)
    # `parse` keeps its result, so the app gets the same object later. Where the app gave a type to parse into, that
    # type's code runs when the app parses, not before: the plain answer is enough for us.
    given = callable(getattr(options, "post_parser", None))
    try:
        parsed = raw._parse() if given else raw.parse()
    except Exception:  # no fault of ours or the app's: the app sees it when it parses
        call.end(None)
        return
    if hasattr(parsed, "_iterator"):
        observe(call, parsed)
    else:
        call.answered(parsed)


class _UnreadWatch:
    """A response whose body the app reads by itself."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._ended_at: float | None = None
        self._read_whole = False
        self._delegated = False
        self._handled = sys.exc_info()[1]
        reaper.watch(self)

    def delegate(self, stream: Any) -> None:
        """The app has asked for the stream: that is where the call ends now."""
        self._delegated = True
        reaper.forget(self)
        observe(self._call, stream)

    def closed(self, closer: FrameType | None) -> None:
        """The connection is done with; what the body said is known once the app has left its `with` block."""
        self._ended_at = perf_counter()
        self._read_whole = is_generator(closer) and sys.exc_info()[1] in (None, self._handled)

    def left(self, response: Any) -> None:
        """The app has left its `with` block."""
        if self._delegated:
            return
        reaper.forget(self)
        error = sys.exc_info()[1]
        if isinstance(error, GeneratorExit):
            reaper.put(self.abandoned)
        elif error is not None and error is not self._handled:
            how = "cancelled" if isinstance(error, CancelledError) else "error"
            self._call.failed(error, None, self._facts(how))
        else:
            outcome = None if self._call.streaming else self._call.read(_parsed(response))
            self._call.end(
                outcome, stream=self._facts("completed" if self._read_whole else "closed"), at=self._ended_at
            )

    def dropped(self) -> None:
        """For finalisers: have the call ended elsewhere."""
        if not self._delegated:
            reaper.put(self.abandoned)

    def abandoned(self) -> None:
        """Nobody will read this response any more."""
        reaper.forget(self)
        self._call.end(None, stream=self._facts("abandoned"), at=self._ended_at)

    def _facts(self, how: str) -> StreamFacts | None:
        return StreamFacts(outcome=how) if self._call.streaming else None


def observe_unread(call: Call, response: Any) -> None:
    """Observe a streaming response; the call ends when the app has left it."""
    watch = _UnreadWatch(call)
    kind: Any = response.__class__
    is_async = inspect.iscoroutinefunction(kind.close)
    shadow_close(response.http_response, "aclose" if is_async else "close", watch)
    own: dict[str, Any] = response.__dict__

    def left() -> None:
        for name in ("close", "parse"):  # leaves no reference cycle
            own.pop(name, None)
        _left(watch, response)

    def parsed(result: Any) -> Any:
        if hasattr(result, "_iterator"):
            _delegate(watch, result)
        return result

    async def aclose() -> None:
        try:
            await kind.close(response)
        finally:
            left()

    async def aparse(**kwargs: Any) -> Any:
        return parsed(await kind.parse(response, **kwargs))

    def close() -> None:
        try:
            kind.close(response)
        finally:
            left()

    def parse(**kwargs: Any) -> Any:
        return parsed(kind.parse(response, **kwargs))

    own["close"] = aclose if is_async else close
    if call.streaming:
        own["parse"] = aparse if is_async else parse
    weakref.finalize(response, watch.dropped).atexit = False


@_guard.contained("observing the stream of a streaming response")
def _delegate(watch: _UnreadWatch, stream: Any) -> None:
    watch.delegate(stream)


@_guard.contained("ending a streaming response")
def _left(watch: _UnreadWatch, response: Any) -> None:
    watch.left(response)


def _parsed(response: Any) -> Any:
    """What the app has read, as the client's type: what it parsed, else parsed here from the bytes that are there."""
    kept: Mapping[Any, Any] = getattr(response, "_parsed_by_type", {})
    for parsed in kept.values():
        return parsed
    if hasattr(response.http_response, "_content"):  # the app read it; it did not iterate over it
        return response._parse()
    return None
