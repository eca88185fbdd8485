"""The tables of DSPy's names in the engine's guide: every name in them exists here."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import engine

GUIDE = (Path(__file__).parents[2] / "engine" / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading row."""
    after = GUIDE[GUIDE.index(heading) + len(heading) :].lstrip("\n").splitlines()[1:]
    found = []
    for line in after:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


SAME = [name for _, names in rows("| kind | names |") for name in re.findall(r"`(\w+)`", names)]
ELSEWHERE = [
    name for row in rows("| in DSPy | here |") for name in re.findall(r"`engine\.([\w.]+)`", row[-1])
]


def test_the_tables_are_read() -> None:
    assert len(SAME) > 40
    assert len(ELSEWHERE) > 8


@pytest.mark.parametrize("name", SAME)
def test_a_name_of_dspys_is_a_name_here(name: str) -> None:
    assert getattr(engine, name) is not None


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_elsewhere_is_where_the_table_says(name: str) -> None:
    module, _, attribute = f"engine.{name}".rpartition(".")
    found = importlib.import_module(module)
    assert hasattr(found, attribute) or importlib.import_module(f"engine.{name}")


OURS = (
    "modules",
    "tools",
    "retrieval",
    "metrics",
    "evaluate",
    "streaming",
    "callbacks",
    "telemetry",
    "runtime",
)


@pytest.mark.parametrize("name", engine.__all__)
def test_a_public_name_shows_an_example_that_runs_as_a_test(name: str) -> None:
    found = getattr(engine, name)
    home = str(getattr(found, "__module__", ""))
    if callable(found) and home.split(".")[1:2] and home.split(".")[1] in OURS:
        assert ">>> " in (inspect.getdoc(found) or "")
