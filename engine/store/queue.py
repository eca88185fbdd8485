"""The queue of runs: which of those that wait may begin, decided in one transaction by the process that asks.

A run's own process waits here for its turn, so no other process starts runs, and a place is free again as soon as the
process that held it has ended, in whatever way. It knows no search and no page; no decision reads the wall clock.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.basics.text import counted
from engine.errors import RunError, StoreError, first_problem
from engine.store.connection import Connection, StorePart
from engine.store.processes import process_lives, process_start
from engine.store.projects import StoredSettings
from engine.store.rows import NO_TURN_AFTER, RunRow
from engine.store.runs import Runs, check_free, seconds_silent

SETTING = "limits"
WAITING = "Waiting: "


def usual_runs() -> int:
    """Return how many runs go on at once where nothing is set: one for each core of the machine, at least 2."""
    return max(2, os.cpu_count() or 2)


class Limits(BaseModel):
    """Limits of a data folder, for all its users; None means no limit of that kind, but for `runs`: see `places`.

    `runs` and `runs_per_user` are runs at once, `requests` those at once to one model endpoint, by all runs and the
    playground. `calls` and `usd` (US dollars) are for each user and month.

    >>> Limits(runs=3).runs_per_user is None
    True
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    runs: int | None = Field(default=None, ge=1)
    runs_per_user: int | None = Field(default=None, ge=1)
    requests: int | None = Field(default=None, ge=1)
    calls: int | None = Field(default=None, ge=1)
    usd: float | None = Field(default=None, gt=0)

    @property
    def places(self) -> int:
        """Runs that go on at once."""
        return self.runs or usual_runs()


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """A waiting run's place: how many runs begin before it, and the user's own limit where that is what it waits for.

    `due` means that its turn has come.
    """

    before: int
    own_limit: int | None = None
    due: bool = False

    @property
    def words(self) -> str:
        """The place in one sentence.

        >>> QueuePosition(2).words
        'Waiting: 2 runs before this one.'
        """
        if self.own_limit is not None:
            return f"{WAITING}your limit is {counted(self.own_limit, 'run')} at once."
        if self.before:
            return f"{WAITING}{counted(self.before, 'run')} before this one."
        return f"{WAITING}it begins as soon as another run ends."


@dataclass(frozen=True, slots=True)
class _Entry:
    """A run that is under way or waits."""

    id: str
    user: str = field(metadata={"column": "started_by"})
    state: str
    pid: int | None
    process: str
    heartbeat_at: float | None
    ticket: int | None


