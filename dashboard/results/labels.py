"""Scores by label and the confusion matrix of one prompt; a cell of it filters the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import streamlit as st

from dashboard.components import ui
from dashboard.components.tables import bar_column, data_table
from dashboard.results.compare import prompt_choice, prompt_names
from dashboard.results.comparison import ComparedRow
from dashboard.results.rows import compared_on, row_table
from dashboard.services import JsonObject, RunRow, counted, in_percent, value_text
from dashboard.state.candidates import ComparedCandidate
from dashboard.text import escape_markdown

MOST_LABELS = 300
LONGEST = 60
"""Characters: an output with a longer value has no labels."""
OTHER, FAILED = "Another answer", "Failed"


class Confusion(NamedTuple):
    """One candidate's answers by right label. `rows` is (right label, answered label) -> row ids.

    `answered` are the labels that were answered, in the order of `labels`; then `OTHER` and `FAILED` where they occur.
    """

    labels: tuple[str, ...]
    answered: tuple[str, ...]
    rows: Mapping[tuple[str, str], tuple[int, ...]]

    def size(self, right: str, answer: str) -> int:
        """Return the number of rows in one cell."""
        return len(self.rows.get((right, answer), ()))


def label_outputs(
    rows: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], outputs: Sequence[str]
) -> list[str]:
    """Return the outputs whose right values are labels: short, at least two, and each occurring twice on average."""
    fields = []
    for name in outputs:
        right = [value_text(values[row.row][name]) for row in rows if name in values.get(row.row, {})]
        kinds = set(right)
        if (
            2 <= len(kinds) <= MOST_LABELS
            and len(right) >= 2 * len(kinds)
            and max(map(len, kinds)) <= LONGEST
        ):
            fields.append(name)
    return fields


def confusion(
    rows: Sequence[ComparedRow], values: Mapping[int, Mapping[str, object]], output: str, at: int = -1
) -> Confusion:
    """Return the confusion matrix of the candidate `at` for one output; labels are sorted by name.

    An answer that differs from a label only in case or outer spaces is that label.
    """
    right = {
        row.row: value_text(values[row.row][output]) for row in rows if output in values.get(row.row, {})
    }
    labels = sorted(set(right.values()), key=str.casefold)
    known = {label.strip().casefold(): label for label in labels}
    cells: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.row in right:
            outcome = row.outcomes[at]
            answer = value_text(outcome.prediction.get(output, "")).strip().casefold()
            place = FAILED if outcome.error is not None else known.get(answer, OTHER)
            cells.setdefault((right[row.row], place), []).append(row.row)
    answered = {place for _, place in cells}
    order = [name for name in (*labels, OTHER, FAILED) if name in answered]
    return Confusion(tuple(labels), tuple(order), {cell: tuple(ids) for cell, ids in sorted(cells.items())})


def mistaken(found: Confusion) -> Confusion:
    """Return the part of a matrix in which something is wrong: labels that were missed or answered wrongly."""
    wrong = {name for cell in found.rows if cell[0] != cell[1] for name in cell}
    return found._replace(
        labels=tuple(label for label in found.labels if label in wrong),
        answered=tuple(name for name in found.answered if name in wrong),
    )


def score_table(tables: Sequence[Confusion], names: Sequence[str]) -> list[JsonObject]:
    """Return one line per label: its rows, and for each candidate the percentages found and right when answered."""
    lines = []
    for label in tables[0].labels:
        line: JsonObject = {"Label": label}
        for name, table in zip(names, tables, strict=True):
            line["Rows"] = sum(len(ids) for (right, _), ids in table.rows.items() if right == label)
            answered = sum(len(ids) for (_, answer), ids in table.rows.items() if answer == label)
            hits = table.size(label, label)
            line[f"{name}: found"] = in_percent(hits / line["Rows"], 0)
            line[f"{name}: right"] = in_percent(hits / answered, 0) if answered else None
        lines.append(line)
    return lines


MANY = 12
"""With more labels than these only those with mistakes are shown at first."""
PARAM = "cell"


def label_view(run: RunRow, found: Sequence[ComparedCandidate], split: str) -> None:
    """Show how often each label is found, what it is taken for, and the rows of a selected cell."""
    compared = compared_on(run, found, split)
    choices = label_outputs(compared.rows, compared.values, compared.outputs)
    if not choices:
        st.caption("No output of this task is a label: a short value that occurs in several rows.")
        return
    names = prompt_names(found)
    output = choices[0]
    if len(choices) > 1:
        output = ui.segments("Output", choices, default=choices[0], key="label_output")
    tables = [confusion(compared.rows, compared.values, output, at) for at in range(len(found))]
    st.markdown("**Score by label**")
    _scores(tables, names)
    st.markdown("**What is taken for what**")
    at = prompt_choice("Answers of", found, "label_of")
    cell = _matrix(tables[at], f"{run.id}_{output}_{at}")
    if cell is not None:
        ids = set(tables[at].rows[cell])
        st.markdown(f"**{counted(len(ids), 'row')}** · right: {_name(cell[0])} · answered: {_name(cell[1])}")
        row_table(run, compared, [row for row in compared.rows if row.row in ids])


def _name(label: str) -> str:
    return f"**{escape_markdown(label, 60)}**"


def _scores(tables: Sequence[Confusion], names: Sequence[str]) -> None:
    recall_help = "The share of the label's rows that were answered with it (recall)."
    right = "The share of the answers with this label that were right (precision)."
    data_table(
        score_table(tables, names),
        "label_table",
        {
            f"{name}: {what}": bar_column(about, width="small")
            for name in names
            for what, about in (("found", recall_help), ("right", right))
        },
        most=MANY,
        height=440,
    )
    st.caption(
        "Found: the share of the label's rows that got it. Right: the share of its answers that were right."
    )


def _matrix(mistakes: Confusion, key: str) -> tuple[str, str] | None:
    """Show the matrix of right labels (down) by answers (across); return the selected cell, by the address or a click."""
    wrong = mistaken(mistakes)
    if not wrong.labels:
        st.caption(":green[:material/check:] Every label is right in every row.")
        return None
    if len(mistakes.labels) > MANY and st.toggle("Only labels with mistakes", True, key="label_wrong_only"):
        mistakes = wrong
    counts = [[mistakes.size(right, answer) for answer in mistakes.answered] for right in mistakes.labels]
    words = [
        [
            f"{'✓' if right == answer else '✗'} {n}" if n else ""
            for answer, n in zip(mistakes.answered, line, strict=True)
        ]
        for right, line in zip(mistakes.labels, counts, strict=True)
    ]
    frame = pd.DataFrame(
        words, index=pd.Index(mistakes.labels, name="Right label"), columns=mistakes.answered
    )
    highest = max(1, max(map(max, counts)))

    def colours(column: pd.Series[str]) -> list[str]:
        return [_cell_style(cell, highest) for cell in column]

    st.dataframe(
        frame.style.apply(colours),
        key=f"confusion_{key}",
        on_select=ui.callback(_selected, f"confusion_{key}", mistakes),
        selection_mode="single-cell",
        height="content" if len(mistakes.labels) <= 2 * MANY else 640,
        width="content",
    )
    st.caption("Each line is a right label, each column an answer. Select a cell to see its rows.")
    right, _, answer = st.query_params.get(PARAM, "").partition(">")
    return (right, answer) if (right, answer) in mistakes.rows else None


def _cell_style(cell: str, highest: int) -> str:
    """Return the background of a cell: the fuller, the stronger."""
    mark, _, size = cell.partition(" ")
    if not size:
        return ""
    colour = "47, 158, 104" if mark == "✓" else "214, 69, 65"
    return f"background-color: rgba({colour}, {0.15 + 0.5 * int(size) / highest:.2f})"


def _selected(key: str, found: Confusion) -> None:
    """Write the selected cell into the address, so that it can be sent as a link."""
    cells = st.session_state[key]["selection"]["cells"]
    if cells and cells[0][1] in found.answered and cells[0][0] < len(found.labels):
        st.query_params[PARAM] = f"{found.labels[cells[0][0]]}>{cells[0][1]}"
    else:
        st.query_params.pop(PARAM, None)
