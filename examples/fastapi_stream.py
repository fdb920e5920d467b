"""A web service that streams answers to the browser: FastAPI's span of the request above, the span of the model below.

Run it, open http://127.0.0.1:8000/ask?question=Why+is+the+sky+blue%3F and stop loading in the middle: the stream is
told as `closed`, and the model stops too. See README.md for the variables that it reads; PORT is another.
"""

import os
import signal
import sys
from collections.abc import AsyncGenerator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from local_model import any_model
from openai import APIConnectionError, AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

import otel_openai


class StreamedAnswer(StreamingResponse):
    """Sends an answer as it is written, and closes it when the browser goes away.

    Without that, Starlette cancels the task that reads the answer, as a time limit would: the stream would be told as
    `cancelled`, which is an error. A browser that goes away is none.
    """

    def __init__(self, stream: AsyncStream[ChatCompletionChunk]) -> None:
        self._stream = stream
        self._browser_is_gone = False
        super().__init__(self._words(), media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    async def _words(self) -> AsyncGenerator[str]:
        try:
            async with self._stream:
                async for chunk in self._stream:
                    if chunk.choices:
                        yield chunk.choices[0].delta.content or ""
        except APIConnectionError:  # so ends the reading of a stream that is closed meanwhile
            if not self._browser_is_gone:
                raise

    async def listen_for_disconnect(self, receive: Any) -> None:
        """Starlette calls this next to the sending, and ends the sending when it returns."""
        await super().listen_for_disconnect(receive)
        self._browser_is_gone = True
        await self._stream.close()


def service(model: str) -> FastAPI:
    """The web service."""
    client = AsyncOpenAI()
    # One span a request, not one for each step of it as well. It tells the address, here with the question in it: where
    # that must not leave, take it by POST.
    app = FastAPI(telemetry={"operation_spans": False})

    @app.get("/ask")
    async def ask(question: str) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction] - FastAPI uses it
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=500,
            stream=True,
            stream_options={"include_usage": True},
        )
        return StreamedAnswer(stream)

    return app


def main() -> None:
    """Instrument, then serve until Ctrl-C or SIGTERM."""
    otel_openai.instrument(export="otlp" if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "console")
    # uvicorn raises the signal again when it has shut down. Only an exit lets the SDK send what it still holds.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())
    with any_model() as model:
        uvicorn.run(service(model), port=int(os.environ.get("PORT", "8000")), log_level="warning")


if __name__ == "__main__":
    main()
