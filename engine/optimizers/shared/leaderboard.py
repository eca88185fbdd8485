"""Leaderboard of a search: the best candidate by full validation, and the `Keep` of it.

Only evaluations over every validation row count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Problem, Score, Steps


class Leaderboard:
    """Full scores by candidate id, and the best candidate so far (equal scores keep the earlier).

    `open` turns False once an answer was cut short: the budget is spent or the run was stopped, and a
    search should keep what it has and end.
    """

    def __init__(self, problem: Problem) -> None:
        self.validation = problem.validation
        self.best: Candidate = problem.seed
        self.score: float | None = None
        self.scores: dict[str, float] = {}
        self.open = True

    def note(self, asks: Sequence[Ask], answers: Sequence[Any]) -> list[Ask]:
        """Take note of answers; return a `Keep` when the best has changed, else nothing."""
        keep: list[Ask] = []
        for ask, answer in zip(asks, answers, strict=True):
            if not isinstance(ask, Score):
                continue
            if len(answer.outcomes) < len(ask.rows):
                self.open = False
            elif ask.rows == self.validation:
                keep = self.note_known(ask.candidate, answer) or keep
        return keep

    def note_known(self, candidate: Candidate, evaluation: Evaluation) -> list[Ask]:
        """Take note of a candidate's outcomes on all validation rows; return a `Keep` when the best has changed."""
        self.scores[candidate.id] = evaluation.score
        if self.score is not None and evaluation.score <= self.score:
            return []
        self.best, self.score = candidate, evaluation.score
        return [Keep(candidate, evaluation.score)]

    def validate(
        self, candidates: Sequence[Candidate], label: str = "full validation", *, trace: bool = False
    ) -> Steps[list[Evaluation]]:
        """Score candidates in full, all at once, and keep the best; returns their evaluations in order."""
        asks = [Score(c, self.validation, label, trace=trace) for c in candidates]
        if not asks:
            return []
        answers = yield asks
        keep = self.note(asks, answers)
        if keep:
            yield keep
        return list(answers)


def lowered(
    cost: Callable[[int, int], float], calls: float, rounds: int, size: int, *, least: int
) -> tuple[int, int]:
    """Return rounds and their size, lowered until `cost(rounds, size)` fits the calls left.

    First rounds go down to 2, then the size to `least`; what still does not fit is one round.

    >>> lowered(lambda rounds, size: 10 * rounds * size, 100, 5, 8, least=2)
    (2, 5)
    """
    while cost(rounds, size) > calls and rounds > 2:
        rounds -= 1
    while cost(rounds, size) > calls and size > least:
        size -= 1
    return (rounds if cost(rounds, size) <= calls else 1), size
