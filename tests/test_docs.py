"""Documentation cannot rot: the Python in it runs, every registered name is in the engine's guide, and links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine import registry
from engine.export.formats import export_forms

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "engine" / "README.md").read_text()
DOCUMENTS = {
    path: (ROOT / path).read_text()
    for path in (
        "README.md",
        "engine/README.md",
        "dashboard/README.md",
        "sample_data/README.md",
        "tests/benchmarks/README.md",
    )
}
BLOCKS = {
    f"{path}:{text[: found.start()].count(chr(10)) + 1}": found[1]
    for path, text in DOCUMENTS.items()
    for found in re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL)
}
NAMES = [c.name for part in (registry.OPTIMIZERS, registry.METRICS, export_forms()) for c in part] + [
    c.__name__ for part in (registry.MODULES, registry.ADAPTERS) for c in part
]


@pytest.mark.parametrize("place", BLOCKS)
def test_python_in_a_document_runs(place: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:engine", "-c", BLOCKS[place]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TUNEBOARD_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_registered_name_is_in_a_table_of_the_guide(name: str) -> None:
    assert re.search(rf"^\| [^|]*`{name}`", GUIDE, flags=re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_what_a_document_names_exists(path: str) -> None:
    text = DOCUMENTS[path]
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make ([\w-]+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for script in re.findall(r"^python (\S+)", text, flags=re.MULTILINE):
        assert (ROOT / script).is_file(), script
    for link, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        linked = ((ROOT / path).parent / link) if link else ROOT / path
        assert linked.is_file(), link
        titles = re.findall(r"^#+ (.+)", linked.read_text(), flags=re.MULTILINE) if heading else []
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, heading


def test_the_readme_is_short_and_begins_with_a_picture() -> None:
    lines = DOCUMENTS["README.md"].splitlines()
    assert len(lines) < 200
    assert any(line.startswith("![") for line in lines[:20])
