"""Snapshot of a run, in parts that a page shows: stage, meters, narration, chart, training, feed. All of it plain data for the browser.

The page draws the parts when it opens; the event stream sends those that have changed since. No Streamlit here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dashboard.state.live.figures import LATEST, feed, meters, narration, progress, time_left
from dashboard.state.live.score_chart import ScoreChart, score_chart, score_figure
from dashboard.state.live.training import PROGRESS, training_chart
from engine.basics.data import JsonObject
from engine.basics.text import counted, percent
from engine.search.judging.leader import Lead, LeaderPath
from engine.store.rows import EventRow, RequestRow, RunRow, TrialRow
from engine.store.store import Store


class Snapshot(NamedTuple):
    """Facts of a run: `parents` is candidate id -> ids it came from, `events` the latest, `training` all of trainings.

    `leads` are the best prompts so far, one after the other.
    """

    run: RunRow
    trials: Sequence[TrialRow]
    parents: Mapping[str, Sequence[str]]
    events: Sequence[EventRow]
    requests: Sequence[RequestRow]
    training: Sequence[EventRow] = ()
    leads: Sequence[Lead] = ()


class SnapshotReader:
    """Snapshots of one run as it goes: only what can have changed is read again."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.forget()

    def forget(self) -> None:
        """Read everything again next time."""
        self._trials: dict[int, TrialRow] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._events: deque[EventRow] = deque(maxlen=LATEST)
        self._training: list[EventRow] = []
        self._leaders = LeaderPath()

    def read(self, store: Store, run: RunRow | None = None) -> Snapshot:
        """Return the run as it is now; `run` is its row where that was just read. Raises NotFoundError, StoreError."""
        run = run or store.runs.get(self.run_id)
        going = (number for number, trial in self._trials.items() if trial.state == "running")
        first = min(going, default=max(self._trials, default=0) + 1)
        self._trials |= {t.number: t for t in store.trials.all(self.run_id, first)}
        self._parents |= store.trials.parents(self.run_id, len(self._parents))
        last = self._events[-1].id if self._events else 0
        self._events.extend(store.events.all(self.run_id, after=last, latest=LATEST))
        trained = self._training[-1].id if self._training else 0
        self._training += store.events.of_kind(self.run_id, PROGRESS, trained)
        trials = list(self._trials.values())
        leads = store.trials.leader_path(self.run_id, trials, self._leaders).leads
        requests = store.requests.all(self.run_id)
        return Snapshot(run, trials, self._parents, list(self._events), requests, self._training, leads)


def parts(seen: Snapshot) -> JsonObject:
    """Return every part of a run's page, by name; "leader" is the best prompt's number, None before there is one."""
    scores = score_chart(seen.trials, seen.parents, seen.leads, seen.run.best)
    leader = scores.leader.number if scores.leader else None
    return {
        "stage": f"{stage(seen.run, seen.requests, leader)} {len(seen.leads)}{' training' if seen.training else ''}",
        "leader": leader,
        "end": _end(seen.run),
        "meters": _meters(seen),
        "chart": chart(scores, len(seen.trials), over=seen.run.is_over),
        "training": training_chart(seen.training),
        "narration": narration(seen.events, seen.trials, seen.parents, seen.leads),
        "feed": feed(seen.events, seen.trials, seen.parents, seen.leads),
    }


def stage(run: RunRow, requests: Sequence[RequestRow], leader: int | None = None) -> str:
    """Return a text that changes when the page's own parts must: state, flags, requests, answers, the leading prompt."""
    flags = f"{'p' if run.pause_requested else ''}{'u' if run.stop_untested else 's' if run.stop_requested else ''}"
    asked = "".join("a" if r.answer else "b" if r.batch is not None else "w" for r in requests)
    price = run.test_cost.calls if run.test_cost else ""
    return f"{run.state} {flags} {asked} {'' if leader is None else leader} {price} {run.message}".strip()


def chart(scores: ScoreChart, trials: int, *, over: bool = False) -> JsonObject:
    """Return the chart of scores: the figure (None before there is a dot) and the text for a screen reader."""
    drawn = any((scores.prompts, scores.training, scores.running, scores.failing))
    best = f", the best so far {percent(scores.best[-1].score.mean, 0)}" if scores.best else ""
    known = len(scores.prompts) + len(scores.failing)
    return {
        "figure": score_figure(scores) if drawn else None,
        "label": f"Scores of {counted(known, 'prompt')} from {counted(trials, 'trial')}{'' if over else ' so far'}{best}",
        "stamp": str(trials),
    }


def _meters(seen: Snapshot) -> JsonObject:
    run = seen.run
    left, words = time_left(run, seen.trials), run.phase or "getting ready"
    return {
        "cards": meters(run, seen.requests),
        "share": progress(run, seen.trials),
        "words": "" if not run.goes_on else f"{words[:1].upper()}{words[1:]}{f' · {left}' if left else ''}",
    }


def _end(run: RunRow) -> JsonObject:
    """Return the notification of a run's end."""
    words = {
        "finished": "has finished",
        "stopped": "was stopped",
        "failed": "has failed",
        "lost": "was interrupted",
    }
    return {
        "over": not run.goes_on,
        "title": f"{run.title} {words.get(run.state, 'goes on')}",
        "text": (run.result.verdict.sentence if run.result else "") or run.message,
    }
