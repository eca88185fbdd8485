"""Models with their keys and prices, those found on this machine, spending and storage."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.app_pages.settings.users import figures
from dashboard.components import ui
from dashboard.components.forms import model_facts
from dashboard.components.share import link_rows
from dashboard.components.tables import small_table
from dashboard.state import models, reading, users
from dashboard.state.editing import drafts
from dashboard.state.models import own_key_variable, title_of, wrong_name
from dashboard.state.writing import check, read_only
from dashboard.views.glossary import explain
from dashboard.views.text import distinct, escape_markdown
from engine.basics.home import data_home
from engine.basics.text import counted, price
from engine.lm import prices
from engine.lm.choice import PROVIDERS, Provider, find_provider, is_offline, key_variable
from engine.lm.connection import LocalServer, local_servers, providers_with_key
from engine.lm.local.sources import model_title
from engine.lm.tuned import PREFIX
from engine.parts import BACKENDS, loaded
from engine.runs.spec import ModelChoice

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
        if ui.press("Add this model", wrong, key="add_model_button", type="primary", icon="add") and name:
            drafts.add_model(
                ModelChoice(
                    name=name.strip(),
                    base_url=address.strip() or None,
                    key_env=variable or None,
                    **details,
                )
            )
            st.session_state["model_added"] = True
            st.rerun()
        if st.session_state.pop("model_added", False):
            st.toast("Added. Test the connection, then choose it on the Tune page.", icon=":material/check:")
        _hint(find_provider(name) if name and "/" in name else provider, own=bool(address.strip()))


def _details(picked: str) -> dict[str, Any]:
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


def _price_form(choice: ModelChoice, key: str) -> None:
    found = prices.price(choice.name)
    own = choice.name in prices.own_prices()
    with st.expander("Price", icon=":material/payments:", key=f"{key}_price"):
        st.caption(
            "In US dollars per million tokens (pieces of words). Estimates, money limits and spending use it."
            + (" This price is your own." if own else "")
        )
        with ui.row(f"{key}_price_row", "bottom"):
            given = [
                st.number_input(
                    title,
                    0.0,
                    100_000.0,
                    round(1e6 * rate, 6) if found else None,
                    key=f"{key}_price_{side}_{own}",
                    placeholder="not known",
                    format="%.4g",
                    width=150,
                )
                for title, side, rate in (
                    ("Sent", "in", found.input if found else 0.0),
                    ("Received", "out", found.output if found else 0.0),
                )
            ]
            ready = given[0] is not None and given[1] is not None
            if ui.press("Save price", "" if ready else "Give both prices first.", key=f"{key}_price_save"):
                _save(choice.name, (float(given[0] or 0), float(given[1] or 0)))
            if own and ui.button("Use the usual price", f"{key}_price_usual", type="tertiary"):
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
    found = reading.tuned()
    if not found:
        return
    st.markdown("##### Tuned models", help=explain("tuned model"))
    for record in found:
        name = f"{PREFIX}{record.name}"
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
    from engine.lm.local.serving import SERVERS, serving_command

    with st.expander("Serve it", icon=":material/dns:", key=key), ui.errors_shown():
        st.caption(
            "It answers inside Tuneboard without a server. For other programs, or for speed on a graphics card:"
        )
        for server in SERVERS:
            command = serving_command(name, server)
            st.caption(SERVER_TITLES.get(server, server))
            if server == "ollama":
                command = f"tuneboard models {name} --merge merged/{name.removeprefix(PREFIX)}\n{command}"
            st.code(command, language="bash", wrap_lines=True)


def _key_form(variable: str, key: str, *, open_now: bool) -> None:
    """Let the user give a key: into the system's keyring where there is one, else for this page only."""
    from engine.lm.keys import has_keyring

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
    from engine.lm.keys import store_key

    if not typed.strip():
        st.caption(":orange[:material/pending:] Paste a key first.")
        return
    models.remember(variable, typed)
    if keep and users.is_administrator() and not store_key(variable, typed.strip()):
        st.session_state["key_note"] = (
            "This system has no keyring, so the key stays in this page's memory only."
        )
    st.rerun()


