"""Candidates compared over the same rows: what got better or worse, how the scores lie, why rows are wrong. No Streamlit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from dashboard.services import JsonObject, Outcome, percent, value_text

Show = Literal["All rows", "Only differences", "Improved", "Regressed", "Unchanged", "Still wrong", "Failed"]
SHOWS: tuple[Show, ...] = get_args(Show)
Mark = Literal["better", "worse", "mixed", "same"]

BANDS = {
    "Right": "$good",
    "A half or more": "$blue",
    "Under a half": "$warn",
    "Wrong": "$bad",
    "Failed": "$muted",
}
"""The bands of a row's score with their colours."""

SHORT_ANSWER = 40
"""Answers up to this many characters are a cause in themselves: one was taken for another."""


def row_number(outcome: Outcome) -> int:
    """Return a row's number as people count it; without one, its id."""
    return outcome.row if outcome.number is None else outcome.number


class ComparedRow(NamedTuple):
    """One row answered by every candidate, in the candidates' order. `row` is the row's id; scores run 0 to 1.

    `differs` says whether the scores or the task's answers do; a model's reasoning is no answer.
    """

    row: int
    outcomes: tuple[Outcome, ...]
    differs: bool

    @property
    def number(self) -> int:
        """The row as people count it."""
        return row_number(self.outcomes[0])

    @property
    def gains(self) -> tuple[float, ...]:
        """The scores of the later candidates minus the first one's."""
        return tuple(o.score - self.outcomes[0].score for o in self.outcomes[1:])

    @property
    def mark(self) -> Mark:
        """The later candidates against the first: better, worse, both, or the same."""
        up, down = any(g > 0 for g in self.gains), any(g < 0 for g in self.gains)
        if up and down:
            return "mixed"
        return "better" if up else "worse" if down else "same"


_FILTERS: dict[Show, Callable[[ComparedRow], bool]] = {
    "All rows": lambda _: True,
    "Only differences": lambda row: row.differs,
    "Improved": lambda row: any(g > 0 for g in row.gains),
    "Regressed": lambda row: any(g < 0 for g in row.gains),
    "Unchanged": lambda row: row.mark == "same",
    "Still wrong": lambda row: all(o.score < 1 for o in row.outcomes),
    "Failed": lambda row: any(o.error is not None for o in row.outcomes),
}


def compared_rows(outcomes: Sequence[Sequence[Outcome]], outputs: Sequence[str]) -> tuple[ComparedRow, ...]:
    """Line up each candidate's outcomes by row id; rows that not every candidate was scored on are left out.

    `outputs` are the fields that are answers.
    """
    if not outcomes:
        return ()
    by_row = [{o.row: o for o in column} for column in outcomes]
    shared = sorted(set(by_row[0]).intersection(*by_row[1:]))

    def compared(row: int) -> ComparedRow:
        row_outcomes = tuple(column[row] for column in by_row)
        answers = [(o.score, [o.prediction.get(name) for name in outputs]) for o in row_outcomes]
        return ComparedRow(row, row_outcomes, any(answer != answers[0] for answer in answers))

    return tuple(compared(row) for row in shared)


def filtered(rows: Sequence[ComparedRow], which: Show) -> tuple[ComparedRow, ...]:
    """Return the rows that a filter lets through."""
    return tuple(row for row in rows if _FILTERS[which](row))


def counts(rows: Sequence[ComparedRow]) -> dict[Show, int]:
    """Return how many rows each filter lets through."""
    return {which: len(filtered(rows, which)) for which in SHOWS}


def table(
    rows: Sequence[ComparedRow],
    values: Mapping[int, Mapping[str, object]],
    outputs: Sequence[str],
    names: Sequence[str],
) -> list[JsonObject]:
    """Return table rows: the change, the right answer, each candidate's answer with its mark, the inputs.

    `values` are the examples' fields by row id, `outputs` the fields that are answers, `names` the candidates' names.
    """
    lines: list[dict[str, object]] = []
    for row in rows:
        known = values.get(row.row, {})
        cells: dict[str, object] = {"Row": row.number}
        if len(names) > 1:
            cells["Change"] = [row.mark]
        cells["Expected"] = _answer(known, outputs)
        for name, outcome in zip(names, row.outcomes, strict=True):
            cells[name] = cell(outcome, _wrong_outputs(outcome, known, outputs), named=len(outputs) > 1)
        lines.append(cells | {name: value_text(v) for name, v in known.items() if name not in outputs})
    return lines


