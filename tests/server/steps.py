"""What a reply is made of besides bytes: pauses (Delay, Gate) and premature ends (CUT, RESET, STALL)."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from enum import Enum


class Ending(Enum):
    """A step behind which nothing more is sent."""

    CUT = "close the connection"
    RESET = "reset the connection"
    STALL = "send nothing more, keep the connection open until the client or the server closes it"


CUT = Ending.CUT
RESET = Ending.RESET
STALL = Ending.STALL


@dataclass(frozen=True)
class Delay:
    """A pause of fixed length, for tests that measure time; others use a Gate."""

    seconds: float

    async def passed(self) -> None:
        """Wait for the end of the delay."""
        await asyncio.sleep(self.seconds)


class Gate:
    """A pause that ends when the test opens the gate, so that no test sleeps.

    What stands before the gate is on the wire when `reached` is set; what stands behind it is sent after `open()`. A
    gate stays open. One gate may stand in many replies: `open()` lets all of them go on.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let every reply that waits here, or comes later, go on. Callable from any thread."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for loop, opened in waiting:
            with contextlib.suppress(RuntimeError):  # that server is closed by now
                loop.call_soon_threadsafe(opened.set)

    async def passed(self) -> None:
        """Wait until the gate is open."""
        opened = asyncio.Event()
        with self._lock:
            if not self._is_open:
                self._waiting.append((asyncio.get_running_loop(), opened))
            else:
                opened.set()
        self.reached.set()
        await opened.wait()


Pause = Delay | Gate
Step = bytes | Delay | Gate | Ending
