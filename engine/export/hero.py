"""The result of a run as one picture: before and after, the interval of the gain, the test rows that turned.

The report and the Results page show the same one: `hero.html.j2` draws it, `hero.css` styles it. Texts are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from engine.basics.text import (
    change_in_percent,
    counted,
    in_points,
    percent,
    points_gained,
    price,
    printed_change,
    short,
    time_taken,
)
from engine.search.final_test import FinalTestCost

if TYPE_CHECKING:
    import jinja2

    from engine.basics.text import PrintedChange

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


def result_shown(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a run's result with the verdict and figures of the prompt taken in the place of the best one's.

    It stays the best one's where the start was taken or a prompt that was not tested. Empty before there is a result.

    >>> result_shown({"best_candidate": "a", "verdict": {}, "taken": {"best_candidate": "b"}})["best_candidate"]
    'b'
    """
    return {**(result or {}), **((result or {}).get("taken") or {})}


def result_sentences(result: Mapping[str, Any]) -> list[str]:
    """Return a run's result in words: the verdict, the number of the whole set, models, the prompt taken, the fixed prompt.

    >>> result_sentences({"verdict": {"sentence": "Better."}, "models": {"sentence": ""}})
    ['Better.']
    """
    parts = [result_shown(result).get(name) or {} for name in ("verdict", "whole_set", "models")]
    return [
        *(part["sentence"] for part in parts if part.get("sentence")),
        *_missing_rows(result.get("final_test")),
        *_taken_sentences(result),
        *_fixed_sentences(result),
    ]


def _missing_rows(left: Mapping[str, Any] | None) -> list[str]:
    cost = FinalTestCost.stored(left)
    if left is None or cost is None:
        return []
    if not left["why"]:
        return [f"The final test takes {cost.words}."]
    scored = f"{left['scored']} of {counted(left['rows'], 'test row')} were scored"
    return [f"{scored}: {left['why']} The missing rows take {cost.words}."]


def _taken_sentences(result: Mapping[str, Any]) -> list[str]:
    """Say which prompt was taken where it is not the search's choice, and whose figures are shown."""
    best, taken = result.get("best_candidate"), result.get("taken_candidate")
    if taken in (None, best) or result["verdict"].get("kind") == "not_tested":
        return []
    if taken == result.get("seed_candidate"):
        return ["The starting prompt is taken. These are the figures of the best one against it."]
    if not result.get("taken"):
        return ["Another prompt was taken; these are the figures of the best one."]
    chosen = f"the search's choice scores {percent(result['best']['test'])} on the test rows"
    return [
        f"You took this prompt; {chosen}. If the test rows made you take it, it may look better on them than it is."
    ]


def _fixed_sentences(result: Mapping[str, Any]) -> list[str]:
    """Say how the best fixed prompt does against the best one on the test rows, by which neither was chosen."""
    static = result.get("static")
    if static is None or static["candidate"] == result.get("taken_candidate"):
        return []
    name, against = "The best fixed prompt, which looks nothing up for an input,", static.get("against_best")
    if static["test"] is None:
        return [f"{name} was not tested."]
    if against is None:
        return [f"{name} scores {percent(static['test'])} on the test rows."]
    if against["kind"] != "better":
        return [f"{name} scores on the test rows, against the best one: {compared_scores(against)}."]
    return [
        f"On the test rows the fixed prompt was better: {compared_scores(against)}. "
        "It was not chosen by test rows; take it if you agree."
    ]


def compared_scores(verdict: Mapping[str, Any]) -> str:
    """Return a stored verdict's scores, how sure their difference is, and its interval in words."""
    change = printed_of(verdict)
    sure = "surely" if verdict["kind"] in ("better", "worse") else "no sure difference"
    return f"{change.after} against {change.before} %, {sure} ({change.interval})"


def printed_of(verdict: Mapping[str, Any]) -> PrintedChange:
    """Return a stored verdict's figures as they are printed."""
    return printed_change(*(verdict[name] for name in ("baseline", "best", "low", "high")))


def hero_html(result: Mapping[str, Any], rows: Sequence[Turn]) -> str:
    """Return the picture of a run's result as HTML with its style."""
    module: Any = templates().get_template("hero.html.j2").module
    style = templates().get_template("hero.css").render()
    return f"<style>{style}</style>{module.hero(hero(result, rows))}"


