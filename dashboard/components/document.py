"""A document next to its record: pages with the values marked, fields with what is wrong; corrections in place."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.plot import own_element
from dashboard.services import (
    Evidence,
    FieldSpec,
    JSONMatch,
    JsonObject,
    Page,
    PagedDocument,
    cell_text,
    evidence_for,
    leaves,
    same,
    value_text,
)
from dashboard.state.editing.records import with_value

Status = Literal["", "right", "wrong", "missing", "invented"]


class RecordRow(NamedTuple):
    """One line of a record: its path ("lines[0].price"), what was expected and answered, and whether that is right.

    `kind` is leaf for a value, record for one that holds others, list for several records and item for one of them.
    The values are as they are shown; the cells are as the file of examples holds them, to be edited.
    """

    path: str
    name: str
    depth: int
    kind: Literal["leaf", "record", "list", "item"]
    expected: str = ""
    answer: str = ""
    status: Status = ""
    about: str = ""
    expected_cell: str = ""
    answer_cell: str = ""


# The record


Grades = Mapping[str, Status]
"""Path of a value -> what a metric says of it."""


def record_rows(
    fields: Sequence[FieldSpec],
    expected: Mapping[str, object],
    answer: Mapping[str, object] | None = None,
    grades: Grades | None = None,
) -> list[RecordRow]:
    """Return a record's lines in the order of its fields. Without an answer nothing is judged.

    Values are judged by `grades`, where they are there; else they are compared as they are.

    >>> line = FieldSpec(name="lines", type="list[record]", fields=(FieldSpec(name="price"),))
    >>> rows = record_rows([line], {"lines": [{"price": 1}]}, {"lines": [{"price": 2}, {"price": 3}]})
    >>> [(r.path, r.status) for r in rows if r.kind == "leaf"]
    [('lines[0].price', 'wrong'), ('lines[1].price', 'invented')]
    """
    rows = [
        row
        for f in fields
        for row in _rows(f, f.name, 0, expected.get(f.name), answer.get(f.name) if answer else None)
    ]
    if answer is None:
        return [row._replace(status="") for row in rows]
    known = grades or {}
    return [row._replace(status=known.get(row.path, row.status)) for row in rows]


def graded_answer(
    expected: Mapping[str, object], answer: Mapping[str, object], metric: object
) -> tuple[Mapping[str, object], Grades]:
    """Return an answer with the items of its lists in the places of those they were compared with, and its grades.

    Without a metric that compares field by field, and alone, the answer stays as it is and has no grades.
    """
    if not isinstance(metric, JSONMatch) or metric.awaits:
        return answer, {}
    wanted = {name: expected[name] for name in expected if name in answer}
    grades = metric.compare(wanted, {name: answer[name] for name in wanted}).fields
    placed: JsonObject = {}
    for grade in grades:
        if grade.got is not None:
            placed = with_value(placed, grade.path, grade.got)
    return {**answer, **{name: placed.get(name) for name in wanted}}, {
        grade.path: grade.status for grade in grades
    }


def _rows(field: FieldSpec, path: str, depth: int, expected: object, answer: object) -> Iterator[RecordRow]:
    if not field.fields:
        shown, cells = (value_text(expected), value_text(answer)), (cell_text(expected), cell_text(answer))
        status = _status(expected, answer)
        yield RecordRow(path, field.name, depth, "leaf", *shown, status, field.description, *cells)
    elif not field.parsed_type.is_list:
        yield RecordRow(path, field.name, depth, "record", about=field.description)
        yield from _inside(field, path, depth + 1, expected, answer)
    else:
        yield RecordRow(path, field.name, depth, "list", about=field.description)
        for at, pair in enumerate(zip_longest(_list(expected), _list(answer))):
            here = f"{path}[{at}]"
            yield RecordRow(here, str(at + 1), depth + 1, "item")
            yield from _inside(field, here, depth + 2, *pair)


def _inside(field: FieldSpec, path: str, depth: int, *pair: object) -> Iterator[RecordRow]:
    for part in field.fields:
        values = (record.get(part.name) if isinstance(record, Mapping) else None for record in pair)
        yield from _rows(part, f"{path}.{part.name}", depth, *values)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _status(expected: object, answer: object) -> Status:
    if _blank(expected):
        return "right" if _blank(answer) else "invented"
    if _blank(answer):
        return "missing"
    if isinstance(expected, list | dict):
        return "right" if dict(leaves(expected)) == dict(leaves(answer)) else "wrong"
    return "right" if same(expected, answer) else "wrong"


def _blank(value: object) -> bool:
    return value is None or value == "" or value == [] or value == {}


# For the browser

MOST_PICTURES = 12
"""Pages that are shown as pictures; further ones are shown as text."""

SIDE = 1100
"""Pixels of the longer side of a page's picture."""


