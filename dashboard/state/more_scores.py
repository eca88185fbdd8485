"""Rows that compared prompts were not scored on, the calls and dollars that these take, and the request for them. No widgets.

The work is done by the run's own process: see `engine.runs.results.more_scores`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from dashboard.state import candidates, launching, reading, users
from dashboard.state.candidates import ComparedCandidate
from dashboard.state.writing import writing
from engine.errors import AccessError, RunError
from engine.records import Candidate, Usage
from engine.runs.results.more_scores import (
    LABEL,
    ScoreRequest,
    ask_final_test,
    ask_score,
    end_scoring,
    known_outcomes,
    most_calls,
)
from engine.runs.spending import room
from engine.store.rows import SCORE, CandidateRow, RunRow, TrialRow

ScoredSplit = Literal["validation", "test"]


class UnscoredRows(NamedTuple):
    """Rows of a split that a prompt of a run was not scored on, and the calls and dollars that a row takes.

    `usd` is None where the price is not known.
    """

    run: RunRow
    candidate: Candidate
    name: str
    split: ScoredSplit
    rows: int
    calls: float
    usd: float | None


def cost_of(missing: Sequence[UnscoredRows]) -> float | None:
    """Return the expected cost of rows in US dollars; None where the price is not known."""
    costs = [unscored.rows * unscored.usd for unscored in missing if unscored.usd is not None]
    return sum(costs) if len(costs) == len(missing) else None


def offers(prompts: Sequence[ComparedCandidate]) -> dict[ScoredSplit, list[UnscoredRows]]:
    """Return what can be scored so that every prompt is scored on the same rows, by split: of runs that have a result."""
    unscored_rows: dict[ScoredSplit, list[UnscoredRows]] = {}
    splits: tuple[ScoredSplit, ...] = ("validation", "test")
    for split in splits:
        lacking = [c for c in prompts if split not in c.trials]
        missing = [missing_rows(c.run, c.candidate.candidate, split, c.name) for c in lacking]
        if missing and all(missing):
            unscored_rows[split] = [unscored for unscored in missing if unscored is not None]
    return unscored_rows


def missing_rows(
    run: RunRow, candidate: Candidate, split: ScoredSplit, name: str = ""
) -> UnscoredRows | None:
    """Return what scoring a prompt on a split takes; None where the run was not scored on such rows, or has no result."""
    start = candidates.whole(run).get(run.start, {}).get(split)
    if start is None:
        return None
    known = reading.read_store(known_outcomes, run.id, candidate.id)
    rows = [o.row for o in reading.outcomes(run, start.number)]
    usage, answered = _measured(run, candidate)
    calls = usage.calls / answered if answered else 1.0
    usd = None if usage.cost is None or not answered else usage.cost / answered
    return UnscoredRows(run, candidate, name, split, len([r for r in rows if r not in known]), calls, usd)


def ask(missing: Sequence[UnscoredRows], keys: Mapping[str, str]) -> None:
    """Ask the runs for the scores, and start the processes that give them. Raises RunError where nothing could be started."""
    for run_id in dict.fromkeys(unscored.run.id for unscored in missing):
        _start(run_id, keys, [_request(unscored) for unscored in missing if unscored.run.id == run_id])


def ask_test(run_id: str, keys: Mapping[str, str]) -> None:
    """Ask a run for the rows that its final test lacks, as `ask` does."""
    _start(run_id, keys)


def _start(run_id: str, keys: Mapping[str, str], requests: Sequence[ScoreRequest] = ()) -> None:
    """Ask a run for scores, or without requests for the rest of its final test; start its process where it has none."""
    with writing() as store:
        room(store, users.name())
        lost = store.runs.get(run_id).state == "lost"
        idle = [ask_score(store, run_id, request) for request in requests]
        idle = idle or [ask_final_test(store, run_id)]
    if lost:
        launching.resume(run_id, keys)
    if lost or not any(idle):
        return
    try:
        launching.start(run_id, keys)
    except (RunError, AccessError) as error:
        with writing() as store:
            end_scoring(store, store.runs.get(run_id), str(error))
        raise


def _request(unscored: UnscoredRows) -> ScoreRequest:
    calls = most_calls(max(1, unscored.rows), unscored.calls)
    return ScoreRequest(candidate=unscored.candidate.as_dict(), split=unscored.split, calls=calls)


class ScoringProgress(NamedTuple):
    """Scores that are being made for a run: requests left, and rows done of the trial under way; why the last was not done."""

    waiting: int
    done: int
    rows: int
    refused: str


def progress(run: RunRow) -> ScoringProgress:
    """Return how far the scores are that a run was asked for after its end."""
    seen = reading.snapshot(run)
    asked = [r for r in seen.requests if r.kind == SCORE]
    under_way = [t for t in seen.trials if t.state == "running"]
    refused = asked[-1].answer if asked and asked[-1].refused else ""
    waiting = sum(not r.answer for r in asked)
    done, rows = sum(t.rows_done for t in under_way), sum(t.rows_total for t in under_way)
    return ScoringProgress(waiting, done, rows, refused)


def after_choice(found: ComparedCandidate) -> bool:
    """Return whether a prompt was tested after the run's end, when its best prompt had been chosen."""
    trial = found.trials.get("test")
    return trial is not None and trial.label == LABEL


MOST_MADE = 2
"""Prompts that the user made lately and that are offered to be taken."""


def made_by_hand(run: RunRow) -> list[CandidateRow]:
    """Return the latest prompts that were made after the run's end and scored on all rows to choose by, with the highest score first."""
    trials = reading.snapshot(run).trials
    if not any(t.label == LABEL for t in trials):
        return []
    known = {t.candidate_id for t in trials if t.label != LABEL}
    whole = candidates.whole(run)
    by_hand = [
        c for c in candidates.everything(run) if c.id not in known and "validation" in whole.get(c.id, {})
    ]
    return sorted(by_hand[-MOST_MADE:], key=lambda c: -(c.score or 0.0))


def _measured(run: RunRow, candidate: Candidate) -> tuple[Usage, int]:
    """Return what rows of a prompt took, and how many they were: its own, else its parents', else the best prompt's."""
    trials = reading.snapshot(run).trials
    for ids in ((candidate.id,), candidate.parents, (run.best,)):
        paid = [
            _paid(run, t) for t in trials if t.candidate_id in ids and t.usage.calls and t.split != "teacher"
        ]
        if rows := sum(n for _, n in paid):
            return sum((usage for usage, _ in paid), Usage()), rows
    return Usage(), 0


def _paid(run: RunRow, trial: TrialRow) -> tuple[Usage, int]:
    """Return what the rows of a trial took that the model answered, and how many they were."""
    rows = [o.usage for o in reading.outcomes(run, trial.number) if o.usage.calls]
    return sum(rows, Usage()), len(rows)
