"""Between the store and the search: events and outcomes to the store; heartbeat, flags and user requests from it.

What cannot be written because the disk is full, or because another program holds the database, waits here, in its
order; the run pauses meanwhile and says why.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

from pydantic import ValidationError

from engine import loop
from engine.errors import NotFoundError, StoreError, StoreFullError, StoreLockedError, StoreTakenError
from engine.lm.calls.cache import default_cache
from engine.records import Candidate, Outcome, Usage
from engine.search.budget import Amount, Budget
from engine.search.events import (
    BudgetSpent,
    CandidateFound,
    Event,
    NewBest,
    Note,
    Proposed,
    RowScored,
    TrainingEnded,
    TrainingProgress,
    TrialFinished,
    TrialStarted,
)
from engine.search.requests import UserRequest
from engine.search.settings import Stop
from engine.store.rows import BUDGET, CANDIDATE, NOT_DONE, SCORE, RequestRow, RunState
from engine.store.store import Store

FLUSH_SECONDS = 0.15
AGAIN_SECONDS = 1.0

REPORTED_FAILURES = 3
"""Failed rows of one trial that become events; the trial's own event counts the rest."""


class PatientWriter:
    """Writes to the store on the event loop, in order; what fails for want of room or for a lock is tried again until it is in.

    `trouble` says why something waits, "" when nothing does. Where what has waited fails for another reason, such as
    a run that was deleted meanwhile, nothing more is written: every method raises that error.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self._failure: Exception | None = None
        self._waiting: deque[Callable[[], object]] = deque()

    def write(self, action: Callable[[], object]) -> None:
        """Do something now, or when everything before it is done. Done in part, it may be done again."""
        self.check()
        self._waiting.append(action)
        if len(self._waiting) == 1:
            self._go_on()

    async def all_written(self) -> None:
        """Wait until nothing is left to write."""
        while self._waiting:
            await asyncio.sleep(POLL_SECONDS)
        self.check()

    def check(self) -> None:
        """Raise the error of a write that had waited, where one failed."""
        if self._failure is not None:
            raise self._failure

    def _try_again(self) -> None:
        try:
            self._go_on()
        except Exception as error:  # noqa: BLE001 - on the event loop's timer; `check` raises it in the run
            self._failure, self.trouble = error, ""
            self._waiting.clear()

    def _go_on(self) -> None:
        while self._waiting:
            try:
                self._waiting[0]()
            except (StoreFullError, StoreLockedError) as error:
                if not self.trouble:
                    _log.warning("%s The run waits.", error)
                self.trouble = str(error)
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._try_again)
                return
            except BaseException:
                self._waiting.popleft()
                raise
            self._waiting.popleft()
        self.trouble = ""


class StoreRecorder:
    """The search's `Recorder`: every event is in the store at most 0.15 s later.

    `flush` is called at the end of a trial and must be called once at the end of the run. `before` is what the run
    had used before this search, and is not counted by it.
    """

    def __init__(
        self, store: Store, run_id: str, writer: PatientWriter | None = None, before: Usage | None = None
    ) -> None:
        self._store, self.before, self._paid = store, before or Usage(), Usage()
        self._write = (writer or PatientWriter()).write
        self._run_id = run_id
        self._waiting: dict[int, list[Outcome]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._failures: Counter[int] = Counter()
        self._leaving: list[tuple[int, float, float, float]] = []
        self._answered: list[int] = []
        self._sent, *lost = store.runs.sends(run_id)
        self.lost = Amount(*lost)

    def record(self, event: Event) -> None:
        """Take note of one event. Called on the event loop."""
        match event:
            case RowScored():
                self._gather(event)
            case BudgetSpent():
                self._write(lambda: self._set_meters(event))
            case TrialStarted():
                self._write(lambda: self._start(event))
            case TrialFinished():
                self.flush()
                self._write(lambda: self._finish(event))
            case CandidateFound():
                self._write(lambda: self._store.trials.add_candidate(self._run_id, event.candidate))
                self._add(event, candidate=event.candidate.id, number=event.number)
            case NewBest():
                self._add(event, candidate=event.candidate.id, score=event.score)
            case Proposed():
                self._add(event, label=event.label, asked=event.asked, received=event.received)
            case TrainingProgress() | TrainingEnded():
                self._add(event, **asdict(event))
            case Note():
                self._add(event, level=event.level)

    def _set_meters(self, spent: BudgetSpent) -> None:
        """Store what has been used, with what was used before, and count what this process has paid of it for the user."""
        paid = spent.usage - spent.replayed
        with self._store.transaction():
            self._store.runs.set_meters(self._run_id, self.before + spent.usage, spent.seconds)
            self._store.spend.add_of_run(self._run_id, paid - self._paid, spent.usage)
        self._paid = paid

    async def note_send(self, need: Amount) -> Callable[[], None]:
        """Note a call before it leaves, with those that leave at the same time; return what takes the note back."""
        number = self._sent = self._sent + 1
        self._leaving.append((number, need.calls, need.tokens, need.usd))
        await asyncio.sleep(0)
        if self._leaving:
            self._write_sends()
        return partial(self._answered.append, number)

    def _write_sends(self) -> None:
        sent, answered = self._leaving.copy(), self._answered.copy()
        self._leaving.clear()
        self._answered.clear()
        self._write(partial(self._store.runs.note_sends, self._run_id, sent, answered))

    def flush(self) -> None:
        """Write every row that is still waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._write(lambda: self._add_outcomes(waiting))
        if self._answered:
            self._write_sends()

    def _add_outcomes(self, waiting: Mapping[int, Sequence[Outcome]]) -> None:
        with self._store.transaction():
            for trial, outcomes in waiting.items():
                self._store.trials.add_outcomes(self._run_id, trial, outcomes)

    def _start(self, event: TrialStarted) -> None:
        self._store.trials.add_candidate(self._run_id, event.candidate)
        self._store.trials.start(
            self._run_id, event.trial, event.candidate.id, event.split, event.label, len(event.rows)
        )

    def _gather(self, event: RowScored) -> None:
        self._waiting.setdefault(event.trial, []).append(event.outcome)
        if event.outcome.error is not None:
            self._failures[event.trial] += 1
            if self._failures[event.trial] <= REPORTED_FAILURES:
                self._add(event, trial=event.trial, row=event.outcome.row, number=event.outcome.number)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def _finish(self, event: TrialFinished) -> None:
        evaluation = event.evaluation
        with self._store.transaction():
            self._store.trials.finish(
                self._run_id,
                event.trial,
                score=evaluation.score if evaluation.outcomes else None,
                usage=evaluation.usage,
                seconds=event.seconds,
                state="stopped" if event.partial else "finished",
            )
            data = {"trial": event.trial, "candidate": evaluation.candidate_id, "score": evaluation.score}
            self._store.events.add(self._run_id, event.kind, event.text, data)

    def _add(self, event: Event, **data: object) -> None:
        self._write(lambda: self._store.events.add(self._run_id, event.kind, event.text, data))


