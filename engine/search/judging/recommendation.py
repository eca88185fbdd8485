"""The recommendation after a run: the prompt that its test rows speak for, and the best one at a price, in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from engine.basics.text import (
    change_in_percent,
    counted,
    percent,
    points_gained,
    price,
    short,
    time_taken,
)
from engine.search.result import PromptFigures, RowUse, RunResult


class Recommendation(NamedTuple):
    """The id of the prompt to take, and why, in a sentence."""

    candidate: str
    sentence: str


def recommended(result: RunResult) -> Recommendation | None:
    """Return the prompt to take by the test rows; None before the final test, and where there is no other than the start.

    It is the fixed prompt where that is surely better than the one that looks examples up; else the best one where it is
    surely better than the start, or as good and cheaper; else the start.

    >>> from engine.search.result import Verdict
    >>> better = Verdict("better", "", 0.5, 0.8, 0.3, 0.1, 0.5, 40, 14, 2)
    >>> start, best = PromptFigures("a", test=0.5, tokens_per_row=100), PromptFigures("b", test=0.8, tokens_per_row=250)
    >>> result = RunResult(best_candidate="b", seed_candidate="a", verdict=better, baseline=start, best=best)
    >>> recommended(result).sentence
    'Take the best prompt: 80 %, 30 points more than the start, 2.5 times the tokens.'
    """
    kind, before, after, static = result.verdict.kind, result.baseline, result.best, result.static
    if kind in ("not_tested", "unchanged") or result.best_candidate == result.seed_candidate:
        return None
    if static and static.against_best and static.against_best.kind == "better":
        return Recommendation(
            static.candidate, f"Take the fixed prompt: {_against(after, static, 'the looked-up one')}."
        )
    name = "the search's choice" if static else "the best prompt"
    cheaper = _use(before, after)[1] < 0
    if kind == "better":
        return Recommendation(result.best_candidate, f"Take {name}: {_against(before, after, 'the start')}.")
    if kind == "too_close" and cheaper:
        words = (
            f"{percent(after.test)}, not surely better or worse than the start, {use_words(before, after)}"
        )
        return Recommendation(result.best_candidate, f"Take {name}: {words}.")
    found = (
        f"{percent(before.test)} on the test rows, and {name} is not surely better with {percent(after.test)}"
    )
    if kind == "worse":
        found = f"{percent(before.test)} on the test rows, and {name} is worse with {percent(after.test)}"
    return Recommendation(result.seed_candidate, f"Keep the starting prompt: {found}.")


def _against(before: PromptFigures, after: PromptFigures, other: str) -> str:
    gain = counted(round(points_gained(before.test or 0.0, after.test or 0.0)), "point")
    return ", ".join(
        filter(None, (percent(after.test), f"{gain} more than {other}", use_words(before, after)))
    )


def use_words(before: PromptFigures, after: PromptFigures) -> str:
    """Return what a row takes with one prompt against another, by price or else by tokens; "" where it is the same.

    >>> cheap, dear = PromptFigures(tokens_per_row=100), PromptFigures(tokens_per_row=130)
    >>> use_words(cheap, dear), use_words(dear, cheap), use_words(cheap, cheap)
    ('30 % more tokens', '23 % fewer tokens', '')
    """
    priced, change = _use(before, after)
    if not change:
        return ""
    if change >= 95:
        return f"{1 + change / 100:.1f} times the {'price' if priced else 'tokens'}"
    more, less = ("dearer", "cheaper") if priced else ("more tokens", "fewer tokens")
    return f"{abs(change)} % {more if change > 0 else less}"


def _use(before: PromptFigures, after: PromptFigures) -> tuple[bool, int]:
    """Return whether prices are known that are not 0, and the change in percent of the price, or else of the tokens."""
    if before.cost_per_row and after.cost_per_row:
        return True, change_in_percent(before.cost_per_row, after.cost_per_row)
    return False, change_in_percent(before.tokens_per_row, after.tokens_per_row)


# The best prompt at a price


class PricedPrompt(NamedTuple):
    """A prompt scored on all rows to choose by: its name with that of its model, its score (0 to 1), what it takes in a `Unit`."""

    candidate: str
    number: int
    name: str
    score: float
    use: float


class Unit(NamedTuple):
    """The amount by which prompts are weighed: its name, how it is read from `RowUse`, an amount in words, less of it."""

    title: str
    of: Callable[[RowUse], float]
    words: Callable[[float], str]
    less: str


DOLLARS = Unit(
    "Dollars for 1,000 rows",
    lambda use: 1000 * (use.cost or 0.0),
    lambda amount: f"{price(amount)} for 1,000 rows",
    "cheaper",
)
SECONDS = Unit(
    "Seconds a row", lambda use: use.seconds, lambda amount: f"{time_taken(amount)} a row", "faster"
)
TOKENS = Unit(
    "Tokens a row", lambda use: use.tokens, lambda amount: f"{short(amount)} tokens a row", "fewer tokens"
)
NOTICED = 0.1
"""Seconds a row: less is no reason to take another prompt."""


def shared_unit(uses: Iterable[RowUse]) -> Unit:
    """Return how prompts are weighed: in dollars; where all is free, in seconds; where these are not noticed, in tokens.

    >>> [shared_unit([RowUse(90, cost, s)]).title for cost, s in ((0.001, 1.0), (0.0, 1.0), (None, 1.0), (0.0, 0.01))]
    ['Dollars for 1,000 rows', 'Seconds a row', 'Seconds a row', 'Tokens a row']
    """
    known = list(uses)
    if any(use.cost for use in known) and all(use.cost is not None for use in known):
        return DOLLARS
    return SECONDS if any(use.seconds >= NOTICED for use in known) else TOKENS


def as_good(found: Sequence[PricedPrompt], best: str) -> PricedPrompt | None:
    """Return the prompt that takes least of those that score no less than the best one, by a percent at least; or None."""
    top = next((p for p in found if p.candidate == best), None)
    if top is None:
        return None
    others = [p for p in found if p.score >= top.score and change_in_percent(top.use, p.use) < 0]
    return min(others, key=lambda p: p.use, default=None)


def recommended_at(found: Sequence[PricedPrompt], most: float, unit: Unit) -> Recommendation:
    """Return the best of some prompts, one at least, that takes no more than an amount, and the points lost by it.

    Where each takes more, it is the one that takes least.

    >>> found = [PricedPrompt("a", 1, "prompt 1", 0.7, 200), PricedPrompt("b", 2, "prompt 2", 0.8, 800)]
    >>> recommended_at(found, 500, TOKENS).sentence
    'Prompt 1: 70 % in practice for 200 tokens a row, 10 points less than prompt 2 for 800 tokens a row.'
    >>> recommended_at(found, 900, TOKENS).sentence
    'Prompt 2: 80 % in practice for 800 tokens a row, the best of all.'
    """
    top = max(found, key=lambda p: (p.score, -p.use))
    able = [p for p in found if p.use <= most] or [min(found, key=lambda p: p.use)]
    best = max(able, key=lambda p: (p.score, -p.use))
    lost = round(points_gained(best.score, top.score))
    than = f"{counted(lost, 'point')} less than" if lost else "as good as"
    against = "the best of all" if best is top else f"{than} {top.name} for {unit.words(top.use)}"
    words = f"{percent(best.score)} in practice for {unit.words(best.use)}, {against}"
    return Recommendation(best.candidate, f"{best.name[:1].upper()}{best.name[1:]}: {words}.")
