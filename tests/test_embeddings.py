"""What embeddings tell."""

from typing import Any

import pytest

from expected import Attributes, at, changed
from server import Body, ScriptedServer, embeddings
from support import Api, Told


def embedded(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "text-embedding-3-small",
        "http.response.status_code": 200,
        "gen_ai.response.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.embeddings.dimension.count": 3,
    }
    return changed({**at(server), **answer}, *changes)


async def embed(api: Api, **arguments: Any) -> Any:
    return await api.call("embeddings.create", **{"model": "text-embedding-3-small", "input": "Hi", **arguments})


_USAGE = {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0, "prompt_tokens_details": None}
_NO_VECTOR = {"gen_ai.embeddings.dimension.count": None}

ANSWERS: dict[str, tuple[Any, Attributes]] = {
    "numbers": (embeddings(), {}),
    "base64, as the client asks for": (embeddings(as_base64=True), {}),
    "two": (embeddings([1.0], [2.0]), {"gen_ai.embeddings.dimension.count": 1, "gen_ai.usage.input_tokens": 10}),
    "an id and a zero for output": (
        embeddings(id="embd-1", usage=_USAGE),
        {"gen_ai.response.id": "embd-1", "gen_ai.usage.input_tokens": 7},
    ),
    "no usage": (embeddings(usage=None), {"gen_ai.usage.input_tokens": None}),
    "a null vector": (embeddings(data=[{"embedding": None, "index": 0}]), _NO_VECTOR),
    "an empty vector": (embeddings(data=[{"embedding": [], "index": 0}]), _NO_VECTOR),
    "no model": (embeddings(model=None), {"gen_ai.response.model": None}),
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_an_answer_tells_what_it_holds(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    body, changes = ANSWERS[shape]
    server.reply(body)

    await embed(api)

    assert told.span.name == "embeddings text-embedding-3-small"
    assert told.span.kind.name == "CLIENT"
    assert told.span.status.status_code.name == "UNSET"
    assert told.attributes == embedded(server, changes)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 1536])
async def test_dimensions_of_base64_are_counted_as_numbers(
    api: Api, server: ScriptedServer, told: Told, dimensions: int
) -> None:
    server.reply(embeddings([0.5] * dimensions, as_base64=True))

    answer = await embed(api, encoding_format="base64")

    assert isinstance(answer.data[0].embedding, str)
    wanted = {
        "gen_ai.request.encoding_formats": ["base64"],
        "gen_ai.embeddings.dimension.count": dimensions,
    }
    assert told.attributes == embedded(server, wanted)


@pytest.mark.parametrize("body", [{}, embeddings(data=[]), embeddings(data=None)], ids=["nothing", "empty", "null"])
async def test_an_answer_that_the_client_refuses_is_an_error(
    api: Api, server: ScriptedServer, told: Told, body: Body
) -> None:
    server.reply(body)

    refused: Exception | None = None
    try:
        await embed(api)
    except (ValueError, TypeError) as error:  # older clients stumble over null, and take an empty list
        refused = error

    assert refused is not None or body == embeddings(data=[])
    assert told.attributes.get("error.type") == (type(refused).__name__ if refused else None)
    assert told.span.status.status_code.name == ("ERROR" if refused else "UNSET")
    assert told.attributes["http.response.status_code"] == 200


async def test_a_raw_answer_tells_its_usage(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(embeddings())

    raw = await api.call("embeddings.with_raw_response.create", model="text-embedding-3-small", input="Hi")

    assert told.attributes == embedded(server)
    assert len(raw.parse().data[0].embedding) == 3
