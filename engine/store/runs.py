"""Runs in the store: state, flags, meters, the process that works on each, and what users ask of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import get_args

from engine.basics.data import JsonObject, Values
from engine.basics.text import LONGEST_NAME, cut
from engine.errors import RunError
from engine.records import Usage
from engine.search.result import FinalTestCost, RunResult
from engine.store.connection import StorePart, from_json
from engine.store.processes import process_lives, process_start
from engine.store.projects import new_id
from engine.store.rows import (
    BUDGET,
    LOST_AFTER,
    NEVER_STARTED_AFTER,
    OVER,
    SCORE,
    SILENT_AFTER,
    RequestRow,
    RunRow,
    RunState,
)

MOST_AT_ONCE = 500
"""Runs that one query reads by their ids."""


class Runs(StorePart):
    """Reading and writing runs."""

    def create(
        self,
        project_id: str,
        spec: Mapping[str, object],
        title: str,
        estimate: Mapping[str, object] | None = None,
        *,
        started_by: str = "",
    ) -> str:
        """Store a run, queued; return its id. A process started with that id claims it.

        `started_by` is the user's name on a server with users.
        """
        run_id = new_id()
        values = {"id": run_id, "project_id": project_id, "title": cut(title, LONGEST_NAME), "spec": spec}
        now = {"created_at": time.time(), "heartbeat_at": time.monotonic()}
        self._db.insert("runs", {**values, **now, "estimate": estimate or None, "started_by": started_by})
        return run_id

    def get(self, run_id: str) -> RunRow:
        """Return a run. Raises NotFoundError."""
        missing = f"There is no run {run_id!r}. It may have been deleted."
        return _as_it_is(self._db.record(RunRow, missing, "FROM runs WHERE id = ?", (run_id,)))

    def all(self, project_id: str | None = None, known: Mapping[str, RunRow] | None = None) -> list[RunRow]:
        """Return runs, the newest first: a project's, or all.

        `known` are runs read before, by id. Those that are over and have not changed since are taken from there, at
        some 0.3 µs each instead of 30.
        """
        known = known or {}
        where, values = ("", ()) if project_id is None else ("WHERE project_id = ?", (project_id,))
        order = f"SELECT id, revision FROM runs {where} ORDER BY created_at DESC, rowid DESC"  # noqa: S608 - our own text
        with self._db.one_look():
            seen = self._db.read(order, values)
            changed = [
                run_id
                for run_id, revision in seen
                if (run := known.get(run_id)) is None or run.revision != revision or not run.is_over
            ]
            read = {run.id: run for run in self._read(changed)}
        return [read.get(run_id) or known[run_id] for run_id, _ in seen]

    def count(self, project_id: str | None = None) -> int:
        """Return how many runs there are, in a project or in all."""
        where, values = ("", ()) if project_id is None else ("WHERE project_id = ?", (project_id,))
        return int(self._db.read(f"SELECT count(*) FROM runs {where}", values)[0][0])  # noqa: S608 - our own text

    def _read(self, ids: Sequence[str]) -> Iterator[RunRow]:
        for first in range(0, len(ids), MOST_AT_ONCE):
            some = ids[first : first + MOST_AT_ONCE]
            runs = self._db.records(RunRow, f"FROM runs WHERE id IN ({', '.join('?' * len(some))})", some)
            yield from map(_as_it_is, runs)

    def under_way(self, user: str) -> list[RunRow]:
        """Return a user's runs that wait or go on."""
        where = "FROM runs WHERE state IN ('queued', 'running', 'paused') AND started_by = ?"
        return [
            run for run in map(_as_it_is, self._db.records(RunRow, where, (user,))) if run.state != "lost"
        ]

    def version(self, run_id: str) -> int:
        """Return a number that grows with every change of a run, but for its heartbeat. Costs some 20 µs."""
        rows = self._db.read("SELECT revision FROM runs WHERE id = ?", (run_id,))
        return int(rows[0][0]) if rows else -1

    def claim(self, run_id: str, pid: int) -> RunRow:
        """Take a run for a process, as running, its flags cleared; return it. A run waits for its turn in `engine.store.queue`.

        What an earlier process recorded stays and is replaced as it happens again. Raises RunError when
        another living process works on it or it has finished, NotFoundError if it does not exist. A run that was taken up
        again for scores keeps its result.
        """
        start = process_start(pid)
        with self._db.transaction():
            check_free(self.get(run_id), pid)
            flag = (
                "CASE WHEN state = 'queued' THEN {0} ELSE 0 END"  # what was asked for while it waited holds
            )
            result = "result" if self.scores_wanted(run_id) else "NULL"
            self._db.write(
                f"UPDATE runs SET stop = {flag.format('stop')}, pause = {flag.format('pause')}, "  # noqa: S608 - fixed names
                "state = 'running', message = '', phase = '', pid = ?, process = ?, claims = claims + 1, heartbeat_at = ?, "
                f"started_at = coalesce(started_at, ?), finished_at = NULL, result = {result}, "
                "revision = revision + 1 WHERE id = ?",
                (pid, start, time.monotonic(), time.time(), run_id),
            )
        return self.get(run_id)

    def heartbeat(self, run_id: str, pid: int) -> bool:
        """Note that the run's process is alive, now. False: the run is no longer its. Raises StoreTakenError."""
        self._db.check_current()
        sql = "UPDATE runs SET heartbeat_at = ? WHERE id = ? AND pid = ?"
        return self._db.write(sql, (time.monotonic(), run_id, pid)) > 0

    def set_state(self, run_id: str, state: RunState, message: str = "") -> None:
        """Change a run's state and its message."""
        finished = time.time() if state in OVER else None
        self._db.update_run(run_id, state=state, message=message, finished_at=finished)

    def set_phase(self, run_id: str, phase: str) -> None:
        """Store in a few words what the run is doing ("Scoring the starting prompt")."""
        self._db.update_run(run_id, phase=phase)

    def request_stop(self, run_id: str, *, untested: bool = False) -> None:
        """Ask the run's process to stop and keep the best so far, which is tested unless the stop is `untested`.

        A run that waits for its turn is stopped at once.
        One that has a result and waits to score more is left to its process, which ends it as its result says.
        """
        self._db.update_run(run_id, stop=2 if untested else 1, pause=False)
        self._db.write(
            "UPDATE runs SET state = 'stopped', message = ?, phase = '', finished_at = ? "
            "WHERE id = ? AND state = 'queued' AND result IS NULL",
            (CANCELLED, time.time(), run_id),
        )

    def request_pause(self, run_id: str) -> None:
        """Ask the run's process to pause."""
        self._db.update_run(run_id, pause=True)

    def request_resume(self, run_id: str, user: str) -> None:
        """Take back a user's or another's request to pause. (A run whose process ended is resumed by starting a new process.)"""
        self._db.update_run(run_id, pause=False, started_by=user)

    def scores_wanted(self, run_id: str) -> bool:
        """Return whether a run that has a result was asked for scores, and has not answered."""
        sql = (
            "SELECT 1 FROM requests JOIN runs ON runs.id = run_id "
            "WHERE run_id = ? AND kind = ? AND answer = '' AND result IS NOT NULL LIMIT 1"
        )
        return bool(self._db.read(sql, (run_id, SCORE)))

    def save_result(self, run_id: str, result: RunResult) -> None:
        """Store a run's result."""
        self._db.update_run(run_id, result=result.to_json())

    def set_test_cost(self, run_id: str, cost: FinalTestCost | None) -> None:
        """Store next to a run's estimate what its final test still takes; None removes it."""
        with self._db.changing(run_id):
            self._db.write(
                "UPDATE runs SET estimate = nullif(json_patch(coalesce(estimate, '{}'), ?), '{}') WHERE id = ?",
                ({"final_test": cost and asdict(cost)}, run_id),
            )

    def set_meters(self, run_id: str, usage: Usage, seconds: float) -> None:
        """Store what a run has used so far: calls, tokens, money and working seconds."""
        self._db.update_run(run_id, **asdict(usage), seconds=seconds)

    def note_sends(
        self, run_id: str, sent: Iterable[tuple[int, float, float, float]], answered: Iterable[int]
    ) -> None:
        """Note calls that leave (number; calls, tokens, US dollars reserved), and take back the notes of answered ones."""
        with self._db.transaction():
            self._db.write_many("INSERT INTO sends VALUES (?, ?, ?, ?, ?)", ((run_id, *one) for one in sent))
            sql = "DELETE FROM sends WHERE run_id = ? AND number = ?"
            self._db.write_many(sql, ((run_id, number) for number in answered))

    def sends(self, run_id: str) -> tuple[int, float, float, float]:
        """Return the highest number of a run's notes, and their calls, tokens and US dollars."""
        sql = "SELECT coalesce(max(number), 0), total(calls), total(tokens), total(usd) FROM sends WHERE run_id = ?"
        return tuple(self._db.read(sql, (run_id,))[0])

    def set_note(self, run_id: str, note: str) -> None:
        """Keep the user's note on a run."""
        self._db.update_run(run_id, note=note)

    def set_tags(self, run_id: str, tags: Sequence[str]) -> None:
        """Give a run these tags instead of those it has; blank and repeated ones are left out."""
        named = [cut(tag.strip(), LONGEST_NAME) for tag in tags if tag.strip()]
        self._db.update_run(run_id, tags=list(dict.fromkeys(named)))


