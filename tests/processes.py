"""Programs that run in a process of their own, for what a process can do only once."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from textwrap import dedent

from server import ScriptedServer


def run(
    program: str,
    server: ScriptedServer,
    *,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    warnings: str = "error",
) -> tuple[str, str]:
    """Run a program and return what it has printed, to stdout and to stderr.

    Args:
        program: Its text. The environment tells it the BASE_URL of the server.
        server: Who answers its requests, and receives what it exports by OTLP.
        env: Further variables.
        command: What is before the interpreter in the command line.
        warnings: What Python does with warnings.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, sys.executable, "-W", warnings, "-c", dedent(program)],
        env=environment(server, env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def environment(server: ScriptedServer, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: this one without OTEL_*, where the server is, and `more`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    paths = os.pathsep.join(filter(None, sys.path))
    own = {"BASE_URL": server.base_url, "PYTHONPATH": paths, "OTEL_EXPORTER_OTLP_ENDPOINT": server.url}
    return {**clean, **own, **more}
