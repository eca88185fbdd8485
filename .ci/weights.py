"""The environment in which weights are trained and tested: `.venv-weights`, which sees all that `.venv` has.

It holds what the extra `weights` adds, and nothing twice. torch is installed by pip alone and without hashes, so that a
machine may offer its own build. `weights.py` makes the environment once; `weights.py lock` resolves the versions again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fetching import MAIN_LOCK, locked_names, make_environment, run, without_hashes

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".venv-weights"
LOCK = Path(__file__).with_name("weights.txt")
TORCH = "torch==2.13.0"
TORCH_NEEDS = ("filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing-extensions")
"""Its own dependencies on every system: pip finds them installed, at the versions of the lock."""

WARM_UP = "import peft, torch; from transformers import AutoModelForCausalLM, LlamaForCausalLM; from trl import SFTTrainer, GRPOTrainer"


def build(home: Path) -> None:
    """Make the environment."""
    python, pip = make_environment(home, LOCK)
    run([*pip, TORCH], tries=2, seconds=400)
    # Only what is used is compiled to bytecode, all of torch would take a minute; without it each process compiles again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    run([python, "-c", WARM_UP], tries=1, seconds=300)


def lock() -> None:
    """Resolve the extra again, at the main lock's versions wherever both have a package; write what it adds."""
    pinned, names = without_hashes(MAIN_LOCK), locked_names(MAIN_LOCK)
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "main.txt": pinned,
            "needs.in": "\n".join(TORCH_NEEDS),
            # Without it, and so without the CUDA libraries of some systems, whose versions pip takes from it.
            "without.txt": 'torch ; sys_platform == "never"',
        }
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        compiled = run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "-q", "pyproject.toml", "--extra", "weights"),
                *(
                    f"{folder}/needs.in",
                    "--constraint",
                    f"{folder}/main.txt",
                    "--override",
                    f"{folder}/without.txt",
                ),
                *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"),
                *("--no-annotate", "--no-header"),
                *(part for name in ("torch", *names) for part in ("--no-emit-package", name)),
            ],
            tries=2,
            seconds=300,
            cwd=ROOT,
        )
    LOCK.write_text(compiled, encoding="utf-8")


def main() -> None:
    """Make the environment where there is none for this lock. Where that fails, a line says so and the tests skip."""
    if sys.argv[1:] == ["lock"]:
        lock()
        return
    ready = HOME / ".ready"
    wanted = TORCH + LOCK.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return
    print("Installing torch and what trains with it into .venv-weights (once)...", flush=True)
    start = time.monotonic()
    try:
        build(HOME)
    except (OSError, subprocess.SubprocessError) as error:
        print(f".venv-weights could not be made ({error}): the tests of weights are skipped.", flush=True)
        return
    ready.write_text(wanted, encoding="utf-8")
    print(f"Made .venv-weights in {time.monotonic() - start:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
