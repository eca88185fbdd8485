"""One trial: which prompt, why it exists, what it scored and cost, and the rows it saw."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components.page import callback
from dashboard.components.runs import PERCENT, in_percent
from dashboard.state import reading
from dashboard.state.snapshot import Snapshot
from dashboard.views.glossary import NUMBERED, explain
from dashboard.views.text import count
from engine.export.figures import duration, short
from engine.records import Outcome
from engine.store.rows import CandidateRow, RunRow, TrialRow

ROWS_SHOWN = 200


def trial_card(seen: Snapshot, trial: TrialRow) -> None:
    """Show a trial that was clicked on the chart."""
    run = seen.run
    found = {c.id: c for c in reading.candidates(run.id)}
    row = found.get(trial.candidate_id)
    with st.container(border=True, key="trial_card"):
        with st.container(horizontal=True, horizontal_alignment="distribute", key="trial_head"):
            score = "in progress" if trial.score is None else f"{100 * trial.score:.1f} %"
            st.markdown(
                f"**{_name(row)}** · {score} on {trial.rows_done} of {trial.rows_total} {trial.split} rows"
            )
            st.button(
                "",
                icon=":material/close:",
                key="trial_close",
                type="tertiary",
                help="Close",
                on_click=callback(_close),
            )
        usage = trial.usage
        st.caption(
            f"Trial {trial.number}: {usage.calls} calls, {usage.cached} from the cache, {short(usage.tokens)} tokens, "
            f"{duration(trial.seconds)}"
        )
        if row is None:
            return
        st.text(_why(row, found))
        if looked := looked_at(seen.trials, row):
            st.caption(looked)
        for path, state in row.candidate.steps.items():
            if len(row.candidate.steps) > 1:
                st.caption(path)
            st.code(state.instructions or "(no instruction)", language=None, wrap_lines=True, height=140)
            st.caption(
                f"{count(len(state.demos), 'solved example')} shown to the model"
                if state.demos
                else "No solved examples shown"
            )
        with st.expander(
            f"The {count(trial.rows_done, 'row')} it was scored on", key="trial_rows", on_change="rerun"
        ) as rows:
            if rows.open:
                _rows(run, trial)


def looked_at(trials: Sequence[TrialRow], row: CandidateRow) -> str:
    """Say which rows the search had just seen of a prompt's parents when it was found, or "" where it saw none."""
    seen = [
        t
        for t in trials
        if t.split == "train"
        and t.candidate_id in row.candidate.parents
        and (t.finished_at or row.created_at + 1) <= row.created_at
    ]
    if not seen:
        return ""
    last = max(seen, key=lambda t: t.finished_at or 0.0)
    score = "" if last.score is None else f", on which its parent scored {100 * last.score:.0f} %"
    return f"Before it was made, the search looked at {count(last.rows_done, 'training row')} (trial {last.number}){score}."


def _name(row: CandidateRow | None) -> str:
    if row is None:
        return "Prompt"
    return "Starting prompt" if row.number == 0 else f"Prompt {row.number}"


def _why(row: CandidateRow, found: dict[str, CandidateRow]) -> str:
    reason = row.candidate.reason or "The starting prompt."
    parents = [_name(found[p]).lower() for p in row.candidate.parents if p in found]
    return f"{reason}\nIt comes from {' and '.join(parents)}." if parents else reason


def _rows(run: RunRow, trial: TrialRow) -> None:
    outcomes = reading.outcomes(run, trial.number)[:ROWS_SHOWN]
    values = reading.row_values(run, [o.row for o in outcomes])
    fields = reading.output_fields(run)
    st.dataframe(
        [
            _table_row(o, values.get(o.row, {}), fields)
            for o in sorted(outcomes, key=lambda o: (o.score, o.row))
        ],
        hide_index=True,
        key="trial_rows_table",
        height=260,
        column_config={
            "Row": st.column_config.NumberColumn(width="small", help=explain("row", NUMBERED)),
            "Score": st.column_config.NumberColumn(width="small", format=PERCENT, help=explain("score")),
        },
    )
    if trial.rows_done > len(outcomes):
        st.caption(f"The first {len(outcomes)} of {trial.rows_done:,} rows.")


def _table_row(outcome: Outcome, values: dict[str, object], fields: Sequence[str]) -> dict[str, object]:
    inputs = {name: str(value)[:300] for name, value in values.items() if name not in fields}
    return {
        "Row": outcome.number,
        "Score": in_percent(outcome.score),
        **inputs,
        "Right answer": ", ".join(str(values.get(f, ""))[:300] for f in fields),
        "Model said": outcome.error or ", ".join(str(outcome.prediction.get(f, ""))[:300] for f in fields),
        "Why": outcome.feedback[:300],
    }


def _close() -> None:
    st.query_params.pop("trial", None)
