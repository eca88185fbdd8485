"""All prompts of a run at a glance: rows against prompts, the family tree, quality against cost."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.candidate_charts import (
    lineage,
    lineage_figure,
    matrix,
    matrix_figure,
    trade_off,
    variants,
    variants_figure,
    whole_trials,
)
from dashboard.comparison import as_text
from dashboard.components.plot import plot
from dashboard.plain import count, plain
from engine.store.rows import RunRow


def candidate_matrix(run: RunRow) -> None:
    """Show which prompt gets which validation row right."""
    trials = whole_trials(data.trials(run.id))
    found = matrix(data.candidates(run.id), trials, data.row_scores(run.id))
    if not found.rows:
        st.caption("No prompt was scored on all validation rows.")
        return
    st.caption(
        f"{count(len(found.rows), 'row')} against {count(len(found.candidates), 'prompt')}. "
        f"Every prompt gets {found.always:,} of them right; {found.never:,} no prompt does, which is worth a look at the "
        "rows themselves.",
        help="Green is right, red is wrong. Rows are sorted from the hardest to the easiest. Move over a cell to read it.",
    )
    if found.left_out:
        st.caption(f"The start and the best prompts are shown; {found.left_out:,} others are left out.")
    values = data.row_values(run, found.rows)
    inputs = [f.name for f in data.pipeline(run).inputs]
    texts = {row: as_text(v.get(inputs[0], "")) if inputs else "" for row, v in values.items()}
    plot(
        matrix_figure(found, {row: row + 2 for row in found.rows}, texts),
        key="matrix",
        label=f"{len(found.rows)} rows against {len(found.candidates)} prompts",
        height=min(760, 130 + 9 * len(found.rows)),
        stamp=str(len(found.rows)),
    )


def candidate_family(run: RunRow, best_id: str) -> None:
    """Show what came from what, and what quality costs."""
    candidates = data.candidates(run.id)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch", key="lineage_card"):
        st.markdown(
            "**What came from what**",
            help="Each dot is a prompt; a line leads from the prompt it was made of. Move over one to read why it exists.",
        )
        nodes = lineage(candidates, best_id)
        if any(n.parents for n in nodes):
            plot(
                lineage_figure(nodes), key="lineage", label=f"Family tree of {len(nodes)} prompts", height=380
            )
        else:
            st.caption("No prompt was made from another one in this run.")
    with right, st.container(border=True, height="stretch", key="cost_card"):
        st.markdown(
            "**Quality against cost**",
            help="Up is better, left is cheaper. A grey prompt is beaten outright: another is as good or better, and cheaper.",
        )
        found = variants(candidates, whole_trials(data.trials(run.id)), best_id)
        if found:
            sentence = trade_off(found)
            if sentence:
                st.caption(plain(sentence))
            plot(
                variants_figure(found),
                key="variants",
                label=f"Quality against cost of {len(found)} prompts",
                height=350,
            )
        else:
            st.caption("No prompt was scored on all validation rows.")
