"""Running the commands that fetch things: without questions, with a time limit and another try after a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

APT = """
APT::Get::Assume-Yes "true";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
DPkg::Lock::Timeout "240";
"""


def run(command: Sequence[str | Path], *, tries: int, seconds: float, cwd: Path | None = None) -> str:
    """Run a command and return what it printed; raise the error of the last try where none of them worked."""
    for left in reversed(range(tries)):
        try:
            return subprocess.run(
                command,
                cwd=cwd,
                env=environment(),
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                timeout=seconds,
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            if not left or isinstance(error, FileNotFoundError):
                raise
            print(f"{error} Trying again.", file=sys.stderr, flush=True)
            time.sleep(5)
    raise ValueError("A command is tried once at least.")


def environment() -> dict[str, str]:
    """Return the environment of such a command: no questions, patience with slow downloads and a locked package manager."""
    settings = Path(tempfile.gettempdir()) / f"tuneboard-apt-{os.getuid()}.conf"
    settings.write_text(APT)
    return {
        "APT_CONFIG": str(settings),
        "DEBIAN_FRONTEND": "noninteractive",
        "PIP_NO_INPUT": "1",
        "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "20000",
        "UV_HTTP_TIMEOUT": "120",
        **os.environ,
    }
