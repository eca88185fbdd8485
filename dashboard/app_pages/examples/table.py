"""The rows that cannot be used, by row number, and what was noticed about the file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.app_pages.examples.add import add_rows, synthetic_note
from dashboard.app_pages.examples.grid import example_grid
from dashboard.app_pages.examples.mapping import columns_table, mapping_cards, offer_task
from dashboard.app_pages.examples.preflight import preflight_card, split_editor
from dashboard.app_pages.examples.source import example_source, picture_strip
from dashboard.app_pages.examples.state import forget_rows, undo_button
from dashboard.components.guard import watch
from dashboard.components.page import Current, show_error
from dashboard.state import reading
from dashboard.views.glossary import NUMBERED, explain
from dashboard.views.text import count, escape_markdown
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec

if TYPE_CHECKING:
    from engine.dataset import Dataset, RowProblem


LINES = 500
NAMED = 12
"""Rows that are named for one thing that is wrong; the others are counted."""


def row_problems(
    dataset_id: str, pipeline: PipelineSpec | None, mapping: dict[str, str], excluded: Collection[int] = ()
) -> bool:
    """List the rows that cannot be used, other than those left out; return whether some can."""
    table = reading.dataset(dataset_id)
    found: list[RowProblem] = list(table.problems)
    good = len(table)
    if pipeline is not None:
        try:
            usable = reading.usable(dataset_id, pipeline, mapping)
        except EngineError as error:
            show_error(error)
            return False
        gone = {table.row_number(row) for row in excluded if row < len(table)}
        found += [p for p in usable.problems if p.row not in gone]
        good = sum(row not in excluded for row in usable.examples) if excluded else len(usable.examples)
    if found:
        answers = {mapping.get(f.name) for f in pipeline.outputs} if pipeline is not None else set()
        _problem_table(found, good, answers)
    return bool(good)


def _problem_table(found: Sequence[RowProblem], good: int, answers: Collection[str | None]) -> None:
    left_out = len({p.row for p in found})
    with st.container(border=True, key="row_problems"):
        st.markdown(
            f":orange[:material/report:] **{count(left_out, 'row')} cannot be used** and will be left out; "
            f"the other {good:,} can."
        )
        lines = problem_lines(found)
        st.dataframe(
            lines,
            hide_index=True,
            key="problem_table",
            height="content" if len(lines) < 7 else 260,
            column_config={
                "What is wrong": st.column_config.TextColumn("What is wrong", width="large"),
                "Rows": st.column_config.TextColumn("Rows", help=explain("row", NUMBERED)),
            },
        )
        empty = [p.column in answers for p in found if p.message.endswith("is empty.")]
        if any(empty):
            st.caption(
                "A row without its right answer can be neither learned from nor tested on. Fill it in, in the grid below."
            )
        if not all(empty):
            st.caption(
                "Where an input may be empty, choose *Text, or empty* as its type on the Task page: then such rows are used too."
            )


def problem_lines(found: Sequence[RowProblem]) -> list[dict[str, str]]:
    """Return one line for each thing that is wrong, with the rows where it is.

    >>> from engine.dataset import RowProblem
    >>> problem_lines([RowProblem(2, "team", "It is empty."), RowProblem(9, "team", "It is empty.")])
    [{'What is wrong': 'It is empty.', 'Column': 'team', 'Rows': '2, 9'}]
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for problem in found:
        rows.setdefault((problem.message, problem.column), []).append(problem.row)
    return [
        {"What is wrong": message, "Column": column, "Rows": _numbers(at)}
        for (message, column), at in list(rows.items())[:LINES]
    ]


def _numbers(rows: Sequence[int]) -> str:
    more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
    return ", ".join(map(str, rows[:NAMED])) + more


def file_notes(table: Dataset) -> None:
    """Show what was noticed about the file as a whole."""
    for note in table.notes[:4]:
        st.caption(f":material/info: {escape_markdown(note)}")


def examples_of(now: Current, dataset_id: str) -> None:
    """Show everything about a project's examples."""
    try:
        table = reading.dataset(dataset_id)
    except EngineError as error:
        show_error(error)
        example_source(now)
        return
    if watch(now, "examples"):
        forget_rows(now.id)
    _file_line(now, table)
    file_notes(table)
    spec = now.draft.pipeline
    fits = spec is not None and _fits(spec, now.draft.mapping, table.columns)
    if spec is not None and (spec.inputs or spec.outputs):
        st.markdown("##### Fields and their columns")
        mapping_cards(now, spec, dataset_id)
    if not fits:
        offer_task(now, dataset_id)
    # Checking and dividing many rows takes a second or two: the rows themselves are shown first, below.
    checks = st.container(key="row_checks")
    rows, adding, columns = st.tabs(["Rows", "Add rows", "Columns"], key="example_tabs", on_change="rerun")
    if rows.open:
        with rows:
            example_grid(now)
            picture_strip(now, table)
    if adding.open:
        with adding:
            add_rows(now, table)
    if columns.open:
        with columns:
            columns_table(reading.profiles(dataset_id), now.draft.mapping)
    with checks:
        usable = row_problems(dataset_id, spec if fits else None, now.draft.mapping, now.draft.excluded)
        if fits and usable and spec is not None:
            split_editor(now)
            preflight_card(now)


def _file_line(now: Current, table: Dataset) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="file_line"):
        left = len(now.draft.excluded)
        out = f" · {count(left, 'row')} left out" if left else ""
        st.markdown(
            f":material/description: **{escape_markdown(table.name, 60)}** · {count(len(table), 'row')} · "
            f"{count(len(table.columns), 'column')}{out}",
            width="content",
        )
        with st.popover(
            "Use other examples", icon=":material/swap_horiz:", key="source_popover", width="content"
        ):
            example_source(now)
        undo_button(now)
        st.download_button(
            "Download",
            data=lambda: _csv(now.draft.dataset or ""),
            file_name=f"{table.name.rpartition('.')[0] or 'rows'}.csv",
            mime="text/csv",
            icon=":material/download:",
            key="download_rows",
            on_click="ignore",
            help="These rows as a CSV file. A text that a spreadsheet would run as a formula gets a ' before it.",
        )
    synthetic_note(now)


def _csv(dataset_id: str) -> bytes:
    from engine.dataset.table import safe_csv

    return safe_csv(reading.dataset(dataset_id))


def _fits(spec: PipelineSpec, mapping: dict[str, str], columns: tuple[str, ...]) -> bool:
    fields = [f.name for f in (*spec.inputs, *spec.outputs)]
    return bool(spec.inputs and spec.outputs) and all(mapping.get(f) in columns for f in fields)