class Queue(StorePart):
    """Reading and writing the queue."""

    def __init__(self, db: Connection, runs: Runs, settings: StoredSettings) -> None:
        super().__init__(db)
        self._runs, self._settings = runs, settings

    def limits(self) -> Limits:
        """Return the limits that hold now."""
        return Limits.model_validate(self._settings.get(SETTING, {}))

    def set_limit(self, name: str, value: float | None) -> None:
        """Change a limit by the name of its field; None is no limit. Raises StoreError for a value that cannot be one."""
        changed = {**self._settings.get(SETTING, {}), name: value}
        try:
            Limits.model_validate(changed)
        except ValidationError as error:
            raise StoreError(f"{value!r} cannot be the limit {name!r}: {first_problem(error)[1]}.") from error
        self._settings.set(SETTING, changed)

    def expect(self, run_id: str, user: str | None = None) -> None:
        """Put a run at the end of the queue: its process is about to be started, and must soon send a heartbeat.

        With a `user`, it counts for that one from now on.
        One that has finished waits again only for scores that were asked for.
        """
        with self._db.transaction():
            finished = "" if self._runs.scores_wanted(run_id) else "AND state != 'finished'"
            self._db.write(
                "UPDATE runs SET state = 'queued', message = '', phase = '', pid = NULL, process = '', heartbeat_at = ?, "  # noqa: S608 - fixed words
                f"stop = 0, pause = 0, finished_at = NULL, ticket = ?, "
                f"started_by = coalesce(?, started_by), revision = revision + 1 WHERE id = ? {finished}",
                (time.monotonic(), self._next("ticket"), user, run_id),
            )

    def name_process(self, run_id: str, pid: int) -> None:
        """Note which process was started for a run that expects one; it may have come to the queue before."""
        self._db.write(
            "UPDATE runs SET pid = ?, process = ?, heartbeat_at = ?, revision = revision + 1 "
            "WHERE id = ? AND state = 'queued' AND pid IS NULL",
            (pid, process_start(pid), time.monotonic(), run_id),
        )

    def join(self, run_id: str, pid: int) -> bool:
        """Let a process wait for a run's turn; False: the run was cancelled before its process came up.

        A run that waits already keeps its place, and the process that has waited for it ends. Raises RunError where
        another living process works on it or it has finished, NotFoundError if it does not exist.
        """
        with self._db.transaction():
            run = self._runs.get(run_id)
            if run.state == "stopped" and run.pid == pid:
                return False
            check_free(run, pid)
            if run.state != "queued":
                self.expect(run_id)
            elif run.ticket is None:
                self._db.update_run(run_id, ticket=self._next("ticket"))
            process = {"pid": pid, "process": process_start(pid), "heartbeat_at": time.monotonic()}
            self._db.update_run(run_id, **process)
        return True

    def begin(self, run_id: str, pid: int) -> RunRow | QueuePosition | None:
        """Return the run, taken for its process, where its turn has come; its place where it waits; None where it was cancelled.

        Raises RunError where another process has come for it, NotFoundError where it was deleted.
        """
        place = self.place(run_id)  # a look that locks nothing
        if place is not None and place.due:
            with self._db.transaction():
                place = self.place(run_id) if self._waits(run_id, pid) else None
                if place is not None and place.due:
                    run = self._runs.claim(run_id, pid)
                    self._db.update_run(run_id, turn=self._next("turn"))
                    return run
        return (place or QueuePosition(0)) if self._waits(run_id, pid) else None

    def place(self, run_id: str) -> QueuePosition | None:
        """Return a waiting run's place; None where it does not wait."""
        limits = self.limits()
        holding, waiting = self._entries()
        users = {one.id: one.user for one in waiting}
        if run_id not in users:
            return None
        order, held_back = fair_order(holding, waiting, self._last_turns(waiting), limits.runs_per_user)
        before = [*order, *held_back].index(run_id)
        if limits.runs_per_user is not None and holding[users[run_id]] >= limits.runs_per_user:
            return QueuePosition(before, limits.runs_per_user)
        return QueuePosition(before, due=run_id in order and before + sum(holding.values()) < limits.places)

    def _waits(self, run_id: str, pid: int) -> bool:
        """Return whether a process's run still waits; False where it was cancelled."""
        run = self._runs.get(run_id)
        if run.pid != pid:
            raise RunError(f"The run {run_id!r} was taken over by process {run.pid}.")
        return run.state == "queued" and not run.stop_requested

    def _entries(self) -> tuple[Counter[str], list[_Entry]]:
        """Return how many runs of each user hold a place, and the runs that wait, in the order in which they came."""
        entries = self._db.records(_Entry, "FROM runs WHERE state IN ('queued', 'running', 'paused')")
        holding: Counter[str] = Counter()
        waiting = []
        for one in entries:
            if not process_lives(one.pid, one.process):
                continue  # its process has ended: it holds no place, and waits for none
            if one.state != "queued":
                holding[one.user] += 1
            elif seconds_silent(one.heartbeat_at) <= NO_TURN_AFTER:
                waiting.append(one)  # one that lives and says nothing would take no turn
        return holding, sorted(waiting, key=lambda one: one.ticket or 0)

    def _last_turns(self, waiting: Sequence[_Entry]) -> dict[str, int]:
        """Return for each waiting user when a run of theirs last began, as a number that grows."""
        sql = "SELECT coalesce(max(turn), 0) FROM runs WHERE started_by = ?"
        return {user: self._db.read(sql, (user,))[0][0] for user in {one.user for one in waiting}}

    def _next(self, column: str) -> int:
        return int(self._db.read(f"SELECT coalesce(max({column}), 0) + 1 FROM runs")[0][0])  # noqa: S608 - our own names


def fair_order(
    holding: Mapping[str, int], waiting: Sequence[_Entry], last: Mapping[str, int], per_user: int | None
) -> tuple[list[str], list[str]]:
    """Return the waiting runs' ids in the order in which they begin, and after them those that their user's own limit holds back.

    Users take turns: the next place goes to the user whose last run began longest ago (`last`), and among a user's
    runs, and users who never had one, to the one that came first.
    """
    held, last = Counter(holding), dict(last)
    order: list[str] = []
    rest, turns = list(waiting), count(max(last.values(), default=0) + 1)
    while True:
        allowed = [one for one in rest if per_user is None or held[one.user] < per_user]
        if not allowed:
            return order, [one.id for one in rest]
        first = min(allowed, key=lambda one: (last[one.user], one.ticket or 0))
        rest.remove(first)
        order.append(first.id)
        held[first.user] += 1
        last[first.user] = next(turns)
