"""A run's test rows as a table to take away: CSV, Excel or JSON.

A text that a spreadsheet would take for a formula (`=cmd|...`) is made harmless: in CSV by a quote before it,
in Excel by storing it as text. JSON keeps values as they are. It knows `ReportRow`s only.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from engine.basics.text import harmless, is_formula, visible
from engine.export.report import ReportRow
from engine.records import json_form, value_text

LONGEST_CELL = 32_000
"""Excel takes 32,767 characters in a cell and calls the file damaged where there are more."""


def results_table(rows: Sequence[ReportRow]) -> tuple[list[str], list[list[Any]]]:
    """Return the head and the lines: row number, inputs, right answers, both answers and scores, what changed."""
    inputs = list(dict.fromkeys(name for row in rows for name in row.inputs))
    outputs = list(dict.fromkeys(name for row in rows for name in row.expected))
    fields = [("inputs", "", name) for name in inputs]
    sides = (("expected", "right "), ("before", "baseline "), ("after", "best "))
    fields += [(side, lead, name) for side, lead in sides for name in outputs]
    names = (f"{lead}{name}" for _, lead, name in fields)
    head = ["row", *names, "baseline score", "best score", "change", "error"]
    lines = [
        [
            row.number,
            *(_cell(getattr(row, side).get(name)) for side, _, name in fields),
            row.before_score,
            row.after_score,
            _change(row),
            row.error,
        ]
        for row in rows
    ]
    return head, lines


def results_csv(rows: Sequence[ReportRow]) -> bytes:
    """Return the table as CSV in UTF-8, with the mark that makes Excel read it as such."""
    head, lines = results_table(rows)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([harmless(name) for name in head])
    writer.writerows([harmless(c) if isinstance(c, str) else c for c in line] for line in lines)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def results_xlsx(rows: Sequence[ReportRow]) -> bytes:
    """Return the table as an Excel file, its head bold and fixed."""
    import openpyxl
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    head, lines = results_table(rows)
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Results"
    for number, line in enumerate([head, *lines], 1):
        for at, value in enumerate(line, 1):
            cell = sheet.cell(number, at)
            if isinstance(value, str):
                cell.value = visible(value)[:LONGEST_CELL]
                if cell.data_type != "s" or is_formula(value):
                    cell.data_type = "s"
                    cell.quotePrefix = True
            else:
                cell.value = value
            if number == 1:
                cell.font = Font(bold=True)
    for at, name in enumerate(head, 1):
        longest = max([len(name), *(len(str(line[at - 1])) for line in lines[:200])])
        sheet.column_dimensions[get_column_letter(at)].width = min(60, longest + 2)
    sheet.freeze_panes = "A2"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def results_json(rows: Sequence[ReportRow]) -> bytes:
    """Return the rows as a JSON list, values as they are."""
    found: list[Mapping[str, object]] = [
        {
            "row": row.number,
            "inputs": dict(row.inputs),
            "expected": dict(row.expected),
            "baseline": dict(row.before),
            "best": dict(row.after),
            "baseline_score": row.before_score,
            "best_score": row.after_score,
            "change": _change(row),
            "error": row.error,
        }
        for row in rows
    ]
    return (
        orjson.dumps(found, default=json_form, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n"
    )


def _cell(value: object) -> object:
    return value if isinstance(value, bool | int | float) else value_text(value)


def _change(row: ReportRow) -> str:
    if row.after_score == row.before_score:
        return "same"
    return "better" if row.after_score > row.before_score else "worse"
