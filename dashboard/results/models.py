"""Models next to each other: those that a run compared, its tuned one and the teacher, and the way to tune on another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.runs import replace_setup
from dashboard.components.tables import small_table
from dashboard.results.charts import quality_and_cost
from dashboard.services import (
    ComparedFigures,
    ModelComparison,
    PromptFigures,
    RunResult,
    RunRow,
    RunSpec,
    counted,
    listed,
    percent,
    price,
    time_taken,
)
from dashboard.state import candidates, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.history import draft_on, same_test
from dashboard.state.models import title_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown, model_name

HEAD = ("", "Score", "Likely between", "Cost of 1,000 rows", "Time of a row")
LIKELY = "Likely between: where the score on all rows like these lies, 95 times of 100. More test rows make it narrower."


Kind = Literal["kept", "enough", "other"]


class ModelLine(NamedTuple):
    """One program in a table: what it is, a note on it, its figures."""

    name: str
    note: str
    figures: PromptFigures
    kind: Kind = "other"
    """Of a run that compared models: kept by the run, the cheapest that is not surely worse than the best, or neither."""

    @property
    def failed(self) -> bool:
        """True where all rows failed, which is no score."""
        return 0 < self.figures.failed == self.figures.rows

    @property
    def cells(self) -> tuple[str, ...]:
        """The line of the table.

        >>> ModelLine("a", "", PromptFigures(test=0.0, likely=(0.0, 0.2), rows=9, failed=9)).cells
        ('a', 'failed', '', '', '')
        """
        if self.failed:
            return self.name, "failed", "", "", ""
        cost = self.figures.cost_per_row
        dollars = None if cost is None else 1000 * cost
        likely = "not known"
        if self.figures.likely:
            low, high = self.figures.likely
            likely = f"{percent(max(0.0, low), 0)} to {percent(min(1.0, high), 0)}"
        time = time_taken(self.figures.seconds_per_row)
        return self.name, percent(self.figures.test), likely, price(dollars), time


def lines_table(lines: Sequence[ModelLine]) -> None:
    """Show programs as a table."""
    small_table(HEAD, [line.cells for line in lines], [line.note for line in lines])


def models_and_cost(run: RunRow, spec: RunSpec, picked: Sequence[ComparedCandidate]) -> None:
    """Show what quality costs, and the models of a run next to each other."""
    quality_and_cost(run, picked)
    if run.result:
        against_teacher(run, run.result)
    if lines := compared_models(run, spec):
        models_view(run, spec, lines)


# A tuned model


def against_teacher(run: RunRow, result: RunResult) -> None:
    """Set a tuned model against itself before tuning and against its teacher; nothing for a run that tuned none."""
    if lines := tuned_lines(result, reading.run_spec(run)):
        with ui.card("against_teacher", "Small against large, on the test rows", explain("teacher")):
            lines_table(lines)
            st.caption(LIKELY)


def tuned_lines(result: RunResult, spec: RunSpec) -> list[ModelLine]:
    """Return tuned, untuned and teacher on the test rows; none for a run that tuned no model."""
    if not result.tuned_models:
        return []
    lines = [
        ModelLine("Small model, tuned", model_name(", ".join(result.tuned_models)), result.best),
        ModelLine("Small model, before", model_name(spec.model.name), result.baseline),
    ]
    if teacher := result.teacher:
        prompt = f", with {teacher.prompt}" if teacher.prompt else ""
        lines.append(ModelLine("Large model (teacher)", f"{model_name(teacher.model)}{prompt}", teacher))
    return lines


def comparison_sentence(best: PromptFigures, teacher: PromptFigures | None) -> str:
    """Return how the tuned model does next to its teacher, in a sentence; "" without a teacher that was tested.

    >>> comparison_sentence(PromptFigures(test=0.8, cost_per_row=0.0002), PromptFigures(test=0.9, cost_per_row=0.01))
    'On the test rows the small model scores 80 %, its teacher 90 %. A row costs 2 % of what the teacher takes.'
    """
    if teacher is None or best.test is None or teacher.test is None:
        return ""
    text = (
        f"On the test rows the small model scores {percent(best.test)}, its teacher {percent(teacher.test)}."
    )
    small, large = best.cost_per_row, teacher.cost_per_row
    if small is None or not large:
        return text
    share = "less than 1 %" if 0 < small / large < 0.01 else percent(small / large)
    return f"{text} A row costs {share} of what the teacher takes."


# Models that a run compared


def compared_models(run: RunRow, spec: RunSpec) -> list[ModelLine]:
    """Return a run's comparison of models; nothing for a run that compared none."""
    numbers = {entry.id: entry.number for entry in candidates.index(run)}
    return compared_lines(run.result, spec.model.name, numbers) if run.result else []


