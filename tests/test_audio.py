"""What audio tells: speech, of which nothing is read; transcriptions and translations in all their formats."""

import asyncio
import math
from pathlib import Path
from typing import Any

import openai
import openai.types.audio
import pytest

from expected import Attributes, at, changed
from programs import ARGUMENTS
from server import (
    ABSENT,
    DONE,
    Gate,
    ScriptedServer,
    audio_usage,
    raw_reply,
    sse,
    text_reply,
    transcription,
    transcription_stream,
)
from streamed import described, entered
from support import Api, Told, need_stream

USAGE = {
    "gen_ai.usage.input_tokens": 14,
    "gen_ai.usage.output_tokens": 31,
    "gen_ai.usage.text.input_tokens": 10,
    "gen_ai.usage.audio.input_tokens": 4,
}
NO_USAGE = dict.fromkeys(USAGE)
DURATION = "otel_openai.usage.duration"
SPEECH = ARGUMENTS["audio.speech.create"]
FILE = ("hello.wav", b"RIFF")


def heard(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.request.model": "gpt-4o-transcribe",
        "gen_ai.output.type": "text",
        "http.response.status_code": 200,
        **USAGE,
    }
    return changed({**at(server), **answer}, *changes)


def spoken(server: ScriptedServer, *changes: Attributes) -> Attributes:
    answer = {"gen_ai.request.model": "gpt-4o-mini-tts", "gen_ai.output.type": "speech", **NO_USAGE}
    return heard(server, answer, *changes)


async def transcribe(api: Api, **arguments: Any) -> Any:
    return await api.call("audio.transcriptions.create", **{"model": "gpt-4o-transcribe", "file": FILE, **arguments})


# Transcriptions and translations.

_SEGMENT = {"id": 0, "start": 0.0, "end": 1.5, "text": "Hello!"}


def _seconds(seconds: Any) -> Any:
    return {"type": "duration", "seconds": seconds}


_TWO_SECONDS = {**NO_USAGE, DURATION: 2.0}
_NONSENSE = ("many", [2], {"s": 2}, -1, 1e300, math.inf, math.nan, None)

ANSWERS: dict[str, tuple[str, Any, Attributes]] = {
    "tokens": ("json", transcription(), {}),
    "seconds": ("json", transcription(usage=_seconds(2)), _TWO_SECONDS),
    "parts of a second": ("json", transcription(usage=_seconds(1.25)), {**NO_USAGE, DURATION: 1.25}),
    "no second": ("json", transcription(usage=_seconds(0)), {**NO_USAGE, DURATION: 0.0}),
    **{f"{odd} seconds": ("json", transcription(usage=_seconds(odd)), NO_USAGE) for odd in _NONSENSE},
    "seconds and tokens": ("json", transcription(usage=audio_usage(seconds=2)), {DURATION: 2.0}),
    "seconds and tokens of Mistral": (
        "json",
        transcription(usage={"prompt_audio_seconds": 2, "prompt_tokens": 14, "completion_tokens": 31}),
        {DURATION: 2.0, "gen_ai.usage.text.input_tokens": None, "gen_ai.usage.audio.input_tokens": None},
    ),
    "neither": ("json", transcription(usage=ABSENT), NO_USAGE),
    "silence": ("json", transcription("", usage=ABSENT), NO_USAGE),
    "verbose": ("verbose_json", transcription(duration=1.5, segments=[_SEGMENT], usage=_seconds(2)), _TWO_SECONDS),
    "verbose without usage": ("verbose_json", transcription(duration=1.5, segments=[], usage=ABSENT), NO_USAGE),
    "speakers": ("diarized_json", transcription(duration=1.5, task="transcribe", segments=[], usage=audio_usage()), {}),
    "speakers in seconds": (
        "diarized_json",
        transcription(duration=1.5, task="transcribe", segments=[], usage=_seconds(2)),
        _TWO_SECONDS,
    ),
    "text": ("text", text_reply("Hello!\n"), NO_USAGE),
    "subtitles": ("srt", text_reply("1\n00:00:00,000 --> 00:00:01,500\nHello!\n"), NO_USAGE),
    "web subtitles": (
        "vtt",
        text_reply("WEBVTT\n\n00:00.000 --> 00:01.500\nHello!\n", content_type="text/vtt"),
        NO_USAGE,
    ),
    "nothing": ("json", {}, NO_USAGE),
    "an error": ("json", {"error": {"message": "No."}}, {**NO_USAGE, "error.type": "provider_error"}),
    "a page": (
        "text",
        text_reply("\n<!DOCTYPE html><p>Bad gateway", content_type="text/html"),
        {**NO_USAGE, "error.type": "unexpected_response_body"},
    ),
}


