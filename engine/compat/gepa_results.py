"""A GEPA search afterwards, under the names that programs for DSPy read: `program.detailed_results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from engine.basics.data import JsonObject
from engine.optimizers.gepa.optimizer import GEPA
from engine.records import Candidate, Evaluation, whole_trials
from engine.signature.prediction import Prediction

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.search.result import SearchResult


class GEPAResults:
    """The candidates that were scored on all validation rows, in the order they were found, and what is known of them.

    Scores run from 0 to 1; validation rows are known by their place in the valset, candidates by their place here.
    `to_dict` returns all of it as JSON-ready values, candidates as step -> instructions.
    """

    log_dir: str | None = None

    def __init__(self, student: Module, result: SearchResult, seed: int = 0) -> None:
        self.seed = seed
        self._student = student
        trials = sorted(whole_trials(result.trials).values(), key=lambda trial: trial.number)
        self._candidates: list[Candidate] = [trial.candidate for trial in trials]
        self._evaluations: list[Evaluation] = [trial.evaluation for trial in trials]
        runs = [len(trial.evaluation.outcomes) for trial in result.trials]
        before = dict(
            zip((trial.number for trial in result.trials), accumulate(runs, initial=0), strict=False)
        )
        self.discovery_eval_counts = [before[trial.number] for trial in trials]
        self.total_metric_calls = sum(runs)
        self.num_full_val_evals = len(trials)

    @cached_property
    def candidates(self) -> list[Module]:
        """The candidates as programs."""
        return [self._student.with_candidate(candidate) for candidate in self._candidates]

    @property
    def parents(self) -> list[list[int | None]]:
        """The places of each candidate's parents; [None] for the starting prompt."""
        places = {candidate.id: i for i, candidate in enumerate(self._candidates)}
        return [[places[p] for p in one.parents if p in places] or [None] for one in self._candidates]

    @property
    def val_aggregate_scores(self) -> list[float]:
        """Each candidate's mean score over the validation rows."""
        return [evaluation.score for evaluation in self._evaluations]

    @property
    def val_subscores(self) -> list[dict[int, float]]:
        """Each candidate's score by validation row."""
        return [{i: o.score for i, o in enumerate(found.outcomes)} for found in self._evaluations]

    @property
    def best_idx(self) -> int:
        """The place of the candidate with the best mean, the earliest of equals."""
        scores = self.val_aggregate_scores
        return max(range(len(scores)), key=lambda i: (scores[i], -i))

    @property
    def best_candidate(self) -> Module:
        """The program of `best_idx`."""
        return self.candidates[self.best_idx]

    @property
    def highest_score_achieved_per_val_task(self) -> dict[int, float]:
        """The best score of each validation row."""
        rows = self.val_subscores
        return {row: max(scores[row] for scores in rows) for row in (rows[0] if rows else ())}

    @property
    def per_val_instance_best_candidates(self) -> dict[int, set[int]]:
        """The places of the candidates with the best score on each validation row."""
        return _winners(self.val_subscores)

    @property
    def best_outputs_valset(self) -> dict[int, list[tuple[int, Prediction]]]:
        """Answers of those candidates: (place, prediction) by validation row."""
        return {
            row: [(i, Prediction(self._evaluations[i].outcomes[row].prediction)) for i in sorted(places)]
            for row, places in self.per_val_instance_best_candidates.items()
        }

    @property
    def val_aggregate_subscores(self) -> list[dict[str, float]] | None:
        """Each candidate's mean of each thing the metric judges by name; None where it judges none."""
        means = [_objective_means(found) for found in self._evaluations]
        return means if any(means) else None

    @property
    def per_objective_best_candidates(self) -> dict[str, set[int]] | None:
        """The places of the candidates with the best mean of each such thing."""
        means = self.val_aggregate_subscores
        return None if means is None else _winners(means)

    @property
    def objective_pareto_front(self) -> dict[str, float] | None:
        """The best mean of each such thing."""
        means = self.val_aggregate_subscores
        if means is None:
            return None
        return {name: max(one.get(name, 0.0) for one in means) for name in _winners(means)}

    def to_dict(self) -> JsonObject:
        """Return everything as JSON-ready values, candidates as step -> instructions."""
        winners = self.per_objective_best_candidates
        return {
            "candidates": [
                {path: state.instructions for path, state in candidate.steps.items()}
                for candidate in self._candidates
            ],
            **{name: getattr(self, name) for name in _PLAIN},
            "per_val_instance_best_candidates": {
                row: sorted(places) for row, places in self.per_val_instance_best_candidates.items()
            },
            "per_objective_best_candidates": winners
            and {name: sorted(places) for name, places in winners.items()},
            "best_outputs_valset": {
                row: [(i, prediction.toDict()) for i, prediction in best]
                for row, best in self.best_outputs_valset.items()
            },
        }

    def __deepcopy__(self, memo: dict[int, object]) -> GEPAResults:
        return self  # read only, and large: copies of a program share it


def _winners(scores: Sequence[Mapping[Any, float]]) -> dict[Any, set[int]]:
    """Return the places with the best score, by name."""
    found: dict[object, set[int]] = {}
    for name in dict.fromkeys(name for one in scores for name in one):
        known = [one[name] for one in scores if name in one]
        best = max(known)
        if not best and len(known) < len(scores):
            continue  # a value that some have invented is nothing to lead in
        found[name] = {i for i, one in enumerate(scores) if one.get(name) == best}
    return found


def _objective_means(found: Evaluation) -> dict[str, float]:
    rows = [outcome.objective_scores or {} for outcome in found.outcomes]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: sum(row.get(name, 0.0) for row in rows) / len(rows) for name in names}


_PLAIN = (
    "parents val_aggregate_scores val_subscores val_aggregate_subscores objective_pareto_front "
    "discovery_eval_counts total_metric_calls num_full_val_evals log_dir seed best_idx"
).split()
"""What is JSON already."""


def install() -> None:
    """Give the programs that GEPA compiles their `detailed_results`."""
    statistics = GEPA.details

    def details(optimizer: GEPA, student: Module, result: SearchResult) -> JsonObject:
        results = GEPAResults(student, result, optimizer.options.seed)
        return {**statistics(optimizer, student, result), "detailed_results": results}

    GEPA.details = details  # type: ignore[assignment, method-assign]
