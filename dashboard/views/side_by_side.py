"""Two to four prompts' outcomes over the same rows: what got better, what got worse, how the scores lie. No Streamlit here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dashboard.views.comparison import RowPair, as_text
from engine.records import Outcome

Show = Literal["All rows", "Only differences", "Improved", "Regressed", "Unchanged", "Still wrong", "Failed"]
SHOWS: tuple[Show, ...] = (
    "All rows",
    "Only differences",
    "Improved",
    "Regressed",
    "Unchanged",
    "Still wrong",
    "Failed",
)
Mark = Literal["better", "worse", "mixed", "same"]


class Line(NamedTuple):
    """One row answered by every prompt, in the prompts' order. `row` is the 0-based row id; scores run 0 to 1."""

    row: int
    outcomes: tuple[Outcome, ...]

    @property
    def number(self) -> int:
        """The row as people count it."""
        number = self.outcomes[0].number
        return self.row if number is None else number

    @property
    def gains(self) -> tuple[float, ...]:
        """What each later prompt scored above the first."""
        return tuple(o.score - self.outcomes[0].score for o in self.outcomes[1:])

    @property
    def mark(self) -> Mark:
        """Whether the later prompts did better than the first, worse, both, or the same."""
        up, down = any(g > 0 for g in self.gains), any(g < 0 for g in self.gains)
        if up and down:
            return "mixed"
        return "better" if up else "worse" if down else "same"

    @property
    def differs(self) -> bool:
        """Whether answers or scores differ."""
        first = self.outcomes[0]
        return self.mark != "same" or any(dict(o.prediction) != dict(first.prediction) for o in self.outcomes)


class Spread(NamedTuple):
    """How one prompt's row scores lie: rows wrong (0), low (under a half), high (a half or more), right (1), failed."""

    name: str
    wrong: int
    low: int
    high: int
    right: int
    failed: int

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self[1:])


def lines(outcomes: Sequence[Sequence[Outcome]]) -> tuple[Line, ...]:
    """Line up outcomes by row id; rows that not every prompt was scored on are left out."""
    if not outcomes:
        return ()
    by_row = [{o.row: o for o in one} for one in outcomes]
    shared = sorted(set(by_row[0]).intersection(*by_row[1:]))
    return tuple(Line(row, tuple(one[row] for one in by_row)) for row in shared)


def shown(found: Sequence[Line], which: Show) -> tuple[Line, ...]:
    """Return the lines that a filter lets through."""
    keep: dict[Show, Callable[[Line], bool]] = {
        "All rows": lambda _: True,
        "Only differences": lambda line: line.differs,
        "Improved": lambda line: any(g > 0 for g in line.gains),
        "Regressed": lambda line: any(g < 0 for g in line.gains),
        "Unchanged": lambda line: line.mark == "same",
        "Still wrong": lambda line: all(o.score < 1 for o in line.outcomes),
        "Failed": lambda line: any(o.error is not None for o in line.outcomes),
    }
    return tuple(line for line in found if keep[which](line))


def counts(found: Sequence[Line]) -> dict[Show, int]:
    """Return how many lines each filter lets through."""
    return {which: len(shown(found, which)) for which in SHOWS}


def first_and_last(found: Sequence[Line]) -> tuple[RowPair, ...]:
    """Return the first prompt against the last one, as pairs: for the causes of what is still wrong."""
    return tuple(RowPair(line.row, line.outcomes[0], line.outcomes[-1]) for line in found)


def spread(name: str, outcomes: Sequence[Outcome]) -> Spread:
    """Return how a prompt's scores lie.

    >>> spread("Start", [Outcome(0, 1.0), Outcome(1, 0.0), Outcome(2, 0.4)])[1:]
    (1, 1, 0, 1, 0)
    """
    failed = sum(o.error is not None for o in outcomes)
    scores = [o.score for o in outcomes if o.error is None]
    return Spread(
        name,
        sum(s <= 0 for s in scores),
        sum(0 < s < 0.5 for s in scores),
        sum(0.5 <= s < 1 for s in scores),
        sum(s >= 1 for s in scores),
        failed,
    )


def table(
    found: Sequence[Line],
    rows: Mapping[int, Mapping[str, Any]],
    outputs: Sequence[str],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the lines as table rows: the change, what is right, each prompt's answer with its mark, the inputs."""
    told: list[dict[str, Any]] = []
    for line in found:
        values = rows.get(line.row, {})
        cells: dict[str, Any] = {"Row": line.number}
        if len(names) > 1:
            cells["Change"] = [line.mark]
        cells["Expected"] = _answer(values, outputs)
        for name, outcome in zip(names, line.outcomes, strict=True):
            cells[name] = cell(outcome, _wrong(outcome, values, outputs), named=len(outputs) > 1)
        cells |= {name: as_text(value) for name, value in values.items() if name not in outputs}
        told.append(cells)
    return told


def cell(outcome: Outcome, outputs: Sequence[str], *, named: bool = False) -> str:
    """Return an answer with its mark: right, wrong, the score in between, or failed.

    >>> cell(Outcome(0, 1.0, {"team": "billing"}), ["team"]), cell(Outcome(0, 0.25, {"team": "x"}), ["team"])
    ('✓ billing', '25 % x')
    """
    if outcome.error is not None:
        return f"⚠ failed: {outcome.error}"
    mark = "✓" if outcome.score >= 1 else "✗" if outcome.score <= 0 else f"{100 * outcome.score:.0f} %"
    return f"{mark} {_answer(outcome.prediction, outputs, named=named)}".rstrip()


def spread_figure(found: Sequence[Spread]) -> dict[str, Any]:
    """Draw the spreads as one bar for each prompt, the first on top, in shares of its rows."""
    parts = (
        ("Right", "right", "$good"),
        ("A half or more", "high", "$blue"),
        ("Under a half", "low", "$warn"),
        ("Wrong", "wrong", "$bad"),
        ("Failed", "failed", "$muted"),
    )
    names = [s.name for s in found]
    traces = []
    for title, field, colour in parts:
        sizes = [getattr(s, field) for s in found]
        if not any(sizes):
            continue
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": title,
                "y": names,
                "x": [100 * n / max(1, s.rows) for n, s in zip(sizes, found, strict=True)],
                "customdata": sizes,
                "text": [str(n) if n else "" for n in sizes],
                "textposition": "inside",
                "insidetextanchor": "middle",
                "textangle": 0,
                "marker": {"color": colour, "opacity": 0.75},
                "hovertemplate": f"%{{y}}: <b>%{{customdata}} rows</b> {title.lower()} (%{{x:.0f}} %)<extra></extra>",
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


def _wrong(outcome: Outcome, values: Mapping[str, Any], outputs: Sequence[str]) -> Sequence[str]:
    """Return the outputs to show of an answer: of several only those that are not as expected; the others stand there."""
    if len(outputs) == 1:
        return outputs
    return [
        n for n in outputs if n not in values or as_text(values[n]) != as_text(outcome.prediction.get(n, ""))
    ]


def _answer(values: Mapping[str, Any], outputs: Sequence[str], *, named: bool = False) -> str:
    if len(outputs) == 1 and not named:
        return as_text(values.get(outputs[0], ""))
    return " · ".join(f"{name}: {as_text(values[name])}" for name in outputs if name in values)
