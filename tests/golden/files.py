"""Golden files on disk: what the engine did when they were written, and how that is compared with what it does now."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "files"
LONGEST_DIFF = 60
"""Lines of a difference that are printed."""

LONGEST_LINE = 300
RENEW = "If the difference is meant, run `make golden` and give the reason in the commit message."


def write(made: Mapping[str, str], *, tidy: bool = True) -> None:
    """Write texts by path; `tidy` removes other files from their folders."""
    for path in leftover(made) if tidy else ():
        (FOLDER / path).unlink()
    for name, text in made.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def leftover(paths: Collection[str]) -> list[str]:
    """Return the golden files that are next to these and not among them."""
    folders = sorted({FOLDER / path.partition("/")[0] for path in paths})
    found = [file.relative_to(FOLDER).as_posix() for folder in folders for file in folder.rglob("*.txt")]
    return sorted(set(found).difference(paths))


def check(path: str, text: str) -> None:
    """Compare a text with its golden file. Raises AssertionError with a short diff where it differs."""
    file = FOLDER / path
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    if before != text:
        lines = list(
            difflib.unified_diff(_lines(before), _lines(text), f"golden/{path}", "now", "", "", 2, "")
        )
        more = [f"... {len(lines) - LONGEST_DIFF} more lines"] if len(lines) > LONGEST_DIFF else []
        raise AssertionError("\n".join(["", *lines[:LONGEST_DIFF], *more, RENEW]))


def short_hash(data: str | bytes) -> str:
    """Return ten hex digits that stand for a text or a file's bytes."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:10]


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}... {short_hash(line)}"
        for line in lines
    ]