def _test(choice: ModelChoice) -> None:
    with st.spinner("Asking the model for one word"):
        problem, message = models.check_connection(choice)
    with st.container(key="test_report"):
        if problem:
            ui.show_error(message)
        else:
            st.markdown(ui.mark("check_circle", message, "green"))


MOST = 12
GONE = ("A deleted project", "Outside projects")


def spending_card() -> None:
    """Show every project's calls, tokens and money."""
    names = distinct({p.id: p.name for p in reading.projects(archived=True)})
    found = reading.spent()
    with ui.card(
        "spending_card",
        "Spent so far",
        "By all runs, also those that were stopped, put away or deleted, and by what pages have asked of models. "
        "Answers that were kept for reuse cost nothing again.",
    ):
        if not found:
            st.caption("Nothing yet: no model was asked.")
            return
        known = [s.usage.cost for s in found.values() if s.usage.cost is not None]
        st.metric("In total", price(sum(known) if known else None))
        lines = [(names.get(id_, GONE[id_ == ""]), *figures(one)[1:]) for id_, one in found.items()]
        small_table(("Project", "Calls", "Tokens", "Money"), lines[:MOST])
        if len(found) > MOST:
            st.caption(f"And {counted(len(found) - MOST, 'project')} that spent less.")
        unpriced = sum(s.unpriced for s in found.values())
        if unpriced:
            st.caption(
                f":orange[:material/help:] {counted(unpriced, 'run')} used a model whose price is not known. "
                "Set it next to the model, for the runs to come."
            )


def storage_card() -> None:
    """Show the call cache and the data folder."""
    answers, size, cost = reading.cache_size()
    with ui.card(
        "cache_card", "Answers kept for reuse", explain("answer kept for reuse", "Also after a crash.")
    ):
        with st.grid(3, min_column_width=80, key="cache_figures"):
            st.metric("Answers", f"{answers:,}")
            st.metric("On disk", _bytes(size))
            st.metric("They cost", price(cost))
        if not answers:
            st.caption("The offline model's answers are not kept: it answers again at once, for free.")
        ui.button(
            "Clear them",
            "clear_cache",
            "" if answers else "There is nothing to clear.",
            icon="delete_sweep",
            on_click=ui.callback(_clear_dialog),
        )
    with ui.card("folder_card", "Where everything is kept"):
        st.code(str(data_home()), language=None)
        st.caption(
            "Projects, runs, files and exports, on this machine only. Set TUNEBOARD_HOME to use another folder."
        )


def links_card() -> None:
    """Show the links to reports that work: to an administrator all, to a user their own."""
    links = [link for link in reading.links() if users.is_administrator() or link.made_by == users.name()]
    if links:
        with ui.card("links_card", "Shared reports", "Anyone who has such a link can read the report."):
            link_rows(links, {run.id: run.title for run in reading.runs()})


def backend_card() -> None:
    """Let the user choose where the rows of new runs are answered."""
    chosen = reading.backend()
    with ui.card("backend_card", "Where rows are answered"):
        ui.pick(
            "Where rows are answered",
            {backend.name: backend.title for backend in loaded(BACKENDS)},
            chosen.name,
            label_visibility="collapsed",
            **ui.saved("backend_name", drafts.set_backend, "name"),
        )
        if chosen.name == "local":
            return
        st.text_input(
            "Address of the cluster",
            chosen.address,
            help="auto: the cluster that runs on this machine. local: one that is started for each run. Else host:port.",
            **ui.saved("backend_address", drafts.set_backend, "address"),
        )
        st.caption(
            "Models that run on your own machines, searches by embeddings and code in the sandbox get faster. Calls to a "
            "provider do not: one machine waits for many at once. Needs tuneboard[ray]; keys stay on this machine."
        )


@st.dialog("Clear the kept answers?")
def _clear_dialog() -> None:
    answers, _, _ = reading.cache_size()
    st.write(
        f"{counted(answers, 'answer')} will be forgotten. Runs that are repeated or resumed will pay again."
    )
    if ui.confirmed("Keep them", "Clear", "clear"):
        drafts.clear_answers()
        st.rerun()


def _bytes(size: int) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.3g} {unit}"
    return f"{size} bytes"
