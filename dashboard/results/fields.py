"""The results by field: which fields got better, their worst rows next to the document, and how descriptions changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.document import RecordRow, Status, graded_answer, record_rows
from dashboard.components.prompts import prompt_diff
from dashboard.components.tables import bar_column, data_table
from dashboard.results.comparison import row_number
from dashboard.results.rows import record_card
from dashboard.services import (
    Candidate,
    FieldSpec,
    Outcome,
    RunRow,
    Values,
    counted,
    in_percent,
    json_value,
    make_metric,
    mean_interval,
    paired_interval,
    paths,
    percent,
    plain_path,
    printed_change,
    signed,
)
from dashboard.state import candidates, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.text import escape_markdown

MOST_WORST = 12
"""Rows that are listed for one field."""


class WorstRow(NamedTuple):
    """A row that a field is not right in: its id, its number, its score, and the first value that is not right."""

    row: int
    number: int
    score: float
    path: str
    status: Status
    expected: str
    answer: str


class FieldResult(NamedTuple):
    """One field's scores on the same rows, 0 to 1, with the first prompt and with the last."""

    path: str
    before: float
    after: float
    change: str
    """The difference in points with its interval, in words."""
    likely: str
    """The interval of the score with the last prompt, in words."""
    rows: int
    counts: Mapping[str, int]
    """Status -> number of values."""
    worst: tuple[WorstRow, ...]
    descriptions: tuple[str, str]
    """Descriptions of the field in both prompts."""


def field_results(
    fields: Sequence[FieldSpec],
    values: Mapping[int, Mapping[str, object]],
    before: Sequence[Outcome],
    after: Sequence[Outcome],
    candidates: tuple[Candidate, Candidate],
    metric: object = None,
) -> list[FieldResult]:
    """Return each field's results, in the order of the record; fields without a value on any row are left out.

    Values are judged by `metric`, where it compares field by field. `values` are the rows' fields by row id, with the right answers. A field in the records of a list counts once a row: as the
    share of its values that are right.
    """
    first, second = ({o.row: o for o in some} for some in (before, after))
    shared = [row for row in second if row in first and row in values]
    judged = {
        row: [_judged(fields, values[row], side[row], metric) for side in (first, second)] for row in shared
    }
    results = []
    for path, field in paths(fields):
        rows = (
            [row for row in shared if all(path in side for side in judged[row])] if not field.fields else []
        )
        if rows:
            scores = [
                [_score(judged[row][at][path], side[row], path) for row in rows]
                for at, side in enumerate((first, second))
            ]
            lines = [
                (second[row], score, judged[row][1][path]) for row, score in zip(rows, scores[1], strict=True)
            ]
            texts = [
                next(
                    (d[path] for s in c.steps.values() if (d := s.field_descriptions).get(path)),
                    field.description,
                )
                for c in candidates
            ]
            results.append(_result(path, scores, lines, (texts[0], texts[1])))
    return results


def _judged(
    fields: Sequence[FieldSpec], values: Values, outcome: Outcome, metric: object
) -> dict[str, list[RecordRow]]:
    """Return a row's values by the field's path without places; a row that failed has none of them right."""
    expected = {f.name: json_value(values.get(f.name)) for f in fields}
    answer = {} if outcome.error is not None else dict(outcome.prediction)
    placed, grades = graded_answer(expected, answer, metric)
    judged: dict[str, list[RecordRow]] = {}
    for line in record_rows(fields, expected, placed, grades):
        if line.kind == "leaf":
            judged.setdefault(plain_path(line.path), []).append(line)
    return judged


def _score(lines: Sequence[RecordRow], outcome: Outcome, path: str) -> float:
    """Return a field's score in a row: the metric's own where it has one, else the share of values that are right."""
    if outcome.error is not None:
        return 0.0
    scores = [s for name, s in (outcome.objective_scores or {}).items() if plain_path(name) == path]
    if scores:
        return sum(scores) / len(scores)
    return sum(line.status == "right" for line in lines) / len(lines)


def _result(
    path: str,
    scores: Sequence[Sequence[float]],
    lines: Sequence[tuple[Outcome, float, Sequence[RecordRow]]],
    descriptions: tuple[str, str],
) -> FieldResult:
    binary = set(scores[0]) | set(scores[1]) <= {0.0, 1.0}
    low, high = paired_interval([b - a for a, b in zip(*scores, strict=True)], binary=binary)
    before, after = (sum(some) / len(some) for some in scores)
    printed, likely = printed_change(before, after, low, high), mean_interval(scores[1])
    worst = sorted((_worst(*line) for line in lines if line[1] < 1), key=lambda w: (w.score, w.number))
    return FieldResult(
        path,
        before,
        after,
        f"{signed(printed.gain)} ({printed.interval})",
        f"{percent(likely.low, 0)} and {percent(likely.high, 0)}",
        len(lines),
        Counter(line.status for _, _, some in lines for line in some),
        tuple(worst[:MOST_WORST]),
        descriptions,
    )


