"""The models that projects can choose: where each is, what it costs, its key, and a test of the connection."""

from __future__ import annotations

import streamlit as st

from dashboard import data, drafts, keys
from dashboard.components.settings.price_form import price_form
from dashboard.glossary import explain
from dashboard.models import is_offline, key_variable, price_words, title_of
from dashboard.plain import plain
from engine.runs.spec import ModelChoice


def model_list() -> None:
    """Show the models, each with its test button."""
    for at, choice in enumerate(data.saved_models()):
        _model(choice, f"model_{at}")


def _model(choice: ModelChoice, key: str) -> None:
    state = keys.key_state(choice)
    with st.container(border=True, key=key, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"{key}_head"):
            with st.container(gap="xxsmall", key=f"{key}_name"):
                st.markdown(f"**{plain(title_of(choice), 80)}**")
                st.caption(
                    f"{plain(price_words(choice))} · :{'green' if state.ok else 'orange'}[{plain(state.sentence)}]"
                )
            pressed = st.button(
                "Test connection", key=f"{key}_test", icon=":material/network_check:", width="content"
            )
            if not is_offline(choice):
                st.button(
                    "",
                    icon=":material/delete:",
                    key=f"{key}_remove",
                    type="tertiary",
                    help="Remove this model from the list",
                    on_click=drafts.remove_model,
                    args=(choice,),
                )
        if not is_offline(choice):
            price_form(choice, key)
        variable = key_variable(choice)
        if variable:
            key_form(variable, key, open_now=not state.ok)
        if pressed:
            _test(choice)


def key_form(variable: str, key: str, *, open_now: bool) -> None:
    """Let the person give a key: for this page only, or into the system's keyring."""
    with st.expander("API key", icon=":material/key:", expanded=open_now, key=f"{key}_expander"):
        with st.form(f"{key}_form", border=False, clear_on_submit=True):
            typed = st.text_input(
                "API key",
                type="password",
                key=f"{key}_typed",
                placeholder="Paste the key",
                label_visibility="collapsed",
                autocomplete="off",
            )
            keep = st.checkbox(
                "Also keep it in this system's keyring",
                key=f"{key}_keep",
                help=explain(
                    "key",
                    "The keyring is where your system keeps passwords. Otherwise it is forgotten with this tab.",
                ),
            )
            if st.form_submit_button("Use this key", key=f"{key}_submit"):
                _use_key(variable, typed, keep)
        st.caption(
            f"Or set the environment variable {plain(variable)} before starting. Keys are never written to a file."
        )


def _use_key(variable: str, typed: str, keep: bool) -> None:
    from engine.lm.keys import store_key

    if not typed.strip():
        st.caption(":orange[:material/pending:] Paste a key first.")
        return
    keys.remember(variable, typed)
    if keep and not store_key(variable, typed.strip()):
        st.session_state["key_note"] = (
            "This system has no keyring, so the key stays in this page's memory only."
        )
    st.rerun()


def _test(choice: ModelChoice) -> None:
    from engine.lm.connection import test_connection

    with st.spinner("Asking the model for one word"):
        report = test_connection(choice, keys.remembered(key_variable(choice)) or None)
    with st.container(horizontal=True, key="test_report", vertical_alignment="top"):
        st.badge(
            "It works" if report.ok else "It does not work",
            icon=":material/check_circle:" if report.ok else ":material/error:",
            color="green" if report.ok else "red",
            width="content",
        )
        st.text(report.message)
