"""What is kept of a run when it ends: the result that pages and the command line show.

A result is a dict of JSON values:

    verdict          kind, sentence, difference, low, high, rows, won, lost (see `engine.search.verdict`)
    whole_set        where the metric has a number of the whole set of test rows: see `engine.metrics.whole_set`; else None
    baseline, best   the starting prompt and the chosen one: candidate, validation and test (scores 0 to 1 or
                     None), rows, failed, and per row on the test rows: seconds, tokens, cost
    best_candidate, seed_candidate      their ids
    stopped, reason  how the search ended: finished, budget, stopped or failed, and the sentence
    usage, seconds   what the whole run took
    export_path, script_path            the exported program and the script that runs it
    proof            for each exported file that was scored again: see `engine.runs.proof.Proof`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.records import Candidate, Evaluation, Usage, whole_trials
from engine.search.settings import SearchResult, Trial
from engine.search.verdict import Verdict


def summary(candidate: Candidate, validation: float | None, test: Evaluation | None) -> dict[str, Any]:
    """Return one candidate's figures."""
    outcomes = test.outcomes if test is not None else ()
    done = [o for o in outcomes if o.error is None]
    n = len(outcomes)
    known = bool(done) and all(o.usage.cost is not None for o in done)
    return {
        "candidate": candidate.id,
        "validation": validation,
        "test": test.score if test is not None and n else None,
        "rows": n,
        "failed": n - len(done),
        "seconds_per_row": _median([o.seconds for o in done]),
        "tokens_per_row": sum(o.usage.tokens for o in outcomes) / n if n else None,
        "cost_per_row": sum(o.usage.cost or 0.0 for o in outcomes) / n if known else None,
    }


def result_dict(
    search: SearchResult,
    verdict: Verdict,
    *,
    baseline: dict[str, object],
    best: dict[str, object],
    usage: Usage,
    seconds: float,
) -> dict[str, Any]:
    """Return the result; `whole_set`, the paths of the exports and the proofs are added when they are there."""
    return {
        "verdict": verdict.as_dict(),
        "baseline": baseline,
        "best": best,
        "best_candidate": search.best.id,
        "seed_candidate": search.seed.id,
        "stopped": search.stopped,
        "reason": search.reason,
        "usage": {
            "calls": usage.calls,
            "cached": usage.cached,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost": usage.cost,
        },
        "seconds": seconds,
    }


def validation_score(trials: Iterable[Trial], candidate: Candidate, rows: int) -> float | None:
    """Return a candidate's score on all the validation rows; None where it was not scored on all of them."""
    trial = whole_trials(trials, rows=rows).get(candidate.id)
    return None if trial is None else trial.evaluation.score


def _median(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None
