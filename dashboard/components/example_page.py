"""A project's examples: the file, the fields it fills, the rows that cannot be used, the split, the rows."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.example_mapping import columns_table, mapping_cards
from dashboard.components.example_rows import file_notes, row_pages, row_problems
from dashboard.components.example_source import example_source
from dashboard.components.page import Current, complain
from dashboard.components.split_editor import split_editor
from dashboard.components.task_from_columns import offer_task
from dashboard.plain import count, plain
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec


def examples_of(now: Current, dataset_id: str) -> None:
    """Show everything about a project's examples."""
    try:
        table = data.dataset(dataset_id)
    except EngineError as error:
        complain(error)
        example_source(now)
        return
    with st.container(horizontal=True, vertical_alignment="center", key="file_line"):
        st.markdown(
            f":material/description: **{plain(table.name, 60)}** · {count(len(table), 'row')} · "
            f"{count(len(table.columns), 'column')}",
            width="content",
        )
        with st.popover(
            "Use other examples", icon=":material/swap_horiz:", key="source_popover", width="content"
        ):
            example_source(now)
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
    columns, rows = st.tabs(["Columns", "Rows"], key="example_tabs", on_change="rerun")
    if columns.open:
        with columns:
            columns_table(data.profiles(dataset_id), now.draft.mapping)
    if rows.open:
        with rows:
            row_pages(table)
    with checks:
        usable = row_problems(dataset_id, spec if fits else None, now.draft.mapping)
        if fits and usable and spec is not None:
            split_editor(now, spec, dataset_id)


def _has_fields(spec: PipelineSpec) -> bool:
    return bool(spec.inputs or spec.outputs)


def _fits(spec: PipelineSpec, mapping: dict[str, str], columns: tuple[str, ...]) -> bool:
    fields = [f.name for f in (*spec.inputs, *spec.outputs)]
    return bool(spec.inputs and spec.outputs) and all(mapping.get(f) in columns for f in fields)
