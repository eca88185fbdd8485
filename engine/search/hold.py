"""Holds a search to what is frozen: whatever it asks about keeps the frozen parts, whatever the algorithm is.

A candidate on its way out gets them back, its parents are those that really ran, and the answer names the
candidate that was asked about, so that the search's own bookkeeping holds. It knows no algorithm and calls nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Problem, Score, Search
from engine.search.freeze import restored


def held(search: Search, problem: Problem) -> Search:
    """Return the search, unable to change what `problem.frozen` names."""
    return search if not problem.frozen else _held(search, problem)


def _held(search: Search, problem: Problem) -> Generator[Sequence[Ask], Sequence[Any], Any]:
    hold = _Hold(problem)
    answers: Sequence[Any] | None = None
    try:
        while True:
            try:
                asks = next(search) if answers is None else search.send(answers)
            except StopIteration as end:
                return end.value
            received = yield [hold.outgoing(ask) for ask in asks]
            answers = [hold.incoming(ask, answer) for ask, answer in zip(asks, received, strict=True)]
    finally:
        search.close()


class _Hold:
    """What each candidate a search has named became."""

    def __init__(self, problem: Problem) -> None:
        self._seed, self._frozen = problem.seed, problem.frozen
        self._teacher = problem.teacher
        self._became: dict[str, str] = {}

    def outgoing(self, ask: Ask) -> Ask:
        if not isinstance(ask, Score | Keep):
            return ask
        if isinstance(ask, Score) and ask.teacher and self._teacher is not None:
            return ask  # another program: what it shows is no result
        return replace(ask, candidate=self._of(ask.candidate))

    def incoming(self, ask: Ask, answer: Any) -> Any:
        if isinstance(ask, Score) and isinstance(answer, Evaluation):
            return replace(answer, candidate_id=ask.candidate.id)
        return answer

    def _of(self, candidate: Candidate) -> Candidate:
        made = restored(candidate, self._seed, self._frozen)
        self._became[candidate.id] = made.id
        if made is self._seed:
            return made
        parents = tuple(dict.fromkeys(self._became.get(p, p) for p in candidate.parents))
        return made if parents == made.parents else replace(made, parents=parents)
