"""Content of images, audio and videos. Files that the app uploads are told, never read; bytes are hashed."""

from collections.abc import Iterator, Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._binary import Binary
from otel_openai._content import Limits, Message, Part, Writer
from otel_openai._gathered import Gathered, Room
from otel_openai._plain import members
from otel_openai._values import listed
from otel_openai._values import text as short_text
from otel_openai.operations._base import Messages

_UPLOADS = {
    "image": "image",
    "mask": "image",
    "markup": "image",
    "input_reference": "image",
    "video": "video",
    "file": "audio",
}
_ENDS = (".completed", ".done")


def _request(writer: Writer, params: Mapping[str, Any]) -> None:
    writer.newest(names.INPUT_MESSAGES, [params], _asked)


def _asked(writer: Writer, params: Mapping[str, Any]) -> Message:
    return writer.message("user", _asked_parts(writer, params))


def _asked_parts(writer: Writer, params: Mapping[str, Any]) -> Iterator[Part | None]:
    yield writer.part("prompt", params.get("prompt"))
    for name, modality in _UPLOADS.items():
        given: Any = params.get(name)
        uploads: list[Any] = given if given.__class__ is list else [given]
        for upload in uploads:
            if upload is not None:
                yield _upload(writer, modality, upload)


def _upload(writer: Writer, modality: str, upload: Any) -> Part:
    """A file: bytes, or what only the client may read, alone or as (name, content, type)."""
    told: list[Any] = [*listed(upload), None, None, None] if upload.__class__ is tuple else [None, upload, None]
    name, content, mime_type = told[:3]
    data = Binary(0)
    if isinstance(content, bytes):
        data.add(content)
    part = writer.binary(modality, data, short_text(mime_type, 128)) or {"type": "omitted", "modality": modality}
    if (filename := writer.text("prompt", name)) is not None:
        part["filename"] = filename
    return part


def _drawn(writer: Writer, result: Any) -> None:
    told = members(result)
    form = short_text(told.get("output_format"), 32)

    def tell(writer: Writer, image: Any) -> Message:
        return writer.message("assistant", _image_parts(writer, members(image), form), finish_reason="stop")

    writer.choices(names.OUTPUT_MESSAGES, listed(told.get("data")), tell)


def _image_parts(writer: Writer, image: Mapping[str, Any], form: str | None) -> Iterator[Part | None]:
    data = image.get("b64_json")
    mime_type = None if form is None else f"image/{form}"
    yield (
        writer.binary("image", data, mime_type) if isinstance(data, Binary) else writer.base64("image", data, mime_type)
    )
    yield writer.link("answer", "image", image.get("url"))
    yield writer.part("answer", image.get("revised_prompt"), "revised_prompt")


class ImageContentObserver:
    """Watches the events of an image that is drawn: its last state, not the ones before."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.binary
        self._drawn: dict[str, Any] | None = None

    def chunk(self, event: Any, /) -> None:
        """Take what one event says."""
        told = members(event)
        if str(told.get("type")).endswith(_ENDS) and isinstance(encoded := told.get("b64_json"), str):
            data = Binary.of(encoded, self._limit)
            self._drawn = {"data": [{"b64_json": data}], "output_format": told.get("output_format")}

    def result(self) -> Any:
        """What was drawn until now."""
        return self._drawn


def _spoken_request(writer: Writer, params: Mapping[str, Any]) -> None:
    _request(writer, {"prompt": params.get("input")})
    writer.parts(names.SYSTEM_INSTRUCTIONS, iter([writer.part("instructions", params.get("instructions"))]))


def _heard(writer: Writer, result: Any) -> None:
    text = result if isinstance(result, str) else members(result).get("text")
    if isinstance(text, str):
        writer.choices(names.OUTPUT_MESSAGES, [text], _said)


def _said(writer: Writer, text: Any) -> Message:
    return writer.message("assistant", [writer.part("answer", text)], finish_reason="stop")


class TranscriptContentObserver:
    """Watches the events of a transcription."""

    def __init__(self, limits: Limits) -> None:
        self._room = Room(limits)
        self._text = Gathered(self._room)

    def chunk(self, event: Any, /) -> None:
        """Take what one event says."""
        told = members(event)
        if isinstance(whole := told.get("text"), str) and str(told.get("type")).endswith(_ENDS):
            self._text.forget()
            self._text.add(whole)
        else:
            self._text.add(told.get("delta"))
            for choice in listed(told.get("choices"))[:1]:  # vLLM
                self._text.add(members(members(choice).get("delta")).get("content"))

    def result(self) -> Any:
        """What was heard until now."""
        return self._text.value()


IMAGES_MESSAGES = Messages(request=_request, response=_drawn, observer=ImageContentObserver)
TRANSCRIPTIONS_MESSAGES = Messages(request=_request, response=_heard, observer=TranscriptContentObserver)
SPEECH_MESSAGES = Messages(request=_spoken_request)
VIDEOS_MESSAGES = Messages(request=_request)
