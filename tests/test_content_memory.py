"""How much memory content takes: two copies of what leaves at the most, and nothing for what does not leave."""

import gc
import json
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from canned import Canned
from content import DETAILS, OUTPUT, on_span
from otel_openai._capture import CallContent, Capture, Mode
from otel_openai._content import Limits
from otel_openai._values import listed
from otel_openai.operations._base import Operation
from otel_openai.operations._chat_stream import ChatContentObserver
from otel_openai.operations.chat import CHAT
from otel_openai.operations.responses import RESPONSES
from seen import KINDS, Kind
from server import DONE, chat, chat_chunk, finish_chunk
from support import Told, collect

Telling = Callable[..., Told]
KIB_64 = 65_536
ENDLESS = 10**9
MOST = 2.2  # copies; the fifth is of dicts around many small parts
SCRIPTS = {"ascii": "abcdefg ", "quoted": 'a"b\n', "accents": "éaàb", "of three bytes": "語", "emoji": "abcdefg👋"}


def held(run: Callable[[], object]) -> int:
    """Bytes that are more in use at the most."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class Model:
    """A chunk as the client makes them: fields in `__dict__`, unknown ones apart."""

    __pydantic_extra__: dict[str, Any] | None = None

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def chat_chunks(text: str, piece: int) -> Iterator[Model]:
    for start in range(0, len(text), piece):
        said = text[start : start + piece]
        delta = Model(content=said, tool_calls=None, refusal=None, function_call=None, role=None)
        yield Model(choices=[Model(index=0, delta=delta, finish_reason=None)], usage=None)


def events(text: str, piece: int) -> Iterator[Model]:
    for start in range(0, len(text), piece):
        said = text[start : start + piece]
        yield Model(type="response.output_text.delta", item_id="m", output_index=0, content_index=0, delta=said)


class Case(NamedTuple):
    """A call with a text in it."""

    operation: Operation
    params: Mapping[str, Any] = {}
    answer: Any = None
    chunks: Callable[[], Iterator[Model]] | None = None


def calls(text: str) -> list[Any]:
    """Calls of tools with the usual size of arguments."""
    pieces = [json.dumps({"a": text[start : start + 8000]}, ensure_ascii=False) for start in range(0, len(text), 8000)]
    return [{"id": "c", "function": {"name": "f", "arguments": piece}} for piece in pieces]


CASES: dict[str, Callable[[str], Case]] = {
    "asked": lambda text: Case(CHAT, {"messages": [{"role": "user", "content": text}]}),
    "answered": lambda text: Case(CHAT, answer={"choices": [{"message": {"content": text}}]}),
    "calls": lambda text: Case(CHAT, answer={"choices": [{"message": {"tool_calls": calls(text)}}]}),
    "streamed": lambda text: Case(CHAT, chunks=lambda: chat_chunks(text, 500)),
    "a streamed response": lambda text: Case(RESPONSES, chunks=lambda: events(text, 500)),
}


def tell(case: Case, capture: Capture) -> list[Any]:
    """What goes on the span, and on the event."""
    assert case.operation.messages is not None
    content = CallContent(capture, case.operation.messages, on_span=capture.on_span, on_event=capture.on_event)
    content.asked(case.params, {})
    if case.chunks is None:
        content.answered(case.answer)
    else:
        watch = content.watching(lambda _: False)
        for chunk in case.chunks():
            watch(chunk)
        del watch  # as the stream does when it has ended
    attributes: dict[str, Any] = {}
    return [content.end(attributes), attributes]


def weight(value: Any) -> int:
    """Bytes of all texts in a value, as Python keeps them."""
    if isinstance(value, str):
        return sys.getsizeof(value)
    if isinstance(value, dict):
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return sum(map(weight, members.values()))
    return sum(map(weight, listed(value)))


def copies(text: Callable[[int], str], case: Callable[[str], Case], capture: Capture) -> float:
    """Copies that are made of each byte that leaves, at the peak and beside it. Nothing constant is in it."""
    few, many = (case(text(length)) for length in (40_000, 200_000))
    leaves = weight(tell(many, capture)) - weight(tell(few, capture))
    assert leaves >= 160_000
    return (held(lambda: tell(many, capture)) - held(lambda: tell(few, capture))) / leaves - 1


REDACTORS: dict[str, Any] = {"as it is": None, "redacted": lambda _, text: text + " "}  # pyright: ignore[reportUnknownLambdaType]


@pytest.mark.parametrize("mode", ["span", "event", "both"])
@pytest.mark.parametrize("redact", REDACTORS)
@pytest.mark.parametrize("case", CASES)
def test_of_what_leaves_there_are_two_copies_at_the_most(case: str, redact: str, mode: Mode) -> None:
    capture = Capture(mode, Limits(part=ENDLESS, attribute=ENDLESS, redact=REDACTORS[redact]))

    made = {
        script: copies(lambda length, unit=unit: unit * (length // len(unit)), CASES[case], capture)
        for script, unit in SCRIPTS.items()
    }

    assert max(made.values()) < MOST, made


def test_a_picture_is_not_copied() -> None:
    capture = Capture("span", Limits(part=8192, attribute=KIB_64))

    def ask(length: int) -> int:
        url = "data:image/png;base64," + "A" * length
        picture = {"type": "image_url", "image_url": {"url": url}}
        case = Case(CHAT, {"messages": [{"role": "user", "content": [picture]}]})
        return held(lambda: tell(case, capture))

    assert ask(8_000_000) - ask(1_000_000) < KIB_64


@pytest.mark.parametrize("piece", [4, 400])
def test_a_stream_holds_no_more_than_will_leave(piece: int) -> None:
    """The observer alone, for many chunks: what the client itself holds is the client's affair."""
    observer = ChatContentObserver(Limits(part=1_000_000, attribute=KIB_64))

    text = "x" * piece * 20_000

    def run() -> None:
        for chunk in chat_chunks(text, piece):
            observer.chunk(chunk)

    assert held(run) < 1.5 * KIB_64
    [told] = observer.result()["choices"]
    assert told["message"]["content"].total == 20_000 * piece


