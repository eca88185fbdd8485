"""One input to try: a widget for each of the task's inputs, or a row picked from the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.comparison import as_text
from dashboard.plain import plain
from dashboard.trying import CHOICE, FLAG, JSON, NUMBER, WHOLE, kind_of, widget_value
from engine.pipeline.spec import FieldSpec

OWN = -1


def input_form(
    fields: Sequence[FieldSpec], rows: Mapping[int, Mapping[str, Any]], *, key: str
) -> tuple[dict[str, Any], int | None]:
    """Draw the inputs; return field -> value, and the row they were taken from when they still are that row's."""
    if rows:
        st.selectbox(
            "Start from",
            [OWN, *rows],
            format_func=lambda row: "My own input" if row == OWN else _row_name(row, rows[row], fields),
            key=f"try_row_{key}",
            on_change=_fill,
            args=(key, tuple(fields), rows),
            help="Rows of the final test: neither prompt has learned from them, and the right answer is known.",
        )
    values = {field.name: _widget(field, f"try_{key}_{field.name}") for field in fields}
    row = st.session_state.get(f"try_row_{key}", OWN)
    if row == OWN or row not in rows:
        return values, None
    unchanged = all(values[f.name] == widget_value(f, rows[row].get(f.name)) for f in fields)
    return values, row if unchanged else None


def _fill(key: str, fields: Sequence[FieldSpec], rows: Mapping[int, Mapping[str, Any]]) -> None:
    row = st.session_state[f"try_row_{key}"]
    for field in fields:
        value = widget_value(field, rows[row].get(field.name) if row != OWN else None)
        st.session_state[f"try_{key}_{field.name}"] = value


def _row_name(row: int, values: Mapping[str, Any], fields: Sequence[FieldSpec]) -> str:
    first = as_text(values.get(fields[0].name, "")) if fields else ""
    flat = " ".join(first.split())
    return f"Row {row + 2}: {flat[:80]}{'…' if len(flat) > 80 else ''}"


def _widget(field: FieldSpec, key: str) -> Any:
    label, note = plain(field.name), plain(field.description) or None
    kind = kind_of(field)
    if kind == CHOICE:
        return st.selectbox(
            label, list(field.choices), index=None, key=key, help=note, placeholder="Choose one"
        )
    if kind == FLAG:
        return st.toggle(label, key=key, help=note)
    if kind in (WHOLE, NUMBER):
        step: Any = 1 if kind == WHOLE else 0.1
        return st.number_input(label, value=None, step=step, key=key, help=note, placeholder="A number")
    if kind == JSON:
        return st.text_area(label, key=key, help=note, height=80, placeholder='["a", "b"]')
    return st.text_area(label, key=key, help=note, height=96, placeholder=field.description or "Some text")
