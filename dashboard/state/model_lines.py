"""Models next to each other: score, price and time of each as lines of a table and as a chart. No Streamlit here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from dashboard.text import model_name
from engine.basics.text import counted, in_percent, listed, percent, price, time_taken
from engine.runs.spec import RunSpec
from engine.search.result import ComparedFigures, ModelComparison, PromptFigures, RunResult
from engine.store.rows import RunRow

HEAD = ("Score", "Likely between", "Cost of 1,000 rows", "Time of a row")
"""Names of a line's figures, after the first column."""

LIKELY = "Likely between: where the score on all rows like these lies, 95 times of 100. More test rows make it narrower."


class ModelLine(NamedTuple):
    """One of the compared programs: what it is, a note on it, and its score, price and time as text."""

    name: str
    note: str
    score: str
    likely: str
    cost: str
    seconds: str

    @property
    def figures(self) -> tuple[str, ...]:
        """All but the note: a line of the table."""
        return self.name, self.score, self.likely, self.cost, self.seconds


def line(name: str, note: str, figures: PromptFigures) -> ModelLine:
    """Return a program as a line of a table; rows that all failed are no score.

    >>> line("a", "", PromptFigures(test=0.0, likely=(0.0, 0.2), rows=9, failed=9))[2:4]
    ('failed', '')
    """
    likely, cost = figures.likely, figures.cost_per_row
    if 0 < figures.failed == figures.rows:
        return ModelLine(name, note, "failed", "", "", "")
    return ModelLine(
        name,
        note,
        percent(figures.test),
        f"{percent(max(0.0, likely[0]), 0)} to {percent(min(1.0, likely[1]), 0)}" if likely else "not known",
        price(None if cost is None else 1000 * cost),
        time_taken(figures.seconds_per_row),
    )


class ModelFigures(NamedTuple):
    """A choice of models and the figures of a prompt that it answers; `kind` is "kept", "enough" (the cheapest that is not
    surely worse than the best) or "other". `dollars` are those of 1,000 rows.
    """

    name: str
    kind: str
    line: ModelLine
    score: float | None
    likely: tuple[float, float]
    dollars: float | None


def model_figures(result: RunResult, run_model: str, numbers: Mapping[str, int]) -> list[ModelFigures]:
    """Return a run's comparison of models, the best score first; nothing for a run that compared none.

    Of each choice of models the prompt that the run chose is shown, and another one where it scored higher. `run_model` is
    the run's own model, `numbers` are the prompts' by their ids.
    """
    compared = result.models or ModelComparison()
    known = [f for f in compared.figures if f.prompt]
    kept = next((f for f in known if f.candidate == result.best_candidate), None)
    if kept is None or len({f.models for f in known}) < 2:
        return []
    shown: list[ComparedFigures] = []
    for models in dict.fromkeys(f.models for f in known):
        answered = [f for f in known if f.models == models]
        same = [f for f in answered if f.prompt == kept.prompt]
        reached = max((f.score for f in same), default=-1)
        others = [f for f in answered if f not in same and f.score > reached]
        shown += [*same[:1], *sorted(others, key=lambda f: -f.score)[:1]]
    shown.sort(key=lambda f: (not f.answered, -f.score, f.cost is None, f.cost or 0))
    return [_model_figures(f, kept, compared, run_model, numbers.get(f.candidate)) for f in shown]


def _model_figures(
    figures: ComparedFigures,
    kept: ComparedFigures,
    compared: ModelComparison,
    run_model: str,
    number: int | None,
) -> ModelFigures:
    name = listed([model_name(m) for m in figures.models]) or model_name(run_model)
    enough = figures.candidate == compared.good_enough
    notes = [] if figures.prompt == kept.prompt else [f"with prompt {number}"]
    notes += ["kept by the run"] if figures is kept else []
    notes += ["good enough and cheapest"] if enough else []
    if figures.failed:
        notes.append(f"{figures.failed:,} of {counted(figures.rows, 'row')} failed")
    elif figures.rows < kept.rows:
        notes.append(f"{figures.rows:,} of {counted(kept.rows, 'row')}, then left out")
    in_table = PromptFigures(
        test=figures.score,
        likely=figures.likely,
        rows=figures.rows,
        failed=figures.failed,
        seconds_per_row=figures.seconds,
        cost_per_row=figures.cost,
    )
    return ModelFigures(
        name,
        "kept" if figures is kept else "enough" if enough else "other",
        line(name, ", ".join(notes), in_table),
        figures.score if figures.answered else None,
        figures.likely,
        None if figures.cost is None else 1000 * figures.cost,
    )


LOOKS = {
    "other": ("Others", {"color": "$accent", "size": 12}),
    "enough": ("Good enough and cheapest", {"color": "$warn", "size": 15, "symbol": "diamond"}),
    "kept": ("Kept by the run", {"color": "$good", "size": 19, "symbol": "star"}),
}
"""Kind of a point -> its name in the legend and its look."""


def models_figure(found: Iterable[ModelFigures]) -> dict[str, Any] | None:
    """Draw score against price, with the interval of each score; None where fewer than two have both."""
    known = [f for f in found if f.score is not None and f.dollars is not None]
    if len(known) < 2:
        return None
    traces = [_points(kind, [f for f in known if f.kind == kind]) for kind in LOOKS]
    dearest = max(f.dollars or 0.0 for f in known) or 1.0
    layout = {
        "xaxis": {
            "title": {"text": "Cost of 1,000 rows (US dollars)"},
            # A little more than the points need, so that none covers the other axis's figures.
            "range": [-0.06 * dearest, 1.1 * dearest],
            "tickprefix": "$",
        },
        "yaxis": {"title": {"text": "Score on validation rows (%)"}, "ticksuffix": " %"},
        "margin": {"r": 80},
    }
    return {"traces": [t for t in traces if t["x"]], "layout": layout}


def _points(kind: str, group: Sequence[ModelFigures]) -> dict[str, Any]:
    name, marker = LOOKS[kind]
    scores = [in_percent(f.score or 0.0) for f in group]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [f.dollars for f in group],
        "y": scores,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [in_percent(f.likely[1]) - s for f, s in zip(group, scores, strict=True)],
            "arrayminus": [s - in_percent(f.likely[0]) for f, s in zip(group, scores, strict=True)],
            "color": "$muted",
            "thickness": 1.5,
        },
        "text": [escape(f.name.rpartition("/")[2]) for f in group],
        "textposition": "middle right",
        "marker": marker,
        "cliponaxis": False,
        "hovertemplate": "%{text}: <b>%{y:.1f} %</b><br>$%{x:.4g} for 1,000 rows<extra></extra>",
    }


def tuned_on_each(runs: Sequence[tuple[RunRow, RunSpec]]) -> list[ModelLine]:
    """Return the newest result with each model, as lines with scores on the test rows, which are the same in all these runs.

    Fewer than two models are nothing to compare.
    """
    found: dict[str, tuple[float, ModelLine]] = {}
    for run, spec in runs:
        result = run.require_result()
        best = result.best
        figures = result.models.figures if result.models else ()
        models = next((f.models for f in figures if f.candidate == best.candidate), ())
        name = listed([model_name(m) for m in models]) or model_name(spec.model.name)
        note = f"{run.title}, {percent(result.baseline.test)} before"
        if name not in found or found[name][0] < run.created_at:
            found[name] = (run.created_at, line(name, note, best))
    return [one for _, one in found.values()] if len(found) > 1 else []
