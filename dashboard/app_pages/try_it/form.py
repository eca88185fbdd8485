"""One input to try: a widget for each of the task's inputs, or a row picked from the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.layout import callback
from dashboard.state.playground import (
    CHOICE,
    FLAG,
    IMAGE,
    JSON,
    LIST,
    MEDIA,
    NUMBER,
    TALK,
    WHOLE,
    kind_of,
    uploaded,
    widget_value,
)
from dashboard.views.comparison import as_text
from dashboard.views.glossary import explain
from dashboard.views.text import escape_markdown
from engine.pipeline.spec import FieldSpec

OWN = -1
LARGEST = 20
"""Megabytes of one uploaded file."""


def input_form(
    fields: Sequence[FieldSpec],
    rows: Mapping[int, Mapping[str, object]],
    numbers: Mapping[int, int],
    *,
    key: str,
) -> tuple[dict[str, Any], int | None]:
    """Draw the inputs; return field -> value, and the row they were taken from when they still are that row's.

    `rows` can be started from, by row id; `numbers` are those that people know them by.
    """
    if rows:
        if f"try_row_{key}" not in st.session_state:
            # The first look needs no typing: a row whose right answer is known is there already.
            st.session_state[f"try_row_{key}"] = next(iter(rows))
            _fill(key, tuple(fields), rows)
        st.selectbox(
            "Start from",
            [OWN, *rows],
            format_func=lambda row: (
                "My own input" if row == OWN else _row_name(numbers[row], rows[row], fields)
            ),
            key=f"try_row_{key}",
            on_change=callback(_fill, key, tuple(fields), rows),
            help=explain(
                "final test", "Neither prompt has learned from these rows, and their right answer is known."
            ),
        )
    values = {
        field.name: _widget(field, f"try_{key}_{field.name}") for field in fields if kind_of(field) != TALK
    }
    row = st.session_state.get(f"try_row_{key}", OWN)
    if row == OWN or row not in rows:
        return values, None
    unchanged = all(
        values[f.name] == widget_value(f, rows[row].get(f.name)) for f in fields if f.name in values
    )
    return values, row if unchanged else None


def _fill(key: str, fields: Sequence[FieldSpec], rows: Mapping[int, Mapping[str, object]]) -> None:
    row = st.session_state[f"try_row_{key}"]
    for field in fields:
        value = widget_value(field, rows[row].get(field.name) if row != OWN else None)
        media = kind_of(field) in MEDIA
        st.session_state[f"try_{key}_{field.name}{'_row' if media else ''}"] = value


def _row_name(number: int, values: Mapping[str, object], fields: Sequence[FieldSpec]) -> str:
    first = as_text(values.get(fields[0].name, "")) if fields else ""
    flat = " ".join(first.split())
    return f"Row {number}: {flat[:80]}{'…' if len(flat) > 80 else ''}"


def _widget(field: FieldSpec, key: str) -> Any:
    label, note = escape_markdown(field.name), escape_markdown(field.description) or None
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
    if kind == LIST:
        # What is in the list must be among the options, or the widget would drop it.
        return st.multiselect(
            label,
            list(dict.fromkeys(st.session_state.get(key, []))),
            key=key,
            help=note,
            accept_new_options=True,
            placeholder="Type a value and press Enter",
        )
    if kind in MEDIA:
        return _media(kind, key, label, note)
    if kind == JSON:
        return st.text_area(label, key=key, help=note, height=80, placeholder='["a", "b"]')
    return st.text_area(label, key=key, help=note, height=96, placeholder=field.description or "Some text")


def _media(kind: str, key: str, label: str, note: str | None) -> Any:
    """Return an uploaded file, else the picked row's; a picture is shown, and nothing is fetched for it."""
    file = st.file_uploader(label, list(MEDIA[kind]) or None, key=key, help=note, max_upload_size=LARGEST)
    value = st.session_state.get(f"{key}_row")
    if file is not None:
        value = uploaded(kind, file.name, file.type, file.getvalue())
    if value is None:
        return None
    data = str(value.get("url", "") if isinstance(value, dict) else value)
    if kind == IMAGE and data.startswith("data:image/"):
        st.image(data, width=180)
    elif file is None:
        st.caption(f"From the row: {escape_markdown(data[:80])}")
    return value
