"""The models of a run next to each other, which of them is good enough, and the way to tune its prompt on another one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.plot import plot
from dashboard.components.runs import replace_setup
from dashboard.components.tables import small_table
from dashboard.services import RunRow, RunSpec, counted
from dashboard.state import candidates, reading
from dashboard.state.history import draft_on, same_test
from dashboard.state.model_lines import (
    HEAD,
    LIKELY,
    ModelFigures,
    ModelLine,
    model_figures,
    models_figure,
    tuned_on_each,
)
from dashboard.state.models import title_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown, model_name


def compared_figures(run: RunRow, spec: RunSpec) -> list[ModelFigures]:
    """Return a run's comparison of models; nothing for a run that compared none."""
    numbers = {entry.id: entry.number for entry in candidates.index(run)}
    return model_figures(run.result, spec.model.name, numbers) if run.result else []


def models_view(run: RunRow, spec: RunSpec, found: Sequence[ModelFigures]) -> None:
    """Show which model is good enough, each model's score, price and time, and the move to another model."""
    comparison = run.require_result().models
    if comparison and comparison.sentence:
        st.markdown(f"**{escape_markdown(comparison.sentence, 1000)}**")
    figure = models_figure(found)
    table, chart = st.columns([3, 2], gap="medium") if figure else (st.container(), None)
    with table:
        _lines("compared_models", "The best prompt on each model", [one.line for one in found])
        rows = counted(max(f.rows for f in comparison.figures) if comparison else 0, "row")
        same = f"Each model answered the {rows} to choose by with the same prompt, unless its line names another."
        st.caption(f"{same} {LIKELY}", help=explain("practice score"))
    if chart is not None:
        with chart:
            label = f"Score against price of {counted(len(found), 'model')}"
            plot(figure, key="models_chart", label=label, height=300, stamp=run.id)
    if lines := tuned_on_each(_runs(run, spec)):
        _lines("tuned_on_each", "Tuned on each model", lines)
        st.caption("The newest run with each model, on the same test rows.", help=explain("final test"))
    if not read_only():
        _move(run, spec, found)


def _lines(key: str, title: str, lines: Sequence[ModelLine]) -> None:
    with ui.card(key, title):
        small_table(("", *HEAD), [line.figures for line in lines], [line.note for line in lines])


def _runs(run: RunRow, spec: RunSpec) -> list[tuple[RunRow, RunSpec]]:
    """Return this run and the project's others that were tested on the same rows, with their settings."""
    comparable_runs = [(run, spec)]
    for other in reading.runs(run.project_id):
        if other.result and other.id != run.id:
            with suppress(ValueError):  # saved by another version
                if same_test(spec, settings := reading.run_spec(other)):
                    comparable_runs.append((other, settings))
    return comparable_runs


def _move(run: RunRow, spec: RunSpec, found: Sequence[ModelFigures]) -> None:
    """Let the user tune the best prompt again on one of the models."""
    kept, enough = (next((f.name for f in found if f.kind == kind), "") for kind in ("kept", "enough"))
    models = {model_name(m.name): m for m in (spec.model, *spec.models) if model_name(m.name) != kept}
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
