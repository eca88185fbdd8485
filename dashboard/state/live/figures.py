"""A run as it goes: its meters, and its events as sentences. No Streamlit here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from dashboard.text import prompt_name, upper_first
from engine.basics.data import JsonObject, Values
from engine.basics.text import counted, dollars, duration, in_percent, percent, price, short
from engine.search.judging.leader import Lead, known_trials
from engine.search.judging.wording import SOLVING
from engine.store.rows import EventRow, RequestRow, RunRow, TrialRow
from engine.store.runs import budget_now

LATEST = 150
KINDS = {"error": "error", "row_scored": "error"}
ROWS = {"train": "training row", "validation": "validation row", "test": "test row", "teacher": "test row"}


def feed(
    events: Sequence[EventRow],
    trials: Sequence[TrialRow],
    parents: Mapping[str, Sequence[str]],
    leads: Sequence[Lead] = (),
) -> JsonObject:
    """Return the latest events as lines, the newest last: id, time of day, kind, sentence.

    The keys of `parents` are the candidates in the order found, which is how they are numbered. The line of a trial
    after which another prompt leads names it (`leads`); the prompts that the search itself keeps meanwhile are left out.
    """
    known = RunNames(trials, parents, leads)
    lines = []
    for same in _groups([e for e in events[-LATEST:] if e.kind != "new_best"], known):
        at = datetime.fromtimestamp(same[-1].at).astimezone().strftime("%H:%M:%S")
        leading = known.leader_sentence(same[-1])
        kind = "best" if leading else _css_class(same[0])
        lines.append([same[0].id, at, kind, f"{known.sentence(same)} {leading}".rstrip()])
    return {"lines": lines}


def narration(
    events: Sequence[EventRow],
    trials: Sequence[TrialRow],
    parents: Mapping[str, Sequence[str]],
    leads: Sequence[Lead] = (),
) -> str:
    """Return the latest step of a run in one sentence, or after its verdict the step that won: a prompt scored, and why it exists."""
    known = RunNames(trials, parents, leads)
    found = [e for e in events if e.kind == "candidate_found"]
    reasons = {str(e.data.get("candidate")): e.text.partition(": ")[2] for e in found if e.data.get("number")}
    if known.new_leads and any(e.kind == "verdict" for e in events):
        won = known_trials(trials).get(leads[-1].candidate) or known.trials[max(known.new_leads)]
        return known.step_sentence(won, reasons.get(won.candidate_id, ""))
    return next(filter(None, (known.narrated(event, reasons) for event in reversed(events))), "")


class RunNames:
    """The names of a run's prompts and trials, and the sentences of its events."""

    def __init__(
        self, trials: Sequence[TrialRow], parents: Mapping[str, Sequence[str]], leads: Sequence[Lead]
    ) -> None:
        self.trials = {t.number: t for t in trials}
        previous = [None, *(lead.candidate for lead in leads)]
        self.new_leads = {n.trial: n for n, old in zip(leads, previous, strict=False) if n.candidate != old}
        self.numbers = {candidate: number for number, candidate in enumerate(parents)}

    def name(self, candidate: object) -> str:
        """Return a prompt's name."""
        number = self.numbers.get(str(candidate))
        return "A prompt" if number is None else upper_first(prompt_name(number))

    def trial(self, event: EventRow) -> TrialRow | None:
        """Return the trial that an event is about."""
        number = event.data.get("trial")
        return self.trials.get(number) if isinstance(number, int) else None

    def sentence(self, same: Sequence[EventRow]) -> str:
        """Return the sentence of events that make one line."""
        event = same[-1]
        if event.kind == "proposed":
            return _proposals_sentence(same)
        if event.kind == "candidate_found" and "number" in event.data:
            number = event.data["number"]
            reason = event.text.partition(": ")[2]
            return (
                f"New: prompt {number}. {upper_first(reason)}"
                if number
                else "It begins with the starting prompt."
            )
        trial = self.trial(event)
        if event.kind == "row_scored" and trial is not None and event.data.get("number"):
            rows = ", ".join(str(e.data["number"]) for e in same)
            what = f"{'Row' if len(same) == 1 else 'Rows'} {rows} failed with {_lower_first(self.name(trial.candidate_id))}"
            return f"{what}: {_failure(event)}"
        if event.kind != "trial_finished" or trial is None:
            return event.text
        if not trial.rows_done:
            names = dict.fromkeys(_lower_first(self.name(t.candidate_id)) for t in map(self.trial, same) if t)
            return f"Cut short before the first row: {', '.join(names)}."
        return self._trials_sentence(same) if len(same) > 1 else self._trial_sentence(trial)

    def new_lead(self, event: EventRow) -> Lead | None:
        """Return the prompt that leads since a trial ended; None where it led before."""
        trial = self.trial(event) if event.kind == "trial_finished" else None
        return self.new_leads.get(trial.number) if trial else None

    def leader_sentence(self, event: EventRow) -> str:
        """Return which prompt is the best so far after a trial and its likely score; "" where that was so before."""
        lead = self.new_lead(event)
        if lead is None:
            return ""
        about = "" if lead.score.rows == lead.total else "about "
        return f"Best so far: {_lower_first(self.name(lead.candidate))} with {about}{percent(lead.score.mean, 0)}."

    def narrated(self, event: EventRow, reasons: Mapping[str, str]) -> str:
        """Return an event as a sentence of the narration; "" where it is no step of it.

        `reasons` is candidate id -> why it exists.
        """
        trial = self.trial(event) if event.kind == "trial_finished" else None
        if trial is None or not trial.rows_done or trial.split == "train":
            return ""
        reason = reasons.get(trial.candidate_id, "")
        return self.step_sentence(trial, reason if trial.split == "validation" else "")

    def step_sentence(self, trial: TrialRow, reason: str) -> str:
        """Return a trial's sentence in the narration; `reason`: why its prompt exists, of which the first clause is shown."""
        lead = self.new_leads.get(trial.number)
        took = " and took the lead" if lead is not None and lead.candidate == trial.candidate_id else ""
        clause = _lower_first(reason).partition(";")[0].rstrip(".")
        why = f": {clause}" if clause else ""
        return f"{self._trial_sentence(trial).removesuffix('.')}{took}{why}."

    def _trial_sentence(self, trial: TrialRow) -> str:
        kind = ROWS.get(trial.split, "row")
        cut = f", cut short: {trial.rows_total:,} were planned" if trial.state == "stopped" else ""
        name = "The teacher" if trial.split == "teacher" else self.name(trial.candidate_id)
        if trial.answered_score is None:
            return f"{name}: {'all ' if trial.failed > 1 else ''}{counted(trial.failed, kind)} failed{cut}."
        failed = f", {counted(trial.failed, 'row')} failed" if trial.failed else ""
        rows = counted(trial.rows_done - trial.failed, kind)
        if (
            trial.split == "train" and trial.label == SOLVING
        ):  # the teacher answers there, which may be another model
            return f"{upper_first(SOLVING)}: {percent(trial.answered_score, 0)} on {rows}{failed}{cut}."
        return f"{name} scored {percent(trial.answered_score, 0)} on {rows}{failed}{cut}."

    def _trials_sentence(self, same: Sequence[EventRow]) -> str:
        trials = [t for t in map(self.trial, same) if t is not None]
        scores = sorted(in_percent(t.answered_score or 0.0, 0) for t in trials)
        rows = counted(sum(t.rows_done for t in trials), "training row")
        prompts = counted(len({t.candidate_id for t in trials}), "prompt")
        between = (
            f"{scores[0]:.0f} %" if scores[0] == scores[-1] else f"{scores[0]:.0f} to {scores[-1]:.0f} %"
        )
        return f"Looked at {rows} in {counted(len(trials), 'trial')} of {prompts}: {between}."


