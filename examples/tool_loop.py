"""A tool-calling loop: the model asks for a tool, the program runs it and answers, until the model has enough.

One span of the program's own holds the loop together: under it is one span a request, and one for each run of a tool.
See README.md for the variables that it reads.
"""

import json
import os
import sys
from collections.abc import Callable

from local_model import any_model
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionMessageToolCallUnion, ChatCompletionToolParam
from opentelemetry import trace

import otel_openai

MAX_ROUNDS = 4
tracer = trace.get_tracer("tool_loop")


def get_weather(city: str) -> str:
    """Stands for a real service."""
    return f"{city}: 18 degrees, light rain"


TOOLS: dict[str, Callable[..., str]] = {"get_weather": get_weather}
DESCRIPTIONS: list[ChatCompletionToolParam] = [
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
]


def answer(client: OpenAI, model: str, question: str) -> str:
    """Ask, and run the tools that the model asks for, until it answers.

    Raises:
        RuntimeError: It did not in MAX_ROUNDS rounds.
    """
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question}]
    with tracer.start_as_current_span("tool_loop"):
        for _ in range(MAX_ROUNDS):
            completion = client.chat.completions.create(
                model=model, messages=messages, tools=DESCRIPTIONS, max_tokens=100, temperature=0
            )
            message = completion.choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.to_dict())  # pyright: ignore[reportArgumentType] - of that very shape
            messages.extend(
                {"role": "tool", "tool_call_id": call.id, "content": run_tool(call)} for call in message.tool_calls
            )
        raise RuntimeError(f"no answer after {MAX_ROUNDS} rounds")


def run_tool(call: ChatCompletionMessageToolCallUnion) -> str:
    """Run what the model asked for. Its mistakes are told to it, not to the user."""
    if call.type != "function":
        return "Error: there are only functions"
    with tracer.start_as_current_span(f"execute_tool {call.function.name}"):
        print(f"{call.function.name}({call.function.arguments})")
        try:
            return TOOLS[call.function.name](**json.loads(call.function.arguments))
        except (KeyError, TypeError, ValueError) as error:
            return f"Error: {error!r}"


def main() -> None:
    """Instrument, then run the loop for the question on the command line."""
    otel_openai.instrument(export="otlp" if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else "console")
    question = " ".join(sys.argv[1:]) or "What is the weather in Paris?"
    with any_model() as model:
        print(answer(OpenAI(), model, question))


if __name__ == "__main__":
    main()
