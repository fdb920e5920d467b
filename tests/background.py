"""Real programs of the tests that serve until the test is over: Jaeger, the OpenTelemetry Collector."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

_BUILT = Path(__file__).parent.parent / ".cache" / "bin"


def built(name: str, *, target: str) -> Path:
    """The path of a program that make has built; skips the test where it is missing."""
    path = _BUILT / name
    if not path.exists():
        pytest.skip(f"{path} is missing: `make {target}` builds it where Go is installed")
    return path


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def serving(
    command: Sequence[str | Path],
    health: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Generator[subprocess.Popen[bytes]]:
    """Run a program for as long as the context is open, and stop it.

    Args:
        command: The program and its arguments.
        health: A URL that answers with 200 when it is ready.
        log: Where its output goes; shown when it does not start.
        env: Further variables.
        stop: How; the default is what an operator does, and lets the program finish its work.
    """
    variables = {**os.environ, **(env or {})}
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=variables) as process,  # noqa: S603 - built by us
    ):
        try:
            _wait_until_ready(process, health, log)
            yield process
        finally:
            process.send_signal(stop)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def fetch(url: str) -> bytes:
    """The body of a URL on loopback."""
    with urlopen(url, timeout=5) as response:  # noqa: S310 - our own programs
        body: Any = response.read()
        return body


def _wait_until_ready(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not _answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{process.args} did not start:\n{log.read_text('utf-8', errors='replace')[-3000:]}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        fetch(url)
    except (URLError, ConnectionError):  # not listening yet, or listening and not ready
        return False
    return True
