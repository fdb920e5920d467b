"""Against a real model server: llama.cpp's own, with a tiny random model, through the unmodified client.

The words of the answers mean nothing; the counts, reasons and shapes are the server's own, and what is recorded must be
what it says. Where the server cannot be installed, these tests are skipped.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from support import Api, Told, attributes_of, client

for package in ("xllamacpp", "gguf", "numpy"):
    pytest.importorskip(package, reason=f"the real model server needs the package {package}")

from llama import tiny_gguf  # noqa: E402 - it needs them
from llama.server import serve  # noqa: E402

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
QUICKSTART = ROOT / "examples" / "quickstart.py"
ASKED: dict[str, Any] = {"model": "tiny", "temperature": 0}
# Never the end of the answer: it always reaches the limit.
GOES_ON = {str(tiny_gguf.END): -100}
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT: dict[str, Any] = {**ASKED, "messages": MESSAGES, "max_tokens": 6, "logit_bias": GOES_ON}
THINKS = r'root ::= "<think>\nUser wants hi.\n</think>\n\nHello."'
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris"]}},
        "required": ["city"],
    },
}
TOOL_CALL: dict[str, Any] = {
    **CHAT,
    "max_tokens": 100,
    "tools": [{"type": "function", "function": WEATHER}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "logit_bias": tiny_gguf.tool_bias(),
}


@pytest.fixture(scope="module")
def chat_url() -> Iterator[str]:
    with serve(tiny_gguf.build(CACHE)) as url:
        yield url


@pytest.fixture(scope="module")
def embeddings_url() -> Iterator[str]:
    with serve(tiny_gguf.build(CACHE), embeddings=True) as url:
        yield url


@pytest.fixture(scope="module")
def thinking_url() -> Iterator[str]:
    with serve(tiny_gguf.build(CACHE), template=tiny_gguf.THINKING_TEMPLATE) as url:
        yield url


@pytest.fixture(params=["sync", "async"])
async def api(request: pytest.FixtureRequest, chat_url: str) -> AsyncIterator[Api]:
    api = Api(request.param, client(request.param, chat_url))
    yield api
    await api.close(api.client)


def place(api: Api, operation: str = "chat") -> dict[str, Any]:
    """What every span and every series of these calls has in common."""
    url = urlsplit(str(api.client.base_url))
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "tiny",
        "server.address": "127.0.0.1",
        "server.port": url.port,
    }


def answered(api: Api, operation: str = "chat") -> dict[str, Any]:
    """What every answered call tells."""
    return {**place(api, operation), "gen_ai.response.model": "tiny", "http.response.status_code": 200}


CHATTED: dict[str, Any] = {
    "openai.api.type": "chat_completions",
    "openai.response.system_fingerprint": "b0-unknown",
    "gen_ai.request.temperature": 0.0,
    "gen_ai.request.max_tokens": 6,
    "gen_ai.response.finish_reasons": ["length"],
    "otel_openai.tool_call.count": 0,
}


def used(usage: Any) -> dict[str, int]:
    """What the server says that it used, in the names of the attributes."""
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.prompt_tokens_details.cached_tokens,
    }


def used_in_response(usage: Any) -> dict[str, int]:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.input_tokens_details.cached_tokens,
    }


def without_times(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a stream, less the two whose values are times: those must be there, and be possible."""
    first = attributes.pop("gen_ai.response.time_to_first_chunk")
    gap = attributes.pop("otel_openai.stream.max_chunk_gap")
    assert 0 < first < 60
    assert 0 <= gap < 60
    return attributes


def measured(told: Told, common: dict[str, Any]) -> dict[str, Any]:
    """Every metric, by its name and by what tells its series apart; of durations only how many there are."""
    found: dict[str, Any] = {}
    data = told._reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    for metric in scope.metrics:
        points: Sequence[Any] = metric.data.data_points
        for point in points:
            attributes: dict[str, Any] = dict(point.attributes)
            assert common.items() <= attributes.items()
            apart = sorted(str(value) for name, value in attributes.items() if name not in common)
            value = point.value if hasattr(point, "value") else point.count if metric.unit == "s" else point.sum
            found[" ".join([metric.name, *apart])] = value
    return found


