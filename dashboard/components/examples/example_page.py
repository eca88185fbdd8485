"""A project's examples: the file, the fields it fills, what is doubtful, the split, and the rows to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard import data
from dashboard.components.examples.example_add import add_rows, synthetic_note
from dashboard.components.examples.example_files import picture_strip
from dashboard.components.examples.example_grid import example_grid
from dashboard.components.examples.example_mapping import columns_table, mapping_cards
from dashboard.components.examples.example_rows import file_notes, row_problems
from dashboard.components.examples.example_source import example_source
from dashboard.components.examples.example_state import undo_button, watch_examples
from dashboard.components.examples.preflight_card import preflight_card
from dashboard.components.examples.split_editor import split_editor
from dashboard.components.examples.task_from_columns import offer_task
from dashboard.components.page import Current, complain
from dashboard.plain import count, plain
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec

if TYPE_CHECKING:
    from engine.dataset import Dataset


def examples_of(now: Current, dataset_id: str) -> None:
    """Show everything about a project's examples."""
    try:
        table = data.dataset(dataset_id)
    except EngineError as error:
        complain(error)
        example_source(now)
        return
    watch_examples(now)
    _file_line(now, table)
    file_notes(table)
    spec = now.draft.pipeline
    fits = spec is not None and _fits(spec, now.draft.mapping, table.columns)
    if spec is not None and _has_fields(spec):
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
            columns_table(data.profiles(dataset_id), now.draft.mapping)
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
            f":material/description: **{plain(table.name, 60)}** · {count(len(table), 'row')} · "
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
    from engine.dataset.editing import safe_csv

    return safe_csv(data.dataset(dataset_id))


def _has_fields(spec: PipelineSpec) -> bool:
    return bool(spec.inputs or spec.outputs)


def _fits(spec: PipelineSpec, mapping: dict[str, str], columns: tuple[str, ...]) -> bool:
    fields = [f.name for f in (*spec.inputs, *spec.outputs)]
    return bool(spec.inputs and spec.outputs) and all(mapping.get(f) in columns for f in fields)
