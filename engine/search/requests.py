"""User requests during a run: a larger budget, or a prompt written by hand. The driver handles them, no search sees them.

A larger budget counts at once. A prompt written by hand is scored on the validation rows as a separate trial, before
the rows that wait; it becomes the result if it scores better than what the search chose. Each request belongs to the
batch in which it was handled, so that a run driven again handles it in the same batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from engine.basics.text import percent
from engine.errors import EngineError
from engine.records import Candidate, Evaluation, whole_trials
from engine.search.budget import Budget, Ledger
from engine.search.contract import Keep, Score
from engine.search.events import Note
from engine.search.result import Trial

BY_HAND = "by hand"
POLL_SECONDS = 0.1
_T = TypeVar("_T")


class UserRequest(NamedTuple):
    """A request: let the run use more (a limit that is None stays), or score this candidate too, and use it if it is best."""

    id: int
    wish: Budget | Candidate


class UserRequests(Protocol):
    """Source of requests and receiver of their answers. Called on the event loop; it must return at once."""

    def due(self, batch: int) -> Sequence[UserRequest]:
        """Return requests to handle now, each once: new ones, and those handled in this batch before a restart."""

    def begin(self, request: UserRequest, batch: int) -> None:
        """Record that a request is handled in this batch of the search (counted from 1)."""

    def answer(self, request: UserRequest, message: str, *, done: bool) -> None:
        """Report the result of a request in one sentence."""


class RequestHandler:
    """Handles user requests next to the batches of one search; `score` scores an ask as a separate trial."""

    def __init__(
        self,
        requests: UserRequests | None,
        ledger: Ledger,
        seed: Candidate,
        rows: Sequence[int],
        score: Callable[[Score], Awaitable[Evaluation]],
        note: Callable[[Note], None],
    ) -> None:
        self._requests, self._ledger = requests, ledger
        self._seed, self._rows = seed, tuple(rows)
        self._score, self._note = score, note
        self._rivals: dict[str, tuple[Candidate, float]] = {}

    async def handle_during(self, work: Awaitable[_T], batch: int) -> _T:
        """Await a batch of the search, and handle requests meanwhile."""
        task = asyncio.ensure_future(work)
        if self._requests is None:
            return await task
        await asyncio.sleep(0)  # the batch numbers its trials first, as it does when the run is driven again
        tries = self._begin(batch)
        while not (await asyncio.wait({task}, timeout=POLL_SECONDS))[0]:
            tries += self._begin(batch)
        await asyncio.gather(*tries)
        return await task

    async def handle(self, batch: int) -> None:
        """Handle requests between two batches or after the last."""
        await asyncio.gather(*self._begin(batch))

    def add_rival(self, best: Candidate, trials: Sequence[Trial]) -> None:
        """Let what the search chose so far compete with what it chooses in the end."""
        score = self._known_score(best, trials)
        if score is not None:
            self._rivals[best.id] = (best, score)

    async def better_rival(
        self, best: Candidate, score: float | None, trials: Sequence[Trial]
    ) -> Keep | None:
        """Return the rival that beats what the search chose on the same rows; None without one."""
        if not self._rivals:
            return None
        best_score = self._known_score(best, trials)
        if best_score is None and self._ledger.closed is None:
            best_score = (await self._score(Score(best, self._rows, label="result", hide_own_row=True))).score
        rival, high = max(self._rivals.values(), key=lambda scored: scored[1])
        return Keep(rival, high) if high > (best_score if best_score is not None else score or 0.0) else None

    def _known_score(self, candidate: Candidate, trials: Sequence[Trial]) -> float | None:
        for split in ("validation", "train"):
            trial = whole_trials(trials, split, len(self._rows)).get(candidate.id)
            if trial is not None and set(trial.evaluation.scores) == set(self._rows):
                return trial.evaluation.score
        return None

    def _begin(self, batch: int) -> list[asyncio.Task[None]]:
        requests = self._requests
        if requests is None:
            return []
        tries: list[asyncio.Task[None]] = []
        for request in requests.due(batch):
            requests.begin(request, batch)
            if isinstance(request.wish, Candidate):
                tries.append(asyncio.create_task(self._answer_try(requests, request, request.wish)))
            elif raised := self._ledger.extend(request.wish):
                self._note(Note(f"You raised the budget: {raised}."))
                requests.answer(request, f"the run may use {raised} now.", done=True)
            else:
                refused = "a limit can only be raised, and one that the run does not have cannot be."
                requests.answer(request, refused, done=False)
        return tries

    async def _answer_try(self, requests: UserRequests, request: UserRequest, candidate: Candidate) -> None:
        message, done = await self._try_candidate(candidate)
        requests.answer(request, message, done=done)

    async def _try_candidate(self, candidate: Candidate) -> tuple[str, bool]:
        if problem := steps_problem(candidate, self._seed):
            return problem, False
        empty = [path for path, state in candidate.steps.items() if not state.instructions.strip()]
        if empty:
            return f"the instruction of {empty[0]} is empty.", False
        if self._ledger.closed is not None:
            return f"the search is over. {self._ledger.closed}", False
        try:
            evaluation = await self._score(Score(candidate, self._rows, label=BY_HAND, hide_own_row=True))
        except EngineError as error:
            return str(error), False
        rows, wanted = len(evaluation.outcomes), len(self._rows)
        if rows < wanted:
            return f"only {rows} of {wanted} rows could run. {self._ledger.closed or ''}".strip(), False
        self._rivals[candidate.id] = (candidate, evaluation.score)
        return f"it scores {percent(evaluation.score)} on the {wanted} validation rows.", True


def steps_problem(candidate: Candidate, seed: Candidate) -> str:
    """Return why a candidate cannot be scored: it has other steps than the program; "" where it has the same."""
    same = set(candidate.steps) == set(seed.steps)
    return "" if same else f"it must have the steps {', '.join(seed.steps)} and no others."
