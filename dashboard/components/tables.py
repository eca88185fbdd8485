"""Tables: their look, and the columns that mean the same on every page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from dashboard.components.glossary import NUMBERED, explain
from dashboard.services import JsonObject, Outcome, Values, in_percent, value_text
from dashboard.state.feedback import answer_text
from dashboard.text import last_line

WHOLE_PERCENT = "%.0f %%"
PERCENT = "%.1f %%"
"""Formats of a percentage in a column: Streamlit's own form has no space before the sign."""


def data_table(
    lines: Sequence[Values],
    key: str,
    columns: Values | None = None,
    *,
    most: int = 10,
    height: int = 400,
    **options: Any,
) -> Any:
    """Show lines as a table; one of more than `most` lines is `height` pixels high. Returns its selection."""
    return st.dataframe(
        lines,
        key=key,
        hide_index=True,
        height=height if len(lines) > most else "content",
        column_config=columns,
        **options,
    )


def row_column(width: Any = "small") -> Any:
    """Return the column of row numbers."""
    return st.column_config.NumberColumn("Row", width=width, help=explain("row", NUMBERED))


def bar_column(about: str, number_format: str = WHOLE_PERCENT, **options: Any) -> Any:
    """Return a column of percentages, as bars."""
    return st.column_config.ProgressColumn(
        format=number_format, min_value=0, max_value=100, help=about, **options
    )


def gain_column(about: str, width: Any = None) -> Any:
    """Return a column of differences in points."""
    return st.column_config.NumberColumn(format="%+.0f", width=width, help=about)


def label_column(colours: Mapping[str, str], **options: Any) -> Any:
    """Return a column of labels; `colours` is label -> colour."""
    return st.column_config.MultiselectColumn(options=list(colours), color=list(colours.values()), **options)


def before_and_after() -> JsonObject:
    """Return the columns "Before" and "After" of whole percent."""
    return {
        name: st.column_config.NumberColumn(format=WHOLE_PERCENT, width="small", help=explain(term, what))
        for name, term, what in (
            ("Before", "baseline", "Here: its score on the test rows."),
            ("After", "best prompt", "Here: its score on the same test rows."),
        )
    }


LONGEST_CELL = 1000


def outcome_table(
    outcomes: Iterable[Outcome],
    values: Mapping[int, Mapping[str, object]],
    outputs: Sequence[str],
    key: str,
    *,
    answer: str = "Model says",
    most: int = 20,
    height: int = 400,
) -> None:
    """Show answered rows: score, right answer, `answer`, why, and the inputs. `values` are the examples' fields by row id."""
    lines = []
    for o in outcomes:
        fields = values.get(o.row, {})
        texts = {
            "Right answer": answer_text(fields, outputs),
            answer: answer_text(o.prediction, outputs) if o.prediction else "(no answer)",
            "Why": last_line(o.error) if o.error else o.feedback,
            **{name: value_text(value) for name, value in fields.items() if name not in outputs},
        }
        score = in_percent(None if o.error else o.score)
        cut = {name: text[:LONGEST_CELL] for name, text in texts.items()}
        lines.append({"Row": o.number, "Score": score, **cut})
    columns = {
        "Row": row_column(),
        "Score": bar_column(explain("score"), width="small"),
        "Why": st.column_config.TextColumn(width="large", help="What the metric says."),
    }
    data_table(lines, key, columns, most=most, height=height)


def small_table(
    head: Sequence[str], lines: Iterable[Sequence[str]], notes: Sequence[str] | None = None
) -> None:
    """Show a table of a few lines as text; the first column reads from the left, the others are figures.

    `notes` are small texts below the first cell of each line. On a narrow screen each line becomes a list.
    """
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = ""
    for at, (first, *others) in enumerate(lines):
        below = f"<em>{escape(notes[at])}</em>" if notes and notes[at] else ""
        figures = zip(head[1:], others, strict=True)
        cells = "".join(f'<td data-name="{escape(name)}">{escape(cell)}</td>' for name, cell in figures)
        body += f"<tr><td>{escape(first)}{below}</td>{cells}</tr>"
    st.html(f'<table class="tb-table tb-figures"><tr>{top}</tr>{body}</table>')


def worked_table(lines: Iterable[tuple[str, str, str, float]]) -> None:
    """Show worked examples; each is (right answer, what the model says, with which option, score)."""
    cells = []
    for expected, answer, option, score in lines:
        kind = "right" if score >= 1 else "wrong" if score <= 0 else ""
        note = f"<em>{escape(option)}</em>" if option else ""
        cells.append(
            f"<tr><td>{escape(expected)}</td><td>{escape(answer)}{note}</td>"
            f'<td><span class="tb-score {kind}">{score:.2f}</span></td></tr>'
        )
    head = "<tr><th>Right answer</th><th>Model says</th><th>Score</th></tr>"
    st.html(f'<table class="tb-table">{head}{"".join(cells)}</table>')
