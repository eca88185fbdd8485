"""The options of the chosen metric, and how it scores a few of the project's own rows."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import Current
from dashboard.forms import options_form
from dashboard.plain import plain
from engine.errors import UnknownNameError
from engine.registry import get_metric
from engine.runs.spec import Named


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
    with st.container(border=True, key="metric_options"):
        st.markdown(f"**Options of “{metric.title}”**", help="Leave them as they are if unsure.")
        if not model.model_fields:
            st.caption("There is nothing to set.")
            return
        values, wrong = options_form(
            model,
            chosen.options,
            key=f"metric_{chosen.name}_{now.id}",
            choices={"field": outputs} if "field" in model.model_fields else None,
            columns=3,
        )
        for sentence in wrong:
            st.caption(f":red[:material/error:] {plain(sentence)}")
        if not wrong and values != chosen.options:
            drafts.update(now.id, metric=Named(name=chosen.name, options=values))
