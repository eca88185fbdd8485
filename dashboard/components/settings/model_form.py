"""Adding a model: from a known provider, by any name, or at any address."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import press
from dashboard.glossary import explain
from dashboard.models import own_key_variable
from dashboard.plain import plain
from engine.errors import EngineError
from engine.lm.catalog import PROVIDERS, Provider, find_route
from engine.runs.spec import ModelChoice

OTHER = "Any other name"


def model_form() -> None:
    """Show the form; what it makes is added to the list of models."""
    with st.container(border=True, key="add_model"):
        st.markdown("**Add a model**")
        providers = {p.title: p for p in PROVIDERS if p.protocol != "offline"}
        left, right = st.columns(2, gap="small")
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
        variable, temperature, longest = _details(picked)
        if needs_key and not variable.strip():
            variable = own_key_variable(address)
        wrong = _wrong(name, address)
        choice = None
        if not wrong and name:
            choice = ModelChoice(
                name=name.strip(),
                base_url=address.strip() or None,
                key_env=variable.strip() or None,
                temperature=temperature,
                max_tokens=longest,
            )
        pressed = press(
            "Add this model", wrong, key="add_model_button", type="primary", icon=":material/add:"
        )
        if pressed and choice:
            drafts.add_model(choice)
            st.session_state["model_added"] = True
            st.rerun()
        if st.session_state.pop("model_added", False):
            st.toast("Added. Test the connection, then choose it on the Tune page.", icon=":material/check:")
        _hint(provider, own=bool(address.strip()))


def _details(picked: str) -> tuple[str, float | None, int | None]:
    with st.expander("Details", icon=":material/page_info:", key="new_details"):
        variable = st.text_input(
            "Environment variable that holds the key",
            key=f"new_key_env_{picked}",
            placeholder="The provider's usual one",
            help="Only its name is stored, never the key.",
        )
        left, right = st.columns(2, gap="small")
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
        longest = right.number_input(
            "Longest answer, in tokens",
            1,
            1_000_000,
            None,
            step=100,
            key=f"new_max_tokens_{picked}",
            placeholder="The model's own",
        )
    return variable, temperature, longest


def _wrong(name: str | None, address: str) -> str:
    if not name or not name.strip():
        return "Name the model first, as provider/model."
    try:
        find_route(name, address.strip() or None)
    except EngineError as error:
        return str(error)
    return ""


def _hint(provider: Provider | None, *, own: bool) -> None:
    if own:
        st.caption("The server at this address is asked directly, and nobody else.")
    elif provider is None:
        st.caption(
            "Names that no provider above covers are sent through litellm, which knows over a hundred."
        )
    elif provider.local:
        st.caption("Start its server on this machine first. Nothing leaves the machine.")
    elif provider.key_env:
        st.caption(
            f"Needs an API key: from {plain(provider.key_env)}, your keyring, or typed in after adding it."
        )