class StoredRequests(StorePart):
    """Reading and writing what users ask of a running search, and its answers.

    A request that was begun carries the number of the search's batch, so that a run driven again from its start does
    the same in the same place.
    """

    def add(self, run_id: str, kind: str, content: Values) -> int:
        """Store a request for a run's process; return its id."""
        with self._db.changing(run_id):
            values = {"run_id": run_id, "kind": kind, "content": {"asked": content}}
            return self._db.insert("requests", {**values, "created_at": time.time()})

    def all(self, run_id: str) -> list[RequestRow]:
        """Return a run's requests in the order asked."""
        rows = self._db.read(
            "SELECT id, kind, content, created_at, answer FROM requests WHERE run_id = ? ORDER BY id",
            (run_id,),
        )
        requests = []
        with self._db.decoding():
            for number, kind, content, created_at, answer in rows:
                stored = from_json(content)
                asked = stored.get("asked", {})
                requests.append(RequestRow(number, kind, asked, created_at, answer, stored.get("batch")))
        return requests

    def open(self, run_id: str) -> list[RequestRow]:
        """Return the requests without an answer, in the order asked."""
        return [row for row in self.all(run_id) if not row.answer]

    def begin(self, run_id: str, request_id: int, batch: int) -> None:
        """Note in which batch a request is carried out; the first time counts."""
        with self._db.changing(run_id):
            self._db.write(
                "UPDATE requests SET content = json_set(content, '$.batch', ?) "
                "WHERE id = ? AND run_id = ? AND json_extract(content, '$.batch') IS NULL",
                (batch, request_id, run_id),
            )

    def answer(self, run_id: str, request_id: int, answer: str) -> None:
        """Store the answer to a request; one that was not carried out starts with `NOT_DONE`."""
        with self._db.changing(run_id):
            self._db.write(
                "UPDATE requests SET answer = ? WHERE id = ? AND run_id = ?", (answer, request_id, run_id)
            )