class StoreRequests:
    """The search's `UserRequests` of one run.

    What an earlier process of the run did comes back in the same batch; what is new comes as soon as the watch has seen it.
    """

    def __init__(
        self, store: Store, run_id: str, watch: RunControl, writer: PatientWriter | None = None
    ) -> None:
        self._store, self._run_id, self._watch = store, run_id, watch
        self._write = (writer or PatientWriter()).write
        rows = [row for row in store.requests.all(run_id) if row.kind != SCORE]
        self._again: dict[int, list[RequestRow]] = {}
        for row in rows:
            if row.batch is not None:
                self._again.setdefault(row.batch, []).append(row)
        self._seen = {row.id for row in rows if row.batch is not None or row.answer}

    def due(self, batch: int) -> Sequence[UserRequest]:
        """Return the next action."""
        rows = self._again.pop(batch, [])
        rows += [row for row in self._watch.requests if row.id not in self._seen]
        self._seen |= {row.id for row in rows}
        return [request for row in rows if (request := self._read(row)) is not None]

    def begin(self, request: UserRequest, batch: int) -> None:
        """Note the batch, for a process that drives this run again."""
        self._write(lambda: self._store.requests.begin(self._run_id, request.id, batch))

    def answer(self, request: UserRequest, sentence: str, *, done: bool) -> None:
        """Store what became of it."""
        answer = f"Done: {sentence}" if done else f"{NOT_DONE}{sentence}"
        self._write(lambda: self._store.requests.answer(self._run_id, request.id, answer))

    def close(self) -> None:
        """Refuse what comes too late."""
        late = f"{NOT_DONE}the search had ended. Start a new run to try it."
        for row in self._store.requests.open(self._run_id):
            self._write(partial(self._store.requests.answer, self._run_id, row.id, late))

    def _read(self, row: RequestRow) -> UserRequest | None:
        try:
            if row.kind == BUDGET:
                return UserRequest(row.id, Budget.model_validate(row.content["budget"]))
            if row.kind == CANDIDATE:
                return UserRequest(row.id, Candidate.from_dict(row.content["candidate"]))
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
            pass
        answer = f"{NOT_DONE}it cannot be read."
        self._write(lambda: self._store.requests.answer(self._run_id, row.id, answer))
        return None


