"""Samples that run at once, with no key and no network, by what they show."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import go
from dashboard.gallery import KINDS, grouped
from dashboard.plain import count, plain
from engine.pipeline.templates import SAMPLES, Sample

ALL = "All"
WAYS = {
    "retrieve": "searches",
    "react": "uses tools",
    "tool": "uses a tool",
    "chain_of_thought": "thinks first",
    "program_of_thought": "writes programs",
    "best_of_n": "best of several",
    "refine": "improves itself",
}


def sample_gallery() -> None:
    """Show a card for each sample; starting one makes a project that is ready to run."""
    groups = grouped(SAMPLES)
    picked = st.pills(
        "What it shows",
        [ALL, *groups],
        default=ALL,
        format_func=lambda kind: KINDS.get(kind, kind),
        key="sample_kind",
        wrap=True,
        required=True,
        label_visibility="collapsed",
    )
    shown = [(kind, s) for kind, some in groups.items() for s in some if picked in (ALL, None, kind)]
    with st.grid(4, gap="small", min_column_width=250, key="sample_gallery"):
        for kind, sample in shown:
            with st.container(
                border=True, height="stretch", vertical_alignment="distribute", key=f"sample_{sample.name}"
            ):
                with st.container(gap="xsmall", key=f"sample_body_{sample.name}"):
                    st.caption(KINDS[kind])
                    st.markdown(f"**{plain(sample.title)}**")
                    st.caption(plain(sample.plain, 220))
                    _badges(sample)
                if st.button("Start with this", key=f"start_{sample.name}", icon=":material/add:"):
                    go("tune", project=drafts.project_from_sample(sample))


def _badges(sample: Sample) -> None:
    spec = sample.pipeline
    with st.container(horizontal=True, gap="xxsmall", key=f"sample_badges_{sample.name}"):
        if len(spec.steps) > 1:
            st.badge(count(len(spec.steps), "step"), color="blue", width="content")
        else:
            st.badge(count(len(spec.inputs), "input"), color="blue", width="content")
        st.badge(count(len(spec.outputs), "answer"), color="orange", width="content")
        for way in dict.fromkeys(WAYS[s.strategy] for s in spec.steps if s.strategy in WAYS):
            st.badge(way, color="gray", width="content")
