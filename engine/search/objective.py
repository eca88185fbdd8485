"""The objective of a run: the best score, or the cheapest or fastest program that scores nearly as well.

Compares candidates on the rows that both ran, by score, price and time. It must not know any algorithm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.records import Candidate, Outcome
from engine.statistics import paired_interval
from engine.text import counted, listed, percent

Goal = Literal["score", "cheapest", "fastest", "front"]


class Objective(BaseModel):
    """The goal of a run: the highest score; the cheapest or fastest program within some points of it; or all that none beats.

    `within` counts in points of 100. It reads the words of the settings too, such as "fastest within 3 points".

    >>> Objective.model_validate("cheapest within 2 points")
    Objective(goal='cheapest', within=2.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: Goal = "score"
    within: float = Field(default=1.0, ge=0, le=100)

    @model_validator(mode="before")
    @classmethod
    def _in_words(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        found = re.fullmatch(r"\s*(\w+)(?:\s+within\s+([\d.]+)(?:\s+points?)?)?\s*", given)
        if found is None:
            raise ValueError(f'{given!r} is no objective: write score, front, or "cheapest within 2 points"')
        return {"goal": found[1], **({"within": found[2]} if found[2] else {})}

    @property
    def words(self) -> str:
        """The objective as it is written in settings."""
        return f"{self.goal} within {self.within:g} points" if self.chooses_by_use else self.goal

    @property
    def chooses_by_use(self) -> bool:
        """True if the price or the time of an answer decides."""
        return self.goal in ("cheapest", "fastest")


@dataclass(frozen=True, slots=True)
class Figures:
    """One candidate's figures on `rows` rows that the best ran too; `low` and `high` bound its difference to the best.

    `models` are the names of the models that answer in place of the run's. `cost` (US dollars) and `seconds` are those of
    a row, None where unknown: rows that the call cache answered have no time. So a run that is driven again after it was
    killed knows the times of fewer rows.
    """

    candidate: str
    models: tuple[str, ...]
    score: float
    difference: float
    low: float
    high: float
    cost: float | None
    seconds: float | None
    rows: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return {**asdict(self), "models": list(self.models)}


Scored = Mapping[str, tuple[Candidate, Mapping[int, Outcome]]]
"""Candidate's id -> the candidate, and its outcomes by row."""


def figures(scored: Scored, best: str) -> list[Figures]:
    """Return the figures of each candidate that ran every row of the best one; the best comes first.

    >>> from engine.records import StepState
    >>> a, b = (Candidate({"s": StepState("Sort.", weights=name)}) for name in (None, "other/model"))
    >>> runs = {c.id: (c, {row: Outcome(row, 1.0, seconds=s) for row in range(8)}) for c, s in ((a, 2.0), (b, 1.0))}
    >>> [(one.models, one.difference, one.seconds) for one in figures(runs, a.id)]
    [((), 0.0, 2.0), (('other/model',), 0.0, 1.0)]
    """
    if best not in scored or not scored[best][1]:
        return []
    theirs = scored[best][1]
    found = []
    for name, (candidate, own) in scored.items():
        if not theirs.keys() <= own.keys():
            continue
        outcomes = [own[row] for row in theirs]
        differences = [own[row].score - theirs[row].score for row in theirs]
        binary = all(o.score in (0.0, 1.0) for o in (*outcomes, *theirs.values()))
        low, high = (0.0, 0.0) if name == best else paired_interval(differences, binary=binary)
        found.append(
            Figures(
                name,
                _models(candidate),
                fmean(o.score for o in outcomes),
                fmean(differences),
                low,
                high,
                _cost(outcomes),
                _seconds(outcomes),
                len(outcomes),
            )
        )
    return sorted(found, key=lambda f: f.candidate != best)


def _cost(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean price of a row; what was known already in this run, without tokens, says nothing of it."""
    asked = [o.usage.cost for o in outcomes if o.usage.tokens]
    known = [cost for cost in asked if cost is not None]
    return fmean(known) if known and len(known) == len(asked) else None


def _seconds(outcomes: Sequence[Outcome]) -> float | None:
    times = [o.seconds for o in outcomes if o.seconds and not o.usage.cached]
    return median(times) if times else None


def chosen(found: Sequence[Figures], objective: Objective) -> Figures:
    """Return the candidate that an objective asks for among some; the first is the best so far.

    For the score, and for the front, another one must surely be better than the best. Otherwise it is the cheapest or
    fastest of those whose score is within the points allowed of that one's.
    """
    best = max((f for f in found if f is found[0] or f.low > 0), key=lambda f: f.difference)
    if not objective.chooses_by_use:
        return best
    near = [f for f in found if f.difference >= best.difference - objective.within / 100 - 1e-9]
    known = [(value, -f.score, n, f) for n, f in enumerate(near) if (value := _use(f, objective)) is not None]
    if _use(best, objective) is None or not known:
        return best
    return min(known)[-1]


def _use(found: Figures, objective: Objective) -> float | None:
    return found.cost if objective.goal == "cheapest" else found.seconds


def front(found: Sequence[Figures]) -> list[Figures]:
    """Return the candidates that no other one beats: at least as good in score, price and time, and better in one."""
    return [f for f in found if not any(_beats(other, f) for other in found)]


def _beats(ours: Figures, theirs: Figures) -> bool:
    pairs = [(ours.score, theirs.score)]
    for own, other in ((ours.cost, theirs.cost), (ours.seconds, theirs.seconds)):
        if own is not None and other is not None:
            pairs.append((-own, -other))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def good_enough(scored: Scored, best: str, own: str) -> str:
    """Say which models are the cheapest that are not surely worse than the best ones; `own` is the run's own model.

    Of each choice of models the prompt with the highest score counts, on the rows of the candidate `best`.
    """
    rows = scored[best][1].keys() if best in scored else ()
    same = {
        n: (c, {row: known[row] for row in rows})
        for n, (c, known) in scored.items()
        if known.keys() >= set(rows)
    }
    ranked = sorted(figures(same, best), key=_by_score)
    by_models: dict[tuple[str, ...], Figures] = {}
    for one in sorted(figures(same, ranked[0].candidate) if ranked else (), key=_by_score):
        by_models.setdefault(one.models, one)
    if len(by_models) < 2:
        return ""
    top, on = ranked[0], f"On {counted(ranked[0].rows, 'validation row')}"
    able = [f for f in by_models.values() if f.candidate == top.candidate or f.high >= 0]
    if any(f.cost is None for f in able):
        names = listed([_named(f, own) for f in able])
        return f"{on} these are not surely worse than the best: {names}. Not all of their prices are known."
    cheapest = min(able, key=lambda f: (f.cost or 0.0, -f.score))
    if cheapest.candidate == top.candidate:
        return f"{on} {_named(top, own)} scores best, {percent(top.score)}, and every cheaper choice is surely worse."
    share = f", at {100 * (cheapest.cost or 0.0) / top.cost:.0f} % of the price" if top.cost else ""
    return (
        f"{on} {_named(cheapest, own)} is the cheapest that is not surely worse than the best, {_named(top, own)}: "
        f"{percent(cheapest.score)} against {percent(top.score)}{share}."
    )


def _by_score(found: Figures) -> tuple[float, bool, float]:
    """Return what sorts by score, of equal ones the cheaper first."""
    return -found.score, found.cost is None, found.cost or 0.0


def _named(found: Figures, own: str) -> str:
    return listed(found.models) or own


def _models(candidate: Candidate) -> tuple[str, ...]:
    """Return the models that answer in place of the run's: their name where one answers all steps, else with the steps."""
    names = {path: state.weights for path, state in candidate.steps.items()}
    if len(set(names.values())) == 1:
        return tuple(name for name in set(names.values()) if name)
    return tuple(f"{name} in {path}" for path, name in names.items() if name)