LOW_BYTES = 16 * 2**20
"""A disk with less room than this counts as full: answers that are on their way must still find some."""

RESERVE, RESERVE_BYTES = "reserve.bin", 2**20
"""A file in the data folder that is deleted when the disk is full, so that the reason why a run waits can still be stored."""

HEARTBEAT_SECONDS = 1.0
POLL_SECONDS = 0.2

STUCK_SECONDS = 20.0
"""A stop that the event loop has not come to hear of after this time is a stop at once: something blocks the loop."""

_PAUSED = "Paused. Calls under way were finished first."
_UNKEPT = "The last answers could not be kept: the disk is full, or another program holds the call cache."
_WAITS = "Nothing more is asked until then; the run goes on by itself."

_log = logging.getLogger(__name__)


class RunControl:
    """The search's `Control`: a run's heartbeat and flags, kept up by a thread while the `with` block runs.

    `taken_away` is called once, from the thread, when the run now belongs to another process or is deleted, and
    `stuck` when a stop is asked for and the event loop is blocked, or for a `failure`, such as a store that is gone.
    `stop()` asks for a stop from inside the process (a signal); once `testing`, only one that is `untested` stops the
    run. `requests` are those without an answer. `trouble` says why nothing may be asked for now, such as a full disk.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        pid: int,
        taken_away: Callable[[], None],
        stuck: Callable[[], None] = lambda: None,
        *,
        stuck_after: float = STUCK_SECONDS,
        writer: PatientWriter | None = None,
    ) -> None:
        self._writer, self._cache = writer or PatientWriter(), default_cache()
        self._reserve = store.connection.path.with_name(RESERVE)
        self._store = store
        self._run_id, self._pid = run_id, pid
        self._taken_away, self._stuck, self._stuck_after = taken_away, stuck, stuck_after
        self._loop_lives = threading.Event()
        self._asked_loop_at: float | None = None
        self.stopping = self.untested = self.testing = self._pause_asked = False
        self._said, self._away, self.trouble = "", "", self._find_trouble()
        self.requests: Sequence[RequestRow] = ()
        self.failure: StoreError | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch-{run_id}", daemon=True)

    def __enter__(self) -> RunControl:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def stop(self) -> None:
        """Ask the run to stop and keep the best so far."""
        self.stopping = True

    async def checkpoint(self) -> None:
        """Return at once, wait while a pause is asked for or there is trouble, or raise Stop when a stop is asked for."""
        if (self._pause_asked or self._trouble_now()) and not self.stopping:
            await self._wait()
        if self.stopping and (self.untested or not self.testing):
            raise Stop

    def note_wait(self, why: str) -> None:
        """Store that calls wait for an endpoint that is away and why, or with "" that they go on."""
        self._away = why
        self._say(why)

    async def no_trouble(self) -> None:
        """Wait until there is no trouble, also where a stop is asked for: what follows must find room."""
        while why := self._trouble_now():
            self._say(why)
            await asyncio.sleep(POLL_SECONDS / 4)
        self._say(self._away)

    async def _wait(self) -> None:
        while (why := self._trouble_now() or (_PAUSED if self._pause_asked else "")) and not self.stopping:
            self._say(why)
            await asyncio.sleep(POLL_SECONDS / 4)
        self._say(self._away)

    def _trouble_now(self) -> str:
        """Return the trouble that the last look has found, or that has come up since: that holds until the next look.

        Raises the error of a write that had waited and failed.
        """
        self._writer.check()
        self.trouble = self.trouble or self._writer.trouble or (_UNKEPT if self._cache.unkept else "")
        return self.trouble

    def _say(self, why: str) -> None:
        """Store that the run waits and why, or with "" that it goes on, where that has changed."""
        if why == self._said:
            return
        self._said = why
        state: RunState = "paused" if why else "running"
        if why and why != _PAUSED:
            self._reserve.unlink(missing_ok=True)
        try:
            self._store.runs.set_state(self._run_id, state, why)  # not behind what waits for room
        except (StoreFullError, StoreLockedError):
            self._writer.write(lambda: self._store.runs.set_state(self._run_id, state, why))

    def _find_trouble(self) -> str:
        """Look at the disk, write what waits, and return why nothing more may be asked for."""
        why = self._cache.settle() or self._writer.trouble
        home = self._reserve.parent
        try:
            free = shutil.disk_usage(home).free
            if free >= LOW_BYTES + RESERVE_BYTES and not why and not self._reserve.exists():
                self._reserve.write_bytes(bytes(RESERVE_BYTES))
        except OSError:
            free = LOW_BYTES
        if free < LOW_BYTES:
            why = f"The disk that holds {home} is full ({free // 2**20} MB left). Free some space."
        return f"{why} {_WAITS}" if why else ""

    def _loop_is_stuck(self) -> bool:
        """Ask the event loop for a sign of life; return whether it has given none for too long."""
        now = time.monotonic()
        if self._asked_loop_at is None or self._loop_lives.is_set():
            self._asked_loop_at = now
            self._loop_lives.clear()
            loop.get().call_soon_threadsafe(self._loop_lives.set)
        return now - self._asked_loop_at > self._stuck_after

    def _watch(self) -> None:
        beats, polls = HEARTBEAT_SECONDS / POLL_SECONDS, 0
        while not self._done.wait(POLL_SECONDS):
            try:
                run = self._store.runs.get(self._run_id)
                if run.stop_requested:  # never written back as False: a signal may have set it meanwhile
                    self.stopping = True
                self.untested = run.stop_untested
                if self.stopping and self._loop_is_stuck():
                    self._stuck()
                    return
                self._pause_asked = run.pause_requested
                self.requests = self._store.requests.open(self._run_id)
                polls += 1
                if polls >= beats:
                    polls = 0
                    self.trouble = self._find_trouble()
                    if not self._store.runs.heartbeat(self._run_id, self._pid):
                        raise NotFoundError("The run has another process.")
            except NotFoundError:
                self._taken_away()
                return
            except StoreTakenError as error:
                self.failure = error
                self._stuck()
                return
            except StoreError as error:
                if not self.trouble:
                    _log.warning(
                        "The run's flags could not be read, or its heartbeat not stored; trying again: %s",
                        error,
                    )


AFTER_SECONDS = 30.0
LOOK_SECONDS = 1.0


async def report_silence(
    answers: Callable[[], int],
    waiting: Callable[[], bool],
    report: Callable[[str], object],
    *,
    after: float = AFTER_SECONDS,
    look: float = LOOK_SECONDS,
) -> None:
    """Report each silence once: `answers()` has not changed for `after` seconds while `waiting()` was true.

    Runs until it is cancelled.
    """
    seen, since, reported = answers(), 0.0, False
    while True:
        await asyncio.sleep(look)
        now = answers()
        if now != seen or not waiting():
            seen, since, reported = now, 0.0, False
            continue
        since += look
        if since >= after and not reported:
            reported = True
            report(
                f"The model has not answered for {after:.0f} seconds. The run goes on waiting, and tries again what "
                "does not come; stop it if the model's address is wrong."
            )
