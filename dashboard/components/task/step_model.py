"""Which model a step asks, where that is not the run's: one of those on the Settings page."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.guard import guarded
from dashboard.keys import key_state
from dashboard.models import is_offline, not_in_settings, price_words, title_of
from dashboard.plain import plain
from dashboard.step_edits import change_step
from engine.lm.choice import ModelChoice
from engine.pipeline.spec import StepSpec

RUNS = "The run's model"
WRITERS = "The model that wrote it"


def step_model(project_id: str, step: StepSpec, at: int, end: str) -> None:
    """Let the person give a step a model of its own, folded away where it asks the run's."""
    own = step.model
    with st.expander(
        f"Model of this step: {plain(title_of(own), 60)}" if own else "Model of this step",
        icon=":material/smart_toy:",
        expanded=own is not None,
        key=f"step_model_card_{end}",
    ):
        pick_model(
            "This step asks",
            own,
            RUNS,
            "A hard step may ask a strong model and an easy one a small, cheap model. All other steps ask the one chosen "
            "on the Tune page. Models are added on the Settings page.",
            (project_id, at, "model", f"step_model_{end}"),
        )


def pick_model(
    label: str, chosen: ModelChoice | None, none: str, what: str, where: tuple[str, int, str, str]
) -> None:
    """Show the models of the Settings page and `none`; the one picked is saved.

    `where` is the project, the step's place, the step's field and the widget's key.
    """
    saved = data.saved_models()
    options: list[str | ModelChoice] = [none, *saved]
    if chosen is not None and chosen not in saved:
        options.append(chosen)
    st.selectbox(
        label,
        options,
        index=0 if chosen is None else options.index(chosen),
        format_func=lambda m: m if isinstance(m, str) else title_of(m),
        key=where[3],
        help=what,
        on_change=_picked,
        args=where,
    )
    if chosen is None:
        return
    if missing := not_in_settings(chosen, saved):
        st.caption(f":orange[:material/help:] {plain(missing)}")
    if not is_offline(chosen):
        state = key_state(chosen)
        st.caption(
            f":{'green' if state.ok else 'orange'}[:material/key:] {plain(state.sentence)}  \n"
            f":gray[:material/payments:] {plain(price_words(chosen))}"
        )


def _picked(project_id: str, at: int, field: str, key: str) -> None:
    found = st.session_state[key]
    chosen = found if isinstance(found, ModelChoice) else None
    guarded(
        project_id,
        lambda draft: change_step(draft, at, lambda s: s.model_copy(update={field: chosen})),
    )
