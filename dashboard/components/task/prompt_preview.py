"""The messages a step makes, live beside its form: exactly what the message layout will send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.components.page import complain
from dashboard.glossary import explain
from dashboard.plain import count, plain
from dashboard.prompts import calls_a_row, messages, text_of
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec, StepSpec

ROLES = {
    "system": ("Instructions to the model", ":material/smart_toy:"),
    "user": ("One row, as the model reads it", ":material/person:"),
    "assistant": ("An answer", ":material/reply:"),
}
NO_MODEL = {
    "retrieve": "This step asks no model. It looks for the passages that fit its input and hands them on.",
    "tool": "This step asks no model. It calls its tool with its inputs and hands the result on.",
}


def prompt_preview(
    pipeline: PipelineSpec, values: Mapping[str, Any], *, adapter: str, at: int = 0, height: int = 560
) -> None:
    """Show the prompt of one row for the step at a place. Values that are not known are shown as «name»."""
    step = pipeline.steps[at]
    with st.container(border=True, key="prompt_card"):
        several = len(pipeline.steps) > 1
        st.markdown(
            f"**The prompt of {plain(step.name)}**" if several else "**The prompt it makes**",
            help=f"{explain('prompt')} Written by the same code that sends it.",
        )
        if step.strategy in NO_MODEL:
            st.caption(NO_MODEL[step.strategy])
            return
        try:
            sent = messages(_alone(step), values, adapter=adapter)
            calls = calls_a_row(_alone(step), adapter=adapter)
        except EngineError as error:
            complain(error)
            st.caption("The prompt appears here when this is mended.")
            return
        with st.container(height=height, border=False, key="prompt_text"):
            for path, turns in sent:
                if len(sent) > 1:
                    st.text(path)
                for message in turns:
                    title, icon = ROLES.get(message["role"], (message["role"], ":material/chat:"))
                    st.caption(f"{icon} {title}")
                    st.code(text_of(message), language=None, wrap_lines=True)
        letters = sum(len(text_of(m)) for _, turns in sent for m in turns)
        st.caption(
            f"{count(calls, 'call')} for each row{' in this step' if several else ''}, "
            f"about {count(max(1, letters // 4), 'token')} {'in' if calls == len(sent) else 'in what is shown'}.",
            help=explain("token"),
        )


def _alone(step: StepSpec) -> PipelineSpec:
    """Return a task of this step alone, run once whatever happens: what keeps others from working does not matter here."""
    return PipelineSpec(steps=(step.model_copy(update={"when": None, "each": None}),))
