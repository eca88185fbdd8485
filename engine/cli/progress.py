"""A run's progress in the terminal, read from the store as the dashboard reads it."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from engine.errors import StoreError
from engine.store.rows import RunRow, TrialRow
from engine.store.store import Store

POLL_SECONDS = 0.15


class RunProgress:
    """A live bar for a run, drawn while the `with` block runs. Off a terminal it prints a line per phase.

    The bar follows the calls against the budget or the estimate; beside it stand the phase, the best
    score so far and the calls.
    """

    def __init__(self, run_id: str, console: Console) -> None:
        self._run_id = run_id
        self._console = console
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)
        self._phase = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> RunProgress:
        if self._console.is_terminal:
            self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._console.is_terminal:
            self._bar.stop()

    def _follow(self) -> None:
        task = self._bar.add_task("Getting ready", total=None, detail="")
        with Store.open(read_only=True) as store:
            while not self._done.wait(POLL_SECONDS):
                try:
                    self._show(task, store.runs.get(self._run_id), store.trials.all(self._run_id))
                except StoreError:
                    continue

    def _show(self, task: TaskID, run: RunRow, trials: list[TrialRow]) -> None:
        phase = "Paused" if run.state == "paused" else run.phase or "Getting ready"
        if not self._console.is_terminal:
            if phase != self._phase:
                self._phase = phase
                self._console.print(f"{phase} ...", highlight=False)
            return
        total = expected_calls(run)
        seen = [
            t.score
            for t in trials
            if t.split == "validation" and t.state == "finished" and t.score is not None
        ]
        best = f"best {100 * max(seen):.0f} %  " if seen else ""
        made = run.calls + run.cached
        self._bar.update(
            task,
            description=phase,
            total=None if total is None else max(total, made + 1),
            completed=made,
            detail=f"{best}{len(trials)} trials  {run.calls:,} calls",
        )


def expected_calls(run: RunRow) -> float | None:
    """Return how many calls a run will about make: its estimate, or its budget where that is less."""
    budget = (run.spec.get("budget") or {}).get("calls")
    estimated = ((run.estimate or {}).get("calls") or {}).get("high")
    known = [float(n) for n in (budget, estimated) if n]
    return min(known) if known else None