@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_stream_of_the_client_grows_by_nothing(telling: Telling, kind: Kind) -> None:
    told = telling(capture_content="both", max_content_length=ENDLESS)
    canned = Canned(kind)
    canned.put([*(chat_chunk("x" * 400) for _ in range(1200)), finish_chunk(), DONE], streamed=True)
    stream = await canned.api.stream()

    async def read(count: int) -> int:
        """Bytes in use when so many chunks more have come."""
        for _ in range(count):
            await canned.api.next(stream)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = await read(300)  # more than will leave
        after = await read(700)
    finally:
        tracemalloc.stop()
    await canned.api.drain(stream)
    await canned.api.close(canned.api.client)

    assert after - before < KIB_64 / 4
    assert KIB_64 / 2 < len(str(on_span(told)[OUTPUT])) < KIB_64


class Watched(dict[str, Any]):
    """A dict that can be seen to go."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_of_the_apps_objects_nothing_is_held(telling: Telling, kind: Kind, *, stream: bool) -> None:
    told = telling(capture_content="both")
    canned = Canned(kind)
    canned.put([chat_chunk("Hi"), finish_chunk(), DONE] if stream else chat(), streamed=stream)
    part = Watched(type="text", text="Hello")
    asked = Watched(role="user", content=[part])
    result = await canned.api.chat(messages=[asked], stream=stream)
    if stream:
        await canned.api.drain(result)
    gone = [weakref.ref(one) for one in (part, asked, result)]

    del part, asked, result
    await collect()

    assert [one() for one in gone] == [None] * 3
    assert [event.event_name for event in told.events] == [DETAILS]
    assert on_span(told)
    await canned.api.close(canned.api.client)
