"""Every expression that the dashboard and the rules hold, with windows short enough for a test."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((_DEPLOY / "grafana/dashboards/otel-openai.json").read_text("utf-8"))
RULES = sorted((_DEPLOY / "prometheus/rules").glob("*.yml"))

SLOW = 0.4
"""Seconds until the first token that the alert stands for."""

_WINDOW = "12s"  # the tests' Prometheus gets new values every second


class Expression(NamedTuple):
    """An expression and where it stands."""

    place: str
    expr: str


def panels() -> list[Expression]:
    """The queries of every panel, for everything that the variables can select."""
    expressions: list[Expression] = []
    row = ""
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            row = panel["title"].partition(":")[0]
        for target in panel.get("targets", ()):
            series = "" if "{{" in target["legendFormat"] else target["legendFormat"]
            everything = re.sub(r"\$(service|provider|model|operation)\b", ".*", target["expr"])
            expressions.append(Expression(f"{row} / {panel['title']} {series}".strip(), _shortened(everything)))
    return expressions


def variables() -> list[tuple[str, str, str]]:
    """Name, series selector and label of every variable that lists values."""
    found: list[tuple[str, str, str]] = []
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()  # pyright: ignore[reportOptionalMemberAccess]
            found.append((variable["name"], re.sub(r"\$\w+", ".*", selector), label))
    return found


def rules() -> list[Expression]:
    """What every rule computes. An alert is made to say 0 or 1, where it would say nothing as long as all is well."""
    expressions: list[Expression] = []
    for rule in _all_rules():
        name, expr = rule.get("record") or rule["alert"], _shortened(rule["expr"])
        expressions.append(Expression(name, expr if "record" in rule else re.sub(r"(>=?|<) ", r"\1 bool ", expr)))
    return expressions


def rule_files() -> list[str]:
    """The rule files, with short windows, and alerts that fire at once."""
    return [re.sub(r"\n *for: \w+", "", _shortened(path.read_text("utf-8"))) for path in RULES]


def alerts() -> set[str]:
    """Names of all alerts."""
    return {rule["alert"] for rule in _all_rules() if "alert" in rule}


def _all_rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text("utf-8")) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def _shortened(expr: str) -> str:
    shortened = re.sub(r"\[(\d+m|\$__rate_interval)\]", f"[{_WINDOW}]", expr)
    shortened = shortened.replace("p95_5m > 5", f"p95_5m > {SLOW}")  # a stream of five seconds would make the test wait
    return shortened.replace("offset 1d", "offset 1s")
