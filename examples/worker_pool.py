"""A worker pool: a few workers take prompts from a queue, so that never more than a few requests are open at once.

Each prompt is one trace: a span of the program's own, and below it the span of the request. The metric
`otel_openai.active_requests` tells how many are open. See README.md for the variables that it reads.
"""

import asyncio
import os
import sys

from local_model import any_model
from openai import APIError, AsyncOpenAI
from opentelemetry import trace

import otel_openai

WORKERS = 3
PROMPTS = [f"Name a word that begins with {letter}." for letter in "ABCDEFGH"]
tracer = trace.get_tracer("worker_pool")


async def work(queue: "asyncio.Queue[str]", client: AsyncOpenAI, model: str) -> None:
    """Take prompts until there are none. One that fails does not stop the worker."""
    while not queue.empty():
        prompt = queue.get_nowait()
        with tracer.start_as_current_span("job"):
            try:
                completion = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": prompt}], max_tokens=24
                )
                print(prompt, "->", completion.choices[0].message.content)
            except APIError as error:
                print(prompt, "->", error)


async def run(prompts: list[str], model: str) -> None:
    """Have all prompts answered."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    for prompt in prompts:
        queue.put_nowait(prompt)
    async with AsyncOpenAI() as client:
        await asyncio.gather(*(work(queue, client, model) for _ in range(WORKERS)))


def main() -> None:
    """Instrument, then work on the prompts on the command line, each one argument."""
    otel_openai.instrument(export="otlp" if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "console")
    with any_model() as model:
        asyncio.run(run(sys.argv[1:] or PROMPTS, model))


if __name__ == "__main__":
    main()
