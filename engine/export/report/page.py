"""The report of a run: one HTML file that holds everything it shows and loads nothing.

This module collects its content; `report.html.j2` and `report.css` lay it out. Every text is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from engine.export.report.charts import SIZES, Dot, interval_chart, score_chart
from engine.records import Candidate, Demo
from engine.text import as_text, chosen_from, counted, difference, duration, percent, price, short, time_taken

if TYPE_CHECKING:
    import jinja2

ROWS_SHOWN = 60
ROWS_OPEN = 8
"""Lines of a table that are open; further ones unfold."""

LONGEST_CELL = 700
VERDICTS = {
    "better": ("Better", "good"),
    "worse": ("Worse", "bad"),
    "too_close": ("Too close to call", "even"),
    "not_enough": ("Not enough rows to tell", "even"),
    "unchanged": ("No better prompt was found", "even"),
}
"""Kind of a verdict -> its title, and its look."""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One test row: its number in the file, its inputs, what is right, and both answers with their scores (0-1)."""

    number: int
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    before_score: float
    after_score: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class ReportPrompt:
    """One prompt of the search: its number (0 is the start), its score and the number of rows, parents' numbers, and why."""

    number: int
    score: float | None
    rows: int
    parents: tuple[int, ...]
    reason: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report shows. `verdict`, `baseline`, `best` and `whole_set` are those of the run's result."""

    title: str
    project: str
    ended: str
    verdict: Mapping[str, Any]
    baseline: Mapping[str, Any]
    best: Mapping[str, Any]
    usage: Mapping[str, Any]
    seconds: float
    start: Candidate
    tuned: Candidate
    dots: tuple[Dot, ...]
    prompts: tuple[ReportPrompt, ...]
    rows: tuple[ReportRow, ...]
    settings: tuple[tuple[str, str], ...]
    made: str
    whole_set: Mapping[str, Any] | None = None


def report_html(report: Report) -> str:
    """Return the whole file's text."""
    fixed = [r for r in report.rows if r.after_score > r.before_score]
    broken = [r for r in report.rows if r.after_score < r.before_score]
    wrong = [r for r in report.rows if r.before_score < 1 and r.after_score < 1]
    return _template().render(
        report=report,
        verdict=_verdict(report),
        figures=_figures(report),
        scores=score_chart(report.dots, report.baseline.get("validation")),
        sizes=SIZES,
        changes=_changes(report.start, report.tuned),
        better=_rows(fixed, "fixed" if all(r.after_score >= 1 for r in fixed) else "improved"),
        worse=_rows(broken, "broke" if all(r.before_score >= 1 for r in broken) else "made worse"),
        wrong=_rows(wrong, "still wrong"),
        prompts=[_prompt_line(one) for one in report.prompts],
        cost=_cost(report),
        difference=difference,
        counted=counted,
        open_rows=ROWS_OPEN,
    )


@cache
def _template() -> jinja2.Template:
    import jinja2  # only where a report is made

    loader = jinja2.PackageLoader("engine.export.report", "")
    return jinja2.Environment(loader=loader, autoescape=True).get_template("report.html.j2")


def _verdict(report: Report) -> dict[str, Any]:
    """Return the verdict's title and look, its chart if there is an interval, and what to mind about it."""
    kind = str(report.verdict.get("kind", "too_close"))
    title, look = VERDICTS.get(kind, VERDICTS["too_close"])
    low, high, gain = (report.verdict.get(k) for k in ("low", "high", "difference"))
    chart = None
    if low is not None and high is not None and kind != "unchanged":
        chart = interval_chart(low, high, gain or 0.0)
    tried = len(report.prompts)
    return {
        "title": title,
        "look": look,
        "chart": chart,
        "caution": chosen_from(tried) if tried > 1 and kind != "unchanged" else "",
    }


