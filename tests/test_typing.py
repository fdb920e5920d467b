"""The public API is typed: a strict type checker accepts right uses of it, and rejects wrong ones."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUBJECT = Path(__file__).parent / "typing" / "api.py"
IGNORED = re.compile(r"  # pyright: ignore\[([^,\]]+).*\]")


def test_a_strict_type_checker_rejects_the_wrong_lines_and_no_other(tmp_path: Path) -> None:
    checker = shutil.which("basedpyright", path=str(Path(sys.executable).parent)) or shutil.which("basedpyright")
    if checker is None:
        pytest.skip("basedpyright is not installed")
    text = SUBJECT.read_text("utf-8")
    expected = {
        (number, found[1])
        for number, line in enumerate(text.splitlines())
        if (found := IGNORED.search(line)) is not None
    }
    assert len(expected) > 10
    bared = tmp_path / "api.py"
    bared.write_text(IGNORED.sub("", text), "utf-8")

    checked = subprocess.run(  # noqa: S603 - our own tool
        [checker, "--outputjson", "--pythonpath", sys.executable, str(bared)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    found = json.loads(checked.stdout)["generalDiagnostics"]
    errors = {(error["range"]["start"]["line"], error["rule"]) for error in found if error["severity"] == "error"}
    assert expected <= errors, checked.stdout
    assert {line for line, _ in errors} == {line for line, _ in expected}, checked.stdout
