"""The environment in which runs on a Ray cluster are tested: `.venv-ray`, which sees all that `.venv` has, and Ray.

It is separate because Ray is 80 MB and only an extra. `cluster.py` makes it once; `cluster.py lock` resolves the versions again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fetching import MAIN_LOCK, locked_names, make_environment, run, without_hashes

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venv-ray"
LOCK = Path(__file__).with_name("ray.txt")


def lock() -> None:
    """Resolve the extra again, at the main lock's versions wherever both have a package; write what it adds."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "main.txt"
        constraints.write_text(without_hashes(MAIN_LOCK), encoding="utf-8")
        compiled = run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "-q", "pyproject.toml", "--extra", "ray"),
                *(
                    "--constraint",
                    constraints,
                    "--universal",
                    "--python-version",
                    "3.11",
                    "--generate-hashes",
                ),
                *("--no-emit-index-url", "--no-annotate", "--no-header"),
                *(part for name in locked_names(MAIN_LOCK) for part in ("--no-emit-package", name)),
            ],
            tries=2,
            seconds=300,
            cwd=ROOT,
        )
    LOCK.write_text(compiled, encoding="utf-8")


def main() -> None:
    """Make the environment where there is none for this lock. Where that fails, a line says so and the tests do not run."""
    if sys.argv[1:] == ["lock"]:
        lock()
        return
    ready, wanted = HOME / ".ready", LOCK.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return
    print("Installing Ray into .venv-ray (once)...", flush=True)
    start = time.monotonic()
    try:
        make_environment(HOME, LOCK)
    except (OSError, subprocess.SubprocessError) as error:
        print(f".venv-ray could not be made ({error}): runs on a cluster are not tested.", flush=True)
        return
    ready.write_text(wanted, encoding="utf-8")
    print(f"Made .venv-ray in {time.monotonic() - start:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
