"""The recommendation after a run: the prompt that its test rows speak for, in one sentence with its reason."""

from __future__ import annotations

from typing import NamedTuple

from engine.basics.text import change_in_percent, counted, percent, points_gained
from engine.search.result import PromptFigures, RunResult


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
