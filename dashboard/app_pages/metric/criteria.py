"""A judge's criteria as a list, edited in place, and the prompt the judge gets because of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.components.layout import callback, in_row, show_error
from dashboard.components.page import Current
from dashboard.state import drafts, reading
from dashboard.views.glossary import explain
from dashboard.views.prompts import text_of
from dashboard.views.text import escape_markdown
from engine.errors import EngineError
from engine.metrics.base import Case
from engine.metrics.json_fields import parse_weights
from engine.metrics.judge import Rubric, RubricOptions
from engine.metrics.weighted import BY_NAME, WeightedSumOptions
from engine.runs.spec import Named

IDEAS = (
    "The answer is correct.",
    "The answer is complete.",
    "The tone is polite.",
    "It is at most two sentences.",
    "It states nothing that the input does not say.",
)


def criteria_editor(now: Current, options: Mapping[str, object]) -> None:
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
            with in_row(f"criterion_{at}", gap="xsmall"):
                st.text_input(
                    f"Criterion {at}",
                    line,
                    key=_key(now.id, one),
                    placeholder="What do you look for?",
                    label_visibility="collapsed",
                    on_change=callback(_changed, now.id),
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
                    on_click=callback(_drop, now.id, one),
                )
        there = set(text.splitlines())
        with in_row("criterion_bar", "top"):
            st.button(
                "Add a criterion",
                key="add_criterion",
                icon=":material/add:",
                on_click=callback(_add, now.id, ""),
            )
            idea = next((i for i in IDEAS if i not in there), "")
            if idea:
                st.button(
                    f"“{idea}”",
                    key="add_idea",
                    type="tertiary",
                    help="Add this one.",
                    on_click=callback(_add, now.id, idea),
                )
    with right, st.expander("The prompt the judge gets", icon=":material/visibility:", key="judge_prompt"):
        _preview(now, options)


def _preview(now: Current, options: Mapping[str, object]) -> None:
    values = reading.first_row(now.draft)
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
        show_error(error)
        return
    st.caption("For the first of your rows; every other row gets the same with its own values.")
    with st.container(height=420, border=False, key="judge_messages"):
        for message in sent:
            judge = message["role"] == "system"
            st.caption("Instructions to the judge" if judge else "One row, as the judge reads it")
            st.code(text_of(message), language=None, wrap_lines=True)


def _ids(project: str, text: str) -> dict[int, str]:
    """Return widget number -> first text; all are made again when the stored text is not what the widgets say."""
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


DEFAULT = str(WeightedSumOptions.model_fields["parts"].default)


def weights_editor(now: Current, options: Mapping[str, object]) -> None:
    """Show the metrics and weights; every change is saved."""
    parts = _weights(options)
    total = sum(parts.values()) or 1.0
    st.caption(
        "The score is the weighted mean: a metric of weight 2 counts twice as much as one of weight 1."
    )
    for name, weight in parts.items():
        with in_row(f"part_{name}"):
            metric = BY_NAME[name]
            with st.container(gap="xxsmall", key=f"part_name_{name}"):
                st.markdown(f"**{metric.title}**")
                st.caption(metric.plain)
            st.number_input(
                f"Weight of {metric.title}",
                min_value=0.0,
                value=float(weight),
                step=0.5,
                key=f"weight_{now.id}_{name}",
                label_visibility="collapsed",
                width=130,
                on_change=callback(_weighed, now.id, name),
            )
            st.badge(f"{100 * weight / total:.0f} %")
            st.button(
                "",
                key=f"drop_part_{name}",
                icon=":material/close:",
                type="tertiary",
                disabled=len(parts) < 2,
                help="Take this metric out." if len(parts) > 1 else "One metric at least must stay.",
                on_click=callback(_set, now.id, name, None),
            )
    others = [name for name in BY_NAME if name not in parts]
    added = st.selectbox(
        "Add a metric",
        others,
        index=None,
        format_func=lambda name: f"{BY_NAME[name].title}: {BY_NAME[name].plain}",
        placeholder="Add another metric",
        key=f"add_part_{now.id}_{len(parts)}",
        label_visibility="collapsed",
    )
    if added is not None:
        _set(now.id, added, 1.0)
        st.rerun()
    if not any(parts.values()):
        st.caption(f":red[:material/error:] {escape_markdown('Give one metric at least a weight above 0.')}")


def _weights(options: Mapping[str, object]) -> dict[str, float]:
    try:
        found = parse_weights(options.get("parts") or DEFAULT)
    except ValueError:
        found = {}
    return {name: weight for name, weight in found.items() if name in BY_NAME} or parse_weights(DEFAULT)


def _weighed(project: str, name: str) -> None:
    _set(project, name, float(st.session_state[f"weight_{project}_{name}"] or 0.0))


def _set(project: str, name: str, weight: float | None) -> None:
    def change(draft: Any) -> Any:
        if draft.metric is None:
            return draft
        parts = _weights(draft.metric.options)
        if weight is None:
            parts.pop(name, None)
        else:
            parts[name] = weight
        text = ", ".join(f"{n}={w:g}" for n, w in parts.items())
        options = {**draft.metric.options, "parts": text}
        return draft.model_copy(update={"metric": Named(name=draft.metric.name, options=options)})

    drafts.edit(project, change)
