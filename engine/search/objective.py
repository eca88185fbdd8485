"""The objective of a run: the best score, or the cheapest or fastest program that scores nearly as well.

Compares candidates on the rows that both ran, by score, price and time. It must not know any algorithm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.basics.statistics import mean_interval, paired_interval
from engine.records import Candidate, Outcome
from engine.search.result import ComparedFigures, ModelComparison
from engine.search.wording import good_enough_sentence

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


Scored = Mapping[str, tuple[Candidate, Mapping[int, Outcome]]]
"""Candidate's id -> the candidate, and its outcomes by row."""


def add_scores(
    scored: dict[str, tuple[Candidate, dict[int, Outcome]]], candidate: Candidate, outcomes: Iterable[Outcome]
) -> None:
    """Add a candidate's outcomes; one that replaces another must have asked a model, or it says nothing of the price."""
    known = scored.setdefault(candidate.id, (candidate, {}))[1]
    known.update((o.row, o) for o in outcomes if o.row not in known or o.usage.tokens)


def figures(scored: Scored, best: str, *, partial: bool = False) -> list[ComparedFigures]:
    """Return the figures of each candidate that ran every row of the best one (`partial`: any of them); the best comes first.

    >>> from engine.records import StepState
    >>> a, b = (Candidate({"s": StepState("Sort.", weights=name)}) for name in (None, "other/model"))
    >>> runs = {c.id: (c, {row: Outcome(row, 1.0, seconds=s) for row in range(8)}) for c, s in ((a, 2.0), (b, 1.0))}
    >>> [(one.models, one.difference, one.seconds, one.prompt == a.id) for one in figures(runs, a.id)]
    [((), 0.0, 2.0, True), (('other/model',), 0.0, 1.0, True)]
    """
    theirs = scored[best][1] if best in scored else {}
    found = []
    for candidate, own in scored.values():
        pairs = [(own[row], theirs[row]) for row in theirs if row in own]
        if pairs and (partial or len(pairs) == len(theirs)):
            found.append(_figures(candidate, pairs, is_best=candidate.id == best))
    return sorted(found, key=lambda f: f.candidate != best)


def _figures(
    candidate: Candidate, pairs: Sequence[tuple[Outcome, Outcome]], *, is_best: bool
) -> ComparedFigures:
    """Return a candidate's figures from its outcomes, each with the best one's of the same row."""
    outcomes = [own for own, _ in pairs]
    differences = [own.score - their.score for own, their in pairs]
    binary = all(o.score in (0.0, 1.0) for pair in pairs for o in pair)
    low, high = (0.0, 0.0) if is_best else paired_interval(differences, binary=binary)
    score = mean_interval([o.score for o in outcomes])
    prompt = replace(candidate, steps={p: replace(s, weights=None) for p, s in candidate.steps.items()})
    return ComparedFigures(
        candidate.id,
        prompt.id,
        _models(candidate),
        score.mean,
        (max(0.0, score.low), min(1.0, score.high)),
        fmean(differences),
        low,
        high,
        _cost(outcomes),
        _seconds(outcomes),
        len(outcomes),
        sum(o.error is not None for o in outcomes),
    )


