"""Which parts of the starting prompt a search must leave as they are: whole steps, parts, single sentences."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts, freezing
from dashboard.comparison import as_text
from dashboard.components.page import Current
from dashboard.glossary import explain
from dashboard.plain import plain
from engine.errors import EngineError
from engine.records import StepState, content_hash
from engine.search.freeze import Freeze, Part, demo_key


def freeze_form(now: Current) -> None:
    """Show what can be frozen, folded away; every change is saved."""
    pipeline, frozen = now.draft.pipeline, now.draft.frozen
    if pipeline is None:
        return
    try:
        start = freezing.starting_prompt(pipeline)
    except EngineError:
        return  # the Task page says what is wrong
    title = "Keep parts of the prompt as they are"
    with st.expander(
        f"{title} · {freezing.summary(frozen)}" if frozen else title,
        icon=":material/lock:",
        key="freeze_form",
    ):
        st.caption("The search may change everything that is not frozen here.", help=explain("frozen"))
        lost = freezing.gone(frozen, start)
        if lost:
            with st.container(key="frozen_gone"):
                st.markdown(
                    ":orange[:material/error:] Frozen, and no longer in the prompt: "
                    + "; ".join(
                        plain(f.text or f"{freezing.TITLES.get(f.part, f.part)} of {f.step}", 80)
                        for f in lost
                    )
                )
                st.button(
                    "Forget these",
                    key="forget_frozen",
                    on_click=_forget,
                    args=(now.id, lost),
                )
        for path, state in start.steps.items():
            with st.container(border=len(start.steps) > 1, key=f"freeze_{path}"):
                if len(start.steps) > 1:
                    st.markdown(f"**Step {plain(path)}**")
                _step(now, path, state)


def _step(now: Current, path: str, state: StepState) -> None:
    frozen = now.draft.frozen
    parts = freezing.parts_of(state)
    key = f"freeze_parts_{now.id}_{path}"
    whole = freezing.is_on(frozen, Freeze(step=path, part="step"))
    st.pills(
        "Stays as it is",
        parts,
        selection_mode="multi",
        default=[p for p in parts if freezing.is_on(frozen, Freeze(step=path, part=p))],
        format_func=lambda p: freezing.TITLES[p],
        key=key,
        on_change=_parts,
        args=(now.id, path, tuple(parts), key),
    )
    if whole or freezing.is_on(frozen, Freeze(step=path, part="instructions")):
        st.caption("Every sentence of its instruction stays.")
    else:
        st.caption("Or single sentences, which every new instruction must then hold word for word:")
        for sentence in freezing.sentences(state.instructions):
            _line(now, Freeze(step=path, part="sentence", text=sentence), plain(sentence, 300))
    if state.demos and not whole and not freezing.is_on(frozen, Freeze(step=path, part="demos")):
        st.caption("Single solved examples:")
        for demo in state.demos:
            words = ", ".join(f"{name}: {as_text(value)}" for name, value in demo.values.items())
            _line(now, Freeze(step=path, part="demo", text=demo_key(demo)), plain(words, 160))


def _line(now: Current, one: Freeze, label: str) -> None:
    key = f"freeze_{now.id}_{content_hash(one.model_dump())[:12]}"
    st.checkbox(
        label,
        freezing.is_on(now.draft.frozen, one),
        key=key,
        on_change=_one,
        args=(now.id, one, key),
    )


def _forget(project: str, lost: tuple[Freeze, ...]) -> None:
    drafts.edit(
        project,
        lambda draft: draft.model_copy(update={"frozen": tuple(f for f in draft.frozen if f not in lost)}),
    )


def _parts(project: str, path: str, parts: tuple[Part, ...], key: str) -> None:
    wanted = set(st.session_state[key] or ())

    def change(frozen: tuple[Freeze, ...]) -> tuple[Freeze, ...]:
        for part in parts:
            frozen = freezing.toggled(frozen, Freeze(step=path, part=part), part in wanted)
        return frozen

    drafts.edit(project, lambda draft: draft.model_copy(update={"frozen": change(draft.frozen)}))


def _one(project: str, one: Freeze, key: str) -> None:
    on = bool(st.session_state[key])
    drafts.edit(
        project,
        lambda draft: draft.model_copy(update={"frozen": freezing.toggled(draft.frozen, one, on)}),
    )
