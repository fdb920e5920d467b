"""Recording rules, alerts and the configuration of Prometheus, checked by its own `promtool`."""

import subprocess
from pathlib import Path

import pytest
import yaml

from prometheus import queries
from prometheus.running import find, programs

DEPLOY = Path(__file__).parents[1] / "deploy" / "prometheus"
UNIT_TESTS = sorted((DEPLOY / "tests").glob("*.yml"))


@pytest.fixture(params=programs("promtool") or [None], ids=lambda program: program.name if program else "none")
def promtool(request: pytest.FixtureRequest) -> Path:
    program: Path | None = request.param
    if program is None:
        pytest.skip("no promtool: `make prometheus` fetches Debian's")
    return program


def run(program: Path, *arguments: object) -> None:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_pass_their_unit_tests(promtool: Path) -> None:
    run(promtool, "check", "rules", *queries.RULES)
    run(promtool, "test", "rules", *UNIT_TESTS)


def test_every_rule_has_a_unit_test() -> None:
    tests = [test for path in UNIT_TESTS for test in yaml.safe_load(path.read_text("utf-8"))["tests"]]
    tested = {case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if "exp_alerts" in case}
    expressions = [case["expr"] for test in tests for case in test.get("promql_expr_test", ()) if case["exp_samples"]]
    names = {place for place, _ in queries.rules()}
    assert {name for name in names - tested if not any(name in expr for expr in expressions)} == set()


def test_the_configuration_is_one_of_prometheus_3() -> None:
    promtool = find("promtool", at_least_3=True)
    if promtool is None:
        pytest.skip("no promtool 3, which knows OTLP: `make prometheus3` builds it with Go")
    run(promtool, "check", "config", DEPLOY / "prometheus.yml")
