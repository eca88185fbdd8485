"""Row by row: what each of the prompts side by side answered, what changed, and why rows are still wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import contenders, data
from dashboard.comparison import causes
from dashboard.components.results.row_drill import row_drill
from dashboard.contenders import SPLITS, Contender
from dashboard.glossary import NUMBERED, explain
from dashboard.plain import count, distinct, plain
from dashboard.side_by_side import SHOWS, Line, Show, counts, first_and_last, lines, shown, table
from engine.store.rows import RunRow

COLOURS = {"better": "green", "worse": "red", "mixed": "orange", "same": "gray"}
MOST_CAUSES = 8
MOST_LINES = 2000
PARAM = "row"
FILTER = "rows"


def row_matrix(run: RunRow, found: Sequence[Contender]) -> None:
    """Show the rows a filter lets through, and the selected one whole."""
    split = split_choice(found)
    if split is None:
        return
    lined = lines([contenders.outcomes(c, split) for c in found])
    values = data.row_values(run, (line.row for line in lined))
    outputs = data.output_fields(run)
    picked = _filtered(lined, values, outputs)
    if not picked:
        st.caption("No such rows. Choose another filter above.")
        return
    names = list(distinct({c.key: c.name for c in found}).values())
    told = table(picked[:MOST_LINES], values, outputs, names)
    st.dataframe(
        told,
        hide_index=True,
        key="row_table",
        height=min(38 + 35 * len(told), 460),
        on_select=_selected,
        selection_mode="single-row",
        column_config={
            "Row": st.column_config.NumberColumn("Row", width="small", help=explain("row", NUMBERED)),
            "Change": st.column_config.MultiselectColumn(
                "Change",
                options=list(COLOURS),
                color=list(COLOURS.values()),
                width="small",
                help="The later prompts against the first one. Mixed: one did better, another worse.",
            ),
            # Several outputs in a cell are long, and would push the other prompts out of sight.
            **(
                {n: st.column_config.TextColumn(n, width="medium") for n in ("Expected", *names)}
                if len(outputs) > 1
                else {}
            ),
        },
    )
    several = "; of several outputs the wrong ones are shown" if len(outputs) > 1 else ""
    st.session_state["row_table_rows"] = [line.row for line in picked[:MOST_LINES]]
    more = len(picked) - MOST_LINES
    hidden = f" {count(more, 'more row')} not shown: narrow the filter." if more > 0 else ""
    st.caption(
        f"✓ right, ✗ wrong, a number: partly right{several}. Select a row to read it whole, with its messages, and to say what you "
        f"think of an answer.{hidden}"
    )
    wanted = st.query_params.get(PARAM, "")
    line = next((one for one in lined if str(one.row + 2) == wanted), None)
    if line is not None:
        row_drill(run, found, line, values.get(line.row, {}), tested=split == "test")


def split_choice(found: Sequence[Contender], *, key: str = "compare_split") -> str | None:
    """Let the person choose the rows to compare on; return the split, or None (said why) where there is none."""
    there = contenders.splits(found)
    if not there:
        missing = [c.name for c in found if not c.trials]
        st.caption(
            f"{plain(', '.join(missing))}: not scored on all rows of a split, so there is nothing to set side by side."
            if missing
            else "These prompts were not scored on the same rows. The test rows are only for the start and the best."
        )
        return None
    picked: str = there[0]
    if len(there) > 1:
        picked = st.segmented_control(
            "Rows",
            there,
            default=there[0],
            format_func=lambda s: SPLITS[s],
            key=key,
            bind="query-params",
            required=True,
            label_visibility="collapsed",
            help=f"{explain('rows to choose by')} {explain('final test')}",
        )
    else:
        words = (
            "the final test's rows"
            if picked == "test"
            else "validation rows, which all of them were scored on"
        )
        st.caption(f"On {words}.")
    return picked


def _filtered(
    lined: Sequence[Line], values: Mapping[int, Mapping[str, Any]], outputs: Sequence[str]
) -> Sequence[Line]:
    found = counts(lined)
    several = bool(lined) and len(lined[0].outcomes) > 1
    options = [
        f for f in SHOWS if f == "All rows" or (found[f] and (several or f in ("Still wrong", "Failed")))
    ]
    asked = st.query_params.get(FILTER, "")
    kept = st.session_state.get("row_filter")
    if kept is not None and kept not in options:
        del st.session_state["row_filter"]
    which: Show = st.segmented_control(
        "Show",
        options,
        default=asked
        if asked in options
        else "Only differences"
        if "Only differences" in options
        else "All rows",
        format_func=lambda f: f"{f} ({found[f]})",
        key="row_filter",
        on_change=_filter_chosen,
        label_visibility="collapsed",
        required=True,
    )
    wrong = {cause: ids for cause, ids in causes(first_and_last(lined), values, outputs) if len(ids) > 1}
    if wrong:
        cause = st.pills(
            "What still goes wrong",
            list(wrong)[:MOST_CAUSES],
            format_func=lambda c: f"{plain(c, 60)} ({len(wrong[c])})",
            key="row_cause",
            wrap=True,
            help="Rows that the last prompt gets wrong, grouped by cause. Press one to see its rows; press it again for all.",
        )
        if cause is not None:
            ids = set(wrong[cause])
            return [line for line in lined if line.row in ids]
    return shown(lined, which)


def _filter_chosen() -> None:
    """Write the filter into the address by its name alone: how many rows it lets through may change."""
    st.query_params[FILTER] = st.session_state["row_filter"]


def _selected() -> None:
    """Write the selected row into the address, so that it can be sent as a link."""
    rows = st.session_state["row_table"]["selection"]["rows"]
    known = st.session_state.get("row_table_rows", [])
    if rows and rows[0] < len(known):
        st.query_params[PARAM] = str(known[rows[0]] + 2)
    else:
        st.query_params.pop(PARAM, None)