def _groups(events: Sequence[EventRow], known: RunNames) -> Iterator[list[EventRow]]:
    """Yield the events that make one line each: equal requests, equal failures, small trials, trials that never began."""

    def what(event: EventRow) -> tuple[Any, ...]:
        trial = known.trial(event)
        if event.kind == "proposed":
            return event.kind, event.data.get("label")
        if event.kind == "row_scored" and trial is not None and event.data.get("number"):
            return event.kind, trial.number, _failure(event)
        if event.kind == "trial_finished" and trial is not None and not trial.rows_done:
            return event.kind, "not begun"
        if event.kind == "trial_finished" and trial is not None and trial.split == "train":
            return event.kind, "train"
        return event.kind, event.id

    for _, same in groupby(events, what):
        yield list(same)


def _proposals_sentence(same: Sequence[EventRow]) -> str:
    event = same[-1]
    asked, received = (sum(int(e.data.get(name, 0)) for e in same) for name in ("asked", "received"))
    if not asked:
        return event.text
    what = str(event.data.get("label") or "") or "new prompts"
    usable = "all usable" if received == asked else "none usable" if not received else f"{received:,} usable"
    usable = "usable" if asked == received == 1 else usable
    return f"Asked the model that writes prompts for {what}: {counted(asked, 'answer')}, {usable}."


def _failure(event: EventRow) -> str:
    return event.text.partition(" failed: ")[2]


