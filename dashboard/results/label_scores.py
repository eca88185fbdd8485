"""Answers by label: a confusion matrix and each label's precision and recall, for an output of few short values. No Streamlit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dashboard.results.comparison import ComparedRow
from engine.basics.text import in_percent
from engine.records import value_text

MOST_LABELS = 300
LONGEST = 60
"""Characters: an output with a longer value has no labels."""
OTHER, FAILED = "Another answer", "Failed"


class Confusion(NamedTuple):
    """One candidate's answers by right label. `rows` is (right label, answered label) -> row ids.

    `answered` are the labels that were answered, in the order of `labels`; then `OTHER` and `FAILED` where they occur.
    """

    labels: tuple[str, ...]
    answered: tuple[str, ...]
    rows: Mapping[tuple[str, str], tuple[int, ...]]

    def size(self, right: str, answer: str) -> int:
        """Return the number of rows in one cell."""
        return len(self.rows.get((right, answer), ()))


class LabelScore(NamedTuple):
    """A label's rows, how many of them were found, and how often it was answered. Shares run from 0 to 1."""

    label: str
    rows: int
    found: int
    answered: int

    @property
    def recall(self) -> float | None:
        """The share of its rows that were answered with it."""
        return self.found / self.rows if self.rows else None

    @property
    def precision(self) -> float | None:
        """The share of its answers that were right."""
        return self.found / self.answered if self.answered else None


def label_outputs(
    rows: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], outputs: Sequence[str]
) -> list[str]:
    """Return the outputs whose right values are labels: short, at least two, and each occurring twice on average."""
    found = []
    for name in outputs:
        right = [value_text(values[row.row][name]) for row in rows if name in values.get(row.row, {})]
        kinds = set(right)
        if (
            2 <= len(kinds) <= MOST_LABELS
            and len(right) >= 2 * len(kinds)
            and max(map(len, kinds)) <= LONGEST
        ):
            found.append(name)
    return found


def confusion(
    rows: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], output: str, at: int = -1
) -> Confusion:
    """Return the confusion matrix of the candidate `at` for one output; labels are sorted by name.

    An answer that differs from a label only in case or outer spaces is that label.
    """
    right = {
        row.row: value_text(values[row.row][output]) for row in rows if output in values.get(row.row, {})
    }
    labels = sorted(set(right.values()), key=str.casefold)
    known = {label.strip().casefold(): label for label in labels}
    cells: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.row in right:
            outcome = row.outcomes[at]
            answer = value_text(outcome.prediction.get(output, "")).strip().casefold()
            place = FAILED if outcome.error is not None else known.get(answer, OTHER)
            cells.setdefault((right[row.row], place), []).append(row.row)
    answered = {place for _, place in cells}
    order = [name for name in (*labels, OTHER, FAILED) if name in answered]
    return Confusion(
        tuple(labels), tuple(order), {cell: tuple(found) for cell, found in sorted(cells.items())}
    )


def label_scores(found: Confusion) -> list[LabelScore]:
    """Return the scores of each label, in the matrix's order."""
    rows, answered = Counter[str](), Counter[str]()
    for (right, answer), ids in found.rows.items():
        rows[right] += len(ids)
        answered[answer] += len(ids)
    return [
        LabelScore(label, rows[label], found.size(label, label), answered[label]) for label in found.labels
    ]


def mistaken(found: Confusion) -> Confusion:
    """Return the part of a matrix in which something is wrong: labels that were missed or answered wrongly."""
    wrong = {name for cell in found.rows if cell[0] != cell[1] for name in cell}
    return found._replace(
        labels=tuple(label for label in found.labels if label in wrong),
        answered=tuple(name for name in found.answered if name in wrong),
    )


def score_table(scores: Sequence[Sequence[LabelScore]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one line per label: its rows, and for each candidate the percentages found and right when answered."""
    lines = []
    for same in zip(*scores, strict=True):
        line: dict[str, Any] = {"Label": same[0].label, "Rows": same[0].rows}
        for name, one in zip(names, same, strict=True):
            line[f"{name}: found"] = in_percent(one.recall, 0)
            line[f"{name}: right"] = in_percent(one.precision, 0)
        lines.append(line)
    return lines
