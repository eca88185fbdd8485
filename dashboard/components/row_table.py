"""Row by row: what the baseline answered and what the best prompt answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import streamlit as st

from dashboard.comparison import Filter, RowPair, causes, chosen, confusion, counts, table
from dashboard.plain import plain

_COLOURS = {"better": "green", "worse": "red", "same": "gray"}


def row_table(
    pairs: Sequence[RowPair], rows: Mapping[int, Mapping[str, Any]], outputs: Sequence[str]
) -> None:
    """Show the rows a filter lets through, and the selected one whole."""
    found = counts(pairs)
    options = [f for f in get_args(Filter) if found[f] or f in ("All rows", "Only differences")]
    which = st.segmented_control(
        "Show",
        options,
        default="Only differences" if found["Only differences"] else "All rows",
        format_func=lambda f: f"{f} ({found[f]})",
        key="row_filter",
        label_visibility="collapsed",
        required=True,
    )
    picked = _by_cause(chosen(pairs, which), pairs, rows, outputs)
    if not picked:
        st.caption("No such rows. Choose another filter above.")
        return
    lines = table(picked, rows, outputs)
    for line in lines:
        line["Change"] = [line["Change"]]
    event = st.dataframe(
        lines,
        hide_index=True,
        key="row_table",
        height=min(38 + 35 * len(lines), 460),
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Row": st.column_config.NumberColumn(
                "Row", width="small", help="The row's number in your file; the header is row 1."
            ),
            "Change": st.column_config.MultiselectColumn(
                "Change",
                options=list(_COLOURS),
                color=list(_COLOURS.values()),
                width="small",
                help="Best against baseline.",
            ),
            "Baseline score": st.column_config.ProgressColumn(
                "Baseline score", format="percent", min_value=0, max_value=1, width="small"
            ),
            "Best score": st.column_config.ProgressColumn(
                "Best score", format="percent", min_value=0, max_value=1, width="small"
            ),
        },
    )
    selected = event.selection.rows
    if selected:
        _whole_row(picked[selected[0]], rows, outputs)
    else:
        st.caption("Select a row to read it whole, with what the metric said about both answers.")
    if len(outputs) == 1:
        _mistakes(pairs, rows, outputs[0])


def _by_cause(
    picked: Sequence[RowPair],
    pairs: Sequence[RowPair],
    rows: Mapping[int, Mapping[str, Any]],
    outputs: Sequence[str],
) -> tuple[RowPair, ...]:
    """Offer the commonest causes of wrong answers as chips; return the rows of the one pressed, else `picked`."""
    found = {cause: ids for cause, ids in causes(pairs, rows, outputs) if len(ids) > 1}
    if not found:
        return tuple(picked)
    cause = st.pills(
        "What still goes wrong",
        list(found)[:MOST_CAUSES],
        format_func=lambda c: f"{plain(c, 60)} ({len(found[c])})",
        key="row_cause",
        help="Rows the best prompt still gets wrong, grouped by cause. Press one to see its rows; press it again for all.",
    )
    if cause is None:
        return tuple(picked)
    wanted = set(found[cause])
    return tuple(p for p in pairs if p.row in wanted)


MOST_CAUSES = 8


def _whole_row(pair: RowPair, rows: Mapping[int, Mapping[str, Any]], outputs: Sequence[str]) -> None:
    values = rows.get(pair.row, {})
    with st.container(border=True, key="whole_row"):
        for name, value in values.items():
            if name not in outputs:
                st.caption(name)
                st.text(str(value))
        left, right = st.columns(2)
        for column, title, outcome in ((left, "Baseline", pair.before), (right, "Best prompt", pair.after)):
            with column:
                st.markdown(f"**{title}** · {100 * outcome.score:.0f} %")
                if outcome.error is not None:
                    st.error(plain(outcome.error, 1000))
                for name, value in outcome.prediction.items():
                    st.caption(name)
                    st.text(str(value))
                if outcome.feedback:
                    st.caption("The metric says")
                    st.text(outcome.feedback)


def _mistakes(pairs: Sequence[RowPair], rows: Mapping[int, Mapping[str, Any]], output: str) -> None:
    found = confusion(pairs, rows, output)
    if not found:
        return
    with st.expander(
        f"What the best prompt still gets wrong ({sum(n for _, _, n in found)} rows)", key="mistakes"
    ):
        st.dataframe(
            [{"Expected": e, "Answered": a, "Rows": n} for e, a, n in found[:50]],
            hide_index=True,
            key="mistake_table",
        )
