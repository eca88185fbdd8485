"""Fetch what the tests compare with and need besides the lock: DSPy in a separate environment, Pyodide's folder, pyright.

All go into .bench/ once. Where one cannot be had, a line says so, and the tests that need it skip with their reason.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from fetching import run

BENCH = Path(__file__).parents[1] / ".bench"
DSPY = (
    "dspy==3.4.1",
    "litellm==1.110.2",
    "openai==3.57.0",
    "optuna",
    "numpy",
    "bm25s",
    "platformdirs",
    "rapidfuzz",
)
"""DSPy, the versions under it that what it prints depends on, and what the engine's own files import for searches and examples chosen by the input."""
DSPYDANTIC = ("dspydantic==0.1.6", "dspy==3.4.1")
PACKAGES = {"dspy": DSPY, "dspydantic": DSPYDANTIC}
PYODIDE = "pyodide@314.0.7"
PYRIGHT = "pyright@1.1.414"


def dspy(home: Path) -> None:
    """Make an environment with DSPy."""
    _environment(home, DSPY)


def dspydantic(home: Path) -> None:
    """Make an environment with DSPydantic, for `make bench-records`."""
    _environment(home, DSPYDANTIC)


def _environment(home: Path, packages: tuple[str, ...]) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    run([uv, "venv", "-q", "--clear", home], tries=2, seconds=120)
    run([uv, "pip", "install", "-q", "--compile-bytecode", "--python", home, *packages], tries=2, seconds=300)


def pyodide(home: Path) -> None:
    """Unpack Pyodide's package."""
    _unpacked(PYODIDE, home)
    for file in (home / "package").iterdir():
        file.rename(home / file.name)


def pyright(home: Path) -> None:
    """Unpack pyright, which Deno runs."""
    _unpacked(PYRIGHT, home)


def _unpacked(package: str, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    npm = shutil.which("npm") or "npm"
    printed = run([npm, "pack", "--silent", package], tries=2, seconds=200, cwd=home).split()
    if not printed:
        raise OSError("npm packed nothing")
    with tarfile.open(home / printed[-1]) as archive:
        archive.extractall(home, filter="data")


def main() -> None:
    """Fetch what is not there yet: what is named, else what the tests need."""
    known: dict[str, Callable[[Path], None]] = {
        "dspy": dspy,
        "pyodide": pyodide,
        "pyright": pyright,
        "dspydantic": dspydantic,
    }
    for name in sys.argv[1:] or ("dspy", "pyodide", "pyright"):
        fetch, packages = known[name], " ".join(PACKAGES.get(name, ()))
        ready = BENCH / name / ".ready"
        if ready.exists() and ready.read_text() == packages:
            continue
        print(f"Fetching {name} into .bench (once)...", flush=True)
        try:
            fetch(BENCH / name)
            ready.write_text(packages)
        except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
            print(f"{name} could not be fetched ({error}): the tests that need it are skipped.", flush=True)


if __name__ == "__main__":
    main()
