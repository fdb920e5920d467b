"""Runs the OpenTelemetry Collector with the configurations of deploy/collector, on ports and in folders of the test."""

import json
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from background import built, free_port, serving

CONFIGS = Path(__file__).parent.parent / "deploy" / "collector"


class Collector:
    """A configuration with what a test has to change in it: the ports, the folder, and the addresses of others."""

    def __init__(self, name: str, folder: Path, **exporters: Any) -> None:
        """Prepare to run a configuration.

        Args:
            name: Of the configuration: "collector", "agent" or "gateway".
            folder: For its queue and its log; it outlives a restart.
            **exporters: Changes to exporters, by name; a slash in a name is written as a double underscore.
        """
        self.name = name
        self.grpc = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        own_metrics = {"host": "127.0.0.1", "port": free_port()}
        self.own_metrics = f"http://127.0.0.1:{own_metrics['port']}/metrics"
        self.changes: dict[str, Any] = {
            "extensions": {"health_check": {"endpoint": f"127.0.0.1:{free_port()}"}},
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": self.grpc}}}},
            "exporters": {exporter.replace("__", "/"): change for exporter, change in exporters.items()},
            "service": {"telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": own_metrics}}}]}}},
        }
        self._folder = folder
        folder.mkdir(exist_ok=True)
        if name != "gateway":  # it listens for agents only
            http = {"endpoint": self.endpoint.removeprefix("http://")}
            self.changes["receivers"]["otlp"]["protocols"]["http"] = http
        if name != "collector":
            queue = str(folder / "queue")
            storage = {"directory": queue, "compaction": {"directory": queue}}
            self.changes["extensions"]["file_storage"] = storage

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self._folder / "log").read_text("utf-8")

    @contextmanager
    def running(self, env: Mapping[str, str] | None = None) -> Generator[subprocess.Popen[bytes]]:
        """Run it until the end of the context, then stop it by SIGTERM. It can be run again."""
        changes = self._folder / "changes.json"
        changes.write_text(json.dumps(self.changes))
        command = [program(), "--config", CONFIGS / f"{self.name}.yaml", "--config", changes]
        health = f"http://{self.changes['extensions']['health_check']['endpoint']}/"
        with serving(command, health, self._folder / "log", env) as process:
            yield process


def program() -> Path:
    """The program; skips the test where `make collector` could not build it."""
    return built("otelcol", target="collector")
