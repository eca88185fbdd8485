"""Verdict and figures of the prompt that the user took in the place of the search's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.metrics.whole_set import whole_set_figure
from engine.records import Evaluation, whole_trials
from engine.search.result import PromptFigures, TakenPrompt
from engine.search.verdict import verdict
from engine.store.rows import RunRow
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.search.settings import Settings


def taken_figures(
    store: Store, run: RunRow, candidate: str, settings: Settings | None = None
) -> TakenPrompt | None:
    """Return what a result says of its best prompt for another candidate.

    The number of the whole set of rows needs the run's `settings`. None for the best prompt and the start, of which the
    result has the figures, and for a prompt that was not tested.
    """
    trials = store.trials.all(run.id)
    tests, scored = whole_trials(trials, "test"), whole_trials(trials)
    if candidate in (run.start, run.best) or run.start not in tests or candidate not in tests:
        return None
    before, after = (
        Evaluation(prompt, tuple(store.trials.outcomes(run.id, tests[prompt].number)))
        for prompt in (run.start, candidate)
    )
    validation = scored[candidate].score if candidate in scored else None
    return TakenPrompt(
        candidate,
        PromptFigures.of(candidate, validation, after),
        verdict(before, after),
        whole_set_figure(settings.metric, settings.rows, before, after) if settings else None,
    )
