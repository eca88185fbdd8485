"""Scores by label and the confusion matrix of one prompt; a cell of it filters the rows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.components import ui
from dashboard.components.tables import bar_column, data_table
from dashboard.results.label_scores import (
    Confusion,
    confusion,
    label_outputs,
    label_scores,
    mistaken,
    score_table,
)
from dashboard.results.rows import compared_on, row_table
from dashboard.state.candidates import ComparedCandidate
from dashboard.text import distinct, escape_markdown
from engine.basics.text import counted
from engine.store.rows import RunRow

MANY = 12
"""With more labels than these only those with mistakes are shown at first."""
PARAM = "cell"


def label_view(run: RunRow, found: Sequence[ComparedCandidate]) -> None:
    """Show how often each label is found, what it is taken for, and the rows of a selected cell."""
    compared = compared_on(run, found, key="label_split")
    if compared is None:
        return
    choices = label_outputs(compared.rows, compared.values, compared.outputs)
    if not choices:
        st.caption("No output of this task is a label: a short value that occurs in several rows.")
        return
    names = list(distinct({c.key: c.name for c in found}).values())
    output = choices[0]
    if len(choices) > 1:
        output = ui.choose("Output", choices, default=choices[0], key="label_output")
    tables = [confusion(compared.rows, compared.values, output, at) for at in range(len(found))]
    st.markdown("**Score by label**")
    _scores(tables, names)
    st.markdown("**What is taken for what**")
    at = len(names) - 1
    if at:
        at = ui.choose(
            "Answers of", range(len(names)), default=at, format_func=lambda i: names[i], key="label_of"
        )
    cell = _matrix(tables[at], f"{run.id}_{output}_{at}")
    if cell is not None:
        ids = set(tables[at].rows[cell])
        st.markdown(f"**{counted(len(ids), 'row')}** · right: {_name(cell[0])} · answered: {_name(cell[1])}")
        row_table(run, found, compared, [row for row in compared.rows if row.row in ids])


def _name(label: str) -> str:
    return f"**{escape_markdown(label, 60)}**"


def _scores(tables: Sequence[Confusion], names: Sequence[str]) -> None:
    lines = score_table([label_scores(one) for one in tables], names)
    found = "The share of the label's rows that were answered with it (recall)."
    right = "The share of the answers with this label that were right (precision)."
    data_table(
        lines,
        "label_table",
        {
            f"{name}: {what}": bar_column(about, width="small")
            for name in names
            for what, about in (("found", found), ("right", right))
        },
        most=MANY,
        height=440,
    )
    st.caption(
        "Found: the share of the label's rows that got it. Right: the share of its answers that were right."
    )


def _matrix(found: Confusion, key: str) -> tuple[str, str] | None:
    """Show the matrix of right labels (down) by answers (across); return the selected cell, by the address or a click."""
    wrong = mistaken(found)
    if not wrong.labels:
        st.caption(":green[:material/check:] Every label is right in every row.")
        return None
    if len(found.labels) > MANY and st.toggle("Only labels with mistakes", True, key="label_wrong_only"):
        found = wrong
    counts = [[found.size(right, answer) for answer in found.answered] for right in found.labels]
    frame = pd.DataFrame(counts, index=pd.Index(found.labels, name="Right label"), columns=found.answered)
    highest = max(1, max(map(max, counts)))

    def colours(column: pd.Series[int]) -> list[str]:
        return [_cell_style(right == column.name, n / highest) for right, n in column.items()]

    st.dataframe(
        frame.style.apply(colours).format(lambda n: str(n) if n else ""),
        key=f"confusion_{key}",
        on_select=ui.callback(_selected, f"confusion_{key}", found),
        selection_mode="single-cell",
        height="content" if len(found.labels) <= 2 * MANY else 640,
        width="content",
    )
    st.caption(
        "Each line is a right label, each column an answer; green is right, red is wrong. Select a cell to see its rows."
    )
    right, _, answer = st.query_params.get(PARAM, "").partition(">")
    return (right, answer) if (right, answer) in found.rows else None


def _cell_style(right: bool, share: float) -> str:
    """Return the background of a cell: the fuller, the stronger."""
    if not share:
        return ""
    return f"background-color: rgba({'47, 158, 104' if right else '214, 69, 65'}, {0.15 + 0.5 * share:.2f})"


def _selected(key: str, found: Confusion) -> None:
    """Write the selected cell into the address, so that it can be sent as a link."""
    cells = st.session_state[key]["selection"]["cells"]
    if cells and cells[0][1] in found.answered and cells[0][0] < len(found.labels):
        st.query_params[PARAM] = f"{found.labels[cells[0][0]]}>{cells[0][1]}"
    else:
        st.query_params.pop(PARAM, None)
