"""What a person asks of a search under way, and how it is done beside the search: no algorithm hears of it.

A larger budget counts at once. A prompt written by hand is scored on the validation rows as a trial of its own,
before the rows that wait, and at the end it is the result where it scored better than what the search chose.
Each is bound to the batch of the search it was done in, so that a run driven again does the same again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from engine.errors import EngineError
from engine.records import Candidate, Evaluation
from engine.search.budget import Budget, Ledger
from engine.search.contract import Keep, Score
from engine.search.events import Note
from engine.search.settings import Trial, whole_score

BY_HAND = "by hand"
POLL_SECONDS = 0.1
_T = TypeVar("_T")

# Before every row of the search that waits for a slot: a person is waiting.
FIRST_PLACE = -1


@dataclass(frozen=True, slots=True)
class RaiseBudget:
    """Request: let the run use more. A limit that is None stays as it is."""

    id: int
    budget: Budget


@dataclass(frozen=True, slots=True)
class TryCandidate:
    """Request: score this candidate too, and let it be the result where it is the best."""

    id: int
    candidate: Candidate


Request = RaiseBudget | TryCandidate


class Requests(Protocol):
    """Where requests come from and answers go to. Called on the event loop; it must be quick."""

    def due(self, batch: int) -> Sequence[Request]:
        """Return requests to carry out now, each once: new ones, and those done in this batch before a restart."""

    def begin(self, request: Request, batch: int) -> None:
        """Note that a request is carried out in this batch of the search (counted from 1)."""

    def answer(self, request: Request, sentence: str, *, done: bool) -> None:
        """Tell what became of a request, in one sentence."""


class Desk:
    """Carries requests out beside the batches of one search.

    `score` scores an ask as a trial of its own.
    """

    def __init__(
        self,
        requests: Requests | None,
        ledger: Ledger,
        seed: Candidate,
        rows: Sequence[int],
        score: Callable[[Score], Awaitable[Evaluation]],
        note: Callable[[Note], None],
    ) -> None:
        self._requests = requests
        self._ledger = ledger
        self._seed, self._rows = seed, tuple(rows)
        self._score, self._note = score, note
        self._rivals: dict[str, tuple[Candidate, float]] = {}

    async def beside(self, work: Awaitable[_T], batch: int) -> _T:
        """Await a batch of the search, and do meanwhile what people ask."""
        task = asyncio.ensure_future(work)
        if self._requests is None:
            return await task
        await asyncio.sleep(0)  # the batch numbers its trials first, now as when the run is driven again
        tries: list[asyncio.Task[None]] = []
        while True:
            tries += self._begin(batch)
            done, _ = await asyncio.wait({task}, timeout=POLL_SECONDS)
            if done:
                break
        await asyncio.gather(*tries)
        return await task

    async def attend(self, batch: int) -> None:
        """Do what people ask, between two batches or after the last."""
        await asyncio.gather(*self._begin(batch))

    def enter(self, best: Candidate, trials: Sequence[Trial]) -> None:
        """Let what the search chose so far be a rival of what it chooses in the end."""
        score = whole_score(trials, best, self._rows)
        if score is not None:
            self._rivals[best.id] = (best, score)

    async def preferred(self, best: Candidate, score: float | None, trials: Sequence[Trial]) -> Keep | None:
        """Return the rival that beats what the search chose on the same rows; None without one."""
        if not self._rivals:
            return None
        own = whole_score(trials, best, self._rows)
        if own is None and self._ledger.closed is None:
            own = (await self._score(Score(best, self._rows, label="result"))).score
        mine, high = max(self._rivals.values(), key=lambda tried: tried[1])
        return Keep(mine, high) if high > (own if own is not None else score or 0.0) else None

    def _begin(self, batch: int) -> list[asyncio.Task[None]]:
        tries = []
        for request in self._requests.due(batch) if self._requests is not None else ():
            assert self._requests is not None  # noqa: S101 - for the type checker
            self._requests.begin(request, batch)
            if isinstance(request, RaiseBudget):
                self._raise(request)
            else:
                tries.append(asyncio.create_task(self._try(request)))
        return tries

    def _raise(self, request: RaiseBudget) -> None:
        sentence = self._ledger.extend(request.budget)
        if sentence:
            self._note(Note(f"You raised the budget: {sentence}."))
        self._answer(
            request,
            f"the run may use {sentence} now."
            if sentence
            else "a limit can only be raised, and one that the run does not have cannot be.",
            done=bool(sentence),
        )

    async def _try(self, request: TryCandidate) -> None:
        candidate = request.candidate
        if problem := self._unfit(candidate):
            self._answer(request, problem, done=False)
            return
        if self._ledger.closed is not None:
            self._answer(request, f"the search is over. {self._ledger.closed}", done=False)
            return
        try:
            evaluation = await self._score(Score(candidate, self._rows, label=BY_HAND))
        except EngineError as error:
            self._answer(request, str(error), done=False)
            return
        rows, wanted = len(evaluation.outcomes), len(self._rows)
        if rows < wanted:
            self._answer(
                request,
                f"only {rows} of {wanted} rows could run. {self._ledger.closed or ''}".strip(),
                done=False,
            )
            return
        self._rivals[candidate.id] = (candidate, evaluation.score)
        self._answer(
            request, f"it scores {100 * evaluation.score:.1f} % on the {wanted} validation rows.", done=True
        )

    def _unfit(self, candidate: Candidate) -> str:
        if set(candidate.steps) != set(self._seed.steps):
            return f"it must have the steps {', '.join(self._seed.steps)} and no others."
        empty = [path for path, state in candidate.steps.items() if not state.instructions.strip()]
        return f"the instruction of {empty[0]} is empty." if empty else ""

    def _answer(self, request: Request, sentence: str, *, done: bool) -> None:
        if self._requests is not None:
            self._requests.answer(request, sentence, done=done)
