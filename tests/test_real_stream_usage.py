"""`stream_usage=True` against llama.cpp's own server: it tells the usage, and the app sees none of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_openai
from support import Api, Told, client

for package in ("xllamacpp", "gguf", "numpy"):
    pytest.importorskip(package, reason=f"the real model server needs the package {package}")

from llama import tiny_gguf  # noqa: E402 - it needs them
from llama.server import serve  # noqa: E402

ARGUMENTS: dict[str, dict[str, Any]] = {
    "chat.completions.create": {"messages": [{"role": "user", "content": "hi"}]},
    "completions.create": {"prompt": "hi"},
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(tiny_gguf.build(Path(__file__).parents[1] / ".cache")) as url:
        yield url


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("method", ARGUMENTS)
async def test_a_real_server_tells_it_and_the_app_gets_the_other_chunks(method: str, kind: Any, url: str) -> None:
    asked = {**ARGUMENTS[method], "model": "tiny", "temperature": 0, "max_tokens": 5, "stream": True}
    api = Api(kind, client(kind, url))
    bare = await api.drain(await api.call(method, **asked))
    told = Told()
    told.instrument(stream_usage=True)
    instrumented = await api.drain(await api.call(method, **asked))
    otel_openai.uninstrument()
    with_usage = await api.drain(await api.call(method, **asked, stream_options={"include_usage": True}))
    await api.close(api.client)
    told.shutdown()

    assert [chunk.choices for chunk in instrumented] == [chunk.choices for chunk in bare]
    assert all(chunk.choices for chunk in bare)
    usage = with_usage[-1].usage
    assert (told.attributes["gen_ai.usage.input_tokens"], told.attributes["gen_ai.usage.output_tokens"]) == (
        usage.prompt_tokens,
        usage.completion_tokens,
    )
