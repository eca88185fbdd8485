"""The button that finishes a final test of which rows are missing, with its price."""

from __future__ import annotations

from dashboard.components import ui
from dashboard.state import models, more_scores, reading
from dashboard.state.writing import read_only
from engine.search.final_test import FinalTestCost
from engine.store.rows import RunRow

PROBLEM = "finish_test_problem"


def finish_test(run: RunRow) -> None:
    """Offer to score the test rows that a run lacks; nothing where none is missing, or the run goes on."""
    cost = FinalTestCost.stored((run.result or {}).get("final_test"))
    if cost is None or not run.is_over or read_only():
        return
    spec = reading.run_spec(run)
    ui.button(
        f"Finish the test ({cost.words})".replace("$", "\\$"),
        "finish_test",
        models.refusal(models.asked_models(spec.model, spec.pipeline, spec.models)),
        icon="fact_check",
        type="primary",
        help="Scores the test rows that are missing and writes the verdict, the exports and their proof again. Nothing is paid for twice.",
        on_click=ui.callback(_ask, run.id),
    )
    ui.problem_line(PROBLEM)


def _ask(run_id: str) -> None:
    with ui.problem_kept(PROBLEM):
        more_scores.ask_test(run_id, models.for_process())
