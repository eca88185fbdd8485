"""Runs in the store: state, flags, meters, the process that works on each, and what users ask of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.errors import NotFoundError, RunError
from engine.records import Usage
from engine.store.connection import Connection, clean_text, from_json, to_json
from engine.store.projects import new_id
from engine.store.rows import (
    BUDGET,
    LOST_AFTER,
    NEVER_STARTED_AFTER,
    SILENT_AFTER,
    Flags,
    RequestRow,
    RunRow,
    RunState,
)

_COLUMNS = (
    "id, project_id, title, spec, state, message, pid, heartbeat_at, created_at, started_at, finished_at, "
    "estimate, result, calls, cached, input_tokens, output_tokens, cost, seconds, stop, pause, phase, revision, note, in_use, tags"
)

_REQUEST_COLUMNS = "id, kind, content, created_at, answer"

_FIELDS = [{"stop": "stop_requested", "pause": "pause_requested"}.get(c, c) for c in _COLUMNS.split(", ")]


class Runs:
    """Reading and writing runs."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def create(
        self,
        project_id: str,
        spec: Mapping[str, object],
        title: str,
        estimate: Mapping[str, object] | None = None,
    ) -> str:
        """Store a run, queued; return its id. A process started with that id claims it."""
        run_id = new_id()
        self._db.write(
            "INSERT INTO runs (id, project_id, title, spec, estimate, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                run_id,
                project_id,
                clean_text(title),
                to_json(spec),
                to_json(estimate) if estimate else None,
                time.time(),
            ),
        )
        return run_id

    def get(self, run_id: str) -> RunRow:
        """Return a run. Raises NotFoundError."""
        rows = self._db.read(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,))  # noqa: S608 - fixed names
        if not rows:
            raise NotFoundError(f"There is no run {run_id!r}. It may have been deleted.")
        return _run(rows[0])

    def all(self, project_id: str | None = None) -> list[RunRow]:
        """Return runs, the newest first: a project's, or all."""
        where, values = ("WHERE project_id = ?", (project_id,)) if project_id is not None else ("", ())
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM runs {where} ORDER BY created_at DESC, rowid DESC",  # noqa: S608 - fixed names
            values,
        )
        return [_run(row) for row in rows]

    def version(self, run_id: str | None = None) -> int:
        """Return a number that grows with every change of a run (or of any run). Costs some 20 µs.

        The heartbeat alone does not change it.
        """
        if run_id is None:
            return int(self._db.read("SELECT coalesce(sum(revision + 1), 0) FROM runs")[0][0])
        rows = self._db.read("SELECT revision FROM runs WHERE id = ?", (run_id,))
        return int(rows[0][0]) if rows else -1

    def claim(self, run_id: str, pid: int) -> RunRow:
        """Take a run for a process, as running, its flags cleared; return it.

        What an earlier process recorded stays and is replaced as it happens again. Raises RunError when
        another living process works on it or it has finished, NotFoundError when there is none.
        """
        now = time.time()
        with self._db.transaction():
            run = self.get(run_id)
            if run.state == "finished":
                raise RunError(f"The run {run_id!r} has finished already. Start a new run to go further.")
            if run.state in ("running", "paused") and run.pid != pid and process_lives(run.pid):
                raise RunError(
                    f"The run {run_id!r} is being worked on by process {run.pid}. Stop it first, or wait for its end."
                )
            # What was asked for while its process was expected (`expect_process`) holds.
            kept = "CASE WHEN state = 'running' AND pid IS NULL THEN {0} ELSE 0 END"
            self._db.write(
                f"UPDATE runs SET stop = {kept.format('stop')}, pause = {kept.format('pause')}, "  # noqa: S608 - fixed names
                "state = 'running', message = '', phase = '', pid = ?, heartbeat_at = ?, "
                "started_at = coalesce(started_at, ?), finished_at = NULL, result = NULL, "
                "revision = revision + 1 WHERE id = ?",
                (pid, now, now, run_id),
            )
        return self.get(run_id)

    def heartbeat(self, run_id: str, pid: int) -> bool:
        """Note that the run's process is alive, now. False: the run is no longer this process's."""
        sql = "UPDATE runs SET heartbeat_at = ? WHERE id = ? AND pid = ?"
        return self._db.write(sql, (time.time(), run_id, pid)) > 0

    def set_state(self, run_id: str, state: RunState, message: str = "") -> None:
        """Change a run's state and its message."""
        over = state in ("finished", "stopped", "failed")
        self._db.write(
            "UPDATE runs SET state = ?, message = ?, finished_at = ?, revision = revision + 1 WHERE id = ?",
            (state, clean_text(message), time.time() if over else None, run_id),
        )

    def set_phase(self, run_id: str, phase: str) -> None:
        """Store in a few words what the run is doing ("Scoring the starting prompt")."""
        self._db.write(
            "UPDATE runs SET phase = ?, revision = revision + 1 WHERE id = ?", (clean_text(phase), run_id)
        )

    def request_stop(self, run_id: str) -> None:
        """Ask the run's process to stop and keep the best so far. A run not yet started is stopped at once."""
        self._db.write("UPDATE runs SET stop = 1, pause = 0, revision = revision + 1 WHERE id = ?", (run_id,))
        self._db.write(
            "UPDATE runs SET state = 'stopped', message = 'Stopped before it started.', finished_at = ? "
            "WHERE id = ? AND state = 'queued' AND pid IS NULL",
            (time.time(), run_id),
        )

    def request_pause(self, run_id: str) -> None:
        """Ask the run's process to pause."""
        self._db.write("UPDATE runs SET pause = 1, revision = revision + 1 WHERE id = ?", (run_id,))

    def request_resume(self, run_id: str) -> None:
        """Take back a request to pause. (A run whose process ended is resumed by starting a new process.)"""
        self._db.write("UPDATE runs SET pause = 0, revision = revision + 1 WHERE id = ?", (run_id,))

    def expect_process(self, run_id: str) -> None:
        """Mark a run that had ended as running again: its new process has been started, and must soon send a heartbeat."""
        self._db.write(
            "UPDATE runs SET state = 'running', message = '', phase = '', pid = NULL, heartbeat_at = ?, stop = 0, pause = 0, "
            "finished_at = NULL, revision = revision + 1 WHERE id = ? AND state != 'finished'",
            (time.time(), run_id),
        )

    def flags(self, run_id: str) -> Flags:
        """Return what the run's process was asked to do."""
        rows = self._db.read("SELECT stop, pause FROM runs WHERE id = ?", (run_id,))
        if not rows:
            return Flags(stop=True)  # deleted while it ran: nothing is left to work for
        return Flags(bool(rows[0][0]), bool(rows[0][1]))

    def save_result(self, run_id: str, result: Mapping[str, object]) -> None:
        """Store what came out of a run (see `engine.runs.results`)."""
        self._db.write(
            "UPDATE runs SET result = ?, revision = revision + 1 WHERE id = ?", (to_json(result), run_id)
        )

    def set_meters(self, run_id: str, usage: Usage, seconds: float) -> None:
        """Store what a run has used so far: calls, tokens, money and working seconds."""
        self._db.write(
            "UPDATE runs SET calls = ?, cached = ?, input_tokens = ?, output_tokens = ?, cost = ?, seconds = ?, "
            "revision = revision + 1 WHERE id = ?",
            (
                usage.calls,
                usage.cached,
                usage.input_tokens,
                usage.output_tokens,
                usage.cost,
                seconds,
                run_id,
            ),
        )

    def set_note(self, run_id: str, note: str) -> None:
        """Keep the user's note on a run."""
        self._db.write(
            "UPDATE runs SET note = ?, revision = revision + 1 WHERE id = ?", (clean_text(note), run_id)
        )

    def set_tags(self, run_id: str, tags: Sequence[str]) -> None:
        """Give a run these tags instead of those it has; blank and repeated ones are left out."""
        kept = list(dict.fromkeys(tidy for tag in tags if (tidy := clean_text(tag).strip())))
        self._db.write(
            "UPDATE runs SET tags = ?, revision = revision + 1 WHERE id = ?", (to_json(kept), run_id)
        )


