"""Models found on this machine: of local servers, and of providers whose key is in the environment."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.services import (
    LocalServer,
    ModelChoice,
    local_servers,
    providers_with_key,
)
from dashboard.state import reading
from dashboard.state.editing import drafts
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

SHOWN = 8


def found_models() -> None:
    """Show what was found, each model with a button that adds it."""
    with ui.card("found_models"):
        with ui.row("found_head"):
            st.markdown(
                "**Found on this machine**",
                help="Ollama, LM Studio and vLLM are looked for at their usual addresses on this machine, and API keys in its "
                "environment. Nothing leaves the machine.",
                width="stretch",
            )
            if ui.button("Look again", "found_again", type="tertiary", icon="refresh"):
                _servers.clear()
        servers, providers = _servers(), providers_with_key()
        there = {m.name for m in reading.saved_models()}
        for at, server in enumerate(servers):
            _server(server, there, f"found_{at}")
        for provider in providers:
            where = escape_markdown(provider.key_env or "")
            st.caption(f":green[:material/key:] {escape_markdown(provider.title)}: a key is in {where}")
            _adders(list(provider.examples), there, f"found_{provider.prefix}")
        if not servers and not providers:
            st.caption(
                "No model server answers here, and no API key is in the environment. Start Ollama or LM Studio, "
                "then look again, or add a model below."
            )


@st.cache_data(ttl=60, show_spinner=False)
def _servers() -> list[LocalServer]:
    return local_servers()


def _server(server: LocalServer, there: set[str], key: str) -> None:
    st.caption(
        f":green[:material/check_circle:] {escape_markdown(server.title)} at {escape_markdown(server.address)} · free, nothing leaves the machine"
    )
    names = list(server.models)
    if not names:
        st.caption("It runs, and has no model yet.")
        return
    if len(names) > SHOWN:
        picked = st.selectbox("Its models", names, key=f"{key}_pick", label_visibility="collapsed")
        names = [picked]
    _adders(names, there, key)


def _adders(names: list[str], there: set[str], key: str) -> None:
    with ui.row(f"{key}_models", "top"):
        for name in names:
            known = name in there
            st.button(
                escape_markdown(name, 60),
                key=f"{key}_add_{name}",
                icon=":material/check:" if known else ":material/add:",
                disabled=known or read_only(),
                help="It is in the list already."
                if known
                else "Add it to the models that projects can choose.",
                on_click=ui.callback(drafts.add_model, ModelChoice(name=name)),
            )
