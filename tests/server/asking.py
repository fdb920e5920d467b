"""What the tests of the scripted server ask of it, through the real client."""

from collections.abc import Iterable
from typing import TypedDict

from openai import OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam


class Question(TypedDict):
    model: str
    messages: list[ChatCompletionMessageParam]


QUESTION: Question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


def ask(client: OpenAI) -> ChatCompletion:
    return client.chat.completions.create(**QUESTION)


def stream(client: OpenAI) -> Stream[ChatCompletionChunk]:
    return client.chat.completions.create(**QUESTION, stream=True)


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
