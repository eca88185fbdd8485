"""All prompts of a run at a glance: rows against prompts, the family tree, quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import contenders, data
from dashboard.candidate_charts import (
    Matrix,
    family,
    fewer,
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
from dashboard.components.results.contender_picker import add_contender
from dashboard.contenders import Contender
from dashboard.glossary import explain
from dashboard.plain import count, plain
from engine.store.rows import RunRow


def _told(found: Matrix) -> str:
    rows = count(len(found.rows), "row")
    if len(found.candidates) == 1:
        return f"Only one prompt was scored on all {rows} to choose by, so there is nothing to compare yet."
    told = f"{rows} against {len(found.candidates)} prompts."
    if found.always:
        told += f" Every prompt gets {found.always:,} of them right."
    if found.never:
        told += f" No prompt gets {found.never:,} of them right: worth a look at the rows themselves."
    return told


def candidate_matrix(run: RunRow) -> None:
    """Show which prompt gets which validation row right."""
    trials = whole_trials(data.moment(run).trials)
    found = matrix(contenders.everything(run), trials, contenders.row_scores(run))
    if not found.rows:
        st.caption("No prompt was scored on all validation rows.")
        return
    st.caption(
        _told(found),
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


def candidate_family(run: RunRow, best_id: str, picked: Sequence[Contender]) -> None:
    """Show what came from what, and what quality costs; a click sets a prompt beside those picked."""
    candidates = contenders.everything(run)
    clicked: list[Any] = []
    st.caption("Click a prompt to set it beside the others in the first tabs.")
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch", key="lineage_card"):
        st.markdown(
            "**What came from what**",
            help=explain("family", "Move over a dot to read why it exists."),
        )
        shown = family(candidates, best_id)
        nodes = lineage(shown, best_id)
        if any(n.parents for n in nodes):
            label = f"Family tree of {len(nodes)} prompts"
            clicked.append(plot(lineage_figure(nodes), key="lineage", label=label, height=380))
            if len(shown) < len(candidates):
                st.caption(
                    f"The best {len(shown):,} of {len(candidates):,} prompts, and those they came from."
                )
        else:
            st.caption("No prompt was made from another one in this run.")
    with right, st.container(border=True, height="stretch", key="cost_card"):
        st.markdown(
            "**Quality against cost**",
            help=f"Up is better, left is cheaper; grey ones are beaten outright. {explain('beaten outright')}",
        )
        trials = whole_trials(data.moment(run).trials)
        found = fewer(variants(candidates, trials, contenders.row_tokens(run), best_id))
        if len(found) == 1:
            st.caption(
                "Only one prompt was scored on all rows to choose by, so there is nothing to weigh yet."
            )
        elif found:
            sentence = trade_off(found)
            if sentence:
                st.caption(plain(sentence))
            label = f"Quality against cost of {len(found)} prompts"
            clicked.append(plot(variants_figure(found), key="variants", label=label, height=350))
        else:
            st.caption("No prompt was scored on all validation rows.")
    number = next((int(c) for c in clicked if c is not None), None)
    if number is not None:
        add_contender(run.id, contenders.by_number(run, number), picked)
