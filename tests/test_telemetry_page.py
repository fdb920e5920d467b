"""docs/telemetry.md lists every name that leaves the process, in full, and no other."""

import re
from pathlib import Path

from otel_openai import _semconv as names

PAGE = Path(__file__).parent.parent / "docs" / "telemetry.md"
OURS = (
    "gen_ai.",
    "openai.api.",
    "openai.request.",
    "openai.response.",
    "otel_openai.",
    "server.",
    "http.",
    "error.",
    "exception.",
)


def written(quoted: str) -> list[str]:
    """The names that `a.{b,c}` stands for."""
    group = re.search(r"\{([^}]*)\}", quoted)
    if group is None:
        return [quoted]
    before, after = quoted[: group.start()], quoted[group.end() :]
    return [name for choice in group[1].split(",") for name in written(before + choice.strip() + after)]


def on_the_page() -> set[str]:
    """Everything in backquotes that has the form of a name."""
    quoted = re.findall(r"`([a-z_]+\.[a-z_.{}, ]*[a-z_}])`", PAGE.read_text())
    return {name for group in quoted for name in written(group)}


def in_the_code() -> set[str]:
    """Every name of `_semconv`; those that are the beginning of several are told by these."""
    beginnings = {names.HTTP_RESPONSE_HEADER, names.METRIC_INFERENCE_USAGE}
    constants = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    counters = {
        names.METRIC_INFERENCE_USAGE + usage.removeprefix("gen_ai.usage.")
        for usage in (
            names.USAGE_INPUT,
            names.USAGE_OUTPUT,
            names.USAGE_CACHE_READ,
            names.USAGE_CACHE_WRITE,
            names.USAGE_REASONING,
        )
    }
    return {name for name in constants - beginnings if name.startswith(OURS)} | counters


def test_the_page_and_the_code_know_the_same_names() -> None:
    page = {name for name in on_the_page() if name.startswith(OURS)}
    assert in_the_code() - page == set()
    assert page - in_the_code() == set()


def test_headers_are_on_the_page() -> None:
    assert f"`{names.HTTP_RESPONSE_HEADER}<name>`" in PAGE.read_text()
