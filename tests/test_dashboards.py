"""Every panel and rule on a real Prometheus, by both ways into it, while all is well and while much goes wrong."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from otel_openai import _guard
from prometheus import queries
from prometheus.checking import DOLLARS_PER_TOKEN, WORKLOADS, Answers, Report, Way, check, missing

pytestmark = pytest.mark.timeout(300)  # rates need values of several seconds


@pytest.fixture(scope="module", params=get_args(Way))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What Prometheus said, for one way into it; skipped where it is not to be had."""
    way: Way = request.param
    if reason := missing(way):
        pytest.skip(reason)
    _guard.reraise = True  # each test does so, but later than this
    return check(way, tmp_path_factory.mktemp(way))


@pytest.fixture(params=WORKLOADS)
def answers(request: pytest.FixtureRequest, report: Report) -> Answers:
    return report.after[request.param]


def test_every_panel_and_every_rule_has_data(answers: Answers) -> None:
    places = [place for place, _ in (*queries.panels(), *queries.rules())]
    assert sorted(answers.values) == sorted(places)
    assert answers.without_data == {}


def test_prometheus_has_counted_exactly_what_was_served(answers: Answers) -> None:
    assert answers.counted == answers.served
    assert answers.served.calls > 0


def test_the_cost_adds_up(answers: Answers) -> None:
    assert answers.cost == answers.served.tokens["output"] * DOLLARS_PER_TOKEN


def test_a_stream_that_is_open_is_seen(answers: Answers) -> None:
    assert answers.values["Now / Open requests"] == [1]


def test_every_variable_lists_what_there_is_to_choose(answers: Answers) -> None:
    assert answers.labels == {
        "service": ["shop"],
        "provider": ["openai_compatible"],
        "model": ["davinci", "embed", "gpt-4o-mini", "o4-mini", "whisper-1"],
        "operation": ["chat", "embeddings", "generate_content", "text_completion"],
    }


def test_alerts_are_silent_until_things_go_wrong(report: Report) -> None:
    # One compares with the day before, and one with a time that a busy machine may miss.
    assert report.after["success"].firing <= {"OpenAIFirstTokenSlow"}
    assert report.after["failure"].firing == queries.alerts() - {"OpenAITokenBurnRateHigh"}


@pytest.mark.parametrize("report", ["otlp"], indirect=True)  # the exporter for scraping sends none
def test_exemplars_lead_to_traces(report: Report) -> None:
    assert report.exemplars
    assert report.exemplars <= report.traces


def test_the_committed_dashboard_is_what_its_generator_writes() -> None:
    generator = Path(__file__).parents[1] / "deploy" / "grafana" / "generate.py"
    done = subprocess.run([sys.executable, generator, "--check"], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_no_query_depends_on_the_way_into_prometheus() -> None:
    text = [expr for _, expr in (*queries.panels(), *queries.rules())]
    assert [expr for expr in text if "otel_scope" in expr or "service_name" in expr] == []


def test_panels_say_what_to_do_and_do_not_overlap() -> None:
    panels = queries.DASHBOARD["panels"]
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["description"]] == []
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23
