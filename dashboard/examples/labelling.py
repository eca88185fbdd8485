"""Labelling by keyboard: one row at a time, the most doubtful first; accept its answer, correct it, or skip it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage
from dashboard.examples.grid import problem_key, save_rows
from dashboard.services import (
    COMMENT,
    MOST_ROWS,
    THUMBS,
    Candidate,
    DatasetError,
    Doubt,
    FieldSpec,
    ModelChoice,
    PipelineSpec,
    ProjectDraft,
    cell_text,
    counted,
    json_value,
    label_order,
    price,
)
from dashboard.state import candidates, playground, reading
from dashboard.state.editing import examples
from dashboard.state.messages import calls_a_row
from dashboard.state.models import lacking, title_of
from dashboard.state.session import LABEL_ANSWERS, LABEL_SKIPPED
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Dataset


LABELLED = "labelled"
"""Column that says of a row that a person looked at its answer."""

NOT_RIGHT = "left out while labelling"


def labelled_field(draft: ProjectDraft, table: Dataset) -> FieldSpec | None:
    """Return the answer that is labelled: the task's only one, where a column holds it and it is no record; else None."""
    outputs = draft.pipeline.outputs if draft.pipeline else ()
    if len(outputs) != 1 or outputs[0].fields or draft.mapping.get(outputs[0].name) not in table.columns:
        return None
    return outputs[0]


def labelled_rows(table: Dataset) -> set[int]:
    """Return the rows that were labelled."""
    if LABELLED not in table.columns:
        return set()
    return {row for row, cell in enumerate(table.values(LABELLED)) if cell.strip()}


def queue(project_id: str, draft: ProjectDraft, table: Dataset) -> list[Doubt]:
    """Return the rows to label, the most doubtful first, those skipped last."""
    field = labelled_field(draft, table)
    if field is None:
        return []
    cells = table.values(draft.mapping[field.name])
    thumbs = table.values(THUMBS) if THUMBS in table.columns else []
    skipped = LABEL_SKIPPED.get(project_id)
    doubts = label_order(
        {row: cell for row, cell in enumerate(cells) if row not in draft.excluded},
        thumbs=dict(enumerate(thumbs)),
        others=LABEL_ANSWERS.get(project_id),
        labelled=labelled_rows(table),
    )
    return sorted(doubts, key=lambda doubt: skipped.index(doubt.row) + 1 if doubt.row in skipped else 0)


def best_prompts(project_id: str, draft: ProjectDraft) -> tuple[PipelineSpec, list[Candidate | None]]:
    """Return the two best prompts of the last run with the task's fields, and its task; else the task as it is (None)."""
    task = draft.pipeline or PipelineSpec()
    for run in reading.runs(project_id):
        spec = None
        with suppress(ValueError):  # saved by another version
            spec = reading.run_spec(run) if run.result else None
        if spec is None or (spec.pipeline.inputs, spec.pipeline.outputs) != (task.inputs, task.outputs):
            continue
        entries = [c for c in candidates.index(run) if c.score is not None]
        entries.sort(key=lambda c: (c.id == run.best, c.rows, c.score or 0.0), reverse=True)
        if entries:
            return spec.pipeline, [reading.prompt(run, c.id) for c in entries[:2]]
    return task, [None]


def ask(project_id: str, draft: ProjectDraft, rows: Sequence[int]) -> None:
    """Answer rows with the best prompts and keep the answers. Raises EngineError."""
    field = labelled_field(draft, reading.dataset(draft.dataset or ""))
    if field is None:
        raise DatasetError("The task has no single answer to label.")
    inputs = reading.examples_at(draft, rows, labelled=False)
    wanted = {row: json_value(dict(example)) for row, example in inputs.items()}
    if not wanted:
        raise DatasetError("None of these rows can be answered: their inputs do not fit the task.")
    pipeline, prompts = best_prompts(project_id, draft)
    asked = draft.model_copy(update={"pipeline": pipeline, "metric": None})
    answers: dict[int, list[str]] = {}
    for prompt in prompts:
        for outcome in playground.answer_rows(asked, wanted, candidate=prompt):
            if not outcome.error:
                text = cell_text(json_value(outcome.prediction.get(field.name)))
                answers.setdefault(outcome.row, []).append(text)
    LABEL_ANSWERS.set({**LABEL_ANSWERS.get(project_id), **answers}, project_id)


def leave_out(project_id: str, row: int) -> None:
    """Leave a row out whose right answer cannot be said."""
    what = "Leave out a row while labelling"
    save_rows(project_id, lambda _table, _seen: examples.leave_out(project_id, what, {row: NOT_RIGHT}))


def save_label(project_id: str, row: int, answer: str) -> None:
    """Save a row's right answer, as `label` does; an error is kept for the page."""
    save_rows(project_id, lambda _table, _seen: label(project_id, row, answer))


