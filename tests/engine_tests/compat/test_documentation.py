"""Programs after DSPy's documentation print here what they print in DSPy."""

from __future__ import annotations

import functools

import pytest
from documentation_blocks import blocks_of
from documentation_peers import (
    BETTER,
    DIFFERENT,
    FOLDER,
    SECTIONS,
    WAITING,
    Results,
    frozen,
    outcome,
    results,
)
from dspy_peer import peer


@functools.cache
def here(section: str) -> Results:
    return results(section, "engine")


@pytest.mark.parametrize("section", SECTIONS)
def test_blocks_print_here_what_they_print_in_dspy(section: str) -> None:
    wrong = []
    for name, theirs in frozen()[section].items():
        ours = here(section)[name]
        if outcome(name, ours, theirs) == "wrong":
            wrong.append(f"{name}\n  here: {ours['printed']}{ours['error']}\n  DSPy: {theirs['printed']}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_listed_as_different_differs(section: str) -> None:
    listed = {**DIFFERENT, **BETTER}
    assert not [
        name for name, theirs in frozen()[section].items() if name in listed and here(section)[name] == theirs
    ]


@pytest.mark.parametrize("section", SECTIONS)
def test_dspy_prints_what_is_kept(section: str) -> None:
    python = peer()
    if python is None:
        pytest.skip(
            "DSPy is not installed (TUNEBOARD_BENCH_PEER); the blocks were compared with what is kept of it."
        )
    found = {
        name: {"printed": one["printed"], "error": one["error"].split(":")[0]}
        for name, one in results(section, "dspy", python).items()
    }
    assert found == frozen()[section], "Renew it: python tests/support/documentation_peers.py"


def test_nothing_waits_and_the_lists_name_blocks() -> None:
    names = {block.name for section in SECTIONS for block in blocks_of(FOLDER / f"{section}.md")}
    assert len(names) >= 250
    assert not {**DIFFERENT, **BETTER}.keys() - names
    assert not WAITING.keys() - names
