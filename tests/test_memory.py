"""Nothing is left behind: many calls and streams later no more objects are alive than before."""

import gc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import openai
import pytest

from canned import Canned
from programs import ARGUMENTS, entered
from seen import KINDS, Kind
from server import chat, chat_stream, embeddings, openai_error, response_stream
from support import Api, Told, collect

CHAT = ARGUMENTS["chat.completions.create"]
Use = Callable[[Api], Awaitable[None]]


async def calls(api: Api) -> None:
    await api.chat()


async def drains(api: Api) -> None:
    await api.drain(await api.stream())


async def closes(api: Api) -> None:
    stream = await api.stream()
    await api.next(stream)
    await api.close(stream)


async def leaves(api: Api) -> None:
    async with entered(await api.stream()) as stream:
        await api.next(stream)


async def abandons(api: Api) -> None:
    await api.next(await api.stream())


async def never_reads(api: Api) -> None:
    await api.stream()


async def parses_raw(api: Api) -> None:
    (await api.call("chat.completions.with_raw_response.create", **CHAT)).parse()


async def never_parses_raw(api: Api) -> None:
    await api.call("chat.completions.with_raw_response.create", **CHAT, stream=True)


async def reads_lines(api: Api) -> None:
    async with entered(await api.call("chat.completions.with_streaming_response.create", **CHAT)) as answer:
        async for _ in api.iterate(answer.iter_lines()):
            pass


async def never_reads_lines(api: Api) -> None:
    async with entered(await api.call("chat.completions.with_streaming_response.create", **CHAT, stream=True)):
        pass


async def is_refused(api: Api) -> None:
    with pytest.raises(openai.BadRequestError):
        await api.chat()


async def responds(api: Api) -> None:
    await api.drain(await api.call("responses.create", **ARGUMENTS["responses.create"], stream=True))


async def embeds(api: Api) -> None:
    await api.call("embeddings.create", **ARGUMENTS["embeddings.create"])


STREAM = chat_stream("Hel", "lo!")
USES: dict[str, tuple[Use, Any, int]] = {
    "calls": (calls, chat(), 1000),
    "drains": (drains, STREAM, 1000),
    "abandons": (abandons, STREAM, 1000),
    "never reads": (never_reads, STREAM, 1000),
    "closes": (closes, STREAM, 300),
    "leaves": (leaves, STREAM, 300),
    "parses raw": (parses_raw, chat(), 300),
    "never parses raw": (never_parses_raw, STREAM, 300),
    "reads lines": (reads_lines, chat(), 300),
    "never reads lines": (never_reads_lines, STREAM, 300),
    "is refused": (is_refused, openai_error(400), 300),
    "responds": (responds, response_stream(), 100),
    "embeds": (embeds, embeddings(), 300),
}


async def alive(told: Told) -> Counter[str]:
    """Objects by type, and finalisers; what is told is exported and forgotten before."""
    await collect()
    assert len(told.spans) > 0
    told.clear()
    await collect()
    kinds = [cast("type[Any]", type(thing)) for thing in gc.get_objects()]
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds) + Counter(
        finalisers=len(weakref.finalize._registry)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    )


WITH_CONTENT = ("calls", "drains", "abandons", "never reads", "closes", "parses raw", "reads lines", "responds")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "content"), [*((name, None) for name in USES), *((name, "both") for name in WITH_CONTENT)]
)
async def test_nothing_is_left_behind(name: str, content: str | None, kind: Kind, telling: Callable[..., Told]) -> None:
    told = telling(capture_content=content)
    use, answer, times = USES[name]
    times = times if content is None else min(times, 300)
    canned = Canned(kind)
    canned.put(answer, 400 if name == "is refused" else 200, streamed=isinstance(answer, list))
    for _ in range(30):
        await use(canned.api)

    before = await alive(told)
    for _ in range(times):
        await use(canned.api)
    after = await alive(told)

    assert {key: count for key, count in (after - before).items() if count > times / 10} == {}  # ABCs remember classes
    assert not any(key.startswith("otel_openai") for key in after - before)
    assert told.total("otel_openai.active_requests") == 0
    await canned.api.close(canned.api.client)


async def test_a_client_is_not_kept(api: Api, told: Told) -> None:
    del api
    for kind in KINDS:
        canned = Canned(kind)
        canned.put(chat())
        await canned.api.chat()
        await canned.api.close(canned.api.client)
        client = weakref.ref(canned.api.client)
        del canned
        await collect()
        assert client() is None
    assert len(told.spans) == 2
