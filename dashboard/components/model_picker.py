"""Which model a project uses, in one line, with the way to add others."""

from __future__ import annotations

import streamlit as st

from dashboard import data, drafts
from dashboard.components.page import PAGES, Current
from dashboard.keys import key_state
from dashboard.models import is_offline, title_of
from dashboard.plain import plain
from engine.runs.spec import ModelChoice


def model_picker(now: Current) -> None:
    """Let the person choose among the models of the settings."""
    chosen = now.draft.model or ModelChoice()
    models = data.saved_models()
    if chosen not in models:
        models.append(chosen)
    key = f"model_{now.id}"
    with st.container(border=True, key="model_card"):
        st.markdown(
            "**Model**", help="The model that answers your rows, and writes new instructions where asked to."
        )
        st.selectbox(
            "Model",
            models,
            index=models.index(chosen),
            format_func=title_of,
            key=key,
            label_visibility="collapsed",
            on_change=_changed,
            args=(now.id, key),
        )
        if is_offline(chosen):
            st.caption(
                "A small stand-in that runs on this machine: free and instant, and better prompts really do raise "
                "its score. A real model understands far more."
            )
        else:
            state = key_state(chosen)
            st.caption(f":{'green' if state.ok else 'orange'}[:material/key:] {plain(state.sentence)}")
        st.page_link(
            PAGES["settings"], label="Add or test a model", icon=":material/settings:", width="content"
        )


def _changed(project_id: str, key: str) -> None:
    drafts.update(project_id, model=st.session_state[key])
