"""Runs of the rows of `Score` asks, none of them twice, with the right program, model and metric.

It records nothing and decides nothing about the budget: calls pass the ledger's gate. Where rows run is the backend's.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import ChainMap
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from engine import runtime
from engine.errors import BudgetExhaustedError, MetricError
from engine.lm.choice import is_offline
from engine.records import Candidate, Outcome, Usage, json_value
from engine.search.backend import Backend, Local, RowCallbacks, RowJob, picks, takes_trace
from engine.search.budget import Ledger, Place, place_of_call
from engine.search.contract import Score
from engine.search.settings import Control, Settings, Stop

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Send


class Slots:
    """A bounded number of slots for rows; the lowest place waits least. `at(places)` is entered around each row, in their order.

    A row with as many unfinished ones before it waits on: one that waits for the last of the budget has a slot meanwhile.
    """

    def __init__(self, size: int, control: Control | None, ledger: Ledger) -> None:
        self.size = self._free = size
        self._waiting: list[tuple[Place, int, asyncio.Future[None]]] = []
        self._order = count()
        self._control = control
        self._ledger = ledger

    def at(self, *places: Place) -> _Queue:
        """Return the queue of rows or samples that are still to come, at these places."""
        self._ledger.expect(places)
        return _Queue(self, places)

    def ignore_control(self) -> None:
        """Stop following the control, so that nothing is paused or stopped."""
        self._control = None

    async def take(self, place: Place) -> None:
        """Wait for a slot, then for the control."""
        if self._free and self._ledger.before(place) < self.size:
            self._free -= 1
        else:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (place, next(self._order), future))
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self.give()
                raise
        try:
            await self.follow()
        except BaseException:
            self.give()
            raise

    def give(self, *over: Place) -> None:
        """Free a slot. No more calls are made at the places that are over."""
        self._free += 1
        self.pass_on(*over)

    def pass_on(self, *over: Place) -> None:
        """Give free slots to the first that wait, where places are over."""
        for place in over:
            self._ledger.over(place)
        while self._free and self._waiting and self._ledger.before(self._waiting[0][0]) < self.size:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                self._free -= 1
                future.set_result(None)

    async def follow(self) -> None:
        """Look at the control: wait while paused, without the time counting, and close the ledger once stopped."""
        if self._control is None or self._ledger.closed is not None:
            return
        self._ledger.pause()
        try:
            await self._control.checkpoint()
        except Stop:
            self._ledger.close("The run was stopped.", "stopped")
        finally:
            self._ledger.unpause()


class _Queue:
    def __init__(self, slots: Slots, places: Iterable[Place]) -> None:
        # Twice the slots, so that a slot freed by an ask is refilled at once.
        self.size, self._slots, self._places = 2 * slots.size, slots, iter(places)

    async def __aenter__(self) -> None:
        place_of_call.set(place := next(self._places))
        await self._slots.take(place)

    async def __aexit__(self, *error: object) -> None:
        self._slots.give(place_of_call.get())


OnOutcome = Callable[[Outcome], None]

# Candidate, row, by the (or a part's) teacher, rollout, with trace: what makes one program run different from another.
_Cell = tuple[str, int, bool | str, int, bool]


class Scoring:
    """Runs the rows of one run, and remembers their outcomes."""

    def __init__(
        self, settings: Settings, ledger: Ledger, slots: Slots, backend: Backend | None = None
    ) -> None:
        self._settings, self._ledger, self._slots = settings, ledger, slots
        self._backend = backend or Local(settings)
        # Of rows that did not fail, and of running ones.
        self._outcomes: dict[_Cell, asyncio.Future[Outcome | None]] = {}
        self._strict = takes_trace(settings.metric)
        self._in_cache: dict[_Cell, bool] = {}
        self.rows_run, self.graded = 0, False
        self.last_failure: Exception | None = None

    async def run(self, ask: Score, places: Mapping[int, Place], note: OnOutcome) -> None:
        """Run an ask's rows, each at its place in the batch, and pass every outcome to `note`.

        A row already scored is passed on at once; a row that another ask is running is waited for.
        """
        taught = ask.teacher and self._settings.part(ask.part).has_teacher and (ask.part or True)
        groups: dict[str, tuple[Candidate, dict[int, _Cell]]] = {}
        jobs: list[Coroutine[object, object, None]] = []
        for row in places:
            candidate = self._without_row(ask.candidate, row) if ask.hide_own_row else ask.candidate
            chosen = _OWN_HIDDEN if ask.hide_own_row and any(map(picks, candidate.steps.values())) else ""
            cell = (candidate.id + chosen, row, taught, ask.rollout, ask.trace)
            # A run with a trace serves an ask without one too, unless the metric is stricter with one.
            same = (cell,) if self._strict else (cell, (*cell[:4], True))
            futures = [self._outcomes[c] for c in same if c in self._outcomes]
            if not futures:
                self._outcomes[cell] = asyncio.get_running_loop().create_future()
                groups.setdefault(cell[0], (candidate, {}))[1][row] = cell
            elif known := next((f.result() for f in futures if f.done()), None):
                note(known)
            else:
                jobs.append(_wait(futures[0], note))
        jobs += [self._run(ask, places, candidate, cells, note) for candidate, cells in groups.values()]
        await asyncio.gather(*jobs)

    def know(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> None:
        """Remember outcomes as this candidate's: it answers as the one that was scored."""
        for outcome in outcomes:
            if outcome.error is None:
                self.graded = True
                known = asyncio.get_running_loop().create_future()
                usage = outcome.usage
                known.set_result(
                    replace(outcome, usage=replace(usage, calls=0, cached=usage.calls + usage.cached))
                )
                self._outcomes.setdefault((candidate.id, outcome.row, False, 0, False), known)

    async def unknown_rows(self, candidate: Candidate, rows: Sequence[int]) -> int:
        """Return on how many rows a candidate has no outcome, and its first answer is not in the call cache either."""
        program = self._settings.program.with_candidate(candidate)

        async def look(lm: BaseLM, request: Request, send: Send) -> Reply:  # noqa: ARG001 - nothing is sent
            self._in_cache[cell] = not is_offline(lm.model) and await lm.recall(request) is not None
            raise BudgetExhaustedError("Only looked up.")

        unknown = 0
        for row in rows:
            cell: _Cell = (candidate.id, row, False, 0, False)
            outcome = self._outcomes.get(cell)
            if outcome is not None and outcome.done():
                continue
            if cell not in self._in_cache:
                self._in_cache[cell] = False
                with self.context(None, look), suppress(Exception):
                    await program.acall(**self._settings.rows[row].inputs())
            unknown += not self._in_cache[cell]
        return unknown

    def context(
        self, lm: BaseLM | None, gate: object, adapter: Adapter | None = None, inside: object = None
    ) -> AbstractContextManager[Any]:
        """Return the runtime of the run's calls: its own model and adapter (or the run's), gate, and a layer inside the gate."""
        layers = (gate,) if inside is None else (gate, inside)
        chosen: dict[str, object] = {"middleware": layers, "trace": None, "history": False}
        model_maps = [
            self._settings.models,
            *(getattr(one, "models", None) for one in self._settings.trainers),
        ]
        if any(model_maps):
            chosen["models"] = ChainMap(*(dict(models) for models in model_maps if models))
        if (model := lm or self._settings.lm) is not None:
            chosen["lm"] = model
        if (written_by := adapter or self._settings.adapter) is not None:
            chosen["adapter"] = written_by
        return runtime.context(**chosen)

    async def _run(
        self,
        ask: Score,
        places: Mapping[int, Place],
        candidate: Candidate,
        cells: dict[int, _Cell],
        note: OnOutcome,
    ) -> None:
        settings = self._settings
        rollout = ask.rollout or None
        gate = self._ledger.gate(rollout=rollout, temperature=1.0 if rollout else None)
        # A row that fails is forgotten, and another ask may run it again meanwhile: each ask ends its own rows only.
        futures = {cell: self._outcomes[cell] for cell in cells.values()}

        def on_outcome(outcome: Outcome) -> None:
            self.rows_run += 1
            cell = cells[outcome.row]
            outcome = replace(outcome, number=settings.row_numbers.get(outcome.row))
            if (words := settings.feedback.get(outcome.row)) is not None:
                outcome = replace(outcome, feedback=f"{outcome.feedback} {words}".strip())
            known = replace(outcome, usage=Usage(cached=outcome.usage.calls + outcome.usage.cached))
            futures[cell].set_result(known)
            if outcome.error is not None:
                self._forget(cell, futures[cell])
            self.graded = self.graded or outcome.error is None
            note(outcome)

        try:
            part = settings.part(ask.part)
            taught = (part.teacher_lm, part.teacher_adapter) if ask.teacher else (None, None)
            with self.context(taught[0], gate, taught[1]):
                if taught[0] is not None:
                    candidate = _untuned(candidate)  # the teacher's model answers
                inputs = settings.rows[ask.rows[0]].input_keys if ask.hide_own_row and ask.rows else ()
                work = RowJob(candidate, ask.teacher, ask.trace, tuple(sorted(inputs)), ask.part)
                slots = self._slots.at(*(places[row] for row in cells))
                heard = RowCallbacks(slots, on_outcome, self._note_failure)
                await self._backend.run(work, list(cells), heard)
        finally:
            self._slots.pass_on(*(places[row] for row in cells))
            for cell, future in futures.items():
                if not future.done():
                    self._forget(cell, future)
                    future.set_result(None)

    def _note_failure(self, failure: Exception) -> None:
        self.last_failure = failure
        if isinstance(failure, MetricError) and not self.graded:
            self._ledger.close(str(failure), "failed")  # so that asks of the same batch make no calls
            raise failure

    def _forget(self, cell: _Cell, future: asyncio.Future[Outcome | None]) -> None:
        if self._outcomes.get(cell) is future:
            del self._outcomes[cell]

    def _without_row(self, candidate: Candidate, row: int) -> Candidate:
        """Return the candidate without demonstrations made from this row."""
        if not any(state.demos for state in candidate.steps.values()):
            return candidate
        inputs = {name: json_value(value) for name, value in self._settings.rows[row].inputs().items()}
        steps = {}
        for path, state in candidate.steps.items():
            if picks(state):
                steps[path] = state  # hidden when the examples are picked: see _hiding
                continue
            demos = tuple(d for d in state.demos if not _made_from(d.values, inputs))
            steps[path] = state if len(demos) == len(state.demos) else replace(state, demos=demos)
        changed = any(steps[path] is not state for path, state in candidate.steps.items())
        return replace(candidate, steps=steps) if changed else candidate


def _untuned(candidate: Candidate) -> Candidate:
    """Return the candidate without tuned models."""
    for path, state in candidate.steps.items():
        if state.weights is not None:
            candidate = candidate.with_step(path, weights=None)
    return candidate


_OWN_HIDDEN = "~"
"""Marks the runs of a candidate whose steps hide each row's own example."""


def _made_from(demo: Mapping[str, object], inputs: Mapping[str, object]) -> bool:
    shared = [name for name in inputs if name in demo]
    return bool(shared) and all(demo[name] == inputs[name] for name in shared)


async def _wait(running: asyncio.Future[Outcome | None], note: OnOutcome) -> None:
    outcome = await running
    if outcome is not None:
        note(outcome)
