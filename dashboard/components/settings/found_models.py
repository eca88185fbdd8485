"""Models that are there already: servers that run on this machine, and providers whose key is in the environment."""

from __future__ import annotations

import streamlit as st

from dashboard import data, drafts
from dashboard.mode import read_only
from dashboard.plain import plain
from engine.lm.catalog import Provider
from engine.lm.discovery import LocalServer, local_servers, providers_with_key
from engine.runs.spec import ModelChoice

SHOWN = 8


def found_models() -> None:
    """Show what was found, each model with a button that adds it."""
    with st.container(border=True, key="found_models"):
        with st.container(horizontal=True, vertical_alignment="center", key="found_head"):
            st.markdown(
                "**Found on this machine**",
                help="Ollama, LM Studio and vLLM are looked for at their usual addresses on this machine, and API keys in its "
                "environment. Nothing leaves the machine.",
                width="stretch",
            )
            if st.button(
                "Look again", key="found_again", type="tertiary", icon=":material/refresh:", width="content"
            ):
                _servers.clear()
        servers, providers = _servers(), providers_with_key()
        there = {m.name for m in data.saved_models()}
        for at, server in enumerate(servers):
            _server(server, there, f"found_{at}")
        for provider in providers:
            _provider(provider, there)
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
        f":green[:material/check_circle:] {plain(server.title)} at {plain(server.address)} · free, nothing leaves the machine"
    )
    names = list(server.models)
    if not names:
        st.caption("It runs, and has no model yet.")
        return
    if len(names) > SHOWN:
        picked = st.selectbox("Its models", names, key=f"{key}_pick", label_visibility="collapsed")
        names = [picked]
    _adders(names, there, key)


def _provider(provider: Provider, there: set[str]) -> None:
    st.caption(f":green[:material/key:] {plain(provider.title)}: a key is in {plain(provider.key_env or '')}")
    _adders(list(provider.examples), there, f"found_{provider.prefix}")


def _adders(names: list[str], there: set[str], key: str) -> None:
    with st.container(horizontal=True, gap="small", key=f"{key}_models"):
        for name in names:
            known = name in there
            st.button(
                plain(name, 60),
                key=f"{key}_add_{name}",
                icon=":material/check:" if known else ":material/add:",
                disabled=known or read_only(),
                help="It is in the list already."
                if known
                else "Add it to the models that projects can choose.",
                on_click=drafts.add_model,
                args=(ModelChoice(name=name),),
            )
