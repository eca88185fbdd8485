"""Replay of a finished run: its trials as steps of twenty seconds with captions, and the one file that plays them. No Streamlit here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from dashboard.state.live.figures import RunNames
from dashboard.state.live.score_chart import score_chart, thinned
from dashboard.state.live.snapshot import Snapshot
from engine.basics.data import JsonObject
from engine.basics.text import counted, percent
from engine.search.judging.leader import known_trials
from engine.search.result import Verdict
from engine.store.rows import RunRow, TrialRow

STATIC = Path(__file__).parents[2] / "static"
SECONDS, SEARCH, TEST, VERDICT = 20.0, (0.8, 12.4), 15.0, 17.0
"""Length of a replay; when its search begins and ends, and when the test and the verdict are announced."""
READING = 1.3
"""Seconds that a caption stays at least."""


def replay(seen: Snapshot, reasons: Mapping[str, str]) -> JsonObject:
    """Return the steps of a finished run for `player.js`; `reasons` is candidate id -> why it exists.

    `dots` are [second, number, score in percent, share of the rows], one for each time that a prompt was known better;
    `leads` are [second, place, mean, low, high, number, mean in words], in percent; `captions` are [second, text], as is `result`.
    """
    chart = score_chart(seen.trials, seen.parents, seen.leads, seen.run.best)
    drawn = {p.candidate for p in (*thinned(chart.prompts), *thinned(chart.failing))}
    numbers = {p.candidate: p.number for p in (*chart.prompts, *chart.failing)}
    steps = list(_steps(seen.trials))
    whole = max((t.rows_done for _, t in steps), default=1)
    at = {t.number: second for second, t in steps}
    return {
        "title": seen.run.title,
        "seconds": SECONDS,
        "last": max(numbers.values(), default=0),
        "start": chart.baseline,
        "dots": [
            [second, numbers[t.candidate_id], _in_percent(t.answered_score or 0.0), t.rows_done / whole]
            for second, t in steps
            if t.candidate_id in drawn
        ],
        "leads": [
            [
                at[lead.trial],
                lead.place,
                *map(_in_percent, lead.score[:3]),
                numbers.get(lead.candidate, 0),
                percent(lead.score.mean, 0),
            ]
            for lead in seen.leads
            if lead.trial in at
        ],
        "captions": _captions(seen, reasons, at),
        "result": _result(seen.run),
    }


def _result(run: RunRow) -> list[object]:
    """Return when both scores on the test rows appear, and how; nothing where the run was not tested."""
    verdict = run.result.shown.verdict if run.result else None
    if not isinstance(verdict, Verdict):
        return []
    return [VERDICT, f"{percent(verdict.baseline, 0)} → {percent(verdict.best, 0)} on the test rows"]


def _in_percent(share: float) -> float:
    return round(100 * share, 1)


def _steps(trials: Sequence[TrialRow]) -> Iterator[tuple[float, TrialRow]]:
    """Yield each trial after which a prompt was known better, with its second: they are spread evenly over the search."""
    known: dict[str, TrialRow] = {}
    better = []
    for trial in sorted(trials, key=lambda t: (t.finished_at or 0.0, t.number)):
        latest = known_trials([t for t in (known.get(trial.candidate_id), trial) if t is not None])
        if latest.get(trial.candidate_id) is trial:
            known[trial.candidate_id] = trial
            better.append(trial)
    begin, end = SEARCH
    for place, trial in enumerate(better):
        yield round(begin + (end - begin) * place / max(1, len(better) - 1), 3), trial


def _captions(seen: Snapshot, reasons: Mapping[str, str], at: Mapping[int, float]) -> list[tuple[float, str]]:
    """Return the captions: the prompts that took the lead, as many as can be read; the test; the verdict."""
    names = RunNames(seen.trials, seen.parents, seen.leads)
    captions: list[tuple[float, str]] = []
    free = 0.0  # the second from which the next caption may appear
    for lead in names.new_leads.values():
        trial, second = names.trials[lead.trial], at.get(lead.trial, 0.0)
        sentence = names.step_sentence(trial, reasons.get(trial.candidate_id, ""))
        if captions and captions[-1][0] > second:
            captions[-1] = captions[-1][0], sentence  # the one before has not appeared yet, and leads no more
        else:
            captions.append((max(second, free), sentence))
            free = captions[-1][0] + READING
    tested = next((t for t in seen.trials if t.split == "test"), None)
    if tested is not None:
        captions.append(
            (TEST, f"Now the test, on {counted(tested.rows_total, 'row')} that the search never saw.")
        )
    if seen.run.result is not None:
        captions.append((VERDICT if tested else TEST, seen.run.result.shown.verdict.sentence))
    return captions


def replay_file(story: JsonObject) -> str:
    """Return the text of one HTML file that plays a replay and asks for nothing."""
    style, script = ((STATIC / name).read_text(encoding="utf-8") for name in ("replay.css", "player.js"))
    page = Template((STATIC / "replay.html").read_text(encoding="utf-8"))
    data = json.dumps(story).replace("<", "\\u003c")
    return page.substitute(title=escape(str(story["title"])), style=style, data=data, script=script)