def cell(outcome: Outcome, outputs: Sequence[str], *, named: bool = False) -> str:
    """Return an answer with its mark: right, wrong, the score in between, or failed.

    >>> cell(Outcome(0, 1.0, {"team": "billing"}), ["team"]), cell(Outcome(0, 0.25, {"team": "x"}), ["team"])
    ('✓ billing', '25 % x')
    """
    if outcome.error is not None:
        return f"⚠ failed: {outcome.error}"
    mark = "✓" if outcome.score >= 1 else "✗" if outcome.score <= 0 else percent(outcome.score, 0)
    return f"{mark} {_answer(outcome.prediction, outputs, named=named)}".rstrip()


def causes(
    rows: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], outputs: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """Return why the last candidate gets rows wrong, as (cause, row ids), the commonest first.

    An error counts by its first words; a short answer by what it was taken for; the rest by the metric's words.
    """
    rows_by_cause: dict[str, list[int]] = {}
    for row in rows:
        if row.outcomes[-1].score < 1:
            cause = _cause(row.outcomes[-1], values.get(row.row, {}), outputs)
            rows_by_cause.setdefault(cause, []).append(row.row)
    named = ((cause, tuple(ids)) for cause, ids in rows_by_cause.items())
    return sorted(named, key=lambda item: (-len(item[1]), item[0]))


def spread(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return the number of rows in each of the `BANDS`.

    >>> spread([Outcome(0, 1.0), Outcome(1, 0.0), Outcome(2, 0.4)])
    {'Right': 1, 'A half or more': 0, 'Under a half': 1, 'Wrong': 1, 'Failed': 0}
    """
    sizes_by_band = Counter(_band(o) for o in outcomes)
    return {band: sizes_by_band[band] for band in BANDS}


def spread_figure(names: Sequence[str], spreads: Sequence[Mapping[str, int]]) -> dict[str, object]:
    """Draw spreads as one bar for each candidate, the first on top, in shares of its rows."""
    traces = []
    for band, colour in BANDS.items():
        sizes = [bands[band] for bands in spreads]
        if not any(sizes):
            continue
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": band,
                "y": list(names),
                "x": [100 * n / max(1, sum(bands.values())) for n, bands in zip(sizes, spreads, strict=True)],
                "customdata": sizes,
                "text": [str(n) if n else "" for n in sizes],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "marker": {"color": colour, "opacity": 0.75},
                "hovertemplate": f"%{{y}}: <b>%{{customdata}} rows</b> {band.lower()} (%{{x:.0f}} %)<extra></extra>",
            }
        )
    return {
        "traces": traces,
        "layout": {
            "barmode": "stack",
            "xaxis": {"title": {"text": "Share of rows (%)"}, "range": [0, 100], "ticksuffix": " %"},
            "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False, "ticksuffix": " "},
            "legend": {"traceorder": "normal"},
        },
    }


def _band(outcome: Outcome) -> str:
    """Return the band of a row's score."""
    if outcome.error is not None:
        return "Failed"
    if outcome.score <= 0:
        return "Wrong"
    return "Right" if outcome.score >= 1 else "A half or more" if outcome.score >= 0.5 else "Under a half"


def _cause(outcome: Outcome, values: Mapping[str, object], outputs: Sequence[str]) -> str:
    """Return why one row is wrong."""
    if outcome.error is not None:
        return f"failed: {' '.join(outcome.error.split()[:7])}"
    for name in outputs:
        right, answer = value_text(values.get(name, "")), value_text(outcome.prediction.get(name, ""))
        if right != answer and right and max(len(right), len(answer)) <= SHORT_ANSWER:
            prefix = f"{name}: " if len(outputs) > 1 else ""
            return f"{prefix}{right} taken for {answer or 'nothing'}"
    return " ".join(outcome.feedback.split()[:8]) or "wrong answer"


def _wrong_outputs(outcome: Outcome, values: Mapping[str, object], outputs: Sequence[str]) -> Sequence[str]:
    """Return the outputs to show of an answer: of several, those that are not as expected."""
    if len(outputs) == 1:
        return outputs
    return [
        n
        for n in outputs
        if n not in values or value_text(values[n]) != value_text(outcome.prediction.get(n, ""))
    ]


def _answer(values: Mapping[str, object], outputs: Sequence[str], *, named: bool = False) -> str:
    """Return the answer in one line, with the fields' names if there are several."""
    if len(outputs) == 1 and not named:
        return value_text(values.get(outputs[0], ""))
    return " · ".join(f"{name}: {value_text(values[name])}" for name in outputs if name in values)
