"""Two candidates' outcomes over the same rows, row by row: what got better, what got worse. No Streamlit here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from engine.export.figures import prompts_tried
from engine.records import Outcome

Change = Literal["better", "worse", "same"]
Filter = Literal["All rows", "Only differences", "Better", "Worse", "Still wrong", "Failed"]
FILTERS: tuple[Filter, ...] = ("All rows", "Only differences", "Better", "Worse", "Still wrong", "Failed")

LONG_ITEM = 60
"""Lists with an item of more characters are written one item a line."""


class RowPair(NamedTuple):
    """One row answered twice. `row` is the 0-based row id; scores run 0 to 1."""

    row: int
    before: Outcome
    after: Outcome

    @property
    def change(self) -> Change:
        """Whether the second answer scored higher, lower or the same."""
        if self.after.score > self.before.score:
            return "better"
        return "worse" if self.after.score < self.before.score else "same"

    @property
    def differs(self) -> bool:
        """Whether the answers or their scores differ."""
        return self.change != "same" or dict(self.before.prediction) != dict(self.after.prediction)

    @property
    def failed(self) -> bool:
        """Whether either run of the row ended in an error."""
        return self.before.error is not None or self.after.error is not None


def pair_rows(before: Sequence[Outcome], after: Sequence[Outcome]) -> tuple[RowPair, ...]:
    """Pair outcomes by row id; rows that only one side has are left out."""
    first = {o.row: o for o in before}
    return tuple(
        RowPair(o.row, first[o.row], o) for o in sorted(after, key=lambda o: o.row) if o.row in first
    )


def chosen(pairs: Sequence[RowPair], which: Filter) -> tuple[RowPair, ...]:
    """Return the pairs that a filter lets through."""
    keep: dict[Filter, Callable[[RowPair], bool]] = {
        "All rows": lambda _: True,
        "Only differences": lambda p: p.differs,
        "Better": lambda p: p.change == "better",
        "Worse": lambda p: p.change == "worse",
        "Still wrong": lambda p: p.after.score < 1 and p.change == "same",
        "Failed": lambda p: p.failed,
    }
    return tuple(p for p in pairs if keep[which](p))


def counts(pairs: Sequence[RowPair]) -> dict[Filter, int]:
    """Return how many pairs each filter lets through."""
    return {which: len(chosen(pairs, which)) for which in FILTERS}


def confusion(
    pairs: Sequence[RowPair], rows: Mapping[int, Mapping[str, Any]], output: str
) -> list[tuple[str, str, int]]:
    """Return the best candidate's commonest mistakes: (expected, answered, how often), commonest first."""
    found = Counter(
        (as_text(rows.get(p.row, {}).get(output, "")), _answer(p.after, output))
        for p in pairs
        if p.after.score < 1
    )
    return [(expected, answered, count) for (expected, answered), count in found.most_common()]


def causes(
    pairs: Sequence[RowPair], rows: Mapping[int, Mapping[str, Any]], outputs: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """Return why rows are wrong now, as (cause, row ids), the commonest first.

    An error counts by its first words; a short answer by what it was taken for; the rest by the metric's words.
    """
    found: dict[str, list[int]] = {}
    for pair in pairs:
        if pair.after.score < 1:
            found.setdefault(_cause(pair, rows.get(pair.row, {}), outputs), []).append(pair.row)
    return sorted(((c, tuple(r)) for c, r in found.items()), key=lambda item: (-len(item[1]), item[0]))


def _cause(pair: RowPair, values: Mapping[str, Any], outputs: Sequence[str]) -> str:
    if pair.after.error is not None:
        return f"failed: {' '.join(pair.after.error.split()[:7])}"
    for name in outputs:
        right, said = as_text(values.get(name, "")), as_text(pair.after.prediction.get(name, ""))
        if right != said and right and max(len(right), len(said)) <= SHORT_ANSWER:
            prefix = f"{name}: " if len(outputs) > 1 else ""
            return f"{prefix}{right} taken for {said or 'nothing'}"
    return " ".join(pair.after.feedback.split()[:8]) or "wrong answer"


SHORT_ANSWER = 40


def verdict_notes(verdict: Mapping[str, Any], tried: int) -> list[str]:
    """Return what to keep in mind with a verdict: rows won and lost, and what choosing among many does.

    >>> verdict_notes({"rows": 40, "won": 9, "lost": 1}, 26)[1]
    'It was chosen from 26 prompts (the starting one and 25 new ones) on the validation rows, where the best of many looks better than it is. The test rows took no part in that, so this verdict needs no discount.'
    """
    if verdict.get("kind") == "unchanged":
        return []  # one prompt against itself
    rows, won, lost = (int(verdict.get(name) or 0) for name in ("rows", "won", "lost"))
    notes = []
    if rows:
        same = max(0, rows - won - lost)
        notes.append(f"{won:,} of {rows:,} test rows won, {lost:,} lost, {same:,} the same.")
    if tried > 1:
        notes.append(
            f"It was chosen from {prompts_tried(tried)} on the validation rows, where the best of many looks better than it is. "
            "The test rows took no part in that, so this verdict needs no discount."
        )
    return notes


def as_text(value: Any) -> str:
    """Return a value as a person would write it: short items in a line, passages one below the other."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        items = [as_text(v) for v in value]
        if len(items) > 1 and any(len(item) > LONG_ITEM for item in items):
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        return ", ".join(items)
    return str(value)


def _answer(outcome: Outcome, name: str) -> str:
    if outcome.error is not None:
        return f"failed: {outcome.error}"
    return as_text(outcome.prediction.get(name, ""))
