"""Parts of a starting prompt that can be frozen, and the form to freeze them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded, widget_key
from dashboard.services import (
    Candidate,
    EngineError,
    Freeze,
    Part,
    ProjectDraft,
    StepState,
    content_hash,
    counted,
    demo_key,
    value_text,
)
from dashboard.text import escape_markdown

TITLES: dict[Part, str] = {
    "step": "Everything in it",
    "instructions": "The whole instruction",
    "demos": "Solved examples",
    "fields": "Field descriptions",
    "tools": "Tool descriptions",
    "weights": "The tuned model",
}
"""Whole parts, in plain words."""

Frozen = tuple[Freeze, ...]


def _whole_parts(state: StepState) -> list[Part]:
    """Return the whole parts that a step has.

    >>> _whole_parts(StepState("Be kind."))
    ['step', 'instructions', 'demos']
    """
    parts: list[Part] = ["step", "instructions", "demos"]
    if state.field_descriptions:
        parts.append("fields")
    if state.tool_descriptions:
        parts.append("tools")
    if state.weights:
        parts.append("weights")
    return parts


def _sentences(text: str) -> list[str]:
    """Return an instruction's sentences and lines, as they are in it, each once.

    >>> _sentences("Be kind. Never promise a refund!\\n- Answer in German")
    ['Be kind.', 'Never promise a refund!', '- Answer in German']
    """
    parts = (p.strip() for line in text.splitlines() for p in re.split(r"(?<=[.!?。!?])\s+", line))
    return list(dict.fromkeys(p for p in parts if p))


def _gone(frozen: Sequence[Freeze], start: Candidate) -> Frozen:
    """Return the frozen parts that no longer exist: a step renamed, a sentence reworded, an example taken out.

    >>> start = Candidate({"s": StepState("Be kind.")})
    >>> [f.text for f in _gone([Freeze(step="s", part="sentence", text="Be brief.")], start)]
    ['Be brief.']
    """
    return tuple(f for f in frozen if not _exists(f, start))


def _exists(one: Freeze, start: Candidate) -> bool:
    state = start.steps.get(one.step)
    if state is None:
        return False
    if one.part == "sentence":
        return " ".join(one.text.split()) in " ".join(state.instructions.split())
    return one.part != "demo" or one.text in map(demo_key, state.demos)


def _summary(frozen: Sequence[Freeze]) -> str:
    """Return how much is frozen, in words.

    >>> _summary([Freeze(step="s", part="sentence", text="a"), Freeze(step="s", part="demos")])
    '1 sentence and 1 part are kept as they are'
    """
    pieces = sum(f.part in ("sentence", "demo") for f in frozen)
    whole = len(frozen) - pieces
    words = [counted(n, word) for n, word in ((pieces, "sentence"), (whole, "part")) if n]
    return f"{' and '.join(words)} {'is kept as it is' if len(frozen) == 1 else 'are kept as they are'}"


def freeze_form(page: ProjectPage) -> None:
    """Show what can be frozen, folded away; every change is saved."""
    from dashboard.services import build_program

    pipeline, frozen = page.draft.pipeline, page.draft.frozen
    if pipeline is None:
        return
    try:
        start = build_program(pipeline).candidate()
    except EngineError:
        return  # the Task page says what is wrong
    title = "Keep parts of the prompt as they are"
    with st.expander(
        f"{title} · {_summary(frozen)}" if frozen else title, icon=":material/lock:", key="freeze_form"
    ):
        st.caption("The search may change everything that is not frozen here.", help=explain("frozen"))
        lost = _gone(frozen, start)
        if lost:
            with st.container(key="frozen_gone"):
                names = (f.text or f"{TITLES.get(f.part, f.part)} of {f.step}" for f in lost)
                st.markdown(
                    ":orange[:material/error:] Frozen, and no longer in the prompt: "
                    + "; ".join(escape_markdown(name, 80) for name in names)
                )
                ui.button(
                    "Forget these",
                    "forget_frozen",
                    on_click=ui.callback(_save, page.id, (), lost),
                )
        for path, state in start.steps.items():
            with st.container(border=len(start.steps) > 1, key=f"freeze_{path}"):
                if len(start.steps) > 1:
                    st.markdown(f"**Step {escape_markdown(path)}**")
                _step(page, path, state)


def _step(page: ProjectPage, path: str, state: StepState) -> None:
    wholes = tuple(Freeze(step=path, part=part) for part in _whole_parts(state))
    on = {whole.part for whole in wholes if whole in page.draft.frozen}
    st.pills(
        "Stays as it is",
        [whole.part for whole in wholes],
        selection_mode="multi",
        default=[whole.part for whole in wholes if whole.part in on],
        format_func=lambda part: TITLES[part],
        **ui.saved(f"{widget_key('freeze_parts', page.id)}_{path}", _save_parts, page.id, wholes),
    )
    if on & {"step", "instructions"}:
        st.caption("Every sentence of its instruction stays.")
    else:
        st.caption("Or single sentences, which every new instruction must then hold word for word:")
        for sentence in _sentences(state.instructions):
            _frozen_row(
                page, Freeze(step=path, part="sentence", text=sentence), escape_markdown(sentence, 300)
            )
    if state.demos and not on & {"step", "demos"}:
        st.caption("Single solved examples:")
        for demo in state.demos:
            words = ", ".join(f"{name}: {value_text(value)}" for name, value in demo.values.items())
            _frozen_row(
                page, Freeze(step=path, part="demo", text=demo_key(demo)), escape_markdown(words, 160)
            )


def _frozen_row(page: ProjectPage, one: Freeze, label: str) -> None:
    st.checkbox(
        label,
        one in page.draft.frozen,
        **ui.saved(
            f"{widget_key('freeze', page.id)}_{content_hash(one.model_dump())[:12]}", _save_one, page.id, one
        ),
    )


def _save(project_id: str, on: Frozen, off: Frozen = ()) -> None:
    """Freeze some parts, and no longer some others."""

    def change(draft: ProjectDraft) -> ProjectDraft:
        rest = (f for f in draft.frozen if f not in (*on, *off))
        return draft.model_copy(update={"frozen": (*rest, *on)})

    guarded(project_id, change, "tuning")


def _save_parts(project_id: str, wholes: Frozen, wanted: Sequence[Part] | None) -> None:
    on = tuple(whole for whole in wholes if whole.part in (wanted or ()))
    _save(project_id, on, wholes)


def _save_one(project_id: str, part: Freeze, on: bool) -> None:
    _save(project_id, (part,) if on else (), (part,))
