"""Content of legacy completions and embeddings: texts, lists of texts, tokens."""

from collections.abc import Callable
from typing import Any

import pytest

from content import INPUT, OUTPUT, answer, on_span, on_spans, user
from server import DONE, ScriptedServer, completion, completion_chunk, completion_stream, embeddings, sse
from support import Api, Told

Telling = Callable[..., Told]


def tokens(*numbers: int) -> dict[str, Any]:
    return user({"type": "tokens", "content": list(numbers)})


PROMPTS: dict[str, tuple[Any, list[Any]]] = {
    "a text": ("Once", [user("Once")]),
    "an empty text": ("", [user()]),
    "texts": (["Once", "Twice"], [user("Once"), user("Twice")]),
    "tokens": ([1, 2, 3], [tokens(1, 2, 3)]),
    "lists of tokens": ([[1, 2], [3]], [tokens(1, 2), tokens(3)]),
}


@pytest.mark.parametrize("name", PROMPTS)
async def test_every_prompt_is_told(api: Api, server: ScriptedServer, telling: Telling, name: str) -> None:
    told = telling(capture_content="span")
    prompt, expected = PROMPTS[name]
    server.reply(completion("."), embeddings())

    await api.call("completions.create", model="m", prompt=prompt)
    await api.call("embeddings.create", model="m", input=prompt)

    completed, embedded = on_spans(told)
    assert completed == {INPUT: expected, OUTPUT: [answer(".")]}
    assert embedded == {INPUT: expected}


async def test_a_suffix_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.reply(completion())

    await api.call("completions.create", model="m", prompt="Once", suffix="The end.")

    assert on_span(told)[INPUT] == [user("Once"), user({"type": "suffix", "content": "The end."})]


async def test_streamed_and_plain_answers_are_told_alike(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    two = [
        {"text": "b", "index": 1, "finish_reason": "length", "logprobs": None},
        {"text": "aa", "index": 0, "finish_reason": "stop", "logprobs": None},
    ]
    server.reply(
        completion(choices=two),
        sse(
            completion_chunk("b", index=1),
            completion_chunk("a"),
            completion_chunk("a", finish_reason="stop"),
            completion_chunk(index=1, finish_reason="length"),
            DONE,
        ),
        sse(*completion_stream("Hel", "lo!")[:-2]),
    )

    await api.call("completions.create", model="m", prompt="Once", n=2)
    for _ in range(2):
        await api.drain(await api.call("completions.create", model="m", prompt="Once", stream=True))

    plain, streamed, cut = (content[OUTPUT] for content in on_spans(told))
    assert plain == streamed == [answer("aa"), answer("b", finish_reason="length")]
    assert cut == [answer("Hello!", finish_reason="error")]
