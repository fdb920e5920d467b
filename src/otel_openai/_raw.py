"""`with_raw_response` and `with_streaming_response`: the app gets the same object, with nothing read that it has not.

A raw response of a plain call was read by the client, and what it parses to is kept in it, so we look at that. A
streaming response belongs to the app alone: its body is only looked at after the app has read it.
"""

import contextlib
import inspect
import sys
import weakref
from collections.abc import Mapping
from time import perf_counter
from types import FrameType
from typing import Any

from otel_openai import _errors, _guard
from otel_openai._call import Call, StreamFacts
from otel_openai._reaper import reaper
from otel_openai._streams import exit_behind, is_collected, is_reader, is_stream, observe, observe_answer, shadow_close
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
    # type's code runs when the app parses, not before: the plain answer is enough for us. A stream runs it later still.
    given = callable(getattr(options, "post_parser", None)) and not call.streaming
    try:
        parsed = raw._parse() if given else raw.parse()
    except Exception:  # no fault of ours or the app's: the app sees it when it parses
        call.end(None)
        return
    observe_answer(call, parsed)


class _UnreadWatch:
    """A response whose body the app reads by itself."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._ended_at: float | None = None
        self._read_whole = False

    def delegate(self, stream: Any) -> None:
        """The app has asked for the stream: that is where the call ends now."""
        if reaper.forget(self):
            observe(self._call, stream)

    def closed(self, closer: FrameType | None, error: BaseException | None) -> None:
        """The connection is done with; what the body said is known once the app has left its `with` block."""
        self._ended_at = perf_counter()
        reading = is_reader(closer)
        self._read_whole = reading and error is None
        if reading and error is not None and exit_behind(error) is None and reaper.forget(self):
            self._failed(error)

    def left(self, response: Any, error: BaseException | None) -> None:
        """The app has left its `with` block, for an exception or not."""
        if not reaper.forget(self):
            return
        if is_collected(sys._getframe(), error):  # nothing is read or told here
            reaper.put(lambda: self._finish(response))
        elif error is None or self._read_whole:
            self._finish(response)
        else:
            self._failed(error)

    def dropped(self) -> None:
        """For finalisers: have the call ended elsewhere."""
        if reaper.is_open(self):
            reaper.put(self.abandoned)

    def abandoned(self) -> None:
        """Nobody will read this response any more."""
        if reaper.forget(self):
            self._call.end(None, stream=self._facts("abandoned"), at=self._ended_at)

    def _finish(self, response: Any) -> None:
        outcome = None if self._call.streaming else self._call.read(_parsed(response))
        self._call.end(outcome, stream=self._facts("closed"), at=self._ended_at)

    def _failed(self, error: BaseException) -> None:
        how = "cancelled" if _errors.is_cancellation(error) else "error"
        self._call.failed(error, None, self._facts(how))

    def _facts(self, how: str) -> StreamFacts | None:
        return StreamFacts(outcome="completed" if self._read_whole else how) if self._call.streaming else None


def observe_unread(call: Call, response: Any) -> None:
    """Observe a streaming response; the call ends when the app has left it."""
    watch = _UnreadWatch(call)
    kind: Any = response.__class__
    is_async = inspect.iscoroutinefunction(kind.close)
    shadow_close(response.http_response, "aclose" if is_async else "close", watch)
    own: dict[str, Any] = response.__dict__
    handled = sys.exc_info()[1]

    def left() -> None:
        for name in ("close", "parse"):  # leaves no reference cycle
            own.pop(name, None)
        error = sys.exc_info()[1]
        _left(watch, response, None if error is handled else error)

    def parsed(result: Any) -> Any:
        if is_stream(result):
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
    reaper.watch(watch)  # at last: what another tool gives in place of a response may have raised above


@_guard.contained("observing the stream of a streaming response")
def _delegate(watch: _UnreadWatch, stream: Any) -> None:
    watch.delegate(stream)


@_guard.contained("ending a streaming response")
def _left(watch: _UnreadWatch, response: Any, error: BaseException | None) -> None:
    watch.left(response, error)


def _parsed(response: Any) -> Any:
    """What the app has read, as the client's type: what it parsed, else parsed here from the bytes that are there."""
    kept: Mapping[Any, Any] = getattr(response, "_parsed_by_type", {})
    parsed = kept.get(getattr(response, "_cast_to", None))
    if parsed is None and hasattr(response.http_response, "_content"):  # the app read it; it did not iterate over it
        with contextlib.suppress(Exception):  # no fault of ours or the app's: it sees the same when it parses
            return response._parse()
    return parsed
