"""The messages a task makes, live beside its form: exactly what the adapter will send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.components.page import complain
from dashboard.plain import count
from dashboard.prompts import messages, text_of
from engine.errors import EngineError
from engine.pipeline.spec import PipelineSpec

ROLES = {
    "system": ("Instructions to the model", ":material/smart_toy:"),
    "user": ("One row, as the model reads it", ":material/person:"),
    "assistant": ("An answer", ":material/reply:"),
}


def prompt_preview(
    pipeline: PipelineSpec, values: Mapping[str, Any], *, adapter: str, height: int = 560
) -> None:
    """Show the prompt of one row. Values that are not known are shown as «name»."""
    with st.container(border=True, key="prompt_card"):
        st.markdown(
            "**The prompt it makes**",
            help="Written by the same code that sends it. Tuning rewrites the instructions and adds solved examples.",
        )
        try:
            sent = messages(pipeline, values, adapter=adapter)
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
            f"{count(len(sent), 'call')} for each row, about {count(max(1, letters // 4), 'token')} in.",
            help="A token is a piece of a word, about four letters. Models are paid by the token.",
        )
