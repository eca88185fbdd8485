"""Between the store's requests and the search: read by the watch, carried out by the driver, answered in the store.

A request as stored is {"budget": limits} or {"candidate": candidate}; both are checked here, because a page wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from engine.records import Candidate
from engine.runs.flags import Watch
from engine.search.budget import Budget
from engine.search.requests import RaiseBudget, Request, TryCandidate
from engine.store.requests import BUDGET, CANDIDATE, NOT_DONE, RequestRow
from engine.store.store import Store


class StoreRequests:
    """The search's `Requests` of one run.

    What an earlier process of the run did comes back in the same batch; what is new comes as soon as the watch has seen it.
    """

    def __init__(self, store: Store, run_id: str, watch: Watch) -> None:
        self._store, self._run_id, self._watch = store, run_id, watch
        rows = store.requests(run_id)
        self._again: dict[int, list[RequestRow]] = {}
        for row in rows:
            if row.batch is not None:
                self._again.setdefault(row.batch, []).append(row)
        self._seen = {row.id for row in rows if row.batch is not None or row.answer}

    def due(self, batch: int) -> Sequence[Request]:
        """Return what is to be done now."""
        rows = self._again.pop(batch, [])
        rows += [row for row in self._watch.requests if row.id not in self._seen]
        self._seen |= {row.id for row in rows}
        return [request for row in rows if (request := self._read(row)) is not None]

    def begin(self, request: Request, batch: int) -> None:
        """Note the batch, for a process that drives this run again."""
        self._store.begin_request(self._run_id, request.id, batch)

    def answer(self, request: Request, sentence: str, *, done: bool) -> None:
        """Store what became of it."""
        said = f"Done: {sentence}" if done else f"{NOT_DONE}{sentence}"
        self._store.answer_request(self._run_id, request.id, said)

    def close(self) -> None:
        """Refuse what comes too late."""
        for row in self._store.open_requests(self._run_id):
            self._store.answer_request(
                self._run_id, row.id, f"{NOT_DONE}the search had ended. Start a new run to try it."
            )

    def _read(self, row: RequestRow) -> Request | None:
        try:
            if row.kind == BUDGET:
                return RaiseBudget(row.id, Budget.model_validate(row.content["budget"]))
            if row.kind == CANDIDATE:
                return TryCandidate(row.id, Candidate.from_dict(row.content["candidate"]))
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
            pass
        self._store.answer_request(self._run_id, row.id, f"{NOT_DONE}it cannot be read.")
        return None
