"""The rows that prompts are compared on: their filter and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.tables import data_table, label_column, row_column
from dashboard.results.comparison import (
    SHOWS,
    ComparedRow,
    Show,
    causes,
    compared_rows,
    counts,
    filtered,
    table,
)
from dashboard.results.more_scores import AFTER, missing_rows_offer
from dashboard.results.whole_row import PARAM, _whole_row
from dashboard.services import (
    RunRow,
    counted,
)
from dashboard.state import candidates, more_scores, reading
from dashboard.state.candidates import SPLITS, ComparedCandidate
from dashboard.state.session import TABLE_ROWS
from dashboard.text import distinct, escape_markdown

COLOURS = {"better": "green", "worse": "red", "mixed": "orange", "same": "gray"}


MOST_CAUSES = 8


MOST_LINES = 2000


FILTER = "rows"


class Compared(NamedTuple):
    """The rows of a split that every prompt was scored on. `values` are the examples' fields by row id."""

    split: str
    outputs: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    values: Mapping[int, Mapping[str, object]]


def compared_on(run: RunRow, found: Sequence[ComparedCandidate], *, key: str) -> Compared | None:
    """Let the user choose the split; return its rows, or None (with the reason shown) where there are none."""
    split = split_choice(found, key=key)
    if split is None:
        return None
    outputs = reading.output_fields(run)
    rows = compared_rows([candidates.outcomes(c, split) for c in found], outputs)
    return Compared(split, outputs, rows, reading.row_values(run, (line.row for line in rows)))


def row_matrix(run: RunRow, found: Sequence[ComparedCandidate]) -> None:
    """Show the rows a filter lets through, and the selected one whole."""
    compared = compared_on(run, found, key="compare_split")
    if compared is not None:
        row_table(run, found, compared, _filtered(compared.rows, compared.values, compared.outputs))


def row_table(
    run: RunRow, found: Sequence[ComparedCandidate], compared: Compared, picked: Sequence[ComparedRow]
) -> None:
    """Show rows by prompt as a table, and the selected one whole."""
    if not picked:
        st.caption("No such rows. Choose another filter above.")
        return
    names = list(distinct({c.key: c.name for c in found}).values())
    cells = table(picked[:MOST_LINES], compared.values, compared.outputs, names)
    several = len(compared.outputs) > 1
    # Several outputs in a cell are long, and would push the other prompts out of sight.
    narrow = {n: st.column_config.TextColumn(width="medium") for n in ("Expected", *names) if several}
    change = "The later prompts against the first one. Mixed: one did better, another worse."
    data_table(
        cells,
        "row_table",
        {"Row": row_column(), "Change": label_column(COLOURS, width="small", help=change), **narrow},
        most=12,
        height=460,
        on_select=_selected,
        selection_mode="single-row",
    )
    TABLE_ROWS.set([line.number for line in picked[:MOST_LINES]])
    more = len(picked) - MOST_LINES
    hidden = f" {counted(more, 'more row')} not shown: narrow the filter." if more > 0 else ""
    wrong_ones = "; of several outputs the wrong ones are shown" if several else ""
    st.caption(
        f"✓ right, ✗ wrong, a number: partly right{wrong_ones}. Select a row to read it whole, with its messages, and to say what you "
        f"think of an answer.{hidden}"
    )
    wanted = st.query_params.get(PARAM, "")
    line = next((one for one in compared.rows if str(one.number) == wanted), None)
    if line is not None:
        _whole_row(run, found, line, compared.values.get(line.row, {}), tested=compared.split == "test")


def split_choice(found: Sequence[ComparedCandidate], *, key: str = "compare_split") -> str | None:
    """Let the user choose the rows to compare on; return the split, or None (said why) where there is none.

    Rows that some of the prompts lack can be scored.
    """
    there = candidates.splits(found)
    if not there:
        missing = [c.name for c in found if not c.trials]
        st.caption(
            f"{escape_markdown(', '.join(missing))}: not scored on all rows of a split, so there is nothing to set side by side."
            if missing
            else "These prompts were not scored on the same rows. The test rows are only for the start and the best."
        )
        missing_rows_offer(found, key)
        return None
    split = _one_of(there, key)
    later = [c.name for c in found if split == "test" and more_scores.after_choice(c)]
    if later:
        st.caption(f"{escape_markdown(', '.join(later))}: {AFTER[:1].lower()}{AFTER[1:]}")
    missing_rows_offer(found, key)
    return split


def _one_of(there: Sequence[str], key: str) -> str:
    if len(there) > 1:
        return ui.segments(
            "Rows",
            there,
            default=there[0],
            format_func=lambda s: SPLITS[s],
            key=key,
            bind="query-params",
            help=f"{explain('rows to choose by')} {explain('final test')}",
        )
    test = there[0] == "test"
    words = "the final test's rows" if test else "validation rows, which all of them were scored on"
    st.caption(f"On {words}.")
    return there[0]


def _filtered(
    lined: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], outputs: Sequence[str]
) -> Sequence[ComparedRow]:
    row_counts = counts(lined)
    several = bool(lined) and len(lined[0].outcomes) > 1
    options = [
        f for f in SHOWS if f == "All rows" or (row_counts[f] and (several or f in ("Still wrong", "Failed")))
    ]
    asked = st.query_params.get(FILTER, "")
    if st.session_state.get("row_filter", options[0]) not in options:
        del st.session_state["row_filter"]
    which: Show = ui.segments(
        "Show",
        options,
        default=next(f for f in (asked, "Only differences", "All rows") if f in options),
        format_func=lambda f: f"{f} ({row_counts[f]})",
        key="row_filter",
        # By its name alone: how many rows it lets through may change.
        on_change=ui.callback(lambda: st.query_params.update({FILTER: st.session_state["row_filter"]})),
    )
    wrong = {cause: ids for cause, ids in causes(lined, values, outputs) if len(ids) > 1}
    if wrong:
        cause = st.pills(
            "What still goes wrong",
            list(wrong)[:MOST_CAUSES],
            format_func=lambda c: f"{escape_markdown(c, 60)} ({len(wrong[c])})",
            key="row_cause",
            wrap=True,
            help="Rows that the last prompt gets wrong, grouped by cause. Press one to see its rows; press it again for all.",
        )
        if cause is not None:
            ids = set(wrong[cause])
            return [line for line in lined if line.row in ids]
    return filtered(lined, which)


def _selected() -> None:
    """Write the selected row into the address, so that it can be sent as a link."""
    rows = st.session_state["row_table"]["selection"]["rows"]
    known = TABLE_ROWS.get()
    if rows and rows[0] < len(known):
        st.query_params[PARAM] = str(known[rows[0]])
    else:
        st.query_params.pop(PARAM, None)
