"""What people ask of a run under way: a larger budget, a prompt of their own to try; and what became of it.

The page writes a request, the run's process answers it. A request that was begun carries the number of the
search's batch, so that a run driven again from its start does the same again in the same place.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.store.codec import clean_text, from_json, to_json
from engine.store.trials import TrialStore

_COLUMNS = "id, kind, content, created_at, answer"


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request. `kind` is "budget" or "candidate"; `answer` is "" while nobody has answered.

    `batch` counts the search's batches from 1: the one in which it was carried out, None before that.
    """

    id: int
    kind: str
    content: dict[str, Any]
    created_at: float
    answer: str
    batch: int | None = None

    @property
    def refused(self) -> bool:
        """Whether it was answered, and not done."""
        return self.answer.startswith(NOT_DONE)


NOT_DONE = "Not done: "
BUDGET, CANDIDATE = "budget", "candidate"


class RequestStore(TrialStore):
    """Reading and writing requests."""

    def add_request(self, run_id: str, kind: str, content: Mapping[str, Any]) -> int:
        """Store a request for a run's process; return its id."""
        with self.transaction():
            self._write(
                "INSERT INTO requests (run_id, kind, content, created_at) VALUES (?, ?, ?, ?)",
                (run_id, kind, to_json({"asked": dict(content)}), time.time()),
            )
            self._touch(run_id)
            return int(self._read("SELECT last_insert_rowid()")[0][0])

    def requests(self, run_id: str) -> list[RequestRow]:
        """Return a run's requests in the order asked."""
        return self._requests("run_id = ?", (run_id,))

    def open_requests(self, run_id: str) -> list[RequestRow]:
        """Return the requests that nobody has answered, in the order asked."""
        return self._requests("run_id = ? AND answer = ''", (run_id,))

    def begin_request(self, run_id: str, request_id: int, batch: int) -> None:
        """Note in which batch a request is carried out; the first time counts."""
        with self.transaction():
            rows = self._read(
                "SELECT content FROM requests WHERE id = ? AND run_id = ?", (request_id, run_id)
            )
            content = from_json(rows[0][0]) if rows else {}
            if rows and content.get("batch") is None:
                self._write(
                    "UPDATE requests SET content = ? WHERE id = ?",
                    (to_json({**content, "batch": batch}), request_id),
                )
                self._touch(run_id)

    def answer_request(self, run_id: str, request_id: int, answer: str) -> None:
        """Store what became of a request, in one sentence; one that was not done starts with `NOT_DONE`."""
        with self.transaction():
            self._write(
                "UPDATE requests SET answer = ? WHERE id = ? AND run_id = ?",
                (clean_text(answer), request_id, run_id),
            )
            self._touch(run_id)

    def _requests(self, where: str, values: Sequence[Any]) -> list[RequestRow]:
        rows = self._read(f"SELECT {_COLUMNS} FROM requests WHERE {where} ORDER BY id", values)  # noqa: S608 - fixed names
        return [_request(*row) for row in rows]


def _request(number: int, kind: str, content: str, created_at: float, answer: str) -> RequestRow:
    held = from_json(content, {})
    return RequestRow(number, kind, held.get("asked", {}), created_at, answer, held.get("batch"))


def budget_now(budget: Mapping[str, Any], requests: Iterable[RequestRow]) -> dict[str, Any]:
    """Return a run's limits as they are after what people were granted: calls, tokens, usd, seconds.

    >>> granted = RequestRow(1, "budget", {"budget": {"calls": 90}}, 0.0, "Done: 90 calls.", 2)
    >>> budget_now({"calls": 50, "usd": None}, [granted])
    {'calls': 90, 'usd': None}
    """
    now = dict(budget)
    for row in requests:
        if row.kind != BUDGET or not row.answer or row.refused:
            continue
        for name, value in (row.content.get("budget") or {}).items():
            if value is not None and now.get(name) is not None:
                now[name] = max(now[name], value)
    return now
