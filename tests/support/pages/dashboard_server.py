"""The dashboard as a child process, for tests and benchmarks that look at it through a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from support.ports import own_port

ROOT = Path(__file__).parents[3]


class Server:
    """A dashboard on a port of its own, over a data folder of its own. It can be stopped and started again.

    `command` is the module that serves it, and its arguments before the port.
    """

    def __init__(self, home: Path, *command: str) -> None:
        self.home, self._command = home, command or ("dashboard.server",)
        self.port = own_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        log = (self.home / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self._command, "--port", str(self.port)],
            env={**os.environ, "TUNEBOARD_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        log.close()
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=60) as reply:
                    if reply.status == 200:
                        return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("The dashboard did not start:\n" + (self.home / "server.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(90)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
            self.process = None
