"""The way of tuning with its options, and the budget. Whatever limit is reached first ends the run; empty means no limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.forms import options_form
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded, guarded_update, renew, widget_key
from dashboard.services import METRICS, OPTIMIZERS, Budget, Named, Optimizer, ProjectDraft, choose_optimizer
from dashboard.state.editing.examples import rows_to_use
from dashboard.text import escape_markdown

LIMITS: dict[str, tuple[str, str, str, float, float]] = {
    "calls": ("Calls", "e.g. 500", "A call is one question to the model.", 1, 100),
    "tokens": (
        "Tokens",
        "e.g. 300000",
        "A token is a piece of a word, about four letters. Models are paid by it.",
        1,
        10_000,
    ),
    "usd": (
        "US dollars",
        "e.g. 2.50",
        "Counted with the provider's list price, where it is known.",
        0.01,
        0.5,
    ),
    "seconds": ("Minutes", "e.g. 10", "Working time; a pause does not count.", 0.01, 1.0),
}
"""Limit -> its name, an example, what it counts, the least, and the widget's step."""


def budget_form(page: ProjectPage) -> None:
    """Show the limits; every change is saved."""
    about = explain("budget", "Limits are hard: the call that would pass one is not made.")
    with ui.card("budget_card", "Budget", about):
        for place, (name, (title, example, what, least, step)) in zip(
            st.columns(4), LIMITS.items(), strict=True
        ):
            value = getattr(page.draft.budget, name)
            key = widget_key(f"budget_{name}", page.id)
            # Only a field that begins empty can be emptied, so the limit is put into it.
            st.session_state.setdefault(key, value / 60 if name == "seconds" and value is not None else value)
            place.number_input(
                title,
                min_value=least,
                value=None,
                step=step,
                placeholder="No limit",
                help=f"{what} Leave empty for no limit ({example}).",
                **ui.saved(key, _save_limit, page.id, name),
            )
        st.caption(
            "Empty means no limit. Whatever is reached first ends the search; the best prompt so far is kept."
        )


def _save_limit(project_id: str, name: str, value: float | None) -> None:
    limit = value * 60 if name == "seconds" and value is not None else value

    def change(draft: ProjectDraft) -> ProjectDraft:
        return draft.model_copy(update={"budget": Budget(**{**draft.budget.model_dump(), name: limit})})

    guarded(project_id, change, "tuning")


NEEDS: dict[str, tuple[str, str, str]] = {
    "examples": (
        "Solved examples",
        "Puts well-chosen rows with their answers into the prompt.",
        ":material/format_list_numbered:",
    ),
    "wording": ("Wording", "Rewrites the instruction and keeps the best wording.", ":material/edit:"),
    "both": (
        "Wording and examples",
        "Rewrites the instruction and picks examples.",
        ":material/auto_awesome:",
    ),
    "structure": (
        "How steps answer",
        "Finds out whether a step answers better by thinking first, and whether to show each input its own examples.",
        ":material/account_tree:",
    ),
    "weights": (
        "The model itself",
        "Trains the model's weights on your rows, on this machine or at a provider.",
        ":material/memory:",
    ),
    "nothing": ("Nothing", "Only measures.", ":material/straighten:"),
}
"""Kind of change -> its name, what it does, its icon."""

STRUCTURE: dict[str, dict[str, object]] = {"Autotune": {}, "MIPROv2": {"tune_reasoning": True}}
"""Optimizers that can change how steps answer -> the options that make them do so."""

ASKED = ("wording", "examples", "both", "structure", "weights")
EVERYTHING = "all"
USUAL = ("Autotune", "BootstrapFewShotWithRandomSearch", "GEPA", "MIPROv2", "LabeledFewShot", "COPRO")
"""Some of each kind, shown first where nothing was asked for."""
FIRST = 6
"""Cards in sight where everything is shown; the rest is folded away, as fourteen ways of tuning are too many to compare."""


