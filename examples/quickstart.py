"""Seven ordinary uses of the `openai` client, and what otel-openai tells about them.

Uses OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL and OPENAI_EMBEDDING_MODEL where they are set; otherwise it starts a
small local model. Answers go to stdout. Traces and metrics go to the collector at OTEL_EXPORTER_OTLP_ENDPOINT; without
one, a tree for each trace, and in the end a table of the usage, go to stderr.
"""

import os

from local_model import MODEL, serve
from openai import APIError, OpenAI

import otel_openai


def plain_call(client: OpenAI, model: str) -> None:
    """One question, one answer."""
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is gravity?"}],
        max_tokens=24,
    )
    print(completion.choices[0].message.content)


def streamed_call(client: OpenAI, model: str) -> None:
    """The answer as it is written. The server counts tokens for us if we ask it to."""
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Why is the sky blue?"}],
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


def three_choices(client: OpenAI, model: str) -> None:
    """One question, three answers."""
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Write a line about the sea."}],
        max_tokens=16,
        temperature=1,
        n=3,
    )
    for choice in completion.choices:
        print("-", choice.message.content)


def tool_call(client: OpenAI, model: str) -> None:
    """The model asks us to call a function."""
    completion = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        max_tokens=48,
        temperature=0,
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "Get the weather of a city",
                    "parameters": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}},
                        "required": ["city"],
                    },
                },
            }
        ],
    )
    message = completion.choices[0].message
    for call in message.tool_calls or []:
        if call.type == "function":
            print(call.function.name, call.function.arguments)
    if not message.tool_calls:
        print("No call, but:", message.content)


def response(client: OpenAI, model: str) -> None:
    """The Responses API."""
    answer = client.responses.create(model=model, input="What is a black hole?", max_output_tokens=24)
    print(answer.output_text)


def embeddings(client: OpenAI, model: str) -> None:
    """Two texts as vectors."""
    result = client.embeddings.create(model=model, input=["a cat", "a dog"])
    print(len(result.data), "vectors of", len(result.data[0].embedding), "numbers")


def bad_request(client: OpenAI, model: str) -> None:
    """A mistake: the temperature is no number."""
    client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        extra_body={"temperature": "hot"},
    )


def run_all(client: OpenAI, model: str, embeddings_client: OpenAI, embeddings_model: str) -> None:
    """Run the seven; what the server refuses is said, and the next one follows."""
    for example in (plain_call, streamed_call, three_choices, tool_call, response, embeddings, bad_request):
        print(f"\n# {example.__doc__}", flush=True)
        try:
            if example is embeddings:
                example(embeddings_client, embeddings_model)
            else:
                example(client, model)
        except APIError as error:
            print(f"{type(error).__name__}: {error}")


def main() -> None:
    """Instrument, then use the client as ever."""
    otel_openai.instrument(export="otlp" if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "console")

    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none"))
        model = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
        run_all(client, model, client, os.environ.get("OPENAI_EMBEDDING_MODEL", "text-embedding-3-small"))
    else:
        with serve() as url, serve(embeddings=True) as embeddings_url:
            client = OpenAI(base_url=url, api_key="none")
            run_all(client, MODEL, client.with_options(base_url=embeddings_url), MODEL)


if __name__ == "__main__":
    main()
