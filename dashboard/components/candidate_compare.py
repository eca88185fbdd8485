"""Two candidate prompts side by side: what their words and their solved examples have in common and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.comparison import as_text
from dashboard.components.prompt_diff import prompt_diff
from engine.records import Demo
from engine.store.rows import CandidateRow


def candidate_compare(candidates: Sequence[CandidateRow], best_id: str) -> None:
    """Choose two candidates and compare them."""
    by_id = {c.id: c for c in candidates}
    order = [c.id for c in sorted(candidates, key=lambda c: c.number)]
    names = {c.id: _name(c, best_id) for c in candidates}
    left, right = st.columns(2)
    first = left.selectbox(
        "Left", order, index=0, format_func=lambda i: names[i], key="compare_left", bind="query-params"
    )
    default = order.index(best_id) if best_id in by_id else len(order) - 1
    second = right.selectbox(
        "Right",
        order,
        index=default,
        format_func=lambda i: names[i],
        key="compare_right",
        bind="query-params",
    )
    a, b = by_id[first], by_id[second]
    for column, candidate in ((left, a), (right, b)):
        column.caption("Why it exists")
        column.text(candidate.candidate.reason or "The starting prompt.")
    view = st.segmented_control(
        "View",
        ["Side by side", "In one"],
        default="Side by side",
        key="diff_view",
        label_visibility="collapsed",
        required=True,
    )
    for path, state in b.candidate.steps.items():
        before = a.candidate.steps[path]
        if len(b.candidate.steps) > 1:
            st.markdown(f"**Step {path}**")
        st.markdown("**Instruction**")
        prompt_diff(before.instructions, state.instructions, split=view == "Side by side")
        _descriptions(before.field_descriptions, state.field_descriptions)
        _demos(before.demos, state.demos, key=path)


def _name(candidate: CandidateRow, best_id: str) -> str:
    what = "Starting prompt" if candidate.number == 0 else f"Candidate {candidate.number}"
    score = (
        "not scored" if candidate.score is None else f"{100 * candidate.score:.1f} % on {candidate.rows} rows"
    )
    return f"{what} · {score}{' · best' if candidate.id == best_id else ''}"


def _descriptions(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [name for name in after if after[name] != before.get(name, "")]
    if changed:
        st.markdown("**Field descriptions**")
        prompt_diff(
            "\n".join(f"{n}: {before.get(n, '')}" for n in changed),
            "\n".join(f"{n}: {after[n]}" for n in changed),
        )


def _demos(before: Sequence[Demo], after: Sequence[Demo], *, key: str) -> None:
    st.markdown(f"**Solved examples** · {len(before)} on the left, {len(after)} on the right")
    if not before and not after:
        st.caption("Neither prompt shows the model any solved example.")
        return
    left, right = st.columns(2)
    for column, demos, others, side in ((left, before, after, "left"), (right, after, before, "right")):
        with column:
            if not demos:
                st.caption("None")
                continue
            known = [dict(d.values) for d in others]
            rows = [_row(d, known) for d in demos]
            st.dataframe(
                rows, hide_index=True, key=f"demos_{side}_{key}", height=min(38 + 35 * len(rows), 320)
            )


def _row(demo: Demo, others: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    values = dict(demo.values)
    return {
        **{name: as_text(value) for name, value in values.items()},
        "Made by": "the model's own correct answer" if demo.augmented else "your data",
        "Only here": "" if values in others else "yes",
    }
