"""The rows that cannot be used, by row number, and what was noticed about the file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import data
from dashboard.components.page import complain
from dashboard.glossary import NUMBERED, explain
from dashboard.plain import count, plain
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
    table = data.dataset(dataset_id)
    found: list[RowProblem] = list(table.problems)
    good = len(table)
    if pipeline is not None:
        try:
            usable = data.usable(dataset_id, pipeline, mapping)
        except EngineError as error:
            complain(error)
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
        st.caption(f":material/info: {plain(note)}")
