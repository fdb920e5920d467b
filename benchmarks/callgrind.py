"""How a process runs under callgrind: the command, the switch, the marks and what a dump says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from os import getppid as mark
from typing import TYPE_CHECKING

from benchmarks import ROOT, SOURCE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["clean_environment", "command", "mark", "missing_tool", "switch_on", "total"]

# `mark()` has callgrind dump its counters and begin anew: a function of the C library that nothing else here calls.
_MARK = "getppid"


def missing_tool() -> str | None:
    """Return the name of a program that counting needs and that is not installed."""
    return next((tool for tool in ("valgrind", "vgdb") if shutil.which(tool) is None), None)


def command(folder: Path, module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with callgrind at hand, switched off; dumps and logs go to the folder."""
    return [
        "valgrind",
        "--tool=callgrind",
        "--quiet",
        "--instr-atstart=no",
        f"--dump-before={_MARK}",
        f"--callgrind-out-file={folder}/callgrind.out.%p",
        f"--log-file={folder}/valgrind.%p.log",
        *(sys.executable, "-m", module, *arguments),
    ]


def clean_environment() -> dict[str, str]:
    """Return this environment without the settings of OpenTelemetry and OpenAI, and with a fixed hash seed."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
    paths = [str(ROOT), str(SOURCE), *filter(None, [settings.get("PYTHONPATH")])]
    return settings | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)}


def switch_on() -> None:
    """Have callgrind count in this process from here on; only its control program can ask for that."""
    control = ["vgdb", f"--pid={os.getpid()}", "instrumentation", "on"]
    with subprocess.Popen(control, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as vgdb:
        while vgdb.poll() is None:  # busy on purpose: a program that waits in the kernel does not listen to vgdb
            pass
        if vgdb.returncode:
            sys.exit("vgdb could not switch callgrind on: " + (vgdb.stderr.read() if vgdb.stderr else ""))


def total(dump: Path) -> int:
    """Return the instructions that a dump counts."""
    with dump.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("summary:"):  # it is in the head; the same number is at the end
                return int(line.split()[1])
    raise ValueError(f"no total in {dump}")