class Requests:
    """Reading and writing what users ask of a running search, and its answers.

    A request that was begun carries the number of the search's batch, so that a run driven again from its start does
    the same in the same place.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, run_id: str, kind: str, content: Mapping[str, Any]) -> int:
        """Store a request for a run's process; return its id."""
        with self._db.transaction():
            self._db.write(
                "INSERT INTO requests (run_id, kind, content, created_at) VALUES (?, ?, ?, ?)",
                (run_id, kind, to_json({"asked": dict(content)}), time.time()),
            )
            self._db.touch(run_id)
            return int(self._db.read("SELECT last_insert_rowid()")[0][0])

    def all(self, run_id: str) -> list[RequestRow]:
        """Return a run's requests in the order asked."""
        return self._list("run_id = ?", (run_id,))

    def open(self, run_id: str) -> list[RequestRow]:
        """Return the requests without an answer, in the order asked."""
        return self._list("run_id = ? AND answer = ''", (run_id,))

    def begin(self, run_id: str, request_id: int, batch: int) -> None:
        """Note in which batch a request is carried out; the first time counts."""
        with self._db.transaction():
            rows = self._db.read(
                "SELECT content FROM requests WHERE id = ? AND run_id = ?", (request_id, run_id)
            )
            content = from_json(rows[0][0]) if rows else {}
            if rows and content.get("batch") is None:
                self._db.write(
                    "UPDATE requests SET content = ? WHERE id = ?",
                    (to_json({**content, "batch": batch}), request_id),
                )
                self._db.touch(run_id)

    def answer(self, run_id: str, request_id: int, answer: str) -> None:
        """Store the answer to a request; one that was not carried out starts with `NOT_DONE`."""
        with self._db.transaction():
            self._db.write(
                "UPDATE requests SET answer = ? WHERE id = ? AND run_id = ?",
                (clean_text(answer), request_id, run_id),
            )
            self._db.touch(run_id)

    def _list(self, where: str, values: Sequence[object]) -> list[RequestRow]:
        rows = self._db.read(f"SELECT {_REQUEST_COLUMNS} FROM requests WHERE {where} ORDER BY id", values)  # noqa: S608 - fixed names
        return [_request(*row) for row in rows]


