"""Writes the dashboard: `python deploy/grafana/generate.py`. With `--check` it only compares."""

import json
import sys
from pathlib import Path

from model import dashboard
from overview import ROWS, VARIABLES

FILE = Path(__file__).parent / "dashboards" / "otel-openai.json"


def text() -> str:
    """The JSON that Grafana reads."""
    whole = dashboard(
        "otel-openai",
        "OpenAI clients",
        "What the openai clients of your services do, by otel-openai.",
        VARIABLES,
        ROWS,
    )
    return json.dumps(whole, indent=2) + "\n"


def main() -> None:
    """Write the file, or compare it."""
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text(), "utf-8")
    elif FILE.read_text("utf-8") != text():
        raise SystemExit(f"{FILE.name} is not what the generator writes: run python deploy/grafana/generate.py")


if __name__ == "__main__":
    main()
