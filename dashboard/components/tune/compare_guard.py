"""Before a run starts: whether its scores will be comparable with an earlier run's, and what has changed since."""

from __future__ import annotations

import streamlit as st

from dashboard import data, history
from dashboard.components.page import Current
from dashboard.glossary import explain
from dashboard.plain import distinct, plain
from engine.errors import EngineError
from engine.runs.spec import ModelChoice, RunSpec
from engine.store.rows import RunRow

MOST = 50


def compare_guard(now: Current) -> None:
    """Show what has changed since the run that the next one will be compared with; nothing before the first run."""
    done = [r for r in data.runs(now.id) if r.result][:MOST]
    spec = _spec(now)
    if not done or spec is None:
        return
    names = distinct({r.id: r.title for r in done})
    in_use = next((r.id for r in done if r.in_use), done[0].id)
    with st.container(border=True, key="compare_guard"):
        st.markdown(
            "**Compared with**",
            help=explain("comparable", "Only then can the next run's scores be set beside an earlier run's."),
        )
        picked = st.selectbox(
            "Compared with",
            list(names),
            index=list(names).index(in_use),
            format_func=lambda i: names[i],
            key=f"compare_with_{now.id}",
            label_visibility="collapsed",
        )
        _said(next(r for r in done if r.id == picked), spec)


def _said(run: RunRow, spec: RunSpec) -> None:
    try:
        differ = history.differences(data.run_spec(run), spec)
    except ValueError:
        st.caption("That run was saved by another version of Tuneboard and cannot be compared.")
        return
    matters = [d for d in differ if d.matters]
    if not matters:
        others = ", ".join(d.what.lower() for d in differ)
        st.markdown(
            ":green[:material/balance:] Its scores will be comparable: data, split, metric, model and task are the same."
        )
        if others:
            st.caption(f"Also different, which does no harm: {plain(others)}.")
        return
    st.markdown(f":orange[:material/balance:] {plain(history.guard(matters))}")
    for one in matters:
        st.caption(f"**{one.what}**  \nthen: {plain(one.left, 120)}  \nnow: {plain(one.right, 120)}")


def _spec(now: Current) -> RunSpec | None:
    try:
        stored = next((d.hash for d in data.datasets() if d.id == now.draft.dataset), "")
        return now.draft.model_copy(update={"model": now.draft.model or ModelChoice()}).to_run(stored)
    except EngineError:
        return None
