"""The environment in which weights are trained and tested: `.venv-weights`, which sees all that `.venv` has.

It holds what the extra `weights` adds, and nothing twice. torch is installed by pip alone and without hashes, so that a
machine may offer its own build. `weights.py` makes the environment once; `weights.py lock` resolves the versions again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from fetching import make_environment, make_once, resolve, run

HOME = Path(__file__).parents[1] / ".venv-weights"
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
    """Resolve the lock again, without torch and without the CUDA libraries of some systems, whose versions pip takes from it."""
    with tempfile.TemporaryDirectory() as folder:
        needs, without = Path(folder) / "needs.in", Path(folder) / "without.txt"
        needs.write_text("\n".join(TORCH_NEEDS), encoding="utf-8")
        without.write_text('torch ; sys_platform == "never"', encoding="utf-8")
        resolve("weights", LOCK, needs, "--override", without, without=["torch"])


def main() -> None:
    """Make the environment, or resolve its lock again."""
    if sys.argv[1:] == ["lock"]:
        lock()
    else:
        wanted = TORCH + LOCK.read_text(encoding="utf-8")
        make_once(HOME, wanted, "weights", lambda: build(HOME))


if __name__ == "__main__":
    main()
