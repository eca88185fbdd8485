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
        _problem_table(found, good)
    return bool(good)


def _problem_table(found: Sequence[RowProblem], good: int) -> None:
    left_out = len({p.row for p in found})
    with st.container(border=True, key="row_problems"):
        st.markdown(
            f":orange[:material/report:] **{count(left_out, 'row')} cannot be used** and will be left out; "
            f"the other {good:,} can."
        )
        lines = [{"Row": p.row, "Column": p.column, "What is wrong": p.message} for p in found[:500]]
        st.dataframe(
            lines,
            hide_index=True,
            key="problem_table",
            height="content" if len(lines) < 7 else 260,
            column_config={
                "Row": st.column_config.NumberColumn("Row", width="small", help=explain("row", NUMBERED)),
                "What is wrong": st.column_config.TextColumn("What is wrong", width="large"),
            },
        )


def file_notes(table: Dataset) -> None:
    """Show what was noticed about the file as a whole."""
    for note in table.notes[:4]:
        st.caption(f":material/info: {plain(note)}")