def _figures(report: Report) -> list[tuple[str, str, str]]:
    """Return the figures at the top: name, value, note."""
    before, after, verdict = report.baseline, report.best, report.verdict
    gain = verdict.get("difference")
    step = "" if gain is None else f"{100 * gain:+.1f} points"
    if verdict.get("kind") == "unchanged":
        step = "the starting prompt is kept"
    tokens, cost = after.get("tokens_per_row"), after.get("cost_per_row")
    won, rows = f"{verdict.get('won', 0)} / {verdict.get('lost', 0)}", verdict.get("rows", 0)
    return [
        ("Baseline", percent(before.get("test")), "the starting prompt, test rows"),
        ("Best prompt", percent(after.get("test")), step),
        ("Rows won and lost", won, f"of {rows} test rows"),
        (
            "Tokens per row",
            "not known" if tokens is None else short(tokens),
            _change(before, after, "tokens_per_row"),
        ),
        (
            "Cost per 1,000 rows",
            price(None if cost is None else 1000 * cost),
            _change(before, after, "cost_per_row"),
        ),
        ("Time per row", time_taken(after.get("seconds_per_row")), "the median"),
    ]


def _change(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    was, now = before.get(name), after.get(name)
    change = round(100 * (now / was - 1)) if was and now else 0
    return f"{change:+d} % against the baseline" if change else ""


def _changes(start: Candidate, tuned: Candidate) -> list[dict[str, Any]]:
    """Return what tuning has changed in each step: pairs of texts, and the solved examples; none where it kept all."""
    changes = []
    for path, after in tuned.steps.items() if start.id != tuned.id else ():
        before = start.steps[path]
        old, new = before.field_descriptions, after.field_descriptions
        changed = [name for name, text in new.items() if text != old.get(name, "")]
        descriptions = ["\n".join(f"{n}: {side.get(n, '')}" for n in changed) for side in (old, new)]
        changes.append(
            {
                "path": path,
                "instructions": (before.instructions, after.instructions),
                "descriptions": descriptions if changed else None,
                "examples_before": len(before.demos),
                "examples": _examples(after.demos),
            }
        )
    return changes


def _examples(demos: Sequence[Demo]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for demo in demos for name in demo.values))
    lines = [
        [*(_cut(as_text(d.values.get(n))) for n in names), "the model" if d.augmented else "the data"]
        for d in demos
    ]
    return {"head": [*names, "Made by"], "lines": lines}


def _rows(rows: Sequence[ReportRow], title: str) -> dict[str, Any]:
    """Return rows as the lines of a table, and how many more there are."""
    names = list(dict.fromkeys(name for row in rows for name in row.inputs))
    graded = any(score not in (0, 1) for row in rows for score in (row.before_score, row.after_score))
    lines = [
        [
            str(row.number),
            *([f"{percent(row.before_score, 0)} → {percent(row.after_score, 0)}"] if graded else []),
            *(_cut(as_text(row.inputs.get(n))) for n in names),
            _cut(_answer(row.expected)),
            _cut(_answer(row.before)),
            _cut(row.error or _answer(row.after)),
        ]
        for row in rows[:ROWS_SHOWN]
    ]
    head = ["Row", *(["Score"] if graded else []), *names, "Right answer", "Before", "Now"]
    more = max(0, len(rows) - ROWS_SHOWN)
    return {"title": f"{title} ({len(rows):,})", "head": head, "lines": lines, "more": more}


def _prompt_line(prompt: ReportPrompt) -> list[str]:
    return [
        f"{prompt.number}{' (best)' if prompt.best else ' (start)' if not prompt.number else ''}",
        "" if prompt.score is None else f"{percent(prompt.score)} on {counted(prompt.rows, 'row')}",
        ", ".join(map(str, prompt.parents)),
        prompt.reason or "The starting prompt.",
    ]


def _cost(report: Report) -> list[tuple[str, str]]:
    usage = report.usage
    read, written = (short(usage.get(side, 0)) for side in ("input_tokens", "output_tokens"))
    return [
        ("Calls paid for", f"{usage.get('calls', 0):,}"),
        ("Answered from the cache", f"{usage.get('cached', 0):,}"),
        ("Tokens", f"{read} read, {written} written"),
        ("Money", price(usage.get("cost"))),
        ("Working time", duration(report.seconds)),
    ]


def _answer(values: Mapping[str, object]) -> str:
    if len(values) == 1:
        return as_text(next(iter(values.values())))
    return "\n".join(f"{name}: {as_text(value)}" for name, value in values.items())


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL].rstrip()} …"
