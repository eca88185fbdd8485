"""The result of a run as one picture: before and after, the interval of the gain, the test rows that turned.

The report and the Results page show the same one: `hero.html.j2` draws it, `hero.css` styles it. Texts are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.basics.data import JsonObject
from engine.basics.text import (
    change_in_percent,
    counted,
    in_percent,
    in_points,
    percent,
    points_gained,
    price,
    short,
    signed,
    time_taken,
)
from engine.search.result import PromptFigures, RunResult, UnfinishedTest, Verdict

if TYPE_CHECKING:
    import jinja2

VERDICTS = {
    "better": ("Better", "good"),
    "worse": ("Worse", "bad"),
    "too_close": ("Too close to call", "even"),
    "not_enough": ("Not enough rows to tell", "even"),
    "unchanged": ("No better prompt was found", "even"),
    "not_tested": ("Not tested yet", "even"),
}
"""Kind of a verdict -> its title, and its look."""

MOST_DOTS = 400

Turn = tuple[int, float, float]
"""A test row: its number in the file, its score with the starting prompt and with the best one (0 to 1)."""


@cache
def templates() -> jinja2.Environment:
    """Return the templates of this package; they escape every text."""
    import jinja2  # only where one is filled in

    return jinja2.Environment(loader=jinja2.PackageLoader("engine.export", ""), autoescape=True)


def result_sentences(result: RunResult) -> list[str]:
    """Return a run's result in words: the verdict, the number of the whole set, models, the prompt taken, the fixed prompt.

    >>> from engine.search.result import NotTested
    >>> result_sentences(RunResult(best_candidate="a", seed_candidate="a", verdict=NotTested("Not tested yet.")))
    ['Not tested yet.']
    """
    shown = result.shown
    parts = [part.sentence for part in (shown.verdict, shown.whole_set, shown.models) if part is not None]
    return [
        *filter(None, parts),
        *_missing_rows(result.final_test),
        *_taken_sentences(result),
        *_fixed_sentences(result),
    ]


def _missing_rows(test: UnfinishedTest | None) -> list[str]:
    if test is None:
        return []
    if not test.why:
        return [f"The final test takes {test.cost.words}."]
    scored = f"{test.scored} of {counted(test.rows, 'test row')} were scored"
    return [f"{scored}: {test.why} The missing rows take {test.cost.words}."]


def _taken_sentences(result: RunResult) -> list[str]:
    """Say which prompt was taken where it is not the search's choice, and whose figures are shown."""
    if result.taken_candidate in ("", result.best_candidate) or result.verdict.kind == "not_tested":
        return []
    if result.taken_candidate == result.seed_candidate:
        return ["The starting prompt is taken. These are the figures of the best one against it."]
    if result.taken is None:
        return ["Another prompt was taken; these are the figures of the best one."]
    chosen = f"the search's choice scores {percent(result.best.test)} on the test rows"
    return [
        f"You took this prompt; {chosen}. If the test rows made you take it, it may look better on them than it is."
    ]


def _fixed_sentences(result: RunResult) -> list[str]:
    """Say how the best fixed prompt does against the best one on the test rows, by which neither was chosen."""
    static = result.static
    if static is None or static.candidate == result.taken_candidate:
        return []
    name, against = "The best fixed prompt, which looks nothing up for an input,", static.against_best
    if static.test is None:
        return [f"{name} was not tested."]
    if against is None:
        return [f"{name} scores {percent(static.test)} on the test rows."]
    if against.kind != "better":
        return [f"{name} scores on the test rows, against the best one: {compared_scores(against)}."]
    return [
        f"On the test rows the fixed prompt was better: {compared_scores(against)}. "
        "It was not chosen by test rows; take it if you agree."
    ]


def compared_scores(verdict: Verdict) -> str:
    """Return a verdict's scores, how sure their difference is, and its interval in words."""
    change = verdict.printed
    sure = "surely" if verdict.kind in ("better", "worse") else "no sure difference"
    return f"{change.after} against {change.before} %, {sure} ({change.interval})"


class StruckScore(NamedTuple):
    """An estimated score (0 to 1) of the prompt shown without some of its parts, and how many these are."""

    score: float
    parts: int


def hero_html(result: RunResult, rows: Sequence[Turn], estimate: StruckScore | None = None) -> str:
    """Return the picture of a run's result as HTML with its style; with an estimate that is in the place of the score."""
    module: Any = templates().get_template("hero.html.j2").module
    style = templates().get_template("hero.css").render()
    return f"<style>{style}</style>{module.hero(hero(result, rows) | _estimated(result, estimate))}"


def hero(result: RunResult, rows: Sequence[Turn]) -> JsonObject:
    """Return what the picture says of the prompt that is shown, in words and shares of its width."""
    shown = result.shown
    verdict = shown.verdict
    tested = verdict if verdict.kind != "not_tested" else None
    changed = tested if tested is not None and tested.kind != "unchanged" else None
    fixed, broken = turned(rows)
    cost = shown.best.cost_per_row
    counts = [] if changed is None else [_turned_rows(fixed, better=True), _turned_rows(broken, better=False)]
    same = len(rows) - len(fixed) - len(broken)
    counts += [f"{same:,} as before"] if same and changed else []
    priced = price(cost and 1000 * cost) + (" per 1,000 rows" if cost else "")
    gain = points_gained(tested.baseline, tested.best, 1) if tested else 0.0
    exact = [percent(verdict.baseline, 1), percent(verdict.best, 1), in_points(gain, 1)]
    return {
        "look": VERDICTS[verdict.kind][1],
        "before": percent(verdict.baseline) if changed else "",
        "after": percent(verdict.best) if tested else "",
        "what": f"the {'prompt taken' if result.taken else 'best prompt'}"
        if changed
        else "the starting prompt",
        "exact": exact,
        "gain": in_points(points_gained(changed.baseline, changed.best)) if changed else "",
        "between": _between(changed) if changed else "",
        "bar": interval_bar(changed.low, changed.high, changed.difference) if changed else None,
        "turned": ", ".join(counts[:2]),
        "dots": list(_dots(fixed, broken)) if changed else [],
        "practice": _practice(shown.best) if changed else None,
        "line": " · ".join([*([", ".join(counts)] if counts and rows else []), priced]) if tested else "",
    }