def hero(result: Mapping[str, Any], rows: Sequence[Turn]) -> dict[str, Any]:
    """Return what the picture says of the prompt that is shown, in words and shares of its width."""
    own = result_shown(result)
    verdict = own["verdict"]
    before, after = (verdict["baseline"], verdict["best"])
    kept, untested = verdict.get("kind") in ("unchanged", "not_tested"), after is None
    fixed, broken = turned(rows)
    cost = (own.get("best") or {}).get("cost_per_row")
    counts = [] if kept else [_turned_rows(fixed, better=True), _turned_rows(broken, better=False)]
    same = len(rows) - len(fixed) - len(broken)
    counts += [f"{same:,} as before"] if same and not kept else []
    priced = price(cost and 1000 * cost) + (" per 1,000 rows" if cost else "")
    gain = 0.0 if untested else points_gained(before, after, 1)
    exact = [percent(before, 1), percent(after, 1), in_points(gain, 1)]
    return {
        "look": VERDICTS.get(str(verdict.get("kind")), VERDICTS["too_close"])[1],
        "before": "" if kept else percent(before),
        "after": "" if untested else percent(after),
        "what": "the starting prompt"
        if kept
        else f"the {'prompt taken' if result.get('taken') else 'best prompt'}",
        "exact": exact,
        "gain": "" if kept else in_points(points_gained(before, after)),
        "between": "" if kept else _between(verdict),
        "bar": None if kept else interval_bar(verdict.get("low"), verdict.get("high"), after - before),
        "turned": ", ".join(counts[:2]),
        "dots": [] if kept else list(_dots(fixed, broken)),
        "line": "" if untested else " · ".join([*([", ".join(counts)] if counts and rows else []), priced]),
    }


def row_figures(result: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Return what a row takes with the prompt shown: name, value, and the change against the start in percent (0: none)."""
    before, after = (result_shown(result).get(part) or {} for part in ("baseline", "best"))
    cost, tokens = after.get("cost_per_row"), after.get("tokens_per_row")
    values = (
        ("Cost per 1,000 rows", price(None if cost is None else 1000 * cost), "cost_per_row"),
        ("Tokens per row", "not known" if tokens is None else short(tokens), "tokens_per_row"),
        ("Time per row", time_taken(after.get("seconds_per_row")), ""),
    )
    return [(name, value, change_in_percent(before.get(key), after.get(key))) for name, value, key in values]


def turned(rows: Iterable[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Return the rows that scored higher with the best prompt than with the starting one, and those that scored lower.

    >>> turned([(1, 0.0, 1.0), (2, 1.0, 1.0), (3, 1.0, 0.5)])
    ([(1, 0.0, 1.0)], [(3, 1.0, 0.5)])
    """
    found = list(rows)
    return [r for r in found if r[2] > r[1]], [r for r in found if r[2] < r[1]]


def turn_word(rows: Iterable[Turn], *, better: bool) -> str:
    """Return what happened to rows that turned: fixed or improved, broken or made worse.

    >>> turn_word([(1, 0.0, 1.0)], better=True), turn_word([(1, 0.5, 0.0)], better=False)
    ('fixed', 'made worse')
    """
    if better:
        return "fixed" if all(after >= 1 for _, _, after in rows) else "improved"
    return "broken" if all(before >= 1 for _, before, _ in rows) else "made worse"


def interval_bar(low: float | None, high: float | None, gain: float) -> dict[str, float] | None:
    """Return where a gain, its interval and no change lie on a bar, in percent of its width; None without an interval.

    >>> interval_bar(0.1, 0.5, 0.3)
    {'zero': 50.0, 'low': 58.7, 'width': 34.8, 'gain': 76.1}
    """
    if low is None or high is None:
        return None
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


def _between(verdict: Mapping[str, Any]) -> str:
    rows = counted(verdict.get("rows") or 0, "test row")
    if verdict.get("low") is None or verdict.get("high") is None:
        return f"on {rows}"
    return f"likely between {printed_of(verdict).interval.replace(' to ', ' and ')}, on {rows}"
