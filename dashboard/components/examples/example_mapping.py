"""Which column fills which field of the task: one card for each field, guessed, and changed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import data
from dashboard.components.guard import guarded
from dashboard.components.look import sample_values
from dashboard.components.page import Current
from dashboard.components.score_columns import WHOLE_PERCENT, in_percent
from dashboard.field_types import title_of
from dashboard.plain import plain
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.runs.spec import ProjectDraft

if TYPE_CHECKING:
    from engine.dataset import ColumnProfile

NONE = "Choose a column"


def mapping_cards(now: Current, pipeline: PipelineSpec, dataset_id: str) -> None:
    """Show a card for each field of the task, with the column it is filled from."""
    found = {p.name: p for p in data.profiles(dataset_id)}
    answers = {f.name for f in pipeline.outputs}
    fields = [*pipeline.inputs, *(f for f in pipeline.outputs)]
    with st.grid(4, gap="small", min_column_width=205, key="mapping_cards"):
        for field in fields:
            _card(now, field, "answer" if field.name in answers else "input", found, dataset_id)


def _card(
    now: Current, field: FieldSpec, role: str, found: dict[str, ColumnProfile], dataset_id: str
) -> None:
    options = [NONE, *found]
    column = now.draft.mapping.get(field.name, "")
    at = options.index(column) if column in found else 0
    key = f"map_{field.name}_{dataset_id}_{now.id}"
    with st.container(border=True, height="stretch", key=f"map_card_{field.name}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"map_head_{field.name}"):
            st.markdown(f"**{plain(field.name)}**", width="content")
            st.badge(
                "Answer" if role == "answer" else "Input", color="orange" if role == "answer" else "blue"
            )
        st.selectbox(
            f"Column for {plain(field.name)}",
            options,
            index=at,
            key=key,
            label_visibility="collapsed",
            on_change=_map,
            args=(now.id, field.name, key),
        )
        if at:
            fill_line(found[column])
            sample_values(_short(sample, 120) for sample in found[column].samples[:2])
        else:
            st.caption(f"{title_of(field)}. Choose the column that holds it.")


def fill_line(column: ColumnProfile) -> None:
    """Show how much of a column is filled: green from 90 %, orange from 70 %, else red."""
    colour = "green" if column.filled >= 0.9 else "orange" if column.filled >= 0.7 else "red"
    st.caption(f":{colour}[{100 * column.filled:.0f} % filled] · {column.distinct:,} different values")


def columns_table(profiles: Sequence[ColumnProfile], mapping: dict[str, str]) -> None:
    """Show every column of the file: what it holds, how full it is, some of its values, where it is used."""
    from engine.dataset import KIND_TITLES

    used = {column: field for field, column in mapping.items()}
    lines = [
        {
            "Column": p.name,
            "Holds": KIND_TITLES[p.kind],
            "Filled": in_percent(p.filled),
            "Different": p.distinct,
            "Values": [_short(s) for s in p.samples],
            "Used as": used.get(p.name, "not used"),
        }
        for p in profiles
    ]
    st.dataframe(
        lines,
        hide_index=True,
        key="columns_table",
        height="content" if len(lines) <= 10 else 400,
        column_config={
            "Filled": st.column_config.ProgressColumn(
                "Filled",
                format=WHOLE_PERCENT,
                min_value=0,
                max_value=100,
                width="small",
                help="Rows with a value in it.",
            ),
            "Different": st.column_config.NumberColumn("Different", width="small", help="Different values."),
            "Values": st.column_config.ListColumn("Some of its values", width="large"),
            "Used as": st.column_config.TextColumn("Used as", help="The task's field that it fills."),
        },
    )


def _map(project_id: str, field: str, key: str) -> None:
    column = st.session_state[key]

    def change(draft: ProjectDraft) -> ProjectDraft:
        mapping = {f: c for f, c in draft.mapping.items() if f != field}
        if column != NONE:
            mapping[field] = column
        return draft.model_copy(update={"mapping": mapping})

    guarded(project_id, change, "examples")


def _short(text: str, longest: int = 60) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[:longest].rstrip()}…"