async def test_a_plain_call(api: Api, told: Told) -> None:
    completion = await api.call("chat.completions.create", **CHAT, seed=7, top_p=0.5)

    assert completion.usage.completion_tokens == 6
    assert told.span.name == "chat tiny"
    assert told.attributes == {
        **answered(api),
        **CHATTED,
        **used(completion.usage),
        "gen_ai.request.seed": 7,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.response.id": completion.id,
    }
    cached = completion.usage.prompt_tokens_details.cached_tokens
    assert measured(told, place(api)) == {
        "gen_ai.client.operation.duration tiny": 1,
        "gen_ai.client.token.usage input tiny": completion.usage.prompt_tokens,
        "gen_ai.client.token.usage output tiny": 6,
        "gen_ai.client.inference.usage.input_tokens tiny": completion.usage.prompt_tokens,
        "gen_ai.client.inference.usage.output_tokens tiny": 6,
        "gen_ai.client.inference.usage.cache_read.input_tokens tiny": cached,
        "otel_openai.finish_reasons length tiny": 1,
        "otel_openai.retries tiny": 0,
        "otel_openai.active_requests": 0,
    }


async def test_three_choices_and_the_usage_that_the_server_gives_for_them(api: Api, told: Told) -> None:
    completion = await api.call("chat.completions.create", **CHAT, n=3)

    # This server counts the tokens of one choice only. What it says is what is recorded.
    assert (len(completion.choices), completion.usage.completion_tokens) == (3, 6)
    assert told.attributes == {
        **answered(api),
        **CHATTED,
        **used(completion.usage),
        "gen_ai.request.choice.count": 3,
        "gen_ai.response.finish_reasons": ["length"] * 3,
        "gen_ai.response.id": completion.id,
    }
    assert told.total("otel_openai.finish_reasons", otel_openai__finish_reason="length") == 3


async def test_a_stream_without_usage_tells_none(api: Api, told: Told) -> None:
    stream = await api.call("chat.completions.create", **CHAT, stream=True)
    chunks = await api.drain(stream)

    assert without_times(told.attributes) == {
        **answered(api),
        **CHATTED,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": chunks[0].id,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(chunks),
    }
    assert measured(told, place(api)) == {
        "gen_ai.client.operation.duration tiny": 1,
        "gen_ai.client.operation.time_to_first_chunk tiny": 1,
        "otel_openai.finish_reasons length tiny": 1,
        "otel_openai.streams completed tiny": 1,
        "otel_openai.retries tiny": 0,
        "otel_openai.active_requests": 0,
    }


async def test_a_stream_with_usage_tells_what_its_last_chunk_says(api: Api, told: Told) -> None:
    stream = await api.call("chat.completions.create", **CHAT, stream=True, stream_options={"include_usage": True})
    chunks = await api.drain(stream)

    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 6)
    assert without_times(told.attributes) == {
        **answered(api),
        **CHATTED,
        **used(chunks[-1].usage),
        "gen_ai.request.stream": True,
        "gen_ai.response.id": chunks[0].id,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(chunks),
    }


async def test_choices_in_a_stream_end_one_by_one_each_with_its_usage(api: Api, told: Told) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = await api.drain(await api.call("chat.completions.create", **CHAT, n=2, **options))

    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert (len(usages), usages[-1].completion_tokens) == (2, 6)
    assert without_times(told.attributes) == {
        **answered(api),
        **CHATTED,
        **used(usages[-1]),
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": chunks[0].id,
        "gen_ai.response.finish_reasons": ["length"] * 2,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(chunks),
    }


async def test_reasoning_is_output_and_no_choice_of_its_own(api: Api, thinking_url: str, told: Told) -> None:
    api.client.base_url = thinking_url
    thinking = {**CHAT, "max_tokens": 100, "extra_body": {"grammar": THINKS}}
    completion = await api.call("chat.completions.create", **thinking)
    chunks = await api.drain(await api.call("chat.completions.create", **thinking, stream=True))

    message = completion.choices[0].message
    assert (message.reasoning_content, message.content) == ("User wants hi.\n", "Hello.")
    plain, streamed = map(attributes_of, told.spans)
    common = {
        **answered(api),
        **CHATTED,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.finish_reasons": ["stop"],
    }
    assert plain == {**common, **used(completion.usage), "gen_ai.response.id": completion.id}
    assert without_times(streamed) == {
        **common,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": chunks[0].id,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(chunks),
    }


