"""Ends what the garbage collector found, outside of the finaliser.

A finaliser can run while its own thread holds a lock of the SDK or of the HTTP library, so a finaliser only puts a
note on a queue whose `put` is re-entrant; one small daemon thread does the rest. It starts with the first stream or
coroutine, again after a fork, and what is left is ended at interpreter exit, before the SDK shuts down.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from otel_openai import _guard


class Open(Protocol):
    """Something that the app may never end."""

    def abandoned(self) -> None:
        """End it."""
        ...


class Reaper:
    """The queue, its thread, and what is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_exit = False
        self._reset()

    def _reset(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open: set[Open] = set()

    def watch(self, opened: Open) -> None:
        """Remember to end this, should nobody else do. Not for finalisers."""
        self._open.add(opened)
        self.stand_by()

    def stand_by(self) -> None:
        """Be there for what may be put. Not for finalisers."""
        if self._thread is None:
            self._start()

    def is_open(self, opened: Open) -> bool:
        """Whether it has not ended yet."""
        return opened in self._open

    def forget(self, opened: Open) -> bool:
        """It has ended. False where it had before, or where it is for the parent of this process to tell."""
        try:
            self._open.remove(opened)
        except KeyError:
            return False
        return True

    def put(self, end: Callable[[], None]) -> None:
        """Have something ended on the reaper's thread. For finalisers: takes no lock and calls nothing else."""
        self._queue.put(end)

    def end_all(self) -> None:
        """End everything that is queued or open, here and now."""
        if threading.current_thread() is not self._thread:
            self.flush()  # it may be in the middle of an end
        with contextlib.ExitStack() as ends:  # also where a function of the app's interrupts one; the last comes first
            for opened in list(self._open):
                ends.callback(_run, opened.abandoned)
            with contextlib.suppress(Empty):
                while True:
                    ends.callback(_run, self._queue.get_nowait())

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything that is queued now has been ended.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False if the time ran out.
        """
        if self._thread is None:
            return True
        reached = threading.Event()
        self._queue.put(reached.set)
        return reached.wait(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            if not self._at_exit:
                atexit.register(self.end_all)  # the SDK registered before, so this runs before its shutdown
                self._at_exit = True
            thread = threading.Thread(target=self._loop, name="otel-openai-reaper", daemon=True)
            thread.start()
            self._thread = thread

    def _loop(self) -> None:
        queue = self._queue
        while True:
            _run(queue.get(), alone=True)

    def after_fork(self) -> None:
        """In the child: the thread is gone, and open streams are the parent's to tell."""
        self._lock = threading.Lock()
        self._reset()


def _run(end: Callable[[], None], *, alone: bool = False) -> None:
    """End something. What a function of the app's raises besides an Exception is for the app, if it is there."""
    try:
        end()
    except Exception:
        _guard.contain("ending what was abandoned")
    except BaseException as error:
        if not alone:
            raise
        _guard.report("ending what was abandoned", type(error).__name__)


reaper = Reaper()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reaper.after_fork)
