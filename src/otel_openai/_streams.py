"""Observing a Stream or AsyncStream in place, chunk by chunk, until its true end.

The stream stays the client's own object. Three things are hooked on it: `_iterator` becomes an observing generator,
`response.close` / `aclose` is shadowed to learn of explicit ends, and a finaliser covers streams that are dropped.
`StreamWatch` must never refer to the stream, its generator or its response, or the finaliser would never run.
"""

import math
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Generator, Iterator
from time import perf_counter
from types import FrameType
from typing import Any, Protocol

from otel_openai import _errors, _guard
from otel_openai._call import Call, StreamFacts
from otel_openai._reaper import reaper
from otel_openai.operations._base import Outcome
from otel_openai.operations.chat import body_error


class StreamWatch:
    """What is known of one open stream. Of bounded size, however long the stream."""

    __slots__ = (
        "_call",
        "_chunks",
        "_ended",
        "_first_at",
        "_last_at",
        "_max_gap",
        "_observe",
        "_opened_at",
        "_outcome",
        "_time",
    )

    def __init__(self, call: Call) -> None:
        observer = call.operation.observer()
        self._call = call
        self._observe = call.watching(observer.chunk)
        self._outcome = observer.outcome
        self._chunks = 0
        self._first_at: float | None = None
        self._opened_at = perf_counter()
        self._last_at = math.inf  # so that nothing was awaited before the first chunk
        self._max_gap = 0.0
        self._ended = False
        self._time = call.chunk_timer()

    def feed(self, chunk: Any) -> None:
        """Take note of one chunk. The hot path: nothing here may allocate anything that lasts."""
        try:
            now = perf_counter()
            gap = now - self._last_at
            self._last_at = now
            if gap > self._max_gap:  # noqa: PLR1730 - max() is a call, for every chunk
                self._max_gap = gap
            self._chunks += 1
            if self._observe(chunk):
                self._first_at = now
        except Exception:
            _guard.contain("reading a chunk")

    def feed_and_time(self, chunk: Any) -> None:
        """Take note of one chunk, and record how long it was awaited, unless it is only the usage at the end."""
        last_at = self._last_at
        self.feed(chunk)
        is_output = getattr(chunk, "choices", None) != []
        if is_output and self._chunks > 1 and self._time is not None and not self._ended:
            try:
                self._time(self._last_at - last_at)
            except Exception:
                _guard.contain("timing a chunk")

    @property
    def feeder(self) -> Callable[[Any], object]:
        """What each chunk is given to. What it returns is true for a chunk that is not the app's to see."""
        feed = self.feed if self._time is None else self.feed_and_time
        if not self._call.hides_usage:
            return feed

        def feed_and_hide(chunk: Any) -> bool:
            feed(chunk)
            return getattr(chunk, "usage", None) is not None and not getattr(chunk, "choices", None)

        return feed_and_hide

    def exhausted(self, last: object = None) -> None:
        """The server has ended the stream. Where it has not said how, its last chunk may say why (Groq)."""
        outcome = self._read()
        if outcome is not None and not outcome.complete and outcome.error is None:
            try:
                outcome.error = body_error(last, answered=True)
            except Exception:
                _guard.contain("reading a chunk")
        elif outcome is not None and outcome.complete and not outcome.usage and self._call.operation.usage_on_request:
            self._call.telemetry.missed_usage()
        self._end("completed" if outcome is None or outcome.complete else "truncated", outcome)

    def failed(self, error: BaseException) -> None:
        """The stream, or the app's `with` block around it, ended in an exception."""
        self._end("cancelled" if _errors.is_cancellation(error) else "error", self._read(), error)

    def closed(self, closer: FrameType | None, error: BaseException | None) -> None:
        """The response is being closed: by the app, or from within the iteration, which tells its end by itself."""
        if self._ended or self._is_iterated_in(closer):
            return
        if is_collected(closer, error):
            self.dropped("abandoned" if is_reader(closer) else "closed")
        elif error is not None:
            self.failed(error)
        elif is_reader(closer):
            self._end("completed", self._read(), counted=False)  # the app has read the body past the stream
        else:
            outcome = self._read()
            is_whole = self._call.operation.open_ended and outcome is not None and outcome.complete
            self._end("completed" if is_whole else "closed", outcome)

    def _is_iterated_in(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code in _OBSERVERS and frame.f_locals["watch"] is self:
                return True
            frame = frame.f_back
        return False

    def dropped(self, how: str = "abandoned") -> None:
        """For finalisers: have the stream ended elsewhere."""
        if not self._ended:
            reaper.put(lambda: self.abandoned(how))

    def abandoned(self, how: str = "abandoned") -> None:
        """Nobody will read this stream any more; it ends as of its last chunk."""
        self._end(how, self._read(), at=self._last_at if self._chunks else self._opened_at)

    def _read(self) -> Outcome | None:
        try:
            return self._outcome()
        except Exception:
            _guard.contain("reading a stream")
            return None

    def _end(
        self,
        how: str,
        outcome: Outcome | None,
        error: BaseException | None = None,
        *,
        at: float | None = None,
        counted: bool = True,
    ) -> None:
        self._ended = True
        self._observe = _ignore
        if not reaper.forget(self):
            return
        facts = StreamFacts(
            outcome=how,
            chunks=self._chunks if counted else None,
            first_at=self._first_at,
            max_gap=self._max_gap if self._chunks > 1 else None,
        )
        if error is None:
            self._call.end(outcome, stream=facts, at=at)
        else:
            self._call.failed(error, outcome, facts)


def _ignore(_: object) -> bool:
    return False


class Closable(Protocol):
    """Told when a response is closed."""

    def closed(self, closer: FrameType | None, error: BaseException | None) -> None:
        """It is being closed now.

        Args:
            closer: The frame that called `close`.
            error: The exception that it is closed for.
        """
        ...


def is_stream(result: object) -> bool:
    """True for a Stream or AsyncStream. A model is not asked by hasattr: it searches long before it fails."""
    own: Container[object] = getattr(result, "__dict__", ())
    return "_iterator" in own and "response" in own


def observe_answer(call: Call, answer: Any) -> None:
    """End a call with its answer: now, or with the stream that it is, or that another tool has put something around."""
    stream = answer if is_stream(answer) else _held_stream(answer) if call.streaming else None
    if stream is None:
        call.answered(answer)
    else:
        observe(call, stream)


def _held_stream(answer: object) -> Any:
    held: dict[str, object] = getattr(answer, "__dict__", {})
    return next(filter(is_stream, held.values()), None)


def observe(call: Call, stream: Any) -> None:
    """Observe a stream that the app is about to get; the call ends with the stream."""
    watch = StreamWatch(call)
    inner = stream._iterator
    is_async = hasattr(inner, "__anext__")
    shadow_close(stream.response, "aclose" if is_async else "close", watch)
    # Other tools test for the exact type of a generator here.
    stream._iterator = _observe_async(inner, watch) if is_async else _observe(inner, watch)
    # The response, as another stream may be reading it (`raw.parse(to=...)`). Not at interpreter exit, where the SDK
    # may be gone: the reaper ends what is open before that.
    weakref.finalize(stream.response, watch.dropped).atexit = False
    reaper.watch(watch)  # at last: what another tool gives in place of a stream may have raised above


def _observe(inner: Iterator[Any], watch: StreamWatch) -> Generator[Any, None, None]:
    feed = watch.feeder
    chunk = None
    try:
        for chunk in inner:
            if not feed(chunk):
                yield chunk
    except GeneratorExit:
        watch.dropped()
        raise
    except BaseException as error:
        watch.failed(error)
        raise
    watch.exhausted(chunk)


async def _observe_async(inner: AsyncIterator[Any], watch: StreamWatch) -> AsyncGenerator[Any, None]:
    feed = watch.feeder
    chunk = None
    try:
        async for chunk in inner:
            if not feed(chunk):
                yield chunk
    except BaseException as error:
        if exit_behind(error) is None:
            watch.failed(error)
        else:
            watch.dropped()
        raise
    watch.exhausted(chunk)


_OBSERVERS = (_observe.__code__, _observe_async.__code__)


def shadow_close(response: Any, name: str, watch: Closable) -> None:
    """Have a watch told when an HTTP response is closed.

    Args:
        response: The response; only this instance is changed.
        name: `close` or `aclose`.
        watch: Who is told.
    """
    before = response.__dict__.get(name)
    original = before or getattr(response, name)
    # A stream opened inside an `except` block is not ended by the exception that is being handled there. It is kept
    # here, and nowhere outside of the response: its traceback may lead to the stream, which would then never be freed.
    handled = sys.exc_info()[1]

    def told(closer: FrameType) -> None:
        # The first close is the only one that tells anything. Taking the shadow off again leaves no reference cycle.
        if response.__dict__.get(name) is shadow:
            del response.__dict__[name]
            if before is not None:
                response.__dict__[name] = before
        error = sys.exc_info()[1]
        _tell(watch, closer, None if error is handled else error)

    def close() -> None:
        try:
            told(sys._getframe(1))
        finally:
            result = original()
        return result

    async def aclose() -> None:
        try:
            told(sys._getframe(1))
        finally:
            result = await original()
        return result

    shadow = aclose if name == "aclose" else close
    setattr(response, name, shadow)


def _tell(watch: Closable, closer: FrameType, error: BaseException | None) -> None:
    try:
        watch.closed(closer, error)
    except Exception:
        _guard.contain("ending a stream that was closed")


def exit_behind(error: BaseException | None) -> GeneratorExit | None:
    """The reason why a generator or coroutine is being closed, perhaps by the garbage collector, in any context.

    While they clean up after it, asyncio and the HTTP library may raise something else.
    """
    for _ in range(_MAX_CHAIN):
        if error is None or isinstance(error, GeneratorExit):
            return error
        error = error.__context__
    return None


_MAX_CHAIN = 50


def is_collected(frame: FrameType | None, error: BaseException | None) -> bool:
    """Whether this may be the garbage collector's doing: a generator that it closes, or a `__del__` that it runs."""
    if exit_behind(error) is not None:
        return True
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def is_reader(frame: FrameType | None) -> bool:
    """True where the client or the HTTP library closes what it has read, not because the app has called a `close`."""
    if frame is None or frame.f_code.co_name in _CLOSERS:
        return False
    module = frame.f_globals.get("__name__")
    return isinstance(module, str) and module.partition(".")[0] in _READERS


_CLOSERS = frozenset({"close", "aclose"})
_READERS = frozenset({"openai", "httpx", "httpx2"})