def _estimated(result: RunResult, estimate: StruckScore | None) -> JsonObject:
    """Return what the picture says in another way of a prompt of which parts were struck out; nothing before the final test."""
    before = result.shown.verdict.baseline
    if estimate is None or before is None:
        return {}
    gain = points_gained(before, estimate.score)
    return {
        "before": percent(before),
        "after": f"≈ {percent(estimate.score)}",
        "what": f"an estimate, without {counted(estimate.parts, 'part')}",
        "exact": [percent(before, 1), percent(estimate.score, 1), in_points(gain, 1)],
        "gain": in_points(gain),
        "between": "by the rows to choose by: score this version to know",
        **dict.fromkeys(("bar", "practice")),
        "dots": [],
        "line": "",
    }


def row_figures(result: RunResult) -> list[tuple[str, str, int]]:
    """Return what a row takes with the prompt shown: name, value, and the change against the start in percent (0: none)."""
    before, after = result.baseline, result.shown.best
    cost, tokens = after.cost_per_row, after.tokens_per_row
    return [
        (
            "Cost per 1,000 rows",
            price(None if cost is None else 1000 * cost),
            change_in_percent(before.cost_per_row, cost),
        ),
        (
            "Tokens per row",
            "not known" if tokens is None else short(tokens),
            change_in_percent(before.tokens_per_row, tokens),
        ),
        ("Time per row", time_taken(after.seconds_per_row), 0),
    ]


def use_of_a_row(result: RunResult) -> str:
    """Return what a row takes with the prompt shown, against the starting one, in words; "" before the final test."""
    if result.shown.verdict.kind == "not_tested":
        return ""
    figures = row_figures(result)
    return " · ".join(
        f"{name}: {value}{f' ({signed(change)} %)' if change else ''}" for name, value, change in figures
    )


def turned(rows: Iterable[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Return the rows that scored higher with the best prompt than with the starting one, and those that scored lower.

    >>> turned([(1, 0.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 0.5)])
    ([(1, 0.0, 1.0)], [(3, 1.0, 0.5)])
    """
    listed = list(rows)
    return [r for r in listed if r[2] > r[1]], [r for r in listed if r[2] < r[1]]


def turn_word(rows: Iterable[Turn], *, better: bool) -> str:
    """Return what happened to rows that turned: fixed or improved, broken or made worse.

    >>> turn_word([(1, 0.0, 1.0)], better=True), turn_word([(1, 0.5, 0.0)], better=False)
    ('fixed', 'made worse')
    """
    if better:
        return "fixed" if all(after >= 1 for _, _, after in rows) else "improved"
    return "broken" if all(before >= 1 for _, before, _ in rows) else "made worse"


def interval_bar(low: float, high: float, gain: float) -> dict[str, float]:
    """Return where a gain, its interval and no change lie on a bar, in percent of its width.

    >>> interval_bar(0.1, 0.5, 0.3)
    {'zero': 50.0, 'low': 58.7, 'width': 34.8, 'gain': 76.1}
    """
    edge = max(0.1, abs(low), abs(high)) * 1.15

    def place(value: float) -> float:
        return round(100 * (value + edge) / (2 * edge), 1)

    width = round(place(high) - place(low), 1)
    return {"zero": place(0.0), "low": place(low), "width": width, "gain": place(gain)}


def _turned_rows(rows: Sequence[Turn], *, better: bool) -> str:
    return f"{len(rows):,} {turn_word(rows, better=better)}"


def _dots(fixed: Sequence[Turn], broken: Sequence[Turn]) -> Iterable[tuple[str, str]]:
    for kind, rows in (("good", fixed), ("bad", broken)):
        word = turn_word(rows, better=kind == "good")
        for number, before, after in rows[:MOST_DOTS]:
            yield kind, f"Row {number}: {word}, {percent(before, 0)} before, {percent(after, 0)} now"


def _practice(best: PromptFigures) -> JsonObject | None:
    """Return how the score on the rows to choose by and that of the test part, in words and as a bar in percent; None if unknown."""
    points = best.flattered
    if points is None or best.validation is None or best.test is None:
        return None
    lead = (
        f"Practice flattered by {counted(round(points), 'point')}"
        if points > 0
        else "Practice did not flatter"
    )
    low, high = sorted((in_percent(best.test), in_percent(best.validation)))
    words = (
        f"{lead}: {percent(best.validation)} on the rows to choose by, {percent(best.test)} on the test rows."
    )
    return {
        "words": words,
        "low": low,
        "gap": round(high - low, 1),
        "kind": "above" if points > 0 else "below",
    }


def _between(verdict: Verdict) -> str:
    rows = counted(verdict.rows, "test row")
    return f"likely between {verdict.printed.interval.replace(' to ', ' and ')}, on {rows}"