async def test_a_tool_call(api: Api, told: Told) -> None:
    completion = await api.call("chat.completions.create", **TOOL_CALL)

    (call,) = completion.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    assert told.attributes == {
        **answered(api),
        **CHATTED,
        **used(completion.usage),
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.id": completion.id,
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "otel_openai.tool_call.count": 1,
        "otel_openai.tool_call.names": ["get_weather"],
    }
    assert told.points("otel_openai.tool_calls") == [
        ({**place(api), "gen_ai.response.model": "tiny", "gen_ai.tool.name": "get_weather"}, 1)
    ]


async def test_a_tool_call_in_a_stream_is_one_call_however_many_chunks_it_takes(api: Api, told: Told) -> None:
    stream = await api.call("chat.completions.create", **TOOL_CALL, stream=True)
    chunks = await api.drain(stream)

    pieces = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.tool_calls]
    assert len(pieces) > 2
    assert without_times(told.attributes) == {
        **answered(api),
        **CHATTED,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": chunks[0].id,
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "otel_openai.tool_call.count": 1,
        "otel_openai.tool_call.names": ["get_weather"],
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(chunks),
    }


async def test_a_legacy_completion(api: Api, told: Told) -> None:
    completion = await api.call("completions.create", **ASKED, prompt="hi", max_tokens=6, logit_bias=GOES_ON)

    assert told.span.name == "text_completion tiny"
    assert told.attributes == {
        **answered(api, "text_completion"),
        **used(completion.usage),
        "openai.response.system_fingerprint": "b0-unknown",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 6,
        "gen_ai.response.id": completion.id,
        "gen_ai.response.finish_reasons": ["length"],
    }


async def test_a_response(api: Api, told: Told) -> None:
    response = await api.call("responses.create", **ASKED, input="hi", max_output_tokens=16)

    assert response.status == "completed"
    assert told.attributes == {
        **answered(api),
        **used_in_response(response.usage),
        "openai.api.type": "responses",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 16,
        "gen_ai.response.id": response.id,
        "gen_ai.response.finish_reasons": ["stop"],
        "otel_openai.tool_call.count": 0,
    }


async def test_a_streamed_response(api: Api, told: Told) -> None:
    stream = await api.call("responses.create", **ASKED, input="hi", max_output_tokens=16, stream=True)
    events = await api.drain(stream)

    assert events[-1].type == "response.completed"
    assert without_times(told.attributes) == {
        **answered(api),
        **used_in_response(events[-1].response.usage),
        "openai.api.type": "responses",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 16,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": events[-1].response.id,
        "gen_ai.response.finish_reasons": ["stop"],
        "otel_openai.tool_call.count": 0,
        "otel_openai.stream.outcome": "completed",
        "otel_openai.stream.chunk.count": len(events),
    }


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_embeddings(api: Api, embeddings_url: str, told: Told, encoding: str) -> None:
    api.client.base_url = embeddings_url
    result = await api.call("embeddings.create", model="tiny", input=["hi", "ho"], encoding_format=encoding)

    assert len(result.data) == 2
    assert told.attributes == {
        **answered(api, "embeddings"),
        "gen_ai.request.encoding_formats": [encoding],
        "gen_ai.embeddings.dimension.count": 128,
        "gen_ai.usage.input_tokens": result.usage.prompt_tokens,
    }
    assert measured(told, place(api, "embeddings")) == {
        "gen_ai.client.operation.duration tiny": 1,
        "gen_ai.client.token.usage input tiny": result.usage.prompt_tokens,
        "gen_ai.client.inference.usage.input_tokens tiny": result.usage.prompt_tokens,
        "otel_openai.retries tiny": 0,
        "otel_openai.active_requests": 0,
    }


