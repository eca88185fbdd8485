"""Form to add a model, and those found on this machine: of local servers, and of providers with a key in the environment."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.services import (
    PROVIDERS,
    JsonObject,
    LocalServer,
    ModelChoice,
    Provider,
    find_provider,
    local_servers,
    providers_with_key,
)
from dashboard.state import reading
from dashboard.state.editing import drafts
from dashboard.state.models import own_key_variable, wrong_name
from dashboard.state.session import MODEL_ADDED
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

OTHER = "Any other name"


def model_form() -> None:
    """Show the form; what it makes is added to the list of models."""
    with ui.card("add_model", "Add a model"):
        providers = {p.title: p for p in PROVIDERS if p.protocol != "offline"}
        left, right = st.columns(2)
        picked = left.selectbox(
            "Provider",
            [*providers, OTHER],
            key="new_provider",
            help=explain("provider", "Those marked “this machine” cost nothing and send nothing out."),
        )
        provider = providers.get(picked)
        name = right.selectbox(
            "Model",
            list(provider.examples) if provider else [],
            index=0 if provider and provider.examples else None,
            key=f"new_model_{picked}",
            accept_new_options=True,
            placeholder="provider/model",
            help=explain("model", "Choose one, or type any name, written as provider/model."),
        )
        address = st.text_input(
            "Address (only for a server of your own)",
            key=f"new_base_url_{picked}",
            placeholder=(provider.base_url if provider else None) or "http://localhost:8000/v1",
            help="Any server that speaks the OpenAI protocol. Leave it empty to use the provider's own address.",
        )
        needs_key = bool(address.strip()) and st.toggle(
            "This address needs an API key",
            key="new_needs_key",
            help=explain("key", "It is given after adding the model."),
        )
        details = _details(picked)
        variable = details.pop("key_env")
        if needs_key and not variable:
            variable = own_key_variable(address)
        wrong = _wrong(name, address)
        if (
            ui.checked_button("Add this model", wrong, key="add_model_button", type="primary", icon="add")
            and name
        ):
            drafts.add_model(
                ModelChoice(
                    name=name.strip(),
                    base_url=address.strip() or None,
                    key_env=variable or None,
                    **details,
                )
            )
            MODEL_ADDED.set(True)
            st.rerun()
        if MODEL_ADDED.pop():
            st.toast("Added. Test the connection, then choose it on the Tune page.", icon=":material/check:")
        _hint(find_provider(name) if name and "/" in name else provider, own=bool(address.strip()))


def _details(picked: str) -> JsonObject:
    """Return the fields of a model's choice that few models need, by name."""
    with st.expander("Details", icon=":material/page_info:", key="new_details"):
        variable = st.text_input(
            "Environment variable that holds the key",
            key=f"new_key_env_{picked}",
            placeholder="The provider's usual one",
            help="Only its name is stored, never the key.",
        )
        left, middle, right = st.columns(3)
        temperature = left.number_input(
            "Temperature",
            0.0,
            2.0,
            None,
            step=0.1,
            key=f"new_temperature_{picked}",
            placeholder="The model's own",
            help="How freely it words its answers: 0 is the most even.",
        )
        longest = middle.number_input(
            "Longest answer, in tokens",
            1,
            1_000_000,
            None,
            step=100,
            key=f"new_max_tokens_{picked}",
            placeholder="The model's own",
        )
        seconds = right.number_input(
            "Longest wait for an answer, in seconds",
            1,
            86_400,
            None,
            step=10,
            key=f"new_timeout_{picked}",
            placeholder="120",
            help="Then the request is made again. A run ends when the first requests all take longer.",
        )
    named = {"key_env": variable.strip(), "temperature": temperature, "max_tokens": longest}
    return {**named, "timeout": seconds}


def _wrong(name: str | None, address: str) -> str:
    if not name or not name.strip():
        return "Name the model first, as provider/model."
    return wrong_name([ModelChoice(name=name, base_url=address.strip() or None)])


def _hint(provider: Provider | None, *, own: bool) -> None:
    if own:
        st.caption("Only the server at this address is asked, directly.")
    elif provider is None:
        st.caption(
            "Names that no provider above covers are sent through litellm, which knows over a hundred. "
            "Test the connection after adding one."
        )
    elif provider.local:
        st.caption("Start its server on this machine first. Nothing leaves the machine.")
    elif provider.key_env:
        st.caption(
            f"Needs an API key: from {escape_markdown(provider.key_env)}, your keyring, or typed in after adding it."
        )


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