def compared_lines(result: RunResult, run_model: str, numbers: Mapping[str, int]) -> list[ModelLine]:
    """Return a run's comparison of models, the best score first; nothing for a run that compared none.

    Of each choice of models the prompt that the run chose is shown, and another one where it scored higher. `run_model` is
    the run's own model, `numbers` are the prompts' by their ids.
    """
    compared = result.models or ModelComparison()
    known = [f for f in compared.figures if f.prompt]
    chosen = next((f for f in known if f.candidate == result.best_candidate), None)
    if chosen is None or len({f.models for f in known}) < 2:
        return []
    shown: list[ComparedFigures] = []
    for models in dict.fromkeys(f.models for f in known):
        answered = [f for f in known if f.models == models]
        same = [f for f in answered if f.prompt == chosen.prompt]
        reached = max((f.score for f in same), default=-1)
        others = [f for f in answered if f not in same and f.score > reached]
        shown += [*same[:1], *sorted(others, key=lambda f: -f.score)[:1]]
    shown.sort(key=lambda f: (not f.answered, -f.score, f.cost is None, f.cost or 0))
    return [
        _compared_line(f, chosen, compared.good_enough, run_model, numbers.get(f.candidate)) for f in shown
    ]


def _compared_line(
    compared: ComparedFigures, kept: ComparedFigures, enough: str, run_model: str, number: int | None
) -> ModelLine:
    notes = [] if compared.prompt == kept.prompt else [f"with prompt {number}"]
    notes += ["kept by the run"] if compared is kept else []
    notes += ["good enough and cheapest"] if compared.candidate == enough else []
    if compared.failed:
        notes.append(f"{compared.failed:,} of {counted(compared.rows, 'row')} failed")
    elif compared.rows < kept.rows:
        notes.append(f"{compared.rows:,} of {counted(kept.rows, 'row')}, then left out")
    figures = PromptFigures(
        test=compared.score,
        likely=compared.likely,
        rows=compared.rows,
        failed=compared.failed,
        seconds_per_row=compared.seconds,
        cost_per_row=compared.cost,
    )
    name = listed([model_name(m) for m in compared.models]) or model_name(run_model)
    kind: Kind = "kept" if compared is kept else "enough" if compared.candidate == enough else "other"
    return ModelLine(name, ", ".join(notes), figures, kind)


def tuned_on_each(runs: Sequence[tuple[RunRow, RunSpec]]) -> list[ModelLine]:
    """Return the newest result with each model, as lines with scores on the test rows, which are the same in all these runs.

    Fewer than two models are nothing to compare.
    """
    newest: dict[str, tuple[float, ModelLine]] = {}
    for run, spec in runs:
        result = run.require_result()
        best = result.best
        figures = result.models.figures if result.models else ()
        models = next((f.models for f in figures if f.candidate == best.candidate), ())
        name = listed([model_name(m) for m in models]) or model_name(spec.model.name)
        note = f"{run.title}, {percent(result.baseline.test)} before"
        if name not in newest or newest[name][0] < run.created_at:
            newest[name] = (run.created_at, ModelLine(name, note, best))
    return [line for _, line in newest.values()] if len(newest) > 1 else []


def models_view(run: RunRow, spec: RunSpec, lines: Sequence[ModelLine]) -> None:
    """Show which model is good enough, each model's score, price and time, and the move to another model."""
    comparison = run.require_result().models
    if comparison and comparison.sentence:
        st.markdown(f"**{escape_markdown(comparison.sentence, 1000)}**")
    with ui.card("compared_models", "The best prompt on each model"):
        lines_table(lines)
    rows = counted(max(f.rows for f in comparison.figures) if comparison else 0, "row")
    same = f"Each model answered the {rows} to choose by with the same prompt, unless its line names another."
    st.caption(f"{same} {LIKELY}", help=explain("practice score"))
    if newest := tuned_on_each(_runs(run, spec)):
        with ui.card("tuned_on_each", "Tuned on each model"):
            lines_table(newest)
        st.caption("The newest run with each model, on the same test rows.", help=explain("final test"))
    if not read_only():
        _move(run, spec, lines)


def _runs(run: RunRow, spec: RunSpec) -> list[tuple[RunRow, RunSpec]]:
    """Return this run and the project's others that were tested on the same rows, with their settings."""
    comparable_runs = [(run, spec)]
    for other in reading.runs(run.project_id):
        if other.result and other.id != run.id:
            with suppress(ValueError):  # saved by another version
                if same_test(spec, settings := reading.run_spec(other)):
                    comparable_runs.append((other, settings))
    return comparable_runs


def _move(run: RunRow, spec: RunSpec, lines: Sequence[ModelLine]) -> None:
    """Let the user tune the best prompt again on one of the models."""
    chosen, enough = (
        next((line.name for line in lines if line.kind == kind), "") for kind in ("kept", "enough")
    )
    models = {model_name(m.name): m for m in (spec.model, *spec.models) if model_name(m.name) != chosen}
    with ui.card("move_model", "Move this program to another model"):
        with ui.row("move_model_row", "bottom"):
            picked = ui.select(
                "To the model",
                {name: title_of(choice) for name, choice in models.items()},
                enough,
                key=f"move_to_{run.id}",
                width=380,
            )
            pressed = ui.button("Tune it there", "move_model_go", icon="conversion_path")
        st.caption(
            "Opens the Tune page with this run's settings and that model. Only the wording of the best prompt moves: its solved "
            "examples are not taken along, the new run finds its own. You see what it will take before you start it; the "
            "result then appears here, too."
        )
    if pressed:
        replace_setup(run, lambda: draft_on(spec, reading.prompt(run, run.best), models[picked]))
