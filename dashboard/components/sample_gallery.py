"""Samples that run at once, with no key and no network."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import go
from dashboard.plain import count
from engine.pipeline.templates import SAMPLES, Sample


def sample_gallery() -> None:
    """Show a card for each sample; starting one makes a project that is ready to run."""
    with st.grid(3, gap="small", min_column_width=270, key="sample_gallery"):
        for sample in SAMPLES:
            with st.container(
                border=True, height="stretch", vertical_alignment="distribute", key=f"sample_{sample.name}"
            ):
                with st.container(gap="xsmall", key=f"sample_body_{sample.name}"):
                    st.markdown(f"**{sample.title}**")
                    st.caption(sample.plain)
                    _badges(sample)
                if st.button("Start with this", key=f"start_{sample.name}", icon=":material/add:"):
                    go("tune", project=drafts.project_from_sample(sample))


def _badges(sample: Sample) -> None:
    spec = sample.pipeline
    with st.container(horizontal=True, gap="xxsmall", key=f"sample_badges_{sample.name}"):
        st.badge(count(len(spec.inputs), "input"), color="blue", width="content")
        st.badge(count(len(spec.outputs), "answer"), color="orange", width="content")
        if any(s.strategy == "chain_of_thought" for s in spec.steps):
            st.badge("thinks first", color="gray", width="content")