def _worst(outcome: Outcome, score: float, lines: Sequence[RecordRow]) -> WorstRow:
    number = row_number(outcome)
    line = next((value for value in lines if value.status != "right"), lines[0])
    answer = "failed" if outcome.error is not None else line.answer
    return WorstRow(outcome.row, number, score, line.path, line.status, line.expected, answer)


def field_table(results: Sequence[FieldResult], *, compared: bool = True) -> list[dict[str, object]]:
    """Return a line for each field; scores from 0 to 100. Where one prompt is `compared` with none, it has one score."""
    lines: list[dict[str, object]] = []
    for result in results:
        line: dict[str, object] = {"Field": result.path}
        if compared:
            line |= {"Before": in_percent(result.before, 0), "After": in_percent(result.after, 0)}
            line |= {"Change in points": result.change, "After lies between": result.likely}
        else:
            line |= {"Score": in_percent(result.after, 0), "Score lies between": result.likely}
        line |= {
            status.capitalize(): result.counts.get(status, 0) for status in ("wrong", "missing", "invented")
        }
        line |= {"Rows": result.rows}
        if compared:
            line["Description"] = "changed" if len(set(result.descriptions)) > 1 else ""
        lines.append(line)
    return lines


def field_view(run: RunRow, found: Sequence[ComparedCandidate], split: str) -> None:
    """Show the scores of each field with the first prompt and the last one picked; one field's rows below."""
    first, last = found[0], found[-1]
    whole = reading.run_spec(run)
    spec = whole.pipeline
    before, after = (candidates.outcomes(chosen_line, split) for chosen_line in (first, last))
    values = reading.row_values(run, (o.row for o in after))
    prompts = (first.candidate.candidate, last.candidate.candidate)
    metric = make_metric(whole.metric, whole.model)
    lines = field_results(spec.outputs, values, before, after, prompts, metric)
    if not lines:
        st.caption(
            "The file with this run's rows is gone, or no row has an answer, so fields cannot be compared."
        )
        return
    share = "The share of the rows' values that are right, as the metric counts them."
    event = data_table(
        field_table(lines, compared=first is not last),
        f"field_table_{run.id}_{split}",
        {
            "Before": bar_column(f"{first.name}. {share}", width="small"),
            "After": bar_column(f"{last.name}. {share}", width="small"),
            "Score": bar_column(f"{last.name}. {share}", width="small"),
            "Change in points": st.column_config.TextColumn(
                help="With its 95 % interval over the same rows."
            ),
        },
        most=14,
        height=520,
        on_select="rerun",
        selection_mode="single-row",
    )
    picked = event.selection.rows
    worst = min(range(len(lines)), key=lambda at: lines[at].after)
    chosen_line = lines[picked[0] if picked and picked[0] < len(lines) else worst]
    shown = f"**{escape_markdown(last.name, 60)}** alone: pick another prompt above to compare it"
    if first is not last:
        shown = f"**{escape_markdown(first.name, 60)}** before, **{escape_markdown(last.name, 60)}** after"
    st.caption(
        f"{shown}. Select a field; below is {'the one selected' if picked else 'the one with the lowest score'}."
    )
    _one_field(run, last, chosen_line, {o.row: o for o in after}, values)


def _one_field(
    run: RunRow,
    one: ComparedCandidate,
    field: FieldResult,
    outcomes: Mapping[int, Outcome],
    values: Mapping[int, Values],
) -> None:
    with ui.card("one_field"):
        st.markdown(f"**{escape_markdown(field.path)}**")
        before, after = field.descriptions
        if before != after:
            st.caption("Its description, before and after")
            prompt_diff(before, after)
        elif after:
            ui.named_text("Its description, which was not changed", after)
        if not field.worst:
            st.caption("Right in every row.")
            return
        worst: WorstRow | None = st.selectbox(
            f"The worst rows of {escape_markdown(field.path)}",
            field.worst,
            format_func=_row_words,
            key=f"worst_{field.path}_{run.id}_{len(field.worst)}",
        )
        if worst is not None:
            st.caption(f"{counted(len(field.worst), 'row')} not right, the worst first.")
            record_card(run, one, outcomes[worst.row], values.get(worst.row, {}), focus=worst.path)


def _row_words(worst: WorstRow) -> str:
    status_words = {"missing": "missing", "invented": "invented"}.get(worst.status, "wrong")
    got = f"{worst.answer[:40] or '(nothing)'} instead of {worst.expected[:40] or '(nothing)'}"
    return f"Row {worst.number}: {status_words}, {got}"
