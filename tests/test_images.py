"""What images tell: generated, edited and varied; streams of partial images."""

import io
from typing import Any

import pytest

import otel_openai
from expected import Attributes, at, changed
from programs import ARGUMENTS
from server import ABSENT, ScriptedServer, error_reply, image_stream, image_usage, images, sse, text_reply
from streamed import described
from support import Api, Told, need_stream

USAGE = {
    "gen_ai.usage.input_tokens": 50,
    "gen_ai.usage.output_tokens": 1056,
    "gen_ai.usage.text.input_tokens": 10,
    "gen_ai.usage.image.input_tokens": 40,
}
NO_USAGE = dict.fromkeys(USAGE)


def made(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "gpt-image-1",
        "gen_ai.output.type": "image",
        "http.response.status_code": 200,
        **USAGE,
    }
    return changed({**at(server), **answer}, *changes)


@pytest.mark.parametrize("method", ["images.generate", "images.edit", "images.create_variation"])
async def test_images_are_one_span(api: Api, server: ScriptedServer, told: Told, method: str) -> None:
    server.reply(images())

    await api.call(method, **ARGUMENTS[method])

    model = {"gen_ai.request.model": ARGUMENTS[method]["model"]}
    assert told.attributes == made(server, model)
    assert told.span.name == f"generate_content {ARGUMENTS[method]['model']}"
    assert told.span.status.status_code.name == "UNSET"
    usage = told.points("gen_ai.client.token.usage")
    assert [(attributes["gen_ai.token.type"], tokens) for attributes, (_, tokens) in usage] == [
        ("input", 50),
        ("output", 1056),
    ]
    assert told.total("gen_ai.client.inference.usage.output_tokens", gen_ai__operation__name="generate_content") == 1056
    assert [count for _, (count, _) in told.points("gen_ai.client.operation.duration")] == [1]


ANSWERS: dict[str, tuple[Any, Attributes]] = {
    "a url and no usage": (images(data=[{"url": "https://example.com/1.png"}], usage=ABSENT), NO_USAGE),
    "details of the output": (
        images(usage=image_usage(output_tokens_details={"image_tokens": 1000, "text_tokens": 56})),
        {"gen_ai.usage.image.output_tokens": 1000, "gen_ai.usage.text.output_tokens": 56},
    ),
    "zeros": (images(usage=image_usage(input_tokens=0)), {"gen_ai.usage.input_tokens": 0}),
    "usage of an SVG's author": (images(svg_usage={"model": "gpt-6", "input_tokens": 7, "output_tokens": 8}), {}),
    "nothing": ({}, NO_USAGE),
    "nulls": ({"created": None, "data": None, "usage": None}, NO_USAGE),
    "an error": ({"error": {"message": "No.", "code": "x"}}, {**NO_USAGE, "error.type": "provider_error"}),
    "a page": (text_reply("<html>", content_type="text/html"), {**NO_USAGE, "error.type": "unexpected_response_body"}),
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_an_answer_tells_what_it_holds(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    body, changes = ANSWERS[shape]
    server.reply(body)

    await api.call("images.generate", **ARGUMENTS["images.generate"])

    assert told.attributes == made(server, changes)


async def test_the_number_of_images_is_told_where_it_is_not_one(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(images())

    for count in (1, 3):
        await api.call("images.generate", prompt="A cat.", n=count)

    one, three = told.spans
    assert one.name == three.name == "generate_content"
    assert described(one) == made(server, {"gen_ai.request.model": None})
    assert described(three) == made(server, {"gen_ai.request.model": None, "gen_ai.request.choice.count": 3})


class Watched(io.BytesIO):
    """A file of the app's that knows how often it was read."""

    name = "cat.png"

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.read_times = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.read_times += 1
        return super().read(size)


async def test_a_file_is_read_by_the_client_alone(api: Api, server: ScriptedServer, told: Told) -> None:
    server.always(images())
    instrumented, bare = Watched(b"PNG"), Watched(b"PNG")

    await api.call("images.edit", image=instrumented, prompt="A cat.")
    assert len(told.spans) == 1
    otel_openai.uninstrument()
    await api.call("images.edit", image=bare, prompt="A cat.")

    assert instrumented.read_times == bare.read_times > 0
    assert [b"PNG" in request.body for request in server.requests] == [True, True]


@pytest.mark.parametrize(("method", "prefix"), [("images.generate", "image_generation"), ("images.edit", "image_edit")])
async def test_a_stream_tells_the_usage_of_its_last_event(
    api: Api, server: ScriptedServer, told: Told, method: str, prefix: str
) -> None:
    need_stream(method)
    server.reply(sse(*image_stream(prefix)))

    await api.drain(await api.call(method, **ARGUMENTS[method], stream=True))

    streamed = {
        "gen_ai.request.stream": True,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": 3,
    }
    assert described(told.span) == made(server, streamed)
    assert told.attributes["gen_ai.response.time_to_first_chunk"] > 0


ODD_STREAMS: dict[str, tuple[list[Any], str, str | None]] = {
    "a null usage": (image_stream(usage=None), "completed", None),
    "no last event": (image_stream()[:2], "truncated", None),
    "events without a type": ([{"b64_json": "aaaa"}], "truncated", None),
    "an error that is yielded": (
        [{"type": "error", "code": "server_error", "message": "No."}],
        "error",
        "server_error",
    ),
}


@pytest.mark.parametrize("shape", ODD_STREAMS)
async def test_an_odd_stream_is_told_as_far_as_it_goes(
    api: Api, server: ScriptedServer, told: Told, shape: str
) -> None:
    need_stream("images.generate")
    frames, outcome, error_type = ODD_STREAMS[shape]
    server.reply(sse(*frames))

    await api.drain(await api.call("images.generate", **ARGUMENTS["images.generate"], stream=True))

    assert told.attributes["otel_openai.stream.outcome"] == outcome
    assert told.attributes.get("error.type") == error_type
    assert "gen_ai.usage.input_tokens" not in told.attributes


@pytest.mark.parametrize("method", ["images.generate", "images.edit", "images.create_variation"])
async def test_a_refusal_is_an_error(api: Api, server: ScriptedServer, told: Told, method: str) -> None:
    server.reply(error_reply(429))

    with pytest.raises(Exception, match="429"):
        await api.call(method, **ARGUMENTS[method])

    changes = {**NO_USAGE, "http.response.status_code": 429, "error.type": "rate_limit_exceeded"}
    assert told.attributes == made(server, changes, {"gen_ai.request.model": ARGUMENTS[method]["model"]})
    assert told.span.status.status_code.name == "ERROR"
