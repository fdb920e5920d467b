"""The table of cases: which program, under which telemetry, against which target.

Targets are thousands of instructions added to the bare client, on openai 3.54 and CPython 3.11.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks import programs, ready
from benchmarks.canned import Headers
from benchmarks.variants import Telemetry, Variant, accepts

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths that a program runs at.

    A cost is the difference of two lengths. It is measured in several rounds, between which the heap is shifted: where
    the allocator happens to stand changes the cost of a chunk by as much as a thousand instructions.
    """

    warm_up: tuple[int, ...]
    """Not measured."""
    measured: tuple[int, ...]
    """Measured one after the other, in each round."""
    rounds: int


# Short runs first: the interpreter specialises a function only after eight runs of it.
CALLS = Lengths(warm_up=(2,) * 7, measured=(1, 5), rounds=3)
CHUNKS = Lengths(warm_up=(2,) * 10, measured=(10, 110), rounds=3)
READY_CALLS = Lengths(warm_up=(2,) * 10, measured=(2, 14), rounds=3)
READY_CHUNKS = Lengths(warm_up=(2,) * 10, measured=(100, 400), rounds=3)
LONG_STREAMS = Lengths(warm_up=(2,) * 10, measured=(100, 400, 10_000, 10_300), rounds=3)


@dataclass(frozen=True, slots=True)
class Job:
    """One variant of one program: what a process of its own measures."""

    program: Callable[[Headers], programs.Run]
    lengths: Lengths
    headers: Headers
    variant: Variant
    telemetry: Telemetry
    options: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the result table."""

    name: str
    program: Callable[[Headers], programs.Run]
    """What the added instructions are counted with."""
    lengths: Lengths
    whole: Callable[[Headers], programs.Run]
    """The same with the whole client: for the client's own instructions, and for time."""
    whole_lengths: Lengths
    target: float | None = None
    headers: Headers = Headers.MINIMAL
    telemetry: Telemetry = Telemetry.SDK
    options: tuple[tuple[str, bool], ...] = ()

    def job(self, variant: Variant) -> Job:
        """Return the job of a variant; the bare job is the same for all telemetry."""
        if variant is Variant.BARE:
            return Job(self.program, self.lengths, self.headers, variant, Telemetry.NONE)
        options = self.options if variant is Variant.OURS else ()
        return Job(self.program, self.lengths, self.headers, variant, self.telemetry, options)

    def whole_job(self, variant: Variant) -> Job:
        """Return the job of a variant with the whole client."""
        return replace(self.job(variant), program=self.whole, lengths=self.whole_lengths)

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs whose instructions are counted."""
        return self.whole_job(Variant.BARE), *(self.job(variant) for variant in Variant)


def _calls(name: str, target: float | None = None, **how: Any) -> Case:
    return Case(name, ready.chat_call, READY_CALLS, programs.chat_call, CALLS, target, **how)


def _chunks(name: str, target: float | None = None, **how: Any) -> Case:
    return Case(name, ready.chat_chunk, READY_CHUNKS, programs.chat_chunk, CHUNKS, target, **how)


CASES = (
    _calls("chat-call", 850),
    _chunks("chat-chunk", 7),
    Case("responses-event", ready.responses_event, READY_CHUNKS, programs.responses_event, CHUNKS, 6),
    Case("embedding-call", ready.embedding_call, READY_CALLS, programs.embedding_call, CALLS),
    Case("chat-call-async", ready.chat_call_async, READY_CALLS, programs.chat_call_async, CALLS),
    Case("chat-chunk-async", ready.chat_chunk_async, READY_CHUNKS, programs.chat_chunk_async, CHUNKS),
    Case("raw-call", programs.raw_call, CALLS, programs.raw_call, CALLS),
    _calls("chat-call-no-sdk", 60, telemetry=Telemetry.NONE),
    _chunks("chat-chunk-no-sdk", 1.5, telemetry=Telemetry.NONE),
    _calls("chat-call-not-sampled", 550, telemetry=Telemetry.NOT_SAMPLED),
    _chunks("chat-chunk-not-sampled", telemetry=Telemetry.NOT_SAMPLED),
    _chunks("chat-chunk-timing", options=(("chunk_timing", True),)),
    _calls("chat-call-content", options=(("capture_content", True),)),
    _chunks("chat-chunk-content", 25, options=(("capture_content", True),)),  # 3 % of the client's own
    _calls("chat-call-all-headers", headers=Headers.OPENAI),
    Case("chat-call-whole", programs.chat_call, CALLS, programs.chat_call, CALLS),
    Case("chat-chunk-whole", programs.chat_chunk, CHUNKS, programs.chat_chunk, CHUNKS),
)
LONG_STREAM = Case("long-stream", ready.chat_chunk, LONG_STREAMS, programs.chat_chunk, CHUNKS)


def available() -> tuple[Case, ...]:
    """Return the cases whose options this checkout knows."""
    return tuple(case for case in CASES if all(accepts(name) for name, _ in case.options))
