"""What a package index shows of this package."""

import re
from importlib.metadata import metadata


def test_the_page_is_the_readme_without_links_to_files_that_an_index_does_not_have() -> None:
    page = metadata("otel-openai").json["description"]

    assert isinstance(page, str)
    assert "docs/telemetry.md" in page
    assert re.findall(r"\]\((?!https?:)[^)]*\)", page) == []
