"""Labelling by keyboard: one row at a time, the most doubtful first; accept its answer, correct it, or skip it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import Current
from dashboard.examples import label_order
from dashboard.examples.grid import problem_key, save_rows
from dashboard.state import playground
from dashboard.state.editing import examples
from dashboard.state.messages import calls_a_row
from dashboard.state.models import lacking, title_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown
from engine.basics.text import counted, price
from engine.dataset.logs import COMMENT
from engine.pipeline.spec import FieldSpec
from engine.runs.child.playground import MOST_ROWS
from engine.runs.spec import ModelChoice

if TYPE_CHECKING:
    from engine.dataset import Dataset

KEYS = 9
"""Allowed values that have a key: 1 to 9."""


def label_tab(now: Current, table: Dataset) -> None:
    """Show the row whose answer is most in doubt, with a key for each thing that can be done with it."""
    field = label_order.labelled_field(now.draft, table)
    if field is None:
        st.caption(
            "Rows are labelled here when the task has one answer that is a text or a value, and a column for it."
        )
        return
    queue = label_order.queue(now.id, now.draft, table)
    done = len(label_order.labelled_rows(table))
    column = now.draft.mapping[field.name]
    answers = table.values(column)
    blank = sum(not answers[doubt.row].strip() for doubt in queue)
    to_do = [f"{counted(blank, 'row')} to label"] if blank else []
    to_do += [f"{counted(len(queue) - blank, 'answer')} to check"] if len(queue) > blank else []
    with ui.row("label_head", side="distribute"):
        st.markdown(f"**{', '.join(to_do) or 'Nothing to label'}**, {done:,} labelled", width="content")
        _ask_prompt(now, [doubt.row for doubt in queue])
    ui.problem_line(problem_key(now.id))
    if not queue:
        st.caption(
            ui.mark("check_circle", "Every row is labelled, or was settled by its user's thumbs-up.", "green")
        )
        return
    row, reason = queue[0]
    (cells,) = table.rows(row, row + 1)
    with ui.card("label_card"):
        st.caption(f"Row {table.row_number(row)}. {reason}")
        for one in now.draft.pipeline.inputs if now.draft.pipeline else ():
            ui.named_text(one.name, cells.get(now.draft.mapping.get(one.name, ""), ""))
        comment = cells.get(COMMENT, "")
        if comment:
            st.caption(f"Its user wrote: {escape_markdown(comment, 400)}")
        ui.named_text(f"{field.name}, as it is now", answers[row] or "(blank)")
        for said in sorted(set(label_order.answers_of(now.id).get(row, ()))):
            ui.named_text("A prompt answers", said)
        if not read_only():
            _actions(now, field, row, answers[row])


def _actions(now: Current, field: FieldSpec, row: int, answer: str) -> None:
    with ui.row("label_actions", "bottom"):
        st.button(
            "Accept",
            key="label_accept",
            shortcut="a",
            type="primary",
            disabled=not answer.strip(),
            on_click=ui.callback(_label, now.id, row, answer),
        )
        st.button("Skip", key="label_skip", shortcut="s", on_click=ui.callback(label_order.skip, now.id, row))
        st.button("Leave out", key="label_out", shortcut="x", on_click=ui.callback(_leave_out, now.id, row))
    if field.choices:
        with ui.row("label_values"):
            for at, value in enumerate(field.choices[:KEYS]):
                st.button(
                    escape_markdown(value, 60),
                    key=f"label_value_{at}",
                    shortcut=str(at + 1),
                    on_click=ui.callback(_label, now.id, row, value),
                )
        if len(field.choices) > KEYS:
            picked = st.selectbox(
                "Another value",
                field.choices[KEYS:],
                index=None,
                key=f"label_pick_{row}",
                placeholder="Type to find it",
            )
            if picked is not None:
                _label(now.id, row, picked)
                st.rerun()
    else:
        key = f"label_text_{now.id}_{row}"
        st.text_input(
            "The right answer (Enter saves it)",
            answer,
            key=key,
            on_change=ui.with_value(key, _label, now.id, row),
        )


def _label(project_id: str, row: int, answer: str) -> None:
    save_rows(project_id, lambda _table, _seen: label_order.label(project_id, row, answer))


def _leave_out(project_id: str, row: int) -> None:
    save_rows(project_id, lambda _table, _seen: label_order.leave_out(project_id, row))


def _ask_prompt(now: Current, rows: list[int]) -> None:
    """Offer to answer the next rows with the best prompts, so that those where they disagree come first."""
    known = label_order.answers_of(now.id)
    asked = [row for row in rows if row not in known][:MOST_ROWS]
    if not asked or read_only():
        return
    model = now.draft.model or ModelChoice()
    pipeline, prompts = label_order.best_prompts(now.id, now.draft)
    calls = len(asked) * len(prompts) * calls_a_row(pipeline, adapter=now.draft.adapter)
    why_not = playground.why_not(now.draft) or lacking([model])
    cost = escape_markdown(price(examples.calls_price(now.draft, calls), "about "))
    label = f"Find disagreements in the next {len(asked)} ({counted(calls, 'call')}, {cost})"
    which = "the two best prompts of the last run" if len(prompts) > 1 else "the prompt as it is"
    what = f"Asks {escape_markdown(title_of(model))} with {which}."
    if ui.button(label, "label_ask", why_not, icon="rule", help=what):
        with ui.problem_kept(problem_key(now.id)), st.spinner("Asking the model"):
            label_order.ask(now.id, now.draft, asked)
        st.rerun()
