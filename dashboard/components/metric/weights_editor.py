"""Several metrics as one score: a line for each with its weight, and its share of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import drafts
from dashboard.components.page import Current
from dashboard.plain import plain
from engine.metrics.json_fields import parse_weights
from engine.metrics.weighted import BY_NAME, WeightedSumOptions
from engine.runs.spec import Named

DEFAULT = str(WeightedSumOptions.model_fields["parts"].default)


def weights_editor(now: Current, options: Mapping[str, Any]) -> None:
    """Show the metrics and weights; every change is saved."""
    parts = _parts(options)
    total = sum(parts.values()) or 1.0
    st.caption(
        "The score is the weighted mean: a metric of weight 2 counts twice as much as one of weight 1."
    )
    for name, weight in parts.items():
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"part_{name}"):
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
                on_change=_weighed,
                args=(now.id, name),
            )
            st.badge(f"{100 * weight / total:.0f} %", color="blue", width="content")
            st.button(
                "",
                key=f"drop_part_{name}",
                icon=":material/close:",
                type="tertiary",
                disabled=len(parts) < 2,
                help="Take this metric out." if len(parts) > 1 else "One metric at least must stay.",
                on_click=_set,
                args=(now.id, name, None),
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
        st.caption(f":red[:material/error:] {plain('Give one metric at least a weight above 0.')}")


def _parts(options: Mapping[str, Any]) -> dict[str, float]:
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
        parts = _parts(draft.metric.options)
        if weight is None:
            parts.pop(name, None)
        else:
            parts[name] = weight
        text = ", ".join(f"{n}={w:g}" for n, w in parts.items())
        options = {**draft.metric.options, "parts": text}
        return draft.model_copy(update={"metric": Named(name=draft.metric.name, options=options)})

    drafts.edit(project, change)
