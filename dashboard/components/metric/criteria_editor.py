"""A judge's criteria as a list, edited in place, and the prompt the judge gets because of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import data, drafts
from dashboard.components.page import Current, complain
from dashboard.glossary import explain
from dashboard.prompts import text_of
from engine.errors import EngineError
from engine.metrics.awaited import Case
from engine.metrics.rubric import Rubric, RubricOptions
from engine.runs.spec import Named

IDEAS = (
    "The answer is correct.",
    "The answer is complete.",
    "The tone is polite.",
    "It is at most two sentences.",
    "It states nothing that the input does not say.",
)


def criteria_editor(now: Current, options: Mapping[str, Any]) -> None:
    """Show the criteria; every change is saved."""
    text = str(options.get("criteria") or RubricOptions.model_fields["criteria"].default)
    ids = _ids(now.id, text)
    left, right = st.columns([6, 5], gap="medium")
    with left:
        st.caption(
            "One thing to look for in each line, in plain words. The judge marks each by itself, from 0 to 1; the score is "
            "their mean.",
            help=explain("judge"),
        )
        for at, (one, line) in enumerate(ids.items(), 1):
            with st.container(
                horizontal=True, vertical_alignment="center", gap="xsmall", key=f"criterion_{at}"
            ):
                st.text_input(
                    f"Criterion {at}",
                    line,
                    key=_key(now.id, one),
                    placeholder="What do you look for?",
                    label_visibility="collapsed",
                    on_change=_changed,
                    args=(now.id,),
                )
                st.button(
                    "",
                    key=f"drop_criterion_{one}",
                    icon=":material/close:",
                    type="tertiary",
                    disabled=len(ids) < 2,
                    help="Take this criterion out."
                    if len(ids) > 1
                    else "A judge needs one criterion at least.",
                    on_click=_drop,
                    args=(now.id, one),
                )
        there = set(text.splitlines())
        with st.container(horizontal=True, key="criterion_bar"):
            st.button(
                "Add a criterion",
                key="add_criterion",
                icon=":material/add:",
                on_click=_add,
                args=(now.id, ""),
            )
            idea = next((i for i in IDEAS if i not in there), "")
            if idea:
                st.button(
                    f"“{idea}”",
                    key="add_idea",
                    type="tertiary",
                    help="Add this one.",
                    on_click=_add,
                    args=(now.id, idea),
                )
    with right, st.expander("The prompt the judge gets", icon=":material/visibility:", key="judge_prompt"):
        _preview(now, options)


def _preview(now: Current, options: Mapping[str, Any]) -> None:
    values = data.first_row(now.draft)
    outputs = [f.name for f in now.draft.pipeline.outputs] if now.draft.pipeline else []
    field = str(options.get("field") or (outputs[-1] if outputs else "answer"))
    case = Case(
        field,
        "«the right answer in your data»",
        "«what the model answers»",
        {**(values or {"input": "«the input»"}), field: ""},
        {field: ""},
    )
    try:
        sent = Rubric(**options).messages(case)
    except EngineError as error:
        complain(error)
        return
    st.caption("For the first of your rows; every other row gets the same with its own values.")
    with st.container(height=420, border=False, key="judge_messages"):
        for message in sent:
            judge = message["role"] == "system"
            st.caption("Instructions to the judge" if judge else "One row, as the judge reads it")
            st.code(text_of(message), language=None, wrap_lines=True)


def _ids(project: str, text: str) -> dict[int, str]:
    """Return widget number -> first text; all are made anew when the stored text is not what the widgets say."""
    kept: dict[int, str] = st.session_state.get(f"criteria_{project}", {})
    if not kept or _lines(project, kept) != [line for line in map(str.strip, text.splitlines()) if line]:
        first = max(kept, default=0) + 1
        kept = dict(enumerate(text.splitlines() or [""], first))
        st.session_state[f"criteria_{project}"] = kept
    return kept


def _lines(project: str, kept: Mapping[int, str]) -> list[str]:
    said = (str(st.session_state.get(_key(project, one), line)).strip() for one, line in kept.items())
    return [line for line in said if line]


def _changed(project: str) -> None:
    text = "\n".join(_lines(project, st.session_state[f"criteria_{project}"]))

    def change(draft: Any) -> Any:
        if draft.metric is None or not text:
            return draft
        options = {**draft.metric.options, "criteria": text}
        return draft.model_copy(update={"metric": Named(name=draft.metric.name, options=options)})

    drafts.edit(project, change)


def _add(project: str, text: str) -> None:
    kept = st.session_state[f"criteria_{project}"]
    st.session_state[f"criteria_{project}"] = {**kept, max(kept, default=0) + 1: text}
    if text:
        _changed(project)


def _drop(project: str, one: int) -> None:
    kept = st.session_state[f"criteria_{project}"]
    st.session_state[f"criteria_{project}"] = {o: line for o, line in kept.items() if o != one}
    _changed(project)


def _key(project: str, one: int) -> str:
    return f"criterion_{project}_{one}"
