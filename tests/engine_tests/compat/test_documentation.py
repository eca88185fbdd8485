"""Programs after DSPy's documentation print here what they print in DSPy."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.peers.documentation_blocks import blocks_of
from support.peers.documentation_peers import (
    BETTER,
    DIFFERENT,
    FOLDER,
    SECTIONS,
    frozen,
    outcome,
    results,
    table,
    without_messages,
)
from support.peers.dspy_peer import peer

GUIDE = (Path(__file__).parents[3] / "engine" / "README.md").read_text()
RENEW = "Renew it: python tests/support/peers/documentation_peers.py"
LISTED = {**DIFFERENT, **BETTER}


def test_blocks_print_here_what_they_print_in_dspy() -> None:
    found, wrong = results("engine"), []
    for section, kept in frozen().items():
        for name, theirs in kept.items():
            ours = found[section][name]
            if outcome(name, ours, theirs) == "wrong":
                wrong.append(f"{name}\n  here: {ours['printed']}{ours['error']}\n  DSPy: {theirs['printed']}")
            elif name in LISTED and ours == theirs:
                wrong.append(f"{name} is listed as different, and prints the same.")
    assert not wrong, "\n".join(wrong)
    assert table(found, frozen()) in GUIDE, RENEW


def test_dspy_prints_what_is_kept() -> None:
    python = peer()
    if python is None:
        pytest.skip(
            "DSPy is not installed (TUNEBOARD_BENCH_PEER); the blocks were compared with what is kept of it."
        )
    assert without_messages(results("dspy", python)) == frozen(), RENEW


def test_the_lists_name_blocks() -> None:
    names = {block.name for section in SECTIONS for block in blocks_of(FOLDER / f"{section}.md")}
    assert len(names) >= 250
    assert not LISTED.keys() - names