def _css_class(event: EventRow) -> str:
    return KINDS.get(event.kind, "warning" if event.data.get("level") == "warning" else "")


def _lower_first(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"


def meters(run: RunRow, requests: Iterable[RequestRow] = ()) -> list[JsonObject]:
    """Return calls, tokens, money and working time of a run: "name", "text", "help", and the "share" of a limit.

    What `requests` granted raises the limits. The share is 0 to 1, None without a limit.
    """
    limits: Values = budget_now(run.spec.get("budget") or {}, requests)
    tokens, whole_number = run.input_tokens + run.output_tokens, "{:,}".format
    money = "nothing yet" if run.cost is None and not run.calls else price(run.cost)
    unpriced = run.cost is None and bool(run.calls)
    known = (
        ("Calls", "calls", run.calls, whole_number(run.calls), whole_number, PAID_CALLS),
        (
            "Tokens",
            "tokens",
            tokens,
            short(tokens),
            short,
            "Pieces of words sent and received; providers charge by them.",
        ),
        ("Money", "usd", run.cost or 0.0, money, dollars, "By the provider's price list."),
        (
            "Time",
            "seconds",
            run.seconds,
            duration(run.seconds),
            duration,
            "Working time; pauses are not counted.",
        ),
    )
    figures = []
    for name, key, used, text, words, about in known:
        limit = limits.get(key)
        share = None if not limit else min(1.0, used / limit)
        shown = f"{text} of {words(limit)}" if limit and not (key == "usd" and unpriced) else text
        figures.append({"name": name, "text": shown, "share": share, "help": about})
    return figures


PAID_CALLS = "Calls to the model that were paid for. Answers from the cache are not counted."


def spent(runs: Iterable[RunRow]) -> str:
    """Return what runs have cost together, in words, without those from an archive and those whose price is not known."""
    asked = [run.cost for run in runs if run.calls and not run.from_archive]
    total = sum(cost or 0.0 for cost in asked)
    unknown = bool(asked) and all(cost is None for cost in asked)
    return "price not known" if unknown else f"{dollars(total)} spent" if total else "nothing spent"


def time_left(run: RunRow, trials: Sequence[TrialRow] = ()) -> str:
    """Return how long a running run will go on, in words, or "" when nothing can be said."""
    seconds = seconds_left(run, trials)
    if run.result is not None or run.state != "running" or seconds is None:
        return ""
    return "nearly done" if seconds < 2 else f"about {duration(seconds)} left"


def seconds_left(run: RunRow, trials: Sequence[TrialRow] = ()) -> float | None:
    """Return how long a run will go on: at first by the pace of its estimate, later more and more by that of its calls."""
    left, done = calls_left(run, trials), run.calls + run.cached
    if left is None or run.estimate is None or done < 5:
        return None
    pace = run.seconds / done
    calls, seconds = (run.estimate.get(name) or {} for name in ("calls", "seconds"))
    expected = seconds["typical"] / max(1, calls["typical"]) if seconds and "typical" in calls else pace
    share = done / (done + left)
    return left * (share * pace + (1 - share) * expected)


def progress(run: RunRow, trials: Sequence[TrialRow] = ()) -> float:
    """Return the share of the expected calls that were made, 0 to 1; 1 for a run that is over."""
    if run.is_over:
        return 1.0
    if (
        run.result is not None
    ):  # only rows that were asked for after the end: see `engine.runs.results.more_scores`
        return trials[-1].rows_done / max(1, trials[-1].rows_total) if trials else 0.0
    left, done = calls_left(run, trials), run.calls + run.cached
    return min(0.99, done / max(1.0, done + left)) if left is not None else 0.0


LONGER = 10
"""A run that has made all the calls expected of it may need a tenth more."""


def calls_left(run: RunRow, trials: Sequence[TrialRow] = ()) -> float | None:
    """Return how many calls a run will still make; None without an estimate.

    In the final test it is known. Before, it is the middle of what the estimate leaves possible: a run that has made
    more calls than the least expected has at least the final test before it.
    """
    if not run.estimate or not isinstance(expected := run.estimate.get("calls"), Mapping):
        return None
    done, final = run.calls + run.cached, float(run.estimate.get("final_calls") or 0)
    tested = [t for t in trials if t.split == "test"]
    if tested and final:
        rows = 2 * max(t.rows_total for t in tested)
        return final * max(0.0, 1 - sum(t.rows_done for t in tested) / max(1, rows))
    low = max(float(expected.get("low", 0)), done + final)
    high = max(low, float(expected.get("high", 0)), done + done / LONGER)
    return (low + high) / 2 - done
