"""For a file the task does not fit, or a project without one: make the task from the file's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import streamlit as st

from dashboard import data, drafts
from dashboard.components.guard import renew
from dashboard.components.look import sample_values
from dashboard.components.page import Current
from dashboard.plain import plain
from engine.pipeline.spec import FieldSpec, PipelineSpec

if TYPE_CHECKING:
    from engine.dataset import ColumnProfile, Role

ROLES = {"input": "Input", "output": "Answer", "ignore": "Not used"}


def offer_task(now: Current, dataset_id: str) -> None:
    """Let the person say which columns are read and which are answered, and make the task of that."""
    from engine.dataset import guess_roles

    found = data.profiles(dataset_id)
    guessed = guess_roles(data.dataset(dataset_id), found)
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
                    st.markdown(f"**{plain(column.name, 40)}**")
                    roles[column.name] = st.segmented_control(
                        f"Role of {plain(column.name, 40)}",
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
            on_click=_make,
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

    table = data.dataset(dataset_id)
    profiles = data.profiles(dataset_id)
    made = infer_pipeline(table, cast("dict[str, Role]", roles), profiles)
    mapping = infer_mapping(table, made)
    pipeline = with_attachments(made, {p.name: p for p in profiles}, mapping)
    drafts.update(project_id, pipeline=pipeline, mapping=mapping, metric=None)
    # The Task page's widgets keep what they showed: new keys make them take the new task.
    renew(project_id)
    st.session_state.pop(f"seen_examples_{project_id}", None)


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
