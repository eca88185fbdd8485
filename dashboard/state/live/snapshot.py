"""Snapshot of a run, in parts that a page shows: stage, meters, chart, training, feed. All of it plain data for the browser.

The page draws the parts when it opens; the event stream sends those that have changed since. No Streamlit here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dashboard.state.live.figures import LATEST, feed, meters, progress, time_left
from dashboard.state.live.score_chart import ScoreChart, score_chart, score_figure
from dashboard.state.live.training import PROGRESS, training_chart
from engine.basics.text import counted, percent
from engine.search.leader import Lead
from engine.store.rows import EventRow, RequestRow, RunRow, TrialRow
from engine.store.store import Store

LATEST_EVENTS = LATEST


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


def read_snapshot(store: Store, run_id: str) -> Snapshot:
    """Read what a run's page shows. Raises NotFoundError, StoreError."""
    run, trials = store.runs.get(run_id), store.trials.all(run_id)
    return Snapshot(
        run,
        trials,
        store.trials.parents(run_id),
        store.events.all(run_id, latest=LATEST_EVENTS),
        store.requests.all(run_id),
        store.events.of_kind(run_id, PROGRESS),
        store.trials.leader_path(run_id, trials).leads,
    )


def parts(seen: Snapshot) -> dict[str, Any]:
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
        "feed": feed(seen.events, seen.trials, seen.parents, seen.leads),
    }


def stage(run: RunRow, requests: Sequence[RequestRow], leader: int | None = None) -> str:
    """Return a text that changes when the page's own parts must: state, flags, requests, answers, the leading prompt."""
    flags = f"{'p' if run.pause_requested else ''}{'u' if run.stop_untested else 's' if run.stop_requested else ''}"
    asked = "".join("a" if r.answer else "b" if r.batch is not None else "w" for r in requests)
    price = run.test_cost.calls if run.test_cost else ""
    return f"{run.state} {flags} {asked} {'' if leader is None else leader} {price} {run.message}".strip()


def chart(scores: ScoreChart, trials: int, *, over: bool = False) -> dict[str, Any]:
    """Return the chart of scores: the figure (None before there is a dot) and the text for a screen reader."""
    drawn = any((scores.prompts, scores.training, scores.running, scores.failing))
    best = f", the best so far {percent(scores.best[-1].score.mean, 0)}" if scores.best else ""
    known = len(scores.prompts) + len(scores.failing)
    return {
        "figure": score_figure(scores) if drawn else None,
        "label": f"Scores of {counted(known, 'prompt')} from {counted(trials, 'trial')}{'' if over else ' so far'}{best}",
        "stamp": str(trials),
    }


def _meters(seen: Snapshot) -> dict[str, Any]:
    run = seen.run
    left, words = time_left(run, seen.trials), run.phase or "getting ready"
    return {
        "cards": [
            {"name": m.name, "text": m.text, "share": m.share, "help": m.help}
            for m in meters(run, seen.requests)
        ],
        "share": progress(run, seen.trials),
        "words": "" if not run.goes_on else f"{words[:1].upper()}{words[1:]}{f' · {left}' if left else ''}",
    }


def _end(run: RunRow) -> dict[str, Any]:
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
