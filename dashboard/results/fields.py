"""The results by field: which fields got better, their worst rows next to the document, and how descriptions changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.components.prompts import prompt_diff
from dashboard.components.tables import bar_column, data_table
from dashboard.results.field_scores import FieldResult, WorstRow, field_results, field_table
from dashboard.results.record import record_card
from dashboard.results.rows import split_choice
from dashboard.state import candidates, reading
from dashboard.state.candidates import ComparedCandidate
from dashboard.text import escape_markdown
from engine.basics.text import counted
from engine.records import Outcome
from engine.runs.spec import make_metric
from engine.store.rows import RunRow


def field_view(run: RunRow, found: Sequence[ComparedCandidate]) -> None:
    """Show the scores of each field with the first prompt and the last one picked; one field's rows below."""
    split = split_choice(found, key="field_split")
    if split is None:
        return
    first, last = found[0], found[-1]
    whole = reading.run_spec(run)
    spec = whole.pipeline
    before, after = (candidates.outcomes(one, split) for one in (first, last))
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
    one = lines[picked[0] if picked and picked[0] < len(lines) else worst]
    shown = f"**{escape_markdown(last.name, 60)}** alone: pick another prompt above to compare it"
    if first is not last:
        shown = f"**{escape_markdown(first.name, 60)}** before, **{escape_markdown(last.name, 60)}** after"
    st.caption(
        f"{shown}. Select a field; below is {'the one selected' if picked else 'the one with the lowest score'}."
    )
    _one_field(run, last, one, {o.row: o for o in after}, values)


def _one_field(
    run: RunRow,
    one: ComparedCandidate,
    field: FieldResult,
    outcomes: Mapping[int, Outcome],
    values: Mapping[int, Mapping[str, Any]],
) -> None:
    with ui.card("one_field"):
        st.markdown(f"**{escape_markdown(field.path)}**")
        if field.said_before != field.said_after:
            st.caption("Its description, before and after")
            prompt_diff(field.said_before, field.said_after)
        elif field.said_after:
            ui.named_text("Its description, which was not changed", field.said_after)
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
    said = {"missing": "missing", "invented": "invented"}.get(worst.status, "wrong")
    got = f"{worst.answer[:40] or '(nothing)'} instead of {worst.expected[:40] or '(nothing)'}"
    return f"Row {worst.number}: {said}, {got}"
