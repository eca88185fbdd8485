"""The options of the chosen metric; what is a list, a set of weights or code has an editor of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from pydantic import BaseModel

from dashboard import data, drafts
from dashboard.components.metric.code_editor import code_editor
from dashboard.components.metric.criteria_editor import criteria_editor
from dashboard.components.metric.weights_editor import weights_editor
from dashboard.components.page import Current
from dashboard.forms import options_form
from dashboard.glossary import explain
from dashboard.plain import plain
from engine.errors import UnknownNameError
from engine.registry import get_metric
from engine.runs.spec import Named

EDITORS: Mapping[str, tuple[str, Callable[[Current, Mapping[str, Any]], None]]] = {
    "Rubric": ("criteria", criteria_editor),
    "WeightedSum": ("parts", weights_editor),
    "PythonMetric": ("code", code_editor),
}
"""Metric -> the option that has an editor of its own, and the editor."""


def _choices(model: type[BaseModel], chosen: Named, outputs: list[str]) -> dict[str, list[Any]]:
    """Return the values that only the project knows: its outputs, and the models that can judge."""
    found: dict[str, list[Any]] = {"field": outputs} if "field" in model.model_fields else {}
    if "judge" in model.model_fields:
        # A judge is named and nothing else, so a model at an address of its own cannot be one.
        names = [m.name for m in data.saved_models() if not m.base_url]
        found["judge"] = list(dict.fromkeys([*names, *filter(None, [chosen.options.get("judge")])]))
    return found


def metric_options(now: Current) -> None:
    """Show the chosen metric's options; every change that makes sense is saved."""
    chosen = now.draft.metric
    if chosen is None:
        return
    try:
        metric = get_metric(chosen.name)
    except UnknownNameError as error:
        st.caption(f":red[:material/error:] {plain(str(error))}")
        return
    outputs = [f.name for f in now.draft.pipeline.outputs] if now.draft.pipeline else []
    model = metric.Options
    own, editor = EDITORS.get(chosen.name, ("", None))
    # With one output there is nothing to choose; a field that the task has no more must be seen to be mended.
    plain_case = len(outputs) < 2 and chosen.options.get("field") in (None, *outputs)
    hidden = {own} | ({"field", "every_output"} if plain_case else set())
    kept = {name: value for name, value in chosen.options.items() if name in hidden}
    with st.container(border=True, key="metric_options"):
        st.markdown(
            f"**Options of “{metric.title}”**",
            help=explain("metric", "Leave its options as they are if unsure."),
        )
        if editor is not None:
            editor(now, chosen.options)
        if set(model.model_fields) <= hidden:
            if editor is None:
                st.caption("There is nothing to set.")
            return
        values, wrong = options_form(
            model,
            chosen.options,
            key=f"metric_{chosen.name}_{now.id}",
            choices=_choices(model, chosen, outputs),
            columns=3,
            hidden=hidden,
        )
        for sentence in wrong:
            st.caption(f":red[:material/error:] {plain(sentence)}")
        values = {**kept, **values}
        if not wrong and values != chosen.options:
            drafts.update(now.id, metric=Named(name=chosen.name, options=values))
