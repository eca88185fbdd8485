"""The report of a run: one HTML file that holds everything it shows and loads nothing.

This module collects its content; `report.html.j2` and `report.css` lay it out and draw the charts. Every text is
escaped by the template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from engine.basics.data import JsonObject, Values
from engine.basics.text import (
    chosen_from,
    counted,
    cut,
    difference,
    duration,
    percent,
    price,
    short,
    signed,
)
from engine.export.hero import (
    VERDICTS,
    Turn,
    hero,
    result_sentences,
    row_figures,
    templates,
    turn_word,
)
from engine.records import Candidate, Demo, value_text
from engine.search.judging.leader import Lead, known_trials, outlines

if TYPE_CHECKING:
    from engine.records import Usage
    from engine.search.result import RunResult
    from engine.store.rows import CandidateRow, RunRow, TrialRow

ROWS_SHOWN = 60
ROWS_OPEN = 8
"""Lines of a table that are open; further ones unfold."""

LONGEST_CELL = 700


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One test row: its number in the file, its inputs, what is right, and both answers with their scores (0-1)."""

    number: int
    inputs: Values
    expected: Values
    before: Values
    after: Values
    before_score: float
    after_score: float
    error: str = ""

    @property
    def turn(self) -> Turn:
        """Its number and both scores."""
        return self.number, self.before_score, self.after_score


def report_html(
    run: RunRow,
    project: str,
    candidates: Sequence[CandidateRow],
    trials: Sequence[TrialRow],
    rows: Sequence[ReportRow],
    settings: Sequence[tuple[str, str]],
    leads: Sequence[Lead] = (),
    shared: str = "",
) -> str:
    """Return the whole file's text. `settings` are (name, value) in plain words, `leads` the best prompts so far.

    The run has a result. `shared` says who shared it.
    """
    result = run.require_result()
    shown = result.shown
    by_id = {c.id: c.candidate for c in candidates}
    turns = [r.turn for r in rows]
    fixed = [r for r in rows if r.after_score > r.before_score]
    broken = [r for r in rows if r.after_score < r.before_score]
    wrong = [r for r in rows if r.before_score < 1 and r.after_score < 1]
    ended = datetime.fromtimestamp(run.finished_at or run.created_at).astimezone()
    chosen = len(candidates) > 1 and shown.verdict.kind != "unchanged" and not result.taken
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            title=run.title,
            project=project,
            shared=shared,
            ended=f"{run.state.capitalize()} on {ended.strftime('%d %B %Y at %H:%M')}",
            made=datetime.now().astimezone().strftime("%d %B %Y"),
            sentences=result_sentences(result),
            verdict=VERDICTS[shown.verdict.kind],
            hero=hero(result, turns),
            caution=chosen_from(len(candidates)) if chosen else "",
            figures=[(name, value, _note(name, change)) for name, value, change in row_figures(result)],
            scores=score_chart(trials, candidates, leads, result.best_candidate),
            sizes=SIZES,
            changes=_changes(by_id[result.seed_candidate], by_id[shown.best_candidate]),
            better=_rows(fixed, turn_word((r.turn for r in fixed), better=True)),
            worse=_rows(broken, turn_word((r.turn for r in broken), better=False)),
            wrong=_rows(wrong, "still wrong"),
            prompts=_prompts(candidates, result),
            cost=_cost(result.usage, result.seconds),
            settings=settings,
            difference=difference,
            counted=counted,
            open_rows=ROWS_OPEN,
        )
    )


def _note(name: str, change: int) -> str:
    if name == "Time per row":
        return "the median"
    return f"{signed(change)} % against the baseline" if change else ""


def _changes(start: Candidate, tuned: Candidate) -> list[JsonObject]:
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


def _examples(demos: Sequence[Demo]) -> JsonObject:
    names = list(dict.fromkeys(name for demo in demos for name in demo.values))
    lines = [
        [
            *(cut(value_text(d.values.get(n)), LONGEST_CELL) for n in names),
            "the model" if d.augmented else "the data",
        ]
        for d in demos
    ]
    return {"head": [*names, "Made by"], "lines": lines}


