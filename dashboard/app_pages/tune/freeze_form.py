"""Parts of a starting prompt that can be frozen, and the form to freeze them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from dashboard.components.layout import callback
from dashboard.components.page import Current
from dashboard.state import drafts
from dashboard.views.comparison import as_text
from dashboard.views.glossary import explain
from dashboard.views.text import escape_markdown
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, StepState, content_hash
from engine.search.freeze import Freeze, Part, demo_key

TITLES: dict[Part, str] = {
    "step": "Everything in it",
    "instructions": "The whole instruction",
    "demos": "Solved examples",
    "fields": "Field descriptions",
    "tools": "Tool descriptions",
}
"""Whole parts, in plain words."""


def starting_prompt(pipeline: PipelineSpec) -> Candidate:
    """Return the prompt that a search of this task begins with. Raises EngineError when it cannot be built."""
    from engine.pipeline.build import build_program

    return build_program(pipeline).candidate()


def parts_of(state: StepState) -> list[Part]:
    """Return the whole parts that a step has.

    >>> parts_of(StepState("Be kind."))
    ['step', 'instructions', 'demos']
    """
    found: list[Part] = ["step", "instructions", "demos"]
    if state.field_descriptions:
        found.append("fields")
    if state.tool_descriptions:
        found.append("tools")
    return found


def sentences(text: str) -> list[str]:
    """Return an instruction's sentences and lines, as they stand in it, each once.

    >>> sentences("Be kind. Never promise a refund!\\n- Answer in German")
    ['Be kind.', 'Never promise a refund!', '- Answer in German']
    """
    parts = (p.strip() for line in text.splitlines() for p in re.split(r"(?<=[.!?。!?])\s+", line))
    return list(dict.fromkeys(p for p in parts if p))


def is_on(frozen: Sequence[Freeze], one: Freeze) -> bool:
    """Return whether this very part is frozen."""
    return one in frozen


def toggled(frozen: Sequence[Freeze], one: Freeze, on: bool) -> tuple[Freeze, ...]:
    """Return the frozen parts with one more, or one less.

    >>> [f.part for f in toggled((), Freeze(step="s", part="demos"), True)]
    ['demos']
    """
    rest = tuple(f for f in frozen if f != one)
    return (*rest, one) if on else rest


def gone(frozen: Sequence[Freeze], start: Candidate) -> tuple[Freeze, ...]:
    """Return the frozen parts that no longer exist: a step renamed, a sentence reworded, an example taken out.

    >>> start = Candidate({"s": StepState("Be kind.")})
    >>> [f.text for f in gone([Freeze(step="s", part="sentence", text="Be brief.")], start)]
    ['Be brief.']
    """
    return tuple(f for f in frozen if not _there(f, start))


def summary(frozen: Sequence[Freeze]) -> str:
    """Return how much is frozen, in words.

    >>> summary([Freeze(step="s", part="sentence", text="a"), Freeze(step="s", part="demos")])
    '1 sentence and 1 part are kept as they are'
    """
    said = sum(f.part in ("sentence", "demo") for f in frozen)
    whole = len(frozen) - said
    if not frozen:
        return "nothing is frozen"
    counted = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((said, "sentence"), (whole, "part")) if n]
    return f"{' and '.join(counted)} {'is' if len(frozen) == 1 else 'are'} kept as {'it is' if len(frozen) == 1 else 'they are'}"


def _there(one: Freeze, start: Candidate) -> bool:
    state = start.steps.get(one.step)
    if state is None:
        return False
    if one.part == "sentence":
        return " ".join(one.text.split()) in " ".join(state.instructions.split())
    return one.part != "demo" or one.text in map(demo_key, state.demos)


def freeze_form(now: Current) -> None:
    """Show what can be frozen, folded away; every change is saved."""
    pipeline, frozen = now.draft.pipeline, now.draft.frozen
    if pipeline is None:
        return
    try:
        start = starting_prompt(pipeline)
    except EngineError:
        return  # the Task page says what is wrong
    title = "Keep parts of the prompt as they are"
    with st.expander(
        f"{title} · {summary(frozen)}" if frozen else title,
        icon=":material/lock:",
        key="freeze_form",
    ):
        st.caption("The search may change everything that is not frozen here.", help=explain("frozen"))
        lost = gone(frozen, start)
        if lost:
            with st.container(key="frozen_gone"):
                st.markdown(
                    ":orange[:material/error:] Frozen, and no longer in the prompt: "
                    + "; ".join(
                        escape_markdown(f.text or f"{TITLES.get(f.part, f.part)} of {f.step}", 80)
                        for f in lost
                    )
                )
                st.button("Forget these", key="forget_frozen", on_click=callback(_forget, now.id, lost))
        for path, state in start.steps.items():
            with st.container(border=len(start.steps) > 1, key=f"freeze_{path}"):
                if len(start.steps) > 1:
                    st.markdown(f"**Step {escape_markdown(path)}**")
                _step(now, path, state)


def _step(now: Current, path: str, state: StepState) -> None:
    frozen = now.draft.frozen
    parts = parts_of(state)
    key = f"freeze_parts_{now.id}_{path}"
    whole = is_on(frozen, Freeze(step=path, part="step"))
    st.pills(
        "Stays as it is",
        parts,
        selection_mode="multi",
        default=[p for p in parts if is_on(frozen, Freeze(step=path, part=p))],
        format_func=lambda p: TITLES[p],
        key=key,
        on_change=callback(_save_parts, now.id, path, tuple(parts), key),
    )
    if whole or is_on(frozen, Freeze(step=path, part="instructions")):
        st.caption("Every sentence of its instruction stays.")
    else:
        st.caption("Or single sentences, which every new instruction must then hold word for word:")
        for sentence in sentences(state.instructions):
            _frozen_row(
                now, Freeze(step=path, part="sentence", text=sentence), escape_markdown(sentence, 300)
            )
    if state.demos and not whole and not is_on(frozen, Freeze(step=path, part="demos")):
        st.caption("Single solved examples:")
        for demo in state.demos:
            words = ", ".join(f"{name}: {as_text(value)}" for name, value in demo.values.items())
            _frozen_row(now, Freeze(step=path, part="demo", text=demo_key(demo)), escape_markdown(words, 160))


def _frozen_row(now: Current, one: Freeze, label: str) -> None:
    key = f"freeze_{now.id}_{content_hash(one.model_dump())[:12]}"
    st.checkbox(label, is_on(now.draft.frozen, one), key=key, on_change=callback(_one, now.id, one, key))


def _forget(project: str, lost: tuple[Freeze, ...]) -> None:
    drafts.edit(
        project,
        lambda draft: draft.model_copy(update={"frozen": tuple(f for f in draft.frozen if f not in lost)}),
    )


def _save_parts(project: str, path: str, parts: tuple[Part, ...], key: str) -> None:
    wanted = set(st.session_state[key] or ())

    def change(frozen: tuple[Freeze, ...]) -> tuple[Freeze, ...]:
        for part in parts:
            frozen = toggled(frozen, Freeze(step=path, part=part), part in wanted)
        return frozen

    drafts.edit(project, lambda draft: draft.model_copy(update={"frozen": change(draft.frozen)}))


def _one(project: str, one: Freeze, key: str) -> None:
    on = bool(st.session_state[key])
    drafts.edit(
        project,
        lambda draft: draft.model_copy(update={"frozen": toggled(draft.frozen, one, on)}),
    )