def viewer_data(
    document: PagedDocument,
    rows: Sequence[RecordRow],
    *,
    editable: bool = False,
    judged: bool = False,
    key: str = "",
    focus: str = "",
) -> JsonObject:
    """Return what the viewer draws as JSON values: pages, lines, and the line and value of each mark.

    Of a wrong value both places count, that of the answer first. `key` tells one document from another; `focus` is the path that is chosen at first.
    """
    pages = [_page(document, page) for page in document.pages]
    shown = {r.path: _values(r, judged=judged) for r in rows if r.kind == "leaf"}
    places = _places(document, [{p: v[at] for p, v in shown.items() if len(v) > at} for at in range(2)])
    lines = [{**row._asdict(), "places": list(map(_place, places.get(row.path, ())))} for row in rows]
    shared = {"key": key, "focus": focus, "pages": pages, "rows": lines}
    return {**shared, "editable": editable, "judged": judged}


@lru_cache(maxsize=64)
def _page(document: PagedDocument, page: Page) -> JsonObject:
    picture = ""
    if document.form != "text" and page.number <= MOST_PICTURES:
        picture = f"data:image/png;base64,{b64encode(document.picture(page.number, SIDE)).decode()}"
    return {"text": page.text, "picture": picture}


def _values(row: RecordRow, *, judged: bool) -> list[object]:
    """Return the values of a line to look for: the answer, then the right answer where it is another."""
    texts = [row.answer_cell, row.expected_cell] if judged else [row.expected_cell]
    return [_read(text) for text in dict.fromkeys(texts) if text]


def _read(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | list) and not isinstance(value, bool) else text


def _places(document: PagedDocument, values: Sequence[Mapping[str, object]]) -> dict[str, list[Evidence]]:
    """Return where values stand, by path; `values` are the first and the second value of each path."""
    places: dict[str, list[Evidence]] = {}
    for some in values:
        nested: JsonObject = {}
        for path, value in some.items():
            nested = with_value(nested, path, value)
        for evidence in evidence_for(document, nested) if some else ():
            path = evidence.path if evidence.path in some else evidence.path.rpartition("[")[0]
            if evidence.page and path in some:
                places.setdefault(path, []).append(evidence)
    return places


def _place(one: Evidence) -> JsonObject:
    return {
        "page": one.page - 1,
        "start": one.start,
        "end": one.end,
        "boxes": [list(box) for box in one.boxes],
    }


_element = own_element("document", "<div class='tb-document'></div>")

Correction = Callable[[str, str, str], object]
"""Saves a correction: what to do ("corrected", "added" or "removed"), the path, and the new text."""

ACTS = ("corrected", "added", "removed")


def document_view(data: JsonObject, key: str, correct: Correction | None = None) -> None:
    """Draw a document and its record, see `viewer_data`; `correct` saves what the user changes."""

    def changed(act: str) -> Callable[[], None]:
        def save() -> None:
            given = st.session_state[key].get(act) or {}
            if correct is not None and given:
                correct(act, str(given.get("path", "")), str(given.get("value", "")))

        return ui.callback(save)

    acts = {f"on_{act}_change": changed(act) for act in ACTS}
    _element(key=key, data=data, **acts)
