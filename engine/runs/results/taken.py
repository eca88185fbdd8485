"""Figures of a candidate on its rows, and the verdict on the prompt that the user took in the place of the search's."""

from __future__ import annotations

from statistics import median_high
from typing import TYPE_CHECKING, Any

from engine.basics.statistics import mean_interval
from engine.metrics.whole_set import whole_set_figure
from engine.records import Evaluation, whole_trials
from engine.search.verdict import verdict
from engine.store.rows import RunRow
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.search.settings import Settings


def summary(candidate: str, validation: float | None, test: Evaluation) -> dict[str, Any]:
    """Return the figures of a candidate, named by its id."""
    done = [o for o in test.outcomes if o.error is None]
    n = len(test.outcomes)
    known = bool(done) and all(o.usage.cost is not None for o in done)
    likely = mean_interval([o.score for o in test.outcomes])
    return {
        "candidate": candidate,
        "validation": validation,
        "test": test.score if n else None,
        "likely": [likely.low, likely.high] if n else None,
        "rows": n,
        "failed": n - len(done),
        "seconds_per_row": median_high([o.seconds for o in done]) if done else None,
        "tokens_per_row": test.usage.tokens / n if n else None,
        "cost_per_row": (test.usage.cost or 0.0) / n if known else None,
    }


def taken_figures(
    store: Store, run: RunRow, candidate: str, settings: Settings | None = None
) -> dict[str, Any] | None:
    """Return what a result says of its best prompt for another candidate, by the same names.

    The number of the whole set of rows needs the run's `settings`. None for the best prompt and the start, of which the result has the figures, and for a prompt that was not tested.
    """
    result = run.result or {}
    trials = store.trials.all(run.id)
    tests, scored = whole_trials(trials, "test"), whole_trials(trials)
    start = result.get("seed_candidate")
    if candidate in (start, result.get("best_candidate")) or start not in tests or candidate not in tests:
        return None
    before, after = (
        Evaluation(name, tuple(store.trials.outcomes(run.id, tests[name].number)))
        for name in (start, candidate)
    )
    validation = scored[candidate].score if candidate in scored else None
    return {
        "best_candidate": candidate,
        "best": summary(candidate, validation, after),
        "verdict": verdict(before, after).as_dict(),
        "whole_set": settings and whole_set_figure(settings.metric, settings.rows, before, after),
    }
