"""Starting a task from what there is already: a signature string, a class, a JSON Schema, a prompt."""

from __future__ import annotations

import streamlit as st

from dashboard.components.guard import guarded, renew
from dashboard.components.page import callback, show_error
from dashboard.state.steps import with_steps
from dashboard.views.text import count, escape_markdown
from engine.errors import EngineError
from engine.pipeline.importers.task import Form, Imported, guess_form, import_task

FORMS: dict[Form, str] = {
    "signature": "Short form",
    "class": "Python class",
    "schema": "JSON Schema",
    "prompt": "A prompt I have",
}
HINTS: dict[Form, str] = {
    "signature": "question, context: list[str] -> answer: str",
    "class": "class Order(BaseModel):\n    item: str = Field(description='What was ordered')\n    count: int",
    "schema": '{"properties": {"item": {"type": "string"}, "count": {"type": "integer"}}}',
    "prompt": "Sort this mail. Answer with one of: billing, shipping, other.\n\n{{mail}}",
}
WHAT: dict[Form, str] = {
    "signature": "Inputs, an arrow, answers, as in DSPy. Types are optional.",
    "class": "The source of a Pydantic model, a dataclass or a DSPy signature. It is read, never run.",
    "schema": "Its properties become the answers. A tool's or a response format's schema is fine too.",
    "prompt": "Places such as {{mail}} or {mail} become inputs; the rest becomes the instruction.",
}


def task_import(project_id: str, *, empty: bool) -> None:
    """Offer to start from a text; what it makes is shown before it replaces anything."""
    with st.popover("Start from…", icon=":material/input:", key="import_task", width="content"):
        form = st.segmented_control(
            "Start from",
            list(FORMS),
            default="prompt",
            format_func=lambda name: FORMS[name],
            key="import_form",
            required=True,
            label_visibility="collapsed",
        )
        chosen: Form = form or "prompt"
        st.caption(WHAT[chosen])
        text = st.text_area(
            FORMS[chosen],
            key=f"import_text_{chosen}",
            height=190,
            width=560,
            placeholder=HINTS[chosen],
            label_visibility="collapsed",
        )
        found = _read(text, chosen)
        if found is not None:
            _imported_card(found)
        st.button(
            "Make the task of it" if empty else "Replace the task by it",
            key="import_use",
            type="primary",
            on_click=callback(_use),
            args=(project_id, chosen),
        )
        if not empty:
            st.caption("The steps as they are now are replaced. Your examples stay.")


def _read(text: str, form: Form) -> Imported | None:
    if not text.strip():
        return None
    try:
        return import_task(text, form)
    except EngineError as error:
        show_error(error)
        guess = guess_form(text)
        if guess != form:
            st.caption(f"It looks more like: {FORMS[guess]}.")
        return None


def _imported_card(found: Imported) -> None:
    step = found.step
    names = [f"{f.name} ({'one of ' + str(len(f.choices)) if f.choices else f.type})" for f in step.outputs]
    st.markdown(
        f":green[:material/check:] {count(len(step.inputs), 'input')}: "
        f"{escape_markdown(', '.join(f.name for f in step.inputs), 200)}. "
        f"{count(len(step.outputs), 'answer')}: {escape_markdown(', '.join(names), 400)}."
    )
    for note in found.notes[:4]:
        st.caption(escape_markdown(note, 300))


def _use(project_id: str, form: Form) -> None:
    # The box is read again: its text may have come together with the click.
    try:
        found = import_task(st.session_state.get(f"import_text_{form}", ""), form)
    except EngineError as error:
        st.toast(escape_markdown(str(error)), icon=":material/error:")
        return
    if guarded(project_id, lambda draft: with_steps(draft, [found.step])):
        st.session_state.pop(f"step_at_{project_id}", None)
        for name in FORMS:
            st.session_state.pop(f"import_text_{name}", None)
        renew(project_id)
