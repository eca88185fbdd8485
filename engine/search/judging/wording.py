"""Sentences for the user: how a search ended, the verdict, which model is good enough, the change of a score. It must not know any algorithm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.basics.text import counted, in_points, listed, percent
from engine.records import whole_trials
from engine.search.result import ComparedFigures, Verdict

if TYPE_CHECKING:
    from engine.search.judging.objective import Objective
    from engine.search.result import SearchResult

SOLVING = "looking for solved rows"
"""Label of trials on training rows whose right answers become examples; pages name them so."""

ADVICE = {
    "unchanged": "To get further: another way of tuning, a larger budget or more examples. The rows below show what still goes wrong.",
    "not_enough": "More test rows would tell: add examples, or give the final test a larger share of them.",
    "too_close": "More test rows would tell them apart; until then the cheaper of the two is as good a choice.",
    "worse": "Stay with the starting prompt, or try another way of tuning.",
}
"""Advice after a verdict without a clear gain."""


def closing_message(message: str, cause: str, end: SearchResult, asked: int, usable: int) -> str:
    """Return the message at the end of a search; its own `message`, after what hindered it, unless it
    was cut short.

    `cause` is why it was cut short ("" if it was not), `asked` and `usable` the number of texts asked for and received.
    """
    if message and not cause and any(o.score > 0 for e in end.evaluations for o in e.outcomes):
        return message
    if cause:
        return f"{cause if cause.endswith(('.', '!', '?')) else f'{cause}.'} {_kept_candidate(end, cut=True)}"
    obstacle = _obstacle(end, asked, usable)
    if not obstacle and not end.trials:
        if end.best.id == end.seed.id:
            return "There was nothing to change: the starting prompt is kept."
        return "The prompt that was made is kept; making it took no row, so it has no score yet."
    return f"{obstacle} {message or _kept_candidate(end)}".strip()


def _obstacle(end: SearchResult, asked: int, usable: int) -> str:
    outcomes = [o for evaluation in end.evaluations for o in evaluation.outcomes]
    errors = [o.error for o in outcomes if o.error is not None]
    if outcomes and len(errors) == len(outcomes):
        return f"Every row failed, the first with: {errors[0]}"
    if outcomes and all(o.score <= 0 for o in outcomes):
        feedback = next((o.feedback for o in outcomes if o.feedback), "")
        first = f" Of the first it says: {feedback[:200]}" if feedback else ""
        return f"Every answer scored 0, so prompts could not be compared: look at the metric.{first}"
    if outcomes and all(o.score >= 1 for o in outcomes):
        return "Every answer scored 100 %, so there was nothing to gain."
    if asked and not usable:
        return f"The model that writes prompts gave nothing usable in {counted(asked, 'try', 'tries')}."
    tried = {t.candidate.id for t in end.trials}
    if usable and tried <= {end.seed.id}:
        return "The model that writes prompts wrote nothing that was not there already."
    return ""


def _kept_candidate(end: SearchResult, *, cut: bool = False) -> str:
    whole = {name: trial.evaluation.score for name, trial in whole_trials(end.trials).items()}
    if end.best.id != end.seed.id:
        if end.score is None or end.best.id not in whole:
            return "The prompt that was made is kept; the search did not score it on all validation rows."
        start = whole.get(end.seed.id)
        before = "" if start is None else f", the starting prompt {percent(start, 0)}"
        what = f"The best of {len(whole):,} prompts" if len(whole) > 1 else "The prompt that is kept"
        return f"{what} scored {percent(end.score, 0)} on validation rows{before}."
    if len(whole) > 1:
        return "Nothing that was tried scored better than the starting prompt, which is kept."
    if cut and end.trials:
        return "The starting prompt is kept: no other was scored on all validation rows before."
    return "The starting prompt is kept."


def verdict_sentence(verdict: Verdict, *, binary: bool) -> str:
    """Return a verdict in words; `binary` says that every score was 0 or 1."""
    if not verdict.rows:
        return "Not enough rows: no test row was scored."
    printed, rows, failed = verdict.printed, counted(verdict.rows, "row"), verdict.failed
    before, after, change = printed.before, printed.after, printed.gain
    now = f"{after} % of test rows right" if binary else f"a score of {after} out of 100 on the test rows"
    was = f"{now} against {before}{' %' if binary else ''} before"
    interval = f"(95 % interval {printed.interval.replace('+', '')}, {rows})."
    difference = f"a difference of {in_points(change)} {interval}"
    sentence = {
        "unchanged": f"No better prompt was found: the starting prompt is kept ({now}, {rows}).",
        "better": f"Better: {was}, a gain of {counted(abs(change), 'point')} {interval}",
        "worse": f"Worse: {was}, a loss of {counted(abs(change), 'point')} {interval}",
        "too_close": f"Too close to call: {was}, {difference}",
        "not_enough": f"Not enough rows to tell: {was}, {difference}",
    }[verdict.kind]
    if not failed:
        return sentence
    return f"{sentence} {counted(failed, 'row')} failed with an error and {'counts' if failed == 1 else 'count'} as 0."


def untested_sentence(number: int, before: float | None, after: float | None, rows: int) -> str:
    """Return what is known of the best prompt, by its number, without the final test: mean scores on the validation rows.

    >>> untested_sentence(5, 0.61, 0.88, 60)[:88]
    'Not tested yet: prompt 5 scored 88 % of 60 validation rows against 61 % for the start. F'
    """
    start = "" if before is None else f" against {percent(before, 0)} for the start"
    known = f"prompt {number} scored {percent(after, 0)} of {counted(rows, 'validation row')}{start}"
    if after is None:
        known = f"prompt {number} was not scored on all validation rows"
    if not number:
        known = "no other prompt was better than the start"
    compare = "Finish the test to compare it with the start" if number else "Finish the test to score it"
    return f"Not tested yet: {known}. {compare} on rows that the search never saw."


def runs_sentence(verdict: Verdict) -> str:
    """Return a verdict on the best prompts of two runs in words: the second's against the first's on shared test rows."""
    if not verdict.rows:
        return "They share no test rows, so nothing can be said about which prompt is better."
    rows = f"{verdict.rows:,} shared test rows"
    scores = f"{percent(verdict.best)} against {percent(verdict.baseline)}"
    interval = f"95 % interval of the difference {verdict.printed.interval} points"
    if verdict.kind == "not_enough":
        return f"Not enough rows to tell them apart: {scores} on {rows}."
    known = {
        "better": "The second run's prompt is better:",
        "worse": "The first run's prompt is better: the second has",
    }
    return f"{known.get(verdict.kind, 'Too close to call: the second has')} {scores} on {rows} ({interval})."


def good_enough_sentence(
    top: ComparedFigures, cheapest: ComparedFigures | None, found: Sequence[ComparedFigures], own: str
) -> str:
    """Return which model is good enough in words.

    `found` are the figures of each choice of models, compared with `top`, the best. The `cheapest` that is not surely worse
    is None where not all prices are known. `own` is the run's own model.
    """

    def names(some: Iterable[ComparedFigures]) -> str:
        return listed([answered_by(f, own) for f in some])

    able = [f for f in found if f.answered and (f is top or f.printed.high >= 0)]
    silent, unsure = [f for f in found if not f.answered], [f for f in able if f.rows < top.rows]
    on = f"On {counted(top.rows, 'validation row')}"
    more = f" All rows of {names(silent)} failed." if silent else ""
    if unsure:
        more += f" Not scored on all of them: {names(unsure)}."
    if not top.answered:
        return more.strip()
    if cheapest is None:
        sure = names(f for f in able if f not in unsure)
        return (
            f"{on} these are not surely worse than the best: {sure}. Not all of their prices are known.{more}"
        )
    if cheapest.candidate == top.candidate:
        dearer = all(
            f.cost is not None and f.cost >= (top.cost or 0.0) for f in found if f.answered and f is not top
        )
        rest = "is the cheapest, too" if dearer else "every cheaper choice is surely worse"
        return f"{on} {names([top])} scores best, {percent(top.score)}, and {rest}.{more}"
    share = f", at {percent((cheapest.cost or 0.0) / top.cost, 0)} of the price" if top.cost else ""
    return (
        f"{on} {names([cheapest])} is the cheapest that is not surely worse than the best, {names([top])}: "
        f"{percent(cheapest.score)} against {percent(top.score)}{share}.{more}"
    )


def choice_sentence(before: ComparedFigures, choice: ComparedFigures, objective: Objective) -> str:
    """Return in words that another model was chosen for its use, or for its score; `before` is the prompt as the search left it."""
    goal = {"cheapest": "the cheapest", "fastest": "the fastest"}.get(objective.goal, "surely better")
    points = f"{objective.within:g} point{'' if objective.within == 1 else 's'}"
    within = f" within {points} of the best" if objective.chooses_by_use else ""
    return (
        f"Kept is {goal}{within}, answered by {answered_by(choice, 'the first model')}: {percent(choice.score, 0)} of "
        f"{choice.rows} validation rows, against {percent(before.score, 0)}."
    )


def answered_by(figures: ComparedFigures, own: str) -> str:
    """Return the models that answer a candidate: `own` where it names none."""
    return listed(figures.models) or own
