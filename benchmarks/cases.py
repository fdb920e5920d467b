"""The table of cases: which program, under which telemetry, against which target.

Targets are thousands of instructions added to the bare client, on openai 3.54 and CPython 3.11.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks import programs
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
    lengths: Lengths
    target: float | None = None
    headers: Headers = Headers.MINIMAL
    telemetry: Telemetry = Telemetry.SDK
    options: tuple[tuple[str, bool], ...] = ()
    whole: Callable[[Headers], programs.Run] | None = None
    """Where `program` leaves a part of the client out: the whole, for the client's own cost and for time."""

    def job(self, variant: Variant) -> Job:
        """Return the job of a variant; the bare job is the same for all telemetry."""
        if variant is Variant.BARE:
            return Job(self.program, self.lengths, self.headers, variant, Telemetry.NONE)
        options = self.options if variant is Variant.OURS else ()
        return Job(self.program, self.lengths, self.headers, variant, self.telemetry, options)

    def whole_job(self, variant: Variant) -> Job:
        """Return the job of a variant with the whole client."""
        job = self.job(variant)
        return job if self.whole is None else replace(job, program=self.whole, lengths=CHUNKS)

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs whose instructions are counted."""
        return self.whole_job(Variant.BARE), *(self.job(variant) for variant in Variant)


CASES = (
    Case("chat-call", programs.chat_call, CALLS, target=850),
    Case("chat-chunk", programs.ready_chat_chunk, READY_CHUNKS, target=7, whole=programs.chat_chunk),
    Case("responses-event", programs.ready_responses_event, READY_CHUNKS, target=6, whole=programs.responses_event),
    Case("embedding-call", programs.embedding_call, CALLS),
    Case("chat-call-async", programs.chat_call_async, CALLS),
    Case("chat-chunk-async", programs.ready_chat_chunk_async, READY_CHUNKS, whole=programs.chat_chunk_async),
    Case("raw-call", programs.raw_call, CALLS),
    Case("chat-call-no-sdk", programs.chat_call, CALLS, target=60, telemetry=Telemetry.NONE),
    Case(
        "chat-chunk-no-sdk",
        programs.ready_chat_chunk,
        READY_CHUNKS,
        target=1.5,
        telemetry=Telemetry.NONE,
        whole=programs.chat_chunk,
    ),
    Case("chat-call-not-sampled", programs.chat_call, CALLS, target=550, telemetry=Telemetry.NOT_SAMPLED),
    Case(
        "chat-chunk-not-sampled",
        programs.ready_chat_chunk,
        READY_CHUNKS,
        telemetry=Telemetry.NOT_SAMPLED,
        whole=programs.chat_chunk,
    ),
    Case(
        "chat-chunk-timing",
        programs.ready_chat_chunk,
        READY_CHUNKS,
        options=(("chunk_timing", True),),
        whole=programs.chat_chunk,
    ),
    Case("chat-call-all-headers", programs.chat_call, CALLS, headers=Headers.OPENAI),
    Case("chat-chunk-parsed", programs.chat_chunk, CHUNKS),
)
LONG_STREAM = Case("long-stream", programs.ready_chat_chunk, LONG_STREAMS)


def available() -> tuple[Case, ...]:
    """Return the cases whose options this checkout knows."""
    return tuple(case for case in CASES if all(accepts(name) for name, _ in case.options))
