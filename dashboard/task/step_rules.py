"""Rules of one step: its own model, its condition, its layout."""

from __future__ import annotations

from typing import get_args

import streamlit as st

from dashboard.components import ui
from dashboard.components.forms import model_choice
from dashboard.components.glossary import explain
from dashboard.components.tab_conflict import guarded, revision
from dashboard.services import AdapterName, Condition, Each, ModelChoice, PipelineSpec, ProjectDraft, StepSpec
from dashboard.state import reading
from dashboard.state.editing.steps import change_step, pipeline_of, read_choices, readable
from dashboard.state.models import not_in_settings, title_of
from dashboard.task.field_editor import ident, set_parts
from dashboard.task.task_form import NO_MODEL
from dashboard.text import escape_markdown

RUNS = "The run's model"
WRITERS = "The model that wrote it"


def _step_model(project_id: str, step: StepSpec, at: int, end: str) -> None:
    """Let the user give a step its own model; folded away where it asks the run's."""
    step_model = step.model
    with st.expander(
        f"Model of this step: {escape_markdown(title_of(step_model), 60)}"
        if step_model
        else "Model of this step",
        icon=":material/smart_toy:",
        expanded=step_model is not None,
        key=f"step_model_card_{end}",
    ):
        _pick_model(
            "This step asks",
            step_model,
            RUNS,
            "A hard step may ask a strong model and an easy one a small, cheap model. All other steps ask the one chosen "
            "on the Tune page. Models are added on the Settings page.",
            (project_id, at, "model", f"step_model_{end}"),
        )


def _pick_model(
    label: str, chosen: ModelChoice | None, none: str, what: str, where: tuple[str, int, str, str]
) -> None:
    """Let the user choose a model or `none`. `where` is the project, the step's place, its field and the widget's key."""
    project_id, at, field, key = where
    models = reading.choosable_models()

    def save(picked: ModelChoice | str) -> None:
        set_parts(project_id, at, **{field: picked if isinstance(picked, ModelChoice) else None})

    note = not_in_settings(chosen, models) if chosen is not None else ""
    model_choice(label, models, chosen, none, help=what, note=note, **ui.saved(key, save))


ALWAYS, ONLY_IF, UNLESS = "Always", "Only if", "Unless"
ONCE, EACH = "Once", "For each item of a list"
RUN_LAYOUT = "As the run does"
LAYOUTS: dict[str, str] = {
    "chat": "Marked sections",
    "json": "JSON",
    "xml": "XML tags",
    "two_step": "Free text, read by a second call",
}


def step_rules(project_id: str, spec: PipelineSpec, at: int) -> None:
    """Show a step's model, condition, repetition and message layout, folded away where they are as usual."""
    step = spec.steps[at]
    usual = step.when is None and step.each is None and step.adapter is None
    end = f"{ident(project_id, at)}_{revision(project_id)}"
    if step.strategy not in NO_MODEL:
        _step_model(project_id, step, at, end)
    several = len(spec.steps) > 1
    title = "When it runs, and how its messages look" if several else "Repetition and message layout"
    with st.expander(title, icon=":material/rule:", expanded=not usual, key=f"rules_{end}"):
        if several or step.when is not None:
            _when(project_id, spec, at, end)
        _each(project_id, spec, at, end)
        if step.strategy not in NO_MODEL:
            _layout(project_id, step, at, end)


def _when(project_id: str, spec: PipelineSpec, at: int, end: str) -> None:
    when = spec.steps[at].when
    save = ui.callback(_set_when, project_id, at, end)
    st.segmented_control(
        "This step runs",
        (ALWAYS, ONLY_IF, UNLESS),
        default=ALWAYS if when is None else UNLESS if when.negated else ONLY_IF,
        key=f"when_{end}",
        required=True,
        on_change=save,
    )
    if when is None:
        return
    names = list(dict.fromkeys([*readable(spec, at), when.field]))
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    left.selectbox("the field", names, index=names.index(when.field), key=f"when_field_{end}", on_change=save)
    allowed = next(
        (f.choices for s in spec.steps for f in (*s.inputs, *s.makes) if f.name == when.field and f.choices),
        (),
    )
    right.multiselect(
        "is one of",
        list(dict.fromkeys([*allowed, *when.values])),
        list(when.values),
        key=f"when_values_{end}_{when.field}",
        accept_new_options=not allowed,
        placeholder="Choose values" if allowed else "Type a value and press Enter",
        on_change=save,
    )


