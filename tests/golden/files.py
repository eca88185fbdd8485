"""Golden files on disk: what the engine did when they were written, and how that is compared with what it does now."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "files"
LONGEST_DIFF = 60
"""Lines of a difference that are printed."""

LONGEST_LINE = 300
DIGESTS = FOLDER / "digests.txt"
"""One line for each text that is not stored whole."""

CHOSEN = frozenset(
    f"{path}.txt"
    for path in (
        "commands/demo",
        "commands/refusals",
        "commands/run",
        "exports/booking_mails-tuned",
        "exports/shop_questions-reasoning",
        "exports/support_tickets-nearest",
        "frozen/project",
        "frozen/store",
        "messages/modules-chat",
        "messages/replies-json",
        "messages/types-chat",
        "pages/home",
        "pages/results-rows",
        "pages/run",
        "pages/tune",
        "searches/Autotune-short",
        "searches/GEPA-two",
        "searches/MIPROv2-two",
        "searches/SIMBA-one",
    )
)
"""Golden texts that are stored whole, for people to read in a change."""

COMPARE = "`python tests/golden/make.py --print PATH` on both commits shows the difference."
RENEW = "If the difference is meant, run `make golden` and give the reason in the commit message."


def write(made: Mapping[str, str], *, tidy: bool = True) -> None:
    """Write texts by path: the chosen ones whole, of the others their digests; `tidy` removes all others."""
    known = {} if tidy else _digests()
    for path in leftover() if tidy else ():
        (FOLDER / path).unlink()
    for path, text in made.items():
        if path in CHOSEN:
            (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / path).write_text(text, encoding="utf-8", newline="\n")
        else:
            known[path] = digest(text)
    DIGESTS.write_text("".join(f"{path}: {known[path]}\n" for path in sorted(known)), encoding="utf-8")


def leftover() -> list[str]:
    """Return the golden files that are not chosen."""
    found = {file.relative_to(FOLDER).as_posix() for file in FOLDER.glob("*/*")}
    return sorted(found.difference(CHOSEN))


def check(path: str, text: str) -> None:
    """Compare a text with its golden file or digest. Raises AssertionError where it differs, with a short diff of a file."""
    if path not in CHOSEN:
        before, now = _digests().get(path, "none"), digest(text)
        assert before == now, f"golden/{path} was {before}, is {now}. {COMPARE} {RENEW}"
        return
    before = (FOLDER / path).read_text(encoding="utf-8") if (FOLDER / path).exists() else ""
    if before != text:
        lines = list(
            difflib.unified_diff(_lines(before), _lines(text), f"golden/{path}", "now", "", "", 2, "")
        )
        more = [f"... {len(lines) - LONGEST_DIFF} more lines"] if len(lines) > LONGEST_DIFF else []
        raise AssertionError("\n".join(["", *lines[:LONGEST_DIFF], *more, RENEW]))


def digest(text: str) -> str:
    """Return the size and the hash of a text."""
    return f"{len(text.splitlines())} lines, {short_hash(text)}"


def _digests() -> dict[str, str]:
    lines = DIGESTS.read_text(encoding="utf-8").splitlines() if DIGESTS.exists() else []
    return dict(line.split(": ", 1) for line in lines)


def short_hash(data: str | bytes) -> str:
    """Return ten hex digits that stand for a text or a file's bytes."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:10]


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}... {short_hash(line)}"
        for line in lines
    ]
