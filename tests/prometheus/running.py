"""A real Prometheus: its own process, port and data folder, asked by its HTTP API."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

T = TypeVar("T")

_BIN = Path(__file__).parents[2] / ".cache" / "bin"


def programs(name: str) -> list[Path]:
    """Each `prometheus` or `promtool` there is: Debian's, version 3 as built by make, and what is on the PATH."""
    on_path = shutil.which(name)
    found = [_BIN / name, _BIN / f"{name}3", *([Path(on_path)] if on_path else [])]
    return [program for program in found if program.exists()]


def find(name: str, *, at_least_3: bool = False) -> Path | None:
    """The first of them; the first of version 3, which knows OTLP, if asked for."""
    return next((program for program in programs(name) if not at_least_3 or version(program).startswith("3.")), None)


def version(program: Path) -> str:
    """Its version, such as `2.42.0+ds`."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return (said.stdout or said.stderr).split("version ")[1].split()[0]


def until(ready: Callable[[], T], seconds: float = 20) -> T:
    """Wait until a function returns something true, and return it; at the end of the time whatever it returns."""
    deadline = time.monotonic() + seconds
    while not (value := ready()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


class Prometheus:
    """A running server.

    Args:
        program: Its executable.
        folder: For configuration and data.
        rules: The text of rule files.
        scrape: `host:port` that it scrapes every second as the job `shop`; else it receives OTLP.
    """

    def __init__(self, program: Path, folder: Path, *, rules: Sequence[str], scrape: str | None) -> None:
        self._program = program
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self._flags = [] if scrape else ["--web.enable-otlp-receiver"]
        # The feature names of docker-compose.yml; version 2 knows the first.
        features = ["exemplar-storage"] if scrape else ["exemplar-storage", "created-timestamp-zero-ingestion"]
        self._flags.append(f"--enable-feature={','.join(features)}")
        for number, text in enumerate(rules):
            (folder / f"rules{number}.yml").write_text(text, "utf-8")
        targets = [{"job_name": "shop", "static_configs": [{"targets": [scrape]}]}] if scrape else []
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": every, "rule_files": [f"{folder}/rules*.yml"], "scrape_configs": targets}
        (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")  # JSON is YAML

    @property
    def otlp_metrics(self) -> str:
        """Where it receives metrics by OTLP."""
        return f"http://{self._address}/api/v1/otlp/v1/metrics"

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [
                    self._program,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address={self._address}",
                    *self._flags,
                ],
                stdout=log,
                stderr=log,
            )
        if not until(self._is_ready):
            self.__exit__(None, None, None)
            raise RuntimeError((self._folder / "log").read_text())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data that the HTTP API answers with.

        Raises:
            ValueError: It refuses, a broken query for example; with its own words.
        """
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an expression now: labels and values."""
        result = self.get("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def totals(self, metric: str, by: str) -> dict[str, float]:
        """Sum a metric by a label; zeroes are left out."""
        return {labels.get(by, ""): value for labels, value in self.query(f"sum by ({by}) ({metric})") if value}

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"}
