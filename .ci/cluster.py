"""The environment in which runs on a Ray cluster are tested: `.venv-ray`, which sees all that `.venv` has, and Ray.

It is separate because Ray is 80 MB and only an extra. `cluster.py` makes it once; `cluster.py lock` resolves the versions again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fetching import make_environment, make_once, resolve

HOME = Path(__file__).parents[1] / ".venv-ray"
LOCK = Path(__file__).with_name("ray.txt")


def main() -> None:
    """Make the environment, or resolve its lock again."""
    if sys.argv[1:] == ["lock"]:
        resolve("ray", LOCK)
    else:
        wanted = LOCK.read_text(encoding="utf-8")
        make_once(HOME, wanted, "runs on a cluster", lambda: make_environment(HOME, LOCK))


if __name__ == "__main__":
    main()