def _each(project_id: str, spec: PipelineSpec, at: int, end: str) -> None:
    each = spec.steps[at].each
    save = ui.callback(_set_each, project_id, at, end)
    st.segmented_control(
        "How often it runs",
        (ONCE, EACH),
        default=ONCE if each is None else EACH,
        key=f"each_{end}",
        required=True,
        on_change=save,
        help="For each item: the step runs once for every item of a list, and its answers come back as lists.",
    )
    if each is None:
        return
    names = list(dict.fromkeys([*_lists(spec, at), each.field]))
    left, right = st.columns(2, vertical_alignment="bottom")
    left.selectbox(
        "the list",
        names,
        index=names.index(each.field),
        format_func=lambda n: n or "Choose a list",
        key=f"each_field_{end}",
        on_change=save,
    )
    items = list(dict.fromkeys([*(f.name for f in spec.steps[at].inputs), each.item]))
    right.selectbox(
        "is read, item by item, as",
        items,
        index=items.index(each.item),
        key=f"each_item_{end}",
        on_change=save,
    )


def _lists(spec: PipelineSpec, at: int) -> list[str]:
    """Return the fields that hold lists and are there before a step; any field where none says so."""
    known = readable(spec, at)
    lists = {f.name for s in spec.steps for f in (*s.needs, *s.makes) if f.parsed_type.is_list}
    return [name for name in known if name in lists] or list(known)


def _layout(project_id: str, step: StepSpec, at: int, end: str) -> None:
    options = [RUN_LAYOUT, *get_args(AdapterName)]
    left, right = st.columns(2, vertical_alignment="top")
    left.selectbox(
        "Message layout",
        options,
        index=options.index(step.adapter) if step.adapter else 0,
        format_func=lambda name: LAYOUTS.get(name, name),
        **ui.saved(f"layout_{end}", _set_layout, project_id, at),
        help=f"{explain('message layout')} Leave it unless a model has trouble keeping the form.",
    )
    if step.adapter == "two_step":
        with right:
            _pick_model(
                "Model that reads the free text",
                step.extraction_model,
                WRITERS,
                "The second call takes the answers out of the free text; a small, cheap model can do that.",
                (project_id, at, "extraction_model", f"extraction_{end}"),
            )


def _set_when(project_id: str, at: int, end: str) -> None:
    state = st.session_state[f"when_{end}"]

    def change(draft: ProjectDraft) -> ProjectDraft:
        spec = pipeline_of(draft)
        if at >= len(spec.steps):
            return draft
        old = spec.steps[at].when
        field = st.session_state.get(f"when_field_{end}") or (
            old.field if old else ["", *readable(spec, at)][-1]
        )
        typed = st.session_state.get(f"when_values_{end}_{field}")
        values = typed if typed is not None else (old.values if old and old.field == field else ())
        condition = Condition(field=field, values=read_choices("\n".join(values)), negated=state == UNLESS)
        return change_step(draft, at, lambda s: s.model_copy(update={"when": condition}))

    if state == ALWAYS:
        set_parts(project_id, at, when=None)
    else:
        guarded(project_id, change)


def _set_each(project_id: str, at: int, end: str) -> None:
    def change(draft: ProjectDraft) -> ProjectDraft:
        spec = pipeline_of(draft)
        if at >= len(spec.steps):
            return draft
        old, inputs = spec.steps[at].each, [f.name for f in spec.steps[at].inputs]
        field = st.session_state.get(f"each_field_{end}") or (
            old.field if old else ["", *_lists(spec, at)][-1]
        )
        fallback = old.item if old else next((n for n in inputs if n != field), ["", *inputs][-1])
        item = st.session_state.get(f"each_item_{end}") or fallback
        return change_step(draft, at, lambda s: s.model_copy(update={"each": Each(field=field, item=item)}))

    if st.session_state[f"each_{end}"] == ONCE:
        set_parts(project_id, at, each=None)
    else:
        guarded(project_id, change)


def _set_layout(project_id: str, at: int, chosen: str) -> None:
    # What belongs to the layout before would be refused with another one.
    fresh = {"extraction_model": None, "use_native_function_calling": None}
    set_parts(project_id, at, adapter=None if chosen == RUN_LAYOUT else chosen, **fresh)