def _rows(rows: Sequence[ReportRow], title: str) -> JsonObject:
    """Return rows as the lines of a table, and how many more there are."""
    names = list(dict.fromkeys(name for row in rows for name in row.inputs))
    graded = any(score not in (0, 1) for row in rows for score in (row.before_score, row.after_score))
    lines = [
        [
            str(row.number),
            *([f"{percent(row.before_score, 0)} → {percent(row.after_score, 0)}"] if graded else []),
            *(cut(value_text(row.inputs.get(n)), LONGEST_CELL) for n in names),
            cut(_answer(row.expected), LONGEST_CELL),
            cut(_answer(row.before), LONGEST_CELL),
            cut(row.error or _answer(row.after), LONGEST_CELL),
        ]
        for row in rows[:ROWS_SHOWN]
    ]
    head = ["Row", *(["Score"] if graded else []), *names, "Right answer", "Before", "Now"]
    more = max(0, len(rows) - ROWS_SHOWN)
    return {"title": f"{title} ({len(rows):,})", "head": head, "lines": lines, "more": more}


def _prompts(candidates: Sequence[CandidateRow], result: RunResult) -> list[list[str]]:
    """Return each prompt as a line of a table: number, score, its parents' numbers, and why it exists."""
    numbers = {c.id: c.number for c in candidates}
    marks = {
        **({result.static.candidate: " (best fixed)"} if result.static else {}),
        result.seed_candidate: " (start)",
        result.best_candidate: " (best)",
    }
    taken_id = result.taken.best_candidate if result.taken else ""
    return [
        [
            f"{c.number}{marks.get(c.id, '')}{' (taken)' if c.id == taken_id else ''}",
            "" if c.score is None else f"{percent(c.score, 1)} on {counted(c.rows, 'row')}",
            ", ".join(str(numbers[parent]) for parent in c.candidate.parents if parent in numbers),
            c.candidate.reason or "The starting prompt.",
        ]
        for c in candidates
    ]


def _cost(usage: Usage, seconds: float) -> list[tuple[str, str]]:
    read, written = short(usage.input_tokens), short(usage.output_tokens)
    return [
        ("Calls paid for", f"{usage.calls:,}"),
        *([("Answered from the cache", f"{usage.cached:,}")] if usage.cached else []),
        ("Tokens", f"{read} read, {written} written"),
        ("Money", price(usage.cost)),
        ("Working time", duration(seconds)),
    ]


def _answer(values: Mapping[str, object]) -> str:
    if len(values) == 1:
        return value_text(next(iter(values.values())))
    return "\n".join(f"{name}: {value_text(value)}" for name, value in values.items())


# Charts: scores and their places on a canvas

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 40
SIZES = {"chosen": 7, "whole": 5, "part": 4}
"""Kind of a dot -> its radius."""


class Mark(NamedTuple):
    """Something at a place of a chart: a line of the grid with its label, or a dot with what it says."""

    x: float
    y: float
    text: str
    kind: str = ""


def score_chart(
    trials: Sequence[TrialRow], candidates: Sequence[CandidateRow], leads: Sequence[Lead], chosen: str
) -> JsonObject:
    """Return the chart of a search from 0 to 100 %: the grid, the best so far with its interval, a dot for each prompt scored.

    `chosen` is the id of the prompt chosen at the end; the first of the candidates is the baseline.
    """
    known = {c: t for c, t in known_trials(trials).items() if t.answered_score is not None}
    rows = max((t.rows_total for t in known.values()), default=0)
    dots = [(c, t, t.answered_score or 0.0) for c in candidates if (t := known.get(c.id)) is not None]
    last = max((c.number for c, _, _ in dots), default=0)

    def x(number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (number + 0.5) / (last + 1)

    def y(score: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - score)

    def mark(candidate: CandidateRow, trial: TrialRow, score: float) -> Mark:
        kind = "chosen" if candidate.id == chosen else "whole" if trial.rows_total == rows else "part"
        text = f"Prompt {candidate.number}: {percent(score, 1)} on {trial.rows_done} rows"
        return Mark(x(candidate.number), y(score), text, kind)

    path, band = (
        " ".join(f"{x(at):.1f},{y(score):.1f}" for at, score in corners)
        for corners in outlines(leads, last + 0.5)
    )
    start = next((score for c, _, score in dots if c.number == 0), None)
    return {
        "grid": [Mark(LEFT, y(fifth / 5), percent(fifth / 5, 0)) for fifth in range(6)],
        "numbers": [Mark(x(n), HEIGHT - BOTTOM, str(n)) for n in range(0, last + 1, 1 + last // 20)],
        "baseline": None if start is None else Mark(LEFT, y(start), percent(start, 0)),
        "band": band,
        "path": path,
        "dots": [mark(*dot) for dot in dots],
    }
