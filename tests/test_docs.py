"""Documentation cannot rot: the README's Python runs, and every registered name is in its tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine import registry

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
NAMES = [c.name for part in (registry.OPTIMIZERS, registry.METRICS) for c in part] + [
    c.__name__ for part in (registry.MODULES, registry.ADAPTERS) for c in part
]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_readme_code_runs(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:engine", "-c", block],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TUNEBOARD_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_registered_name_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


def test_every_make_target_named_in_the_readme_exists() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"make ([\w-]+)", README):
        if target in ("all", "are"):
            continue
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