def process_lives(pid: int | None) -> bool:
    """Return whether a process with this id exists on this machine (always True where that cannot be known).

    A process that has ended but was not yet waited for by its parent counts as ended.
    """
    if pid is None:
        return False
    if os.name != "posix":
        return True  # signal 0 would end the process there; the heartbeat must do
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - not a file of ours
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return True


def _is_lost(pid: int | None, silent: float) -> bool:
    """Return whether a run's process, silent for `silent` seconds, is taken to be gone."""
    return silent > SILENT_AFTER or (silent > LOST_AFTER and pid is not None and not process_lives(pid))


def _run(row: Sequence[Any]) -> RunRow:
    values: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    for name in ("spec", "estimate", "result"):
        values[name] = from_json(values[name])
    values["tags"] = tuple(from_json(values["tags"]))
    for name in ("stop_requested", "pause_requested", "in_use"):
        values[name] = bool(values[name])
    now, state = time.time(), values["state"]
    if state in ("running", "paused") and _is_lost(values["pid"], now - (values["heartbeat_at"] or 0)):
        values["state"] = "lost"
        process = f"process ({values['pid']})" if values["pid"] else "process"
        values["message"] = (
            f"Its {process} ended without a word. Go on with it: nothing that was paid for is lost."
        )
    elif state == "queued" and now - values["created_at"] > NEVER_STARTED_AFTER:
        values["state"] = "lost"
        values["message"] = "Its process never started. Go on with it, or look in the log."
    return RunRow(**values)


def _request(number: int, kind: str, content: str, created_at: float, answer: str) -> RequestRow:
    stored = from_json(content, {})
    return RequestRow(number, kind, stored.get("asked", {}), created_at, answer, stored.get("batch"))


def budget_now(budget: Mapping[str, object], requests: Iterable[RequestRow]) -> dict[str, Any]:
    """Return a run's limits as they are after the requests that were granted: calls, tokens, usd, seconds.

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