async def test_a_refused_request(api: Api, told: Told) -> None:
    with pytest.raises(openai.BadRequestError):
        await api.call("chat.completions.create", **{**CHAT, "temperature": "hot"})

    status = told.span.status
    assert (status.status_code.name, status.description) == (
        "ERROR",
        "BadRequestError, HTTP 400, code 400, type invalid_request_error",
    )
    assert told.attributes == {
        **place(api),
        "openai.api.type": "chat_completions",
        "gen_ai.request.max_tokens": 6,
        "http.response.status_code": 400,
        "error.type": "BadRequestError",
    }
    assert measured(told, place(api)) == {
        "gen_ai.client.operation.duration BadRequestError": 1,
        "otel_openai.retries": 0,
        "otel_openai.active_requests": 0,
    }


async def test_a_server_that_cannot_do_it_is_asked_again_by_the_client(api: Api, told: Told) -> None:
    api.client.max_retries = 1
    with pytest.raises(openai.InternalServerError):
        await api.call("embeddings.create", model="tiny", input="hi", encoding_format="float")

    assert told.attributes == {
        **place(api, "embeddings"),
        "gen_ai.request.encoding_formats": ["float"],
        "http.request.resend_count": 1,
        "http.response.status_code": 501,
        "error.type": "InternalServerError",
    }
    assert told.total("otel_openai.retries") == 1


async def test_a_stream_that_the_app_closes_early(api: Api, told: Told) -> None:
    stream = await api.call("chat.completions.create", **{**CHAT, "max_tokens": 500}, stream=True)
    chunk = await api.next(stream)
    await api.close(stream)

    assert told.span.status.status_code.name == "UNSET"
    assert told.attributes == {
        **answered(api),
        **CHATTED,
        "gen_ai.request.max_tokens": 500,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": chunk.id,
        "gen_ai.response.finish_reasons": ["error"],
        "otel_openai.stream.outcome": "closed",
        "otel_openai.stream.chunk.count": 1,
    }
    assert told.total("otel_openai.streams", otel_openai__stream__outcome="closed") == 1
    assert told.total("otel_openai.active_requests") == 0


def run_quickstart(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *arguments],
        env={**clean, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **env},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_quickstart_shows_every_call_and_the_usage(chat_url: str) -> None:
    done = run_quickstart(str(QUICKSTART), OPENAI_BASE_URL=chat_url, OPENAI_MODEL="tiny", OPENAI_EMBEDDING_MODEL="tiny")

    assert done.returncode == 0, done.stderr
    assert [line[2:] for line in done.stdout.splitlines() if line.startswith("# ")] == [
        "One question, one answer.",
        "The answer as it is written. The server counts tokens for us if we ask it to.",
        "One question, three answers.",
        "The model asks us to call a function.",
        "The Responses API.",
        "Two texts as vectors.",
        "A mistake: the temperature is no number.",
    ]
    trees, _, table = done.stderr.partition("Usage by model\n")
    lines = [line.split("  ") for line in trees.splitlines() if line]
    assert [line[0] for line in lines] == [*["chat tiny"] * 5, "embeddings tiny", "chat tiny"]
    (reasons,) = (part for part in lines[2] if part.startswith("finish "))
    assert len(reasons.split(", ")) == 3
    assert lines[5][2:] == ["retries 2", "InternalServerError, HTTP 501, code 501, type not_supported_error"]
    assert lines[6][2:] == ["BadRequestError, HTTP 400, code 400, type invalid_request_error"]
    row = table.splitlines()[2].split()
    assert row[:4] == ["tiny", urlsplit(chat_url).netloc, "7", "2"]


def test_the_quickstart_says_what_to_install() -> None:
    program = (
        f"import runpy, sys; sys.modules['xllamacpp'] = None; runpy.run_path({str(QUICKSTART)!r}, run_name='__main__')"
    )
    done = run_quickstart("-c", program, PYTHONPATH=os.pathsep.join([str(QUICKSTART.parent), *filter(None, sys.path)]))

    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "The local model needs two packages. `make demo` installs them, or do it yourself:",
    )