def _cost(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean price of a row; what was known already in this run, without tokens, says nothing of it."""
    asked = [o.usage.cost for o in outcomes if o.usage.tokens]
    known = [cost for cost in asked if cost is not None]
    return fmean(known) if known and len(known) == len(asked) else None


def _seconds(outcomes: Sequence[Outcome]) -> float | None:
    times = [o.seconds for o in outcomes if o.seconds and not o.usage.cached and o.error is None]
    return median(times) if times else None


def chosen(found: Sequence[ComparedFigures], objective: Objective) -> ComparedFigures:
    """Return the candidate that an objective asks for among some; the first is the best so far.

    For the score, and for the front, another one must surely be better than the best. Otherwise it is the cheapest or
    fastest of those whose score is within the points allowed of that one's.
    """
    best = max((f for f in found if f is found[0] or f.printed.low > 0), key=lambda f: f.difference)
    if not objective.chooses_by_use:
        return best
    near = [
        f for f in found if f.answered and f.difference >= best.difference - objective.within / 100 - 1e-9
    ]
    known = [(value, -f.score, n, f) for n, f in enumerate(near) if (value := _use(f, objective)) is not None]
    if _use(best, objective) is None or not known:
        return best
    return min(known)[-1]


def _use(found: ComparedFigures, objective: Objective) -> float | None:
    return found.cost if objective.goal == "cheapest" else found.seconds


def front(found: Sequence[ComparedFigures]) -> list[ComparedFigures]:
    """Return the candidates that no other one beats: at least as good in score, price and time, and better in one."""
    return [f for f in found if f.answered and not any(_beats(other, f) for other in found if other.answered)]


def _beats(ours: ComparedFigures, theirs: ComparedFigures) -> bool:
    pairs = [(ours.score, theirs.score)]
    for own, other in ((ours.cost, theirs.cost), (ours.seconds, theirs.seconds)):
        if own is not None and other is not None:
            pairs.append((-own, -other))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def comparison(scored: Scored, best: str, own: str) -> ModelComparison:
    """Return the comparison of a run's models; `own` is the run's own model."""
    every = figures(scored, best, partial=True)
    whole = [f for f in every if f.rows == every[0].rows]
    compared = {f.models for f in whole}
    others = [f for f in _by_models(every).values() if f.models not in compared]
    sentence, enough = good_enough(scored, best, own)
    return ModelComparison(
        sentence, enough, (*whole, *others), tuple(figures.candidate for figures in front(whole))
    )


def good_enough(scored: Scored, best: str, own: str) -> tuple[str, str]:
    """Return which models are the cheapest that are not surely worse than the best, in words, and that one's candidate.

    Of each choice of models the prompt with the highest score counts, on the rows of the candidate `best`. Both are "" where
    there is nothing to compare; no candidate is named where prices are unknown. `own` is the run's own model.
    """
    ranked = sorted(figures(scored, best), key=_by_score)
    if not ranked:
        return "", ""
    rows = scored[best][1]
    same = {n: (c, {r: known[r] for r in rows if r in known}) for n, (c, known) in scored.items()}
    found = _by_models(figures(same, ranked[0].candidate, partial=True))
    if len(found) < 2:
        return "", ""
    top = found[ranked[0].models]
    whole = [f for f in found.values() if f.answered and f.rows == top.rows]
    able = [f for f in whole if f is top or f.printed.high >= 0]
    priced = [f for f in able if f.cost is not None]
    cheapest = min(priced, key=lambda f: (f.cost or 0.0, -f.score)) if len(priced) == len(able) > 0 else None
    return good_enough_sentence(
        top, cheapest, list(found.values()), own
    ), cheapest.candidate if cheapest else ""


def _by_models(found: Sequence[ComparedFigures]) -> dict[tuple[str, ...], ComparedFigures]:
    """Return the figures of each choice of models: those on the most rows, of these with the highest score."""
    best: dict[tuple[str, ...], ComparedFigures] = {}
    for one in sorted(found, key=lambda f: (-f.rows, *_by_score(f))):
        best.setdefault(one.models, one)
    return best


def _by_score(found: ComparedFigures) -> tuple[bool, float, bool, float]:
    """Return a sort key: by score, of equal ones the cheaper first, those that never answered last."""
    return not found.answered, -found.score, found.cost is None, found.cost or 0.0


def _models(candidate: Candidate) -> tuple[str, ...]:
    """Return the models that answer in place of the run's: their name where one answers all steps, else with the steps."""
    names = {path: state.weights for path, state in candidate.steps.items()}
    if len(set(names.values())) == 1:
        return tuple(name for name in set(names.values()) if name)
    return tuple(f"{name} in {path}" for path, name in names.items() if name)