DAMAGED = "What is stored of this run is damaged and cannot be read. Bring back a copy of the database, or delete the run's project."
OBJECTS = ("optimizer", "model", "budget")
"""Parts of settings that pages read of every run in a list: each holds values by name."""
CANCELLED = "Cancelled while it waited for its turn."


def check_free(run: RunRow, pid: int) -> None:
    """Raise RunError where a run has finished, or another living process than this one works on it."""
    if run.state == "finished":
        raise RunError(f"The run {run.id!r} has finished already. Start a new run to go further.")
    if run.state in ("running", "paused") and run.pid != pid and process_lives(run.pid, run.process):
        raise RunError(
            f"The run {run.id!r} is being worked on by process {run.pid}. Stop it first, or wait for its end."
        )


def seconds_silent(heartbeat_at: float | None) -> float:
    """Return the seconds since a heartbeat. One that is yet to come is of before the machine was started."""
    silent = time.monotonic() - (heartbeat_at if heartbeat_at is not None else math.inf)
    return silent if silent >= 0 else math.inf


def _as_it_is(run: RunRow) -> RunRow:
    """Return a run as lost where its process has gone silent or never started, and as failed where its record is damaged."""
    whole = run.state in get_args(RunState) and all(
        isinstance(run.spec.get(name) or {}, dict) for name in OBJECTS
    )
    if run.damaged or not whole:
        return replace(run, damaged=True, state="failed", message=DAMAGED, spec={}, result=None)
    if run.is_over:
        return run
    silent = seconds_silent(run.heartbeat_at)
    working = run.state in ("running", "paused")
    sure = silent > LOST_AFTER or run.state == "queued"  # one that waits has no last word to write at its end
    gone = sure and run.pid is not None and not process_lives(run.pid, run.process)
    if working and silent > SILENT_AFTER and run.pid is not None and not gone:
        known = (
            f"Its process ({run.pid}) lives and says nothing. Go on with it: that process is ended first, and"
        )
        unknown = f"Its process ({run.pid}) says nothing, and whether it lives is not known. Go on with it:"
        message = f"{known if run.process else unknown} nothing that was paid for is lost."
    elif working and (gone or silent > SILENT_AFTER):
        process = f"process ({run.pid})" if run.pid else "process"
        message = f"Its {process} ended without a word. Go on with it: nothing that was paid for is lost."
    elif gone:
        message = "Its process ended while it waited for its turn. Go on with it: it waits again."
    elif run.state == "queued" and silent > (LOST_AFTER if run.ticket is None else NEVER_STARTED_AFTER):
        message = "Its process never started: the disk was full, or the log says why. Go on with it."
    else:
        return run
    return replace(run, state="lost", message=message)


def budget_now(budget: Values, requests: Iterable[RequestRow]) -> JsonObject:
    """Return a run's limits as they are after the requests that were granted: calls, tokens, usd, seconds."""
    now = dict(budget)
    for row in requests:
        if row.kind != BUDGET or not row.answer or row.refused:
            continue
        for name, value in (row.content.get("budget") or {}).items():
            if value is not None and now.get(name) is not None:
                now[name] = max(now[name], value)
    return now
