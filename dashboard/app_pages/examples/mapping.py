"""Mapping of columns to fields of the task: one card for each field, guessed, and changed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import streamlit as st

from dashboard.components.guard import forget_seen, guarded, renew
from dashboard.components.page import Current, callback, sample_values
from dashboard.components.runs import WHOLE_PERCENT, in_percent
from dashboard.state import drafts, reading
from dashboard.state.steps import title_of
from dashboard.views.text import escape_markdown
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.runs.spec import ProjectDraft

if TYPE_CHECKING:
    from engine.dataset import ColumnProfile, Role


NONE = "Choose a column"


def mapping_cards(now: Current, pipeline: PipelineSpec, dataset_id: str) -> None:
    """Show a card for each field of the task, with the column it is filled from."""
    found = {p.name: p for p in reading.profiles(dataset_id)}
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
            st.markdown(f"**{escape_markdown(field.name)}**", width="content")
            st.badge(
                "Answer" if role == "answer" else "Input", color="orange" if role == "answer" else "blue"
            )
        st.selectbox(
            f"Column for {escape_markdown(field.name)}",
            options,
            index=at,
            key=key,
            label_visibility="collapsed",
            on_change=callback(_map),
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


ROLES = {"input": "Input", "output": "Answer", "ignore": "Not used"}


def offer_task(now: Current, dataset_id: str) -> None:
    """Let the user say which columns are read and which are answered, and make the task of that."""
    from engine.dataset import guess_roles

    found = reading.profiles(dataset_id)
    guessed = guess_roles(reading.dataset(dataset_id), found)
    with st.container(border=True, key="offer_task"):
        st.markdown("**Make the task from these columns**")
        st.caption(
            "Guessed from names and values; change what is wrong. The task's fields, types and allowed values "
            "are filled in from the rows, and you can edit them on the Task page."
        )
        roles: dict[str, str] = {}
        with st.grid(4, gap="small", min_column_width=240, key="role_cards"):
            for at, column in enumerate(found):
                with st.container(border=True, height="stretch", gap="xsmall", key=f"role_card_{at}"):
                    st.markdown(f"**{escape_markdown(column.name, 40)}**")
                    roles[column.name] = st.segmented_control(
                        f"Role of {escape_markdown(column.name, 40)}",
                        list(ROLES),
                        default=str(guessed[column.name]),
                        format_func=lambda r: ROLES[r],
                        key=f"role_{at}_{dataset_id}",
                        label_visibility="collapsed",
                        required=True,
                    )
                    sample_values(" ".join(sample.split())[:120] for sample in column.samples[:2])
        missing = _missing(roles)
        st.button(
            "Make the task",
            key="make_task",
            type="primary",
            icon=":material/auto_fix_high:",
            disabled=bool(missing),
            help=missing or None,
            on_click=callback(_make),
            args=(now.id, dataset_id, roles),
        )
        if missing:
            st.caption(f":orange[:material/pending:] {missing}")


def _missing(roles: dict[str, str]) -> str:
    if "input" not in roles.values():
        return "Mark at least one column as Input."
    if "output" not in roles.values():
        return "Mark at least one column as Answer: it holds what the model should say."
    return ""


def _make(project_id: str, dataset_id: str, roles: dict[str, str]) -> None:
    from engine.pipeline.infer import infer_mapping, infer_pipeline

    table = reading.dataset(dataset_id)
    profiles = reading.profiles(dataset_id)
    made = infer_pipeline(table, cast("dict[str, Role]", roles), profiles)
    mapping = infer_mapping(table, made)
    pipeline = with_attachments(made, {p.name: p for p in profiles}, mapping)
    drafts.update(project_id, pipeline=pipeline, mapping=mapping, metric=None)
    # The Task page's widgets keep what they showed: new keys make them take the new task.
    renew(project_id)
    forget_seen(project_id, "examples")


def with_attachments(
    pipeline: PipelineSpec, profiles: Mapping[str, ColumnProfile], mapping: Mapping[str, str]
) -> PipelineSpec:
    """Return the task with the inputs whose cells name pictures or PDFs typed as such."""
    from engine.runs.attachments import attached_path

    def typed(field: FieldSpec) -> FieldSpec:
        paths = [attached_path(cell) for cell in profiles[mapping[field.name]].samples]
        if not paths or None in paths:
            return field
        pdf = all(str(path).lower().endswith(".pdf") for path in paths)
        return field.model_copy(update={"type": "PDF" if pdf else "Image"})

    steps = [s.model_copy(update={"inputs": tuple(map(typed, s.inputs))}) for s in pipeline.steps]
    return PipelineSpec(steps=tuple(steps))
