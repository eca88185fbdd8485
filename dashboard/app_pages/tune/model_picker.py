"""Choice of a project's models: the one that answers, the one that writes prompts, and the one that teaches."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from dashboard.components.layout import callback, card, link
from dashboard.components.page import Current
from dashboard.state import drafts, reading
from dashboard.state.models import asked_models, key_state, models_of_steps, price_words, title_of
from dashboard.views.glossary import explain
from dashboard.views.text import escape_markdown
from engine.lm.choice import is_offline
from engine.runs.spec import ModelChoice


class Part(NamedTuple):
    """A part that a model plays: its field in the draft, its name, what it does."""

    field: str
    title: str
    what: str


OTHERS = (
    Part(
        "prompt_model",
        "Writes new instructions",
        "Proposes wordings from your rows and from what went wrong. A strong model pays off here: it is asked seldom.",
    ),
    Part(
        "teacher_model",
        "Solves rows as examples",
        "Its right answers become the solved examples that the answering model is shown.",
    ),
)
SAME = "The same model"


def model_picker(now: Current) -> None:
    """Let the user choose among the models of the settings."""
    chosen = now.draft.model or ModelChoice()
    models = reading.saved_models()
    if chosen not in models:
        models.append(chosen)
    key = f"model_{now.id}"
    with card(
        "model_card", "Model", explain("model", "This one answers your rows, in the search and afterwards.")
    ):
        st.selectbox(
            "Model",
            models,
            index=models.index(chosen),
            format_func=title_of,
            key=key,
            label_visibility="collapsed",
            on_change=callback(_changed, now.id, "model", key),
        )
        if is_offline(chosen):
            st.caption(
                "A small stand-in that runs on this machine: free and instant, and better prompts really do raise "
                "its score. A real model understands far more."
            )
        else:
            _state(chosen)
        _steps(now)
        others = [getattr(now.draft, part.field) for part in OTHERS]
        named = sum(o is not None for o in others)
        with st.expander(
            f"Other models for other parts{f' ({named})' if named else ''}",
            icon=":material/groups:",
            key="other_models",
            expanded=bool(named),
        ):
            for part, other in zip(OTHERS, others, strict=True):
                _other(now, part, other, models)
        link("settings", "Add or test a model", "settings")


def _steps(now: Current) -> None:
    """Say which steps ask their own model."""
    for name, what in models_of_steps(now.draft.pipeline):
        st.caption(f":material/alt_route: The step **{escape_markdown(name)}** {escape_markdown(what)}.")


def chosen_models(now: Current) -> list[ModelChoice]:
    """Return every model that the next run asks, each once."""
    draft = now.draft
    found = [*asked_models(draft.model, draft.pipeline), draft.prompt_model, draft.teacher_model]
    return list(dict.fromkeys(m for m in found if m is not None))


def _other(now: Current, part: Part, other: ModelChoice | None, models: list[ModelChoice]) -> None:
    options = [SAME, *models, *([other] if other is not None and other not in models else [])]
    key = f"{part.field}_{now.id}"
    st.selectbox(
        part.title,
        options,
        index=options.index(other or SAME),
        format_func=lambda m: m if isinstance(m, str) else title_of(m),
        key=key,
        help=part.what,
        on_change=callback(_changed, now.id, part.field, key),
    )
    if other is not None and not is_offline(other):
        _state(other)


def _state(choice: ModelChoice) -> None:
    state = key_state(choice)
    st.caption(
        f":{'green' if state.ok else 'orange'}[:material/key:] {escape_markdown(state.sentence)}  \n"
        f":gray[:material/payments:] {escape_markdown(price_words(choice))}"
    )


def _changed(project_id: str, field: str, key: str) -> None:
    chosen = st.session_state[key]
    drafts.update(project_id, **{field: None if chosen == SAME else chosen})
