"""Several models: those that write prompts or solve rows, those that the run compares with its own, and what decides."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.forms import model_choice, model_facts
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded, guarded_update, widget_key
from dashboard.services import Goal, ModelChoice, Objective, ProjectDraft, listed
from dashboard.state import reading
from dashboard.state.models import title_of
from dashboard.text import escape_markdown, model_name

PARTS = {
    "prompt_model": (
        "Writes new instructions",
        "Proposes wordings from your rows and from what went wrong. A strong model pays off here: it is asked seldom.",
    ),
    "teacher_model": (
        "Solves rows as examples",
        "Its right answers become the solved examples that the answering model is shown.",
    ),
}
"""The models of a draft next to the answering one: field -> what its model does, and more about it."""

SAME = "The same model"

GOALS: dict[Goal, str] = {
    "score": "The best score",
    "cheapest": "The cheapest that is nearly as good",
    "fastest": "The fastest that is nearly as good",
    "front": "All that no other beats in score, price and time",
}


def compare_models(page: ProjectPage) -> None:
    """Show the models for other parts, those to compare, and the goal; every change is saved."""
    draft, run_model = page.draft, page.draft.model or ModelChoice()
    choosable = reading.choosable_models()
    goal_words = f" · {_summary(draft)}" if draft.models or draft.objective != Objective() else ""
    with ui.card("compare_models", f"Several models{goal_words}"):
        with st.grid(2, min_column_width=220, key="part_models"):
            for field, (title, what) in PARTS.items():
                save = ui.saved(widget_key(field, page.id), _set_part_model, page.id, field)
                known = list(dict.fromkeys([*choosable, run_model]))
                with st.container(gap="xsmall"):
                    model_choice(title, known, getattr(draft, field), SAME, help=what, **save)
        st.caption(
            "At the end the best prompt is answered by these models too, on the rows to choose by. At most half of the calls "
            "are kept for it.",
            help=explain("objective"),
        )
        others = dict.fromkeys([*(m for m in choosable if m != run_model), *draft.models])
        key = widget_key("compare_models", page.id)
        st.multiselect(
            "Models to compare",
            list(others),
            list(draft.models),
            format_func=lambda m: m if isinstance(m, str) else title_of(m),
            accept_new_options=True,
            placeholder="Choose, or type a name: provider/model",
            help="A name that you type is asked at its provider, or at your own model's address where the provider is the same. "
            "One with another address is added on the Settings page.",
            key=key,
            on_change=ui.callback(_save_models, page.id, key),
        )
        for choice in draft.models:
            model_facts(choice, named=True)
        with ui.row("compare_goal", "bottom"):
            goal = ui.select(
                "What counts",
                GOALS,
                draft.objective.goal,
                width=330,
                **ui.saved(widget_key("objective_goal", page.id), _save_objective, page.id, "goal"),
            )
            if goal in ("cheapest", "fastest"):
                st.number_input(
                    "Points it may score lower",
                    0.0,
                    100.0,
                    draft.objective.within,
                    step=1.0,
                    format="%g",
                    width=190,
                    **ui.saved(widget_key("objective_within", page.id), _save_objective, page.id, "within"),
                )


def compares(draft: ProjectDraft) -> bool:
    """Return whether a run of the draft asks or compares several models, or chooses by more than the score."""
    parts = any(getattr(draft, field) is not None for field in PARTS)
    return parts or bool(draft.models) or draft.objective != Objective()


def _set_part_model(project_id: str, field: str, chosen: ModelChoice | str) -> None:
    guarded_update(project_id, "tuning", **{field: None if chosen == SAME else chosen})


def _summary(draft: ProjectDraft) -> str:
    names = [escape_markdown(model_name(choice.name), 40) for choice in draft.models]
    return " · ".join([*([listed(names)] if names else []), draft.objective.words])


def _save_models(project_id: str, key: str) -> None:
    """Save the models chosen; those typed become models at the address that suits them."""

    def change(draft: ProjectDraft) -> ProjectDraft:
        run_model = draft.model or ModelChoice()
        chosen = [
            m if isinstance(m, ModelChoice) else run_model.named(m.strip()) for m in st.session_state[key]
        ]
        return draft.model_copy(update={"models": tuple(dict.fromkeys(chosen))})

    if guarded(project_id, change, "tuning"):
        st.session_state[key] = list(reading.draft(project_id).models)


def _save_objective(project_id: str, part: str, value: object) -> None:
    def change(draft: ProjectDraft) -> ProjectDraft:
        return draft.model_copy(update={"objective": draft.objective.model_copy(update={part: value})})

    guarded(project_id, change, "tuning")