@pytest.mark.parametrize("shape", ANSWERS)
async def test_a_transcription_tells_its_usage(api: Api, server: ScriptedServer, told: Told, shape: str) -> None:
    response_format, body, changes = ANSWERS[shape]
    if response_format == "diarized_json" and not hasattr(openai.types.audio, "TranscriptionDiarized"):
        pytest.skip(f"openai {openai.__version__} knows no speakers")
    server.reply(body)

    answer = await transcribe(api, response_format=response_format, temperature=0.5)

    assert isinstance(answer, str) is (response_format in ("text", "srt", "vtt"))
    assert told.attributes == heard(server, {"gen_ai.request.temperature": 0.5}, changes)
    assert told.span.name == "generate_content gpt-4o-transcribe"
    tokens = changed(USAGE, changes).get("gen_ai.usage.output_tokens", 0)
    assert told.total("gen_ai.client.inference.usage.output_tokens") == tokens
    assert [seconds for _, seconds in told.points(DURATION)] == [changes[DURATION] for _ in changes if _ == DURATION]
    assert type(told.attributes.get(DURATION, 0.0)) is float


async def test_a_translation_is_told_like_a_transcription(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(transcription())

    await api.call("audio.translations.create", model="whisper-1", file=FILE)

    assert told.attributes == heard(server, {"gen_ai.request.model": "whisper-1"})


async def test_a_file_may_be_a_path(api: Api, server: ScriptedServer, told: Told, tmp_path: Path) -> None:
    path = tmp_path / "secret name.wav"
    path.write_bytes(b"RIFF")
    server.reply(transcription())

    await transcribe(api, file=path)

    assert b"RIFF" in server.requests[0].body
    assert "secret" not in told.span.to_json()


async def test_a_streamed_transcription_tells_its_tokens(api: Api, server: ScriptedServer, told: Told) -> None:
    need_stream("audio.transcriptions.create")
    server.reply(sse({"type": "transcript.text.delta", "delta": ""}, *transcription_stream()))

    stream = await transcribe(api, stream=True)
    await api.next(stream)  # no text yet
    await asyncio.sleep(0.02)
    await api.drain(stream)

    streamed = {"gen_ai.request.stream": True, "otel_openai.stream.outcome": "completed"}
    assert described(told.span) == heard(server, streamed, {"otel_openai.stream.chunk.count": 4})
    assert told.attributes["gen_ai.response.time_to_first_chunk"] > 0.02


def _heard_by_vllm(text: str, **choice: Any) -> Any:
    choices = [{"delta": {"content": text}, **choice}]
    return {"id": "transcribe-1", "object": "transcription.chunk", "model": "whisper", "choices": choices}


@pytest.mark.parametrize("outcome", ["completed", "truncated"])
async def test_a_transcription_may_come_in_chunks_without_a_type(
    api: Api, server: ScriptedServer, told: Told, outcome: str
) -> None:
    need_stream("audio.transcriptions.create")
    is_whole = outcome == "completed"
    pieces = [_heard_by_vllm(""), _heard_by_vllm("Hel"), _heard_by_vllm("lo!", finish_reason="stop")]
    server.reply(sse(*pieces, *([DONE] if is_whole else [_heard_by_vllm(" Good")])))

    stream = await transcribe(api, stream=True)
    await api.next(stream)  # no text yet
    await asyncio.sleep(0.02)
    await api.drain(stream)

    chunks = {
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "transcribe-1",
        "gen_ai.response.model": "whisper",
        "gen_ai.response.finish_reasons": ["stop" if is_whole else "error"],
        "otel_openai.stream.outcome": outcome,
        "otel_openai.stream.chunk.count": 3 if is_whole else 4,
    }
    assert described(told.span) == heard(server, chunks, NO_USAGE)
    assert told.attributes["gen_ai.response.time_to_first_chunk"] > 0.02


@pytest.mark.parametrize("seconds", [2, 0, *_NONSENSE, "2", True], ids=repr)  # nothing is converted by the client
async def test_a_streamed_transcription_tells_its_seconds(
    api: Api, server: ScriptedServer, told: Told, seconds: Any
) -> None:
    need_stream("audio.transcriptions.create")
    server.reply(sse(*transcription_stream(usage=_seconds(seconds))))

    await api.drain(await transcribe(api, stream=True))

    streamed = {"gen_ai.request.stream": True, "otel_openai.stream.outcome": "completed"}
    usage = {**NO_USAGE, DURATION: seconds if type(seconds) is int and seconds >= 0 else None}
    assert described(told.span) == heard(server, streamed, {"otel_openai.stream.chunk.count": 3}, usage)
    assert [counted for _, counted in told.points(DURATION)] == [n for n in [usage[DURATION]] if n is not None]


async def test_seconds_add_up_by_what_also_tells_tokens_apart(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(*(transcription(usage=_seconds(seconds)) for seconds in (1.5, 2, 4)))

    for model in ("whisper-1", "whisper-1", "whisper-2"):
        await transcribe(api, model=model)

    assert told.points(DURATION) == [
        (
            {
                "gen_ai.operation.name": "generate_content",
                "gen_ai.provider.name": "openai_compatible",
                "gen_ai.request.model": model,
                "server.address": "127.0.0.1",
                "server.port": server.port,
            },
            seconds,
        )
        for model, seconds in (("whisper-1", 3.5), ("whisper-2", 4.0))
    ]
    assert told.points("gen_ai.client.token.usage") == []


# Speech.


async def test_speech_is_one_span(api: Api, server: ScriptedServer, told: Told) -> None:
    server.reply(raw_reply(b"RIFF", content_type="audio/wav"))

    answer = await api.call("audio.speech.create", **SPEECH)

    assert answer.content == b"RIFF"
    assert told.attributes == spoken(server)
    assert told.points("gen_ai.client.token.usage") == []


@pytest.mark.parametrize("how", ["iter_bytes", "read", "stream_to_file", None])
async def test_streamed_speech_is_read_by_the_app_alone(
    api: Api, server: ScriptedServer, told: Told, tmp_path: Path, how: str | None
) -> None:
    gate = Gate()
    server.reply(raw_reply(b"RI", gate, b"FF", content_type="audio/wav", chunked=True))
    read = b""

    async with entered(api.client.audio.speech.with_streaming_response.create(**SPEECH)) as answer:
        assert told.spans == []
        gate.open()
        if how == "iter_bytes":
            read = b"".join([piece async for piece in api.iterate(answer.iter_bytes())])
        elif how == "read":
            read = await answer.read() if api.is_async else answer.read()
        elif how == "stream_to_file":
            written = answer.stream_to_file(tmp_path / "speech.wav")
            if api.is_async:
                await written
            read = (tmp_path / "speech.wav").read_bytes()

    assert read == (b"RIFF" if how else b"")
    assert told.attributes == spoken(server)
    assert told.total("otel_openai.active_requests") == 0
