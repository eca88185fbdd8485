"""The code blocks of `tests/engine_tests/compat/documentation`, run here and in DSPy, and the table of the engine's guide.

    python tests/support/peers/documentation_peers.py      # runs all in both, renews printed.json and prints the table

The blocks follow DSPy's documentation page by page: the same names, arguments and habits, with data of their own.
`printed.json` holds what DSPy prints, so that the blocks are compared where DSPy is not installed, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.peers.documentation_blocks import blocks_of
from support.peers.dspy_peer import peer

RUNNER = Path(__file__).with_name("documentation_blocks.py")
FOLDER = Path(__file__).parents[2] / "engine_tests" / "compat" / "documentation"
PRINTED = FOLDER / "printed.json"
SECTIONS = sorted(file.stem for file in FOLDER.glob("*.md"))
Results = dict[str, dict[str, str]]

DIFFERENT = {
    "api/evaluation/answer_exact_match: as a number": "a grade is a float with feedback; DSPy's is a bool",
    "api/optimizers/GEPA: budget": "a budget is not needed",
    "api/signatures: default instructions": "other words for the task",
    "api/signatures: with_instructions": "other words for the task",
    "api/signatures: wrong signatures": "a signature without an output is refused",
    "faqs: instructions of a step": "a signature is shared by copies of a program, so it never changes",
    "learn/evaluation/data: an example": "an example prints as the call that makes it",
    "learn/programming/language_models: history can be cleared": "an entry of a history is a read-only mapping",
    "learn/evaluation/metrics: a loop": "a grade is a float with feedback; DSPy's is a bool",
}
"""Blocks whose values differ on purpose, and why."""

BETTER = {
    "diving-deeper/signatures-in-depth: a literal": "a choice is read in any case",
    "diving-deeper/tools-react-and-mcp: a plain call of an async tool": "an async tool can be called plainly",
    "models and settings: a stream of JSON": "the text comes without quotes",
    "models and settings: configure from another thread": "settings can be changed in any thread",
    "programs: a vote on single letters": "an article that is an answer counts",
    "programs: predictors in lists inside dictionaries": "all steps are found",
}
"""Blocks whose values differ because DSPy's are wrong. Where DSPy raises an error there is no need to list them."""


def results(library: str, python: str = sys.executable) -> dict[str, Results]:
    """Run all blocks, each section in a process of its own, and return what each printed, and its error."""
    with tempfile.TemporaryDirectory() as home:
        own = {
            "DSPY_CACHEDIR": f"{home}/cache",
            "HOME": home,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "TUNEBOARD_HOME": home,
        }
        files = [str(FOLDER / f"{section}.md") for section in SECTIONS]
        done = subprocess.run(
            [python, "-W", "ignore", str(RUNNER), library, *files],
            capture_output=True, text=True, cwd=home, env={**os.environ, **own}, timeout=900, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Results] = json.loads(done.stdout.splitlines()[-1])
    return found


def without_messages(found: dict[str, Results]) -> dict[str, Results]:
    """Return results with the kind of each error alone."""
    return {
        section: {
            name: {"printed": one["printed"], "error": one["error"].split(":")[0]}
            for name, one in part.items()
        }
        for section, part in found.items()
    }


def outcome(name: str, ours: dict[str, str], theirs: dict[str, str]) -> str:
    """Return "same", "better", "different" or "wrong" for a block."""
    if name in DIFFERENT:
        return "different"
    if name in BETTER:
        return "better"
    if theirs["error"]:
        return "same" if ours["error"] else "better"
    return "same" if ours == theirs else "wrong"


def table(ours: dict[str, Results], theirs: dict[str, Results]) -> str:
    """Return the table of the guide: a row for each section."""
    rows = [
        "| part of DSPy's documentation | pages | blocks | same | better here | different on purpose |",
        "|---|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    for section in SECTIONS:
        counts = Counter(outcome(name, one, theirs[section][name]) for name, one in ours[section].items())
        counts["pages"] = len({block.page for block in blocks_of(FOLDER / f"{section}.md")})
        counts["blocks"] = len(ours[section])
        total.update(counts)
        title = (FOLDER / f"{section}.md").read_text().splitlines()[0].lstrip("# ").lower()
        rows.append(_row(title, counts))
    return "\n".join([*rows, _row("all", total)])


def _row(title: str, counts: Counter[str]) -> str:
    numbers = (counts[name] for name in ("pages", "blocks", "same", "better", "different"))
    return f"| {title} | {' | '.join(map(str, numbers))} |"


def frozen() -> dict[str, Results]:
    """Return what DSPy prints, by section and block."""
    found: dict[str, Results] = json.loads(PRINTED.read_text())
    return found


def main() -> None:
    """Run everything in both libraries."""
    python = peer()
    if python is None:
        raise SystemExit("DSPy is not installed: run `make peers`.")
    theirs, ours = results("dspy", python), results("engine")
    short = without_messages(theirs)
    PRINTED.write_text(json.dumps(short, indent=1, ensure_ascii=False) + "\n")
    for section, found in ours.items():
        for name, one in found.items():
            kind = outcome(name, one, short[section][name])
            if kind != "same":
                print(f"{kind:9} {name}\n    here {one}\n    DSPy {theirs[section][name]}")
    print(table(ours, short))


if __name__ == "__main__":
    main()