def optimizer_cards(page: ProjectPage) -> None:
    """Show the optimizers by need; choosing one is saved at once."""
    chosen = page.draft.optimizer.name if page.draft.optimizer else ""
    given = page.draft.optimizer.options if page.draft.optimizer else {}
    rows = rows_to_use(page.draft)
    advised, why = advised_optimizer(page.draft, rows)
    # Pills, as they go on in a second line where six of them are too wide for one.
    need = st.pills(
        "What may change?",
        [EVERYTHING, *ASKED],
        default=next((o.changes for o in OPTIMIZERS if o.name == chosen), EVERYTHING),
        format_func=lambda n: "All" if n == EVERYTHING else f"{NEEDS[n][2]} {NEEDS[n][0]}",
        key=f"optimizer_need_{page.id}",
        required=True,
        wrap=True,
        help="  \n".join([explain("way of tuning"), *(f"**{NEEDS[n][0]}**: {NEEDS[n][1]}" for n in ASKED)]),
    )
    if need != EVERYTHING:
        st.caption(NEEDS[need][1])
    if need == "weights":
        st.caption("The recipe under “small model” sets the first of them up step by step.")
    options = STRUCTURE if need == "structure" else {}
    shown = [o for o in OPTIMIZERS if need in (EVERYTHING, o.changes) or o.name in options]
    # What is chosen and what is advised comes first, else the order of the registry; of all, one of each kind leads.
    shown.sort(
        key=lambda o: (o.name != chosen, o.name != advised, need == EVERYTHING and o.name not in USUAL)
    )
    few = FIRST if need == EVERYTHING else len(shown)
    if why:
        title = next((o.title for o in OPTIMIZERS if o.name == advised), advised)
        with ui.row("advice"):
            st.markdown(
                f":green[:material/thumb_up:] **{escape_markdown(title)}** suits your rows. {escape_markdown(why)}"
            )
            if advised not in [o.name for o in shown]:
                ui.button("Choose it", "choose_advised", on_click=ui.callback(_choose, page.id, advised))

    def cards(some: Sequence[type[Optimizer]], key: str) -> None:
        with st.grid(3, min_column_width=255, key=key):
            for optimizer in some:
                wanted = options.get(optimizer.name, {})
                mine = optimizer.name == chosen and wanted.items() <= given.items()
                _card(page, optimizer, wanted, mine=mine, advised=why if optimizer.name == advised else "")

    cards(shown[:few], "optimizer_cards")
    if shown[few:]:
        with st.expander(f"{len(shown) - few} more ways of tuning", key="more_optimizers"):
            cards(shown[few:], "more_optimizer_cards")
    if need == "structure":
        with ui.row("structure_note"):
            st.caption(
                "What steps there are, and whether one tries several times or corrects its own answer, is chosen with the task.",
                width="content",
            )
            ui.link("task", "Open the task", "edit_note")


def _card(
    page: ProjectPage, optimizer: type[Optimizer], wanted: Mapping[str, object], *, mine: bool, advised: str
) -> None:
    title, does, icon = NEEDS[optimizer.changes]
    pace, what = optimizer.pace, optimizer.about or does
    with ui.tile(f"optimizer_{optimizer.name}"):
        with st.container(gap="xsmall", key=f"optimizer_body_{optimizer.name}"):
            st.markdown(f"**{optimizer.title}**")
            with ui.row(f"optimizer_tags_{optimizer.name}", "top", gap="xxsmall"):
                if advised:
                    st.badge("Suits your rows", icon=":material/thumb_up:", color="green", help=advised)
                st.badge(title, icon=icon)
                if pace:
                    st.badge(pace, color="gray")
            name = f"Its name in the literature and in code: {optimizer.name}."
            st.caption(f"{what.rstrip('.')} · {optimizer.name}", help=f"{does} {name}")
        choose = ui.callback(_choose, page.id, optimizer.name, wanted)
        primary = "primary" if advised and not page.draft.optimizer else "secondary"
        ui.chosen_or_button(mine, f"choose_{optimizer.name}", choose, type=primary)


def advised_optimizer(draft: ProjectDraft, rows: int) -> tuple[str, str]:
    """Return the optimizer that suits a project with this number of examples, and why; nothing without rows.

    >>> advised_optimizer(ProjectDraft(), 0), advised_optimizer(ProjectDraft(), 60)[0]
    (('', ''), 'BootstrapFewShotWithRandomSearch')
    """
    # The budget is left out, so that the advice does not change while the user types a figure.
    if not rows:
        return "", ""
    usable = rows - round(rows * draft.split.test)
    metric = next((m for m in METRICS if draft.metric and m.name == draft.metric.name), None)
    steps = len(draft.pipeline.steps) if draft.pipeline else 1
    return choose_optimizer(usable, metric, steps, None, [o.name for o in OPTIMIZERS])


def optimizer_options(page: ProjectPage) -> None:
    """Show the chosen optimizer's options, folded away."""
    chosen = page.draft.optimizer
    selected = next((o for o in OPTIMIZERS if chosen and o.name == chosen.name), None)
    if chosen is None or selected is None:
        return
    with st.expander("More options", icon=":material/page_info:", key=f"options_{selected.name}"):
        st.caption("They are set well for a start: leave them if unsure.")
        key = widget_key(f"optimizer_{selected.name}", page.id)
        values = options_form(selected.options_model, chosen.options, key=key)
    if values is not None and values != chosen.options:
        guarded_update(page.id, "tuning", optimizer=Named(name=selected.name, options=values))
        st.rerun()


def _choose(project_id: str, name: str, options: Mapping[str, object] | None = None) -> None:
    guarded_update(project_id, "tuning", optimizer=Named(name=name, options=dict(options or {})))
    renew(project_id)  # the options that are drawn next
