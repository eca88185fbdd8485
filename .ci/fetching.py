"""Running the commands that fetch things: without questions, with a time limit and another try after a failure.

Environments for extras are made here too: each sees all that `.venv` has, and holds what its lock adds, nothing twice.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

MAIN_LOCK = Path(__file__).with_name("requirements.txt")

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


def make_environment(home: Path, lock: Path) -> tuple[Path, list[str | Path]]:
    """Make an environment next to this one with what a lock adds; return its Python, and pip's command to install more."""
    venv.create(home, clear=True, symlinks=sys.platform != "win32")
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    name = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run([python, "-c", name], tries=1, seconds=60).strip())
    shared = sysconfig.get_path("purelib")
    # Not the folder's name alone: an editable install is a .pth file in it, which is to be read as well.
    (packages / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n", encoding="utf-8")
    locked = ["--no-deps", "--require-hashes", "-r", lock]
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
    try:
        uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python]
        run([*uv, *locked], tries=1, seconds=200)
    except (OSError, subprocess.SubprocessError):  # it cannot reach the index that pip is set up for
        run([*pip, *locked], tries=2, seconds=300)
    return python, pip


def locked_names(lock: Path) -> list[str]:
    """Return the packages in a lock."""
    return sorted(set(re.findall(r"^[A-Za-z0-9_.-]+(?===)", lock.read_text(encoding="utf-8"), re.MULTILINE)))


def without_hashes(lock: Path) -> str:
    """Return a lock as constraints."""
    return re.sub(r" \\$|^ +--hash.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)


def resolve(extra: str, lock: Path, *options: str | Path, without: Sequence[str] = ()) -> None:
    """Resolve an extra again, at the main lock's versions wherever both have a package; write what it adds to its lock.

    `options` go to uv as they are; packages in `without` are left out of the lock, as those of the main one are.
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "main.txt"
        constraints.write_text(without_hashes(MAIN_LOCK), encoding="utf-8")
        command: list[str | Path] = [sys.executable, "-m", "uv", "pip", "compile", "-q", "pyproject.toml"]
        command += ["--extra", extra, "--constraint", constraints, *options]
        command += ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"]
        command += ["--no-annotate", "--no-header"]
        for name in (*without, *locked_names(MAIN_LOCK)):
            command += ["--no-emit-package", name]
        lock.write_text(run(command, tries=2, seconds=300, cwd=lock.parents[1]), encoding="utf-8")


def make_once(home: Path, wanted: str, untested: str, build: Callable[[], object]) -> None:
    """Make an environment where there is none for this lock (`wanted`); where that fails, a line says what stays `untested`."""
    ready = home / ".ready"
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return
    print(f"Making {home.name} (once)...", flush=True)
    start = time.monotonic()
    try:
        build()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{home.name} could not be made ({error}): {untested} are not tested.", flush=True)
        return
    ready.write_text(wanted, encoding="utf-8")
    print(f"Made {home.name} in {time.monotonic() - start:.0f} s.", flush=True)
