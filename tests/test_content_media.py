"""Content of images, audio, moderations and videos. What the app uploads is never read."""

import base64
import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest

import otel_openai
from content import INPUT, INSTRUCTIONS, OUTPUT, answer, on_span, on_spans, user
from programs import ARGUMENTS
from server import (
    DONE,
    Body,
    ScriptedServer,
    image_stream,
    images,
    moderation,
    sse,
    text_reply,
    transcription,
    transcription_stream,
    video,
)
from server.others import IMAGE
from support import Api, Told, has, need_argument, need_stream

Telling = Callable[..., Told]
PNG = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": IMAGE}


def upload(modality: str, content: bytes, **more: Any) -> Body:
    hashed = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {"type": "omitted", "modality": modality, **hashed, **more}


async def test_drawings_are_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    url = {"url": "https://x.example/a.png", "revised_prompt": "A grey cat."}
    server.reply(images(data=[{"b64_json": IMAGE}, url]))

    await api.call("images.generate", **ARGUMENTS["images.generate"])

    link = {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"}
    revised = {"type": "revised_prompt", "content": "A grey cat."}
    assert on_span(told) == {INPUT: [user("A cat.")], OUTPUT: [answer(PNG), answer(link, revised)]}


@pytest.mark.parametrize("method", ["images.generate", "images.edit"])
async def test_streamed_and_plain_drawings_are_told_alike(
    api: Api, server: ScriptedServer, telling: Telling, method: str
) -> None:
    need_stream(method)
    told = telling(capture_content="span")
    prefix = "image_generation" if method.endswith("generate") else "image_edit"
    server.reply(images(), sse(*image_stream(prefix)))

    await api.call(method, **ARGUMENTS[method])
    await api.drain(await api.call(method, **ARGUMENTS[method], stream=True))

    plain, streamed = on_spans(told)
    assert plain == streamed
    assert plain[OUTPUT] == [answer(PNG)]


async def test_a_large_drawing_is_told_by_its_hash(api: Api, server: ScriptedServer, telling: Telling) -> None:
    need_stream("images.generate")
    told = telling(capture_content="span")
    picture = bytes(range(256)) * 1000
    encoded = base64.b64encode(picture).decode()
    server.reply(images(data=[{"b64_json": encoded}]), sse(*image_stream(b64_json=encoded)))

    await api.call("images.generate", **ARGUMENTS["images.generate"])
    await api.drain(await api.call("images.generate", **ARGUMENTS["images.generate"], stream=True))

    expected = [answer(upload("image", picture, mime_type="image/png"))]
    assert [content[OUTPUT] for content in on_spans(told)] == [expected, expected]


class Unread(io.BytesIO):
    """A file that only the client may read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


async def test_uploads_are_told_and_not_read(api: Api, server: ScriptedServer, telling: Telling) -> None:
    need_argument("images.edit", "quality")  # which came with the model that edits more than one image
    told = telling(capture_content="span")
    server.always(images())
    file = Unread(b"PNG")
    edit = {"model": "m", "prompt": "A cat."}

    await api.call("images.edit", **edit, image=("cat.png", b"PNG", "image/png"))
    await api.call("images.edit", **edit, image=[b"PNG", file], mask=("mask.png", file))
    reads_with = file.reads

    named = upload("image", b"PNG", mime_type="image/png", filename="cat.png")
    unread = {"type": "omitted", "modality": "image"}
    assert [content[INPUT] for content in on_spans(told)] == [
        [user("A cat.", named)],
        [user("A cat.", upload("image", b"PNG"), unread, {**unread, "filename": "mask.png"})],
    ]
    bare = Unread(b"PNG")
    otel_openai.uninstrument()
    await api.call("images.edit", **edit, image=[b"PNG", bare], mask=("mask.png", bare))
    assert reads_with == bare.reads


@pytest.mark.parametrize("method", ["audio.transcriptions.create", "audio.translations.create"])
@pytest.mark.parametrize("form", ["json", "text"])
async def test_what_was_heard_is_told(
    api: Api, server: ScriptedServer, telling: Telling, method: str, form: str
) -> None:
    told = telling(capture_content="span")
    server.reply(transcription("Hello!") if form == "json" else text_reply("Hello!"))

    await api.call(method, **ARGUMENTS[method], prompt="A greeting.", response_format=form)

    heard = upload("audio", b"RIFF", filename="hello.wav")
    assert on_span(told) == {INPUT: [user("A greeting.", heard)], OUTPUT: [answer("Hello!")]}


async def test_a_streamed_transcription_is_told_alike(api: Api, server: ScriptedServer, telling: Telling) -> None:
    need_stream("audio.transcriptions.create")
    told = telling(capture_content="span")
    server.reply(
        sse(*transcription_stream("Hel", "lo!")),
        sse(*transcription_stream("Hel", "lo!")[:1]),
        sse(*({"choices": [{"delta": {"content": piece}}]} for piece in ("Hel", "lo!")), DONE),  # vLLM
    )

    for _ in range(3):
        arguments = ARGUMENTS["audio.transcriptions.create"]
        await api.drain(await api.call("audio.transcriptions.create", **arguments, stream=True))

    assert [content[OUTPUT] for content in on_spans(told)] == [[answer(text)] for text in ("Hello!", "Hel", "Hello!")]


async def test_what_is_to_be_spoken_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    need_argument("audio.speech.create", "instructions")
    told = telling(capture_content="span")
    server.reply({})

    await api.call("audio.speech.create", **ARGUMENTS["audio.speech.create"], instructions="Whisper.")

    assert on_span(told) == {INPUT: [user("hello")], INSTRUCTIONS: [{"type": "text", "content": "Whisper."}]}


async def test_what_is_to_be_moderated_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    told = telling(capture_content="span")
    server.always(moderation())

    await api.call("moderations.create", input="Hi")
    await api.call("moderations.create", input=["Hi", "you"])
    link = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    await api.call("moderations.create", input=[{"type": "text", "text": "Hi"}, link])

    seen = {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"}
    assert [content[INPUT] for content in on_spans(told)] == [
        [user("Hi")],
        [user("Hi"), user("you")],
        [user("Hi", seen)],
    ]


async def test_what_is_to_be_filmed_is_told(api: Api, server: ScriptedServer, telling: Telling) -> None:
    if not has("videos.create"):
        pytest.skip("this client has no videos.create")
    told = telling(capture_content="span")
    server.reply(video())

    await api.call("videos.create", **ARGUMENTS["videos.create"])

    assert on_span(told) == {INPUT: [user("A cat.")]}
