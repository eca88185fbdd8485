"""Models that were added or tuned: price, key, connection test, and how a tuned one is served."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.forms import model_facts
from dashboard.components.glossary import explain
from dashboard.services import (
    TUNED_PREFIX,
    ModelChoice,
    is_offline,
    key_variable,
    model_title,
    prices,
    tuned_models,
)
from dashboard.state import models, reading, users
from dashboard.state.editing import drafts
from dashboard.state.models import title_of
from dashboard.state.session import KEY_NOTE
from dashboard.state.writing import check
from dashboard.text import escape_markdown


def _price_form(choice: ModelChoice, key: str) -> None:
    model_price = prices.price(choice.name)
    changed_by_user = choice.name in prices.own_prices()
    with st.expander("Price", icon=":material/payments:", key=f"{key}_price"):
        st.caption(
            "In US dollars per million tokens (pieces of words). Estimates, money limits and spending use it."
            + (" This price is your own." if changed_by_user else "")
        )
        with ui.row(f"{key}_price_row", "bottom"):
            given = [
                st.number_input(
                    title,
                    0.0,
                    100_000.0,
                    round(1e6 * rate, 6) if model_price else None,
                    key=f"{key}_price_{side}_{changed_by_user}",
                    placeholder="not known",
                    format="%.4g",
                    width=150,
                )
                for title, side, rate in (
                    ("Sent", "in", model_price.input if model_price else 0.0),
                    ("Received", "out", model_price.output if model_price else 0.0),
                )
            ]
            ready = given[0] is not None and given[1] is not None
            if ui.checked_button(
                "Save price", "" if ready else "Give both prices first.", key=f"{key}_price_save"
            ):
                _save(choice.name, (float(given[0] or 0), float(given[1] or 0)))
            if changed_by_user and ui.button("Use the usual price", f"{key}_price_usual", type="tertiary"):
                _save(choice.name, None)


def _save(model: str, rates: tuple[float, float] | None) -> None:
    with ui.errors_shown():
        check()
        users.check_administrator()
        prices.set_own_price(model, rates)
        st.rerun()


def model_list() -> None:
    """Show the models, each with its test button."""
    for at, choice in enumerate(reading.saved_models()):
        _model(choice, f"model_{at}")


def _model(choice: ModelChoice, key: str) -> None:
    administrator = users.is_administrator()
    with ui.card(key):
        with ui.row(f"{key}_head"):
            with st.container(gap="xxsmall", key=f"{key}_name"):
                st.markdown(f"**{escape_markdown(title_of(choice), 80)}**")
                model_facts(choice)
            pressed = ui.button("Test connection", f"{key}_test", icon="network_check")
            if not is_offline(choice) and administrator:
                remove = ui.callback(drafts.remove_model, choice)
                ui.icon_button("delete", "Remove this model from the list", f"{key}_remove", on_click=remove)
        if not is_offline(choice) and administrator:
            _price_form(choice, key)
        variable = key_variable(choice)
        if variable:
            _key_form(variable, key, open_now=not models.key_state(choice)[0])
        if pressed:
            _test(choice)


def tuned_list() -> None:
    """Show the tuned models: what each was made of, and how to serve it; nothing before there is one."""
    if not (models_here := tuned_models()):
        return
    st.markdown("##### Tuned models", help=explain("tuned model"))
    for record in models_here:
        name = f"{TUNED_PREFIX}{record.name}"
        with ui.card(f"tuned_{record.name}"):
            with ui.row(f"tuned_{record.name}_head"):
                st.markdown(f"**{escape_markdown(name, 90)}**", width="content")
                if not record.finished:
                    st.badge("Stopped early", icon=":material/flag:", color="orange")
            st.caption(escape_markdown(model_title(record).partition(" · ")[2], 300))
            if record.hosted is not None:
                st.caption(f"At its provider: {escape_markdown(record.hosted.name, 120)}")
            else:
                _serving(name, f"tuned_{record.name}_serve")


SERVER_TITLES = {"vllm": "vLLM", "sglang": "SGLang", "ollama": "Ollama, with weights merged first"}


def _serving(name: str, key: str) -> None:
    from dashboard.services import MODEL_SERVERS, serving_command

    with st.expander("Serve it", icon=":material/dns:", key=key), ui.errors_shown():
        st.caption(
            "It answers inside Tuneboard without a server. For other programs, or for speed on a graphics card:"
        )
        for server in MODEL_SERVERS:
            command = serving_command(name, server)
            st.caption(SERVER_TITLES.get(server, server))
            if server == "ollama":
                command = (
                    f"tuneboard models {name} --merge merged/{name.removeprefix(TUNED_PREFIX)}\n{command}"
                )
            st.code(command, language="bash", wrap_lines=True)


def _key_form(variable: str, key: str, *, open_now: bool) -> None:
    """Let the user give a key: into the system's keyring where there is one, else for this page only."""
    from dashboard.services import has_keyring

    keyring = users.is_administrator() and has_keyring()  # the keyring's keys are for all users
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
            about = (
                "The keyring is where your system keeps passwords. Otherwise it is forgotten with this tab."
            )
            keep = keyring and st.checkbox(
                "Keep it in this system's keyring", True, key=f"{key}_keep", help=explain("key", about)
            )
            if st.form_submit_button("Use this key", key=f"{key}_submit"):
                _use_key(variable, typed, keep)
        forgotten = (
            "" if keyring else "There is no keyring for it here, so a reload of the page forgets the key. "
        )
        st.caption(
            f"{forgotten}Or set the environment variable {escape_markdown(variable)} before starting. "
            "Keys are never written to a file."
        )


def _use_key(variable: str, typed: str, keep: bool) -> None:
    from dashboard.services import store_key

    if not typed.strip():
        st.caption(":orange[:material/pending:] Paste a key first.")
        return
    models.remember(variable, typed)
    if keep and users.is_administrator() and not store_key(variable, typed.strip()):
        KEY_NOTE.set("This system has no keyring, so the key stays in this page's memory only.")
    st.rerun()


def _test(choice: ModelChoice) -> None:
    with st.spinner("Asking the model for one word"):
        problem, message = models.check_connection(choice)
    with st.container(key="test_report"):
        if problem:
            ui.show_error(message)
        else:
            st.markdown(ui.mark("check_circle", message, "green"))