def label(project_id: str, row: int, answer: str) -> None:
    """Save a row's right answer, as an edit that can be undone. Raises DatasetError for a blank one."""
    if not answer.strip():
        raise DatasetError("A label needs an answer. Choose or write one, or leave the row out.")
    draft = reading.draft(project_id)
    table = reading.dataset(draft.dataset or "")
    field = labelled_field(draft, table)
    if field is None:
        raise DatasetError("The task has no single answer to label.")
    cells = {(row, draft.mapping[field.name]): answer, (row, LABELLED): "yes"}
    what = f"Label row {table.row_number(row)}"
    examples.change_rows(project_id, what, table, cells=cells, also={"columns": [LABELLED]})


def skip(project_id: str, row: int) -> None:
    """Put a row at the end for now."""
    others = [skipped for skipped in LABEL_SKIPPED.get(project_id) if skipped != row]
    LABEL_SKIPPED.set([*others, row], project_id)


KEYS = 9
"""Allowed values that have a key: 1 to 9."""


def label_tab(page: ProjectPage, table: Dataset) -> None:
    """Show the row whose answer is most in doubt, with a key for each thing that can be done with it."""
    field = labelled_field(page.draft, table)
    if field is None:
        st.caption(
            "Rows are labelled here when the task has one answer that is a text or a value, and a column for it."
        )
        return
    doubts = queue(page.id, page.draft, table)
    done = len(labelled_rows(table))
    column = page.draft.mapping[field.name]
    answers = table.values(column)
    blank = sum(not answers[doubt.row].strip() for doubt in doubts)
    to_do = [f"{counted(blank, 'row')} to label"] if blank else []
    to_do += [f"{counted(len(doubts) - blank, 'answer')} to check"] if len(doubts) > blank else []
    with ui.row("label_head", side="distribute"):
        st.markdown(f"**{', '.join(to_do) or 'Nothing to label'}**, {done:,} labelled", width="content")
        _ask_prompt(page, [doubt.row for doubt in doubts])
    ui.problem_line(problem_key(page.id))
    if not doubts:
        st.caption(
            ui.mark("check_circle", "Every row is labelled, or was settled by its user's thumbs-up.", "green")
        )
        return
    row, reason = doubts[0]
    (cells,) = table.rows(row, row + 1)
    with ui.card("label_card"):
        st.caption(f"Row {table.row_number(row)}. {reason}")
        for input_field in page.draft.pipeline.inputs if page.draft.pipeline else ():
            ui.named_text(input_field.name, cells.get(page.draft.mapping.get(input_field.name, ""), ""))
        comment = cells.get(COMMENT, "")
        if comment:
            st.caption(f"Its user wrote: {escape_markdown(comment, 400)}")
        ui.named_text(f"{field.name}, as it is now", answers[row] or "(blank)")
        for text in sorted(set(LABEL_ANSWERS.get(page.id).get(row, ()))):
            ui.named_text("A prompt answers", text)
        if not read_only():
            _actions(page, field, row, answers[row])


def _actions(page: ProjectPage, field: FieldSpec, row: int, answer: str) -> None:
    with ui.row("label_actions", "bottom"):
        st.button(
            "Accept",
            key="label_accept",
            shortcut="a",
            type="primary",
            disabled=not answer.strip(),
            on_click=ui.callback(save_label, page.id, row, answer),
        )
        st.button("Skip", key="label_skip", shortcut="s", on_click=ui.callback(skip, page.id, row))
        st.button("Leave out", key="label_out", shortcut="x", on_click=ui.callback(leave_out, page.id, row))
    if field.choices:
        with ui.row("label_values"):
            for at, value in enumerate(field.choices[:KEYS]):
                st.button(
                    escape_markdown(value, 60),
                    key=f"label_value_{at}",
                    shortcut=str(at + 1),
                    on_click=ui.callback(save_label, page.id, row, value),
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
                save_label(page.id, row, picked)
                st.rerun()
    else:
        key = f"label_text_{page.id}_{row}"
        st.text_input(
            "The right answer (Enter saves it)",
            answer,
            key=key,
            on_change=ui.with_value(key, save_label, page.id, row),
        )


def _ask_prompt(page: ProjectPage, rows: list[int]) -> None:
    """Offer to answer the next rows with the best prompts, so that those where they disagree come first."""
    known = LABEL_ANSWERS.get(page.id)
    asked = [row for row in rows if row not in known][:MOST_ROWS]
    if not asked or read_only():
        return
    model = page.draft.model or ModelChoice()
    pipeline, prompts = best_prompts(page.id, page.draft)
    calls = len(asked) * len(prompts) * calls_a_row(pipeline, adapter=page.draft.adapter)
    why_not = playground.why_not(page.draft) or lacking([model])
    cost = escape_markdown(price(examples.calls_price(page.draft, calls), "about "))
    label = f"Find disagreements in the next {len(asked)} ({counted(calls, 'call')}, {cost})"
    which = "the two best prompts of the last run" if len(prompts) > 1 else "the prompt as it is"
    what = f"Asks {escape_markdown(title_of(model))} with {which}."
    if ui.button(label, "label_ask", why_not, icon="rule", help=what):
        with ui.problem_kept(problem_key(page.id)), st.spinner("Asking the model"):
            ask(page.id, page.draft, asked)
        st.rerun()
