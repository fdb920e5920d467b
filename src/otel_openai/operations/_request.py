"""Request arguments that several APIs share. A value that the app did not send is not invented."""

from collections.abc import Mapping
from typing import Any

from otel_openai import _semconv as names
from otel_openai._values import AttributeValue, Rule, fields, integer, number, text, texts

SAMPLING: Mapping[str, Rule] = {
    "temperature": (names.REQUEST_TEMPERATURE, number),
    "top_p": (names.REQUEST_TOP_P, number),
    "top_k": (names.REQUEST_TOP_K, integer),  # not OpenAI's: vLLM and others take it in extra_body
    "frequency_penalty": (names.REQUEST_FREQUENCY_PENALTY, number),
    "presence_penalty": (names.REQUEST_PRESENCE_PENALTY, number),
    "seed": (names.REQUEST_SEED, integer),
    "stop": (names.REQUEST_STOP_SEQUENCES, texts),
}


def only_true(value: object) -> bool | None:
    """True, or nothing at all."""
    return True if value is True else None


def not_one(value: object) -> int | None:
    """A number of choices, unless it is the default."""
    choices = integer(value)
    return None if choices == 1 else choices


def not_auto(value: object) -> str | None:
    """A service tier, unless it is the default."""
    tier = text(value)
    return None if tier == "auto" else tier


def output_type(response_format: object) -> str | None:
    """`json` for a JSON format or a class to parse into, `text` for text."""
    if isinstance(response_format, type):
        return "json"
    kind = fields(response_format).get("type")
    if kind in ("json_object", "json_schema"):
        return "json"
    return "text" if kind == "text" else None


def reasoning_level(reasoning: object) -> str | None:
    """The effort of a Responses request."""
    return text(fields(reasoning).get("effort"))


def identifier(value: object) -> str | None:
    """An id given as such, or as an object that has one."""
    return text(value) or text(fields(value).get("id"))


def prompt_template(prompt: object) -> dict[str, AttributeValue]:
    """Name and version of a stored prompt template."""
    template: dict[str, Any] = fields(prompt)
    found: dict[str, AttributeValue] = {}
    if (name := text(template.get("id"))) is not None:
        found[names.PROMPT_NAME] = name
        if (version := text(template.get("version"))) is not None:
            found[names.PROMPT_VERSION] = version
    return found
