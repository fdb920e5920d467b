"""What a Grafana dashboard is made of, as plain dictionaries in the shape of its JSON (schema version 39)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24


@dataclass(frozen=True)
class Query:
    """One PromQL query of a panel.

    Attributes:
        expr: PromQL; the dashboard's variables and `$__rate_interval` are known.
        legend: Name of a series, with `{{label}}` in it.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """A panel.

    Attributes:
        title: What it shows.
        description: What to do when it looks bad.
        queries: What it asks Prometheus for.
        unit: Grafana's name of the unit.
        kind: `stat` is one number of now, `timeseries` a graph.
        width: In columns; a row has 24.
        steps: Value from which a colour holds, besides the green base; graphs draw a line there.
        stacked: Whether the series of a graph add up.
        maximum: End of the axis.
        no_value: What stands there in place of data.
        exemplars: Whether the graph shows exemplars, which link to their traces.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    kind: Literal["stat", "timeseries"] = "timeseries"
    width: int = 8
    steps: Mapping[str, float] = field(default_factory=dict[str, float])
    stacked: bool = False
    maximum: float | None = None
    no_value: str | None = None
    exemplars: bool = False


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the dashboard: the values of one label."""

    name: str
    label: str
    query: str


def dashboard(uid: str, title: str, description: str, variables: Sequence[Variable], rows: Sequence[Row]) -> Json:
    """The whole JSON of a dashboard."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["openai", "opentelemetry", "gen_ai"],
        "schemaVersion": 39,  # of Grafana 11; newer ones bring it up to date
        "editable": True,
        "graphTooltip": 1,  # one cross-hair over all graphs
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource_variable(), *map(_variable, variables)]},
        "annotations": {"list": []},
        "links": [],
        "panels": _laid_out(rows),
    }


def _datasource_variable() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "definition": variable.query,
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # also matches series that lack the label
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    panels: list[Json] = []
    top = 0
    for row in rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
                "panels": [],
            }
        )
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top = 0, top + height
            height = 4 if panel.kind == "stat" else 8
            place = {"x": left, "y": top, "w": panel.width, "h": height}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
            left += panel.width
        top += height
    return panels


def _panel(panel: Panel) -> Json:
    is_stat = panel.kind == "stat"
    defaults: Json = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "thresholds" if is_stat else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": _steps(panel.steps)},
    }
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.no_value is not None:
        defaults["noValue"] = panel.no_value
    if not is_stat:
        defaults["custom"] = {
            "fillOpacity": 30 if panel.stacked else 10,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _stat_options(panel) if is_stat else _graph_options(),
        "targets": [_target(query, index, panel) for index, query in enumerate(panel.queries)],
    }


def _steps(steps: Mapping[str, float]) -> list[Json]:
    """Grafana wants the base first and then ascending values; a lowest step of 0 replaces the base."""
    ascending = sorted(steps.items(), key=lambda step: step[1])
    if not ascending or ascending[0][1] > 0:
        ascending.insert(0, ("green", 0))
    (base, _), *others = ascending
    return [{"color": base, "value": None}, *({"color": color, "value": value} for color, value in others)]


def _stat_options(panel: Panel) -> Json:
    return {
        "colorMode": "background" if panel.steps else "none",  # green is a judgement
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }


def _graph_options() -> Json:
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _target(query: Query, index: int, panel: Panel) -> Json:
    is_stat = panel.kind == "stat"
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": is_stat,
        "range": not is_stat,
        "exemplar": panel.exemplars and index == 0,  # those of the other queries are the same
    }
