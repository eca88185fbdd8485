"""Formats that say themselves where a value ends: JSON, JSON Lines, Excel workbooks, Parquet.

Each reader returns text by column, like the others: a number as it is written, true and false, an
empty cell for null, and JSON for lists and objects.
"""

from __future__ import annotations

import datetime
import io
import json
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.basics.text import json_of
from engine.dataset.logs import read_log
from engine.dataset.table import RawTable, RowProblem, arrow_text, check_columns
from engine.errors import DatasetError

LARGEST_UNZIPPED = 1_000_000_000
LARGEST_TABLE = 400_000_000
"""Bytes of text in a table: twice the largest file of plain text."""

MOST_CELLS = 50_000_000
MOST_SHEET_ROWS = 1_048_576
"""Rows of a sheet in Excel itself."""

_ROW_WORK = 5
"""Cells that take as long as a blank row."""


def cell_text(value: object) -> str:
    """Return a value of a JSON file, a workbook or a Parquet file as text.

    >>> cell_text(7.0), cell_text(True), cell_text(None), cell_text(["a"])
    ('7', 'true', '', '["a"]')
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ") if value.time() != datetime.time() else value.date().isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=cell_text)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


class TooLargeError(DatasetError):
    """A file unpacks to more than can be read."""


def too_large(name: str) -> TooLargeError:
    """Return the error for a file that unpacks to more than can be read."""
    return TooLargeError(
        f"{name!r} unpacks to a table too large to read: at most {LARGEST_TABLE // 1_000_000} MB of text and "
        f"{MOST_CELLS:,} cells. A few hundred rows are enough for tuning: save a part of it as CSV and upload that."
    )


def read_json(text: str, name: str) -> RawTable:
    """Read a JSON list of objects, an object that holds one, or an object of columns.

    Text that is one object a line is read as JSON Lines. Raises DatasetError with the line of a fault.
    """
    try:
        data = json_of(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and _is_object(lines[0]) and _is_object(lines[1]):
            return read_json_lines(text, name)
        raise DatasetError(f"{name!r} {error}. Correct it there, or save the table as CSV.") from None
    if isinstance(data, dict) and (log := read_log([data], name)) is not None:
        return log
    notes: list[str] = []
    return _from_items([(i + 1, item) for i, item in enumerate(_rows_in(data, name, notes))], name, notes)


def read_json_lines(text: str, name: str) -> RawTable:
    """Read one JSON object a line; a line that is none is a problem of its row."""
    items: list[tuple[int, object]] = []
    problems: list[RowProblem] = []
    # Only the line feed ends a line: other separators may stand inside a JSON text.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            items.append((number, json_of(line)))
        except ValueError as error:
            problems.append(RowProblem(number, "", f"This line {error}."))
    if not items and problems:
        raise DatasetError(f"No line of {name!r} is valid JSON. Put one object on each line.")
    return _from_items(items, name, [], problems)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json_of(line), dict)
    except ValueError:
        return False


def _rows_in(data: object, name: str, notes: list[str]) -> Sequence[object]:
    """Return the list of rows in whichever of the usual shapes the file has."""
    if isinstance(data, dict):
        tables = {k: v for k, v in data.items() if isinstance(v, list) and v and isinstance(v[0], dict)}
        if tables:
            key = max(tables, key=lambda k: len(tables[k]))
            if len(data) > 1:
                notes.append(f"The rows were taken from {key!r}; the rest of the file was left aside.")
            return tables[key]
        lists = {k: v for k, v in data.items() if isinstance(v, list)}
        if lists and len(lists) == len(data) and len({len(v) for v in lists.values()}) == 1:
            return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    if not isinstance(data, list):
        raise DatasetError(f"{name!r} holds no list of rows. {_WANTED}")
    return data


def _from_items(
    items: Sequence[tuple[int, object]], name: str, notes: list[str], problems: list[RowProblem] | None = None
) -> RawTable:
    problems = problems or []
    log = read_log([item for _, item in items], name)
    if log is not None:
        log.problems.extend(problems)
        return log
    columns: dict[str, None] = {}
    rows: list[tuple[int, dict[str, object]]] = []
    for number, item in items:
        if isinstance(item, dict):
            rows.append((number, item))
            columns.update(dict.fromkeys(item))
        else:
            problems.append(RowProblem(number, "", "This item is not an object with named values."))
    if not items and not problems:
        raise DatasetError(f"{name!r} is empty. {_WANTED}")
    if not rows:
        raise DatasetError(f"No item of {name!r} is an object with named values. {_WANTED}")
    cells = [[cell_text(row.get(c)) for _, row in rows] for c in columns]
    numbers = [n for n, _ in rows]
    return RawTable(list(columns), cells, problems, notes, numbers, first_number=1)


def read_workbook(data: bytes, name: str) -> RawTable:
    """Read the first sheet with cells of an Excel workbook. Formulas give the value last computed."""
    import openpyxl

    try:
        if unpacked_size(data) > LARGEST_UNZIPPED:
            raise DatasetError(f"{name!r} unpacks to more than 1 GB. Save the sheet as CSV and upload that.")
        with warnings.catch_warnings():
            # openpyxl warns of decorations it drops (validation lists, styles): none of them is a value.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sizes = _SheetSizes(name)
            sheets = ((s.title, _sheet_rows(s, sizes)) for s in book.worksheets)
            filled = ((title, rows, first) for title, rows in sheets if (first := next(rows, None)))
            sheet = next(filled, None)
            if sheet is None:
                raise DatasetError(
                    f"{name!r} is empty. Upload a workbook with column names in its first row."
                )
            title, rows, first = sheet
            all_rows = [first, *rows]
            several = next(filled, None) is not None
            book.close()
    except (DatasetError, MemoryError):
        raise
    # openpyxl has no root error: a damaged workbook fails in zip, XML or key lookups.
    except Exception as error:
        raise DatasetError(
            f"{name!r} is not an Excel workbook that can be read. Open it and save it again as .xlsx or CSV."
        ) from error
    notes = [f"The sheet {title!r} was read; the others were left aside."] if several else []
    return _from_sheet(all_rows, notes)


def unpacked_size(data: bytes) -> int:
    """Return the bytes that a ZIP archive says it unpacks to; reading it gives no more than that.

    Raises zipfile.BadZipFile for bytes that are no archive.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(i.file_size for i in archive.infolist())


class _SheetSizes:
    """Counts of what was read of a workbook's sheets, and their limits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._cells = 0
        self._chars = 0
        self._width = 0
        self._rows = 0

    def walk(self, row_number: int, width: int) -> None:
        """Count a row as it comes, blank or not. Raises DatasetError beyond the limits."""
        if row_number > MOST_SHEET_ROWS:
            raise DatasetError(
                f"{self.name!r} has rows below row {MOST_SHEET_ROWS:,}, where a sheet ends. "
                "Save the sheet as CSV and upload that."
            )
        self._cells += width + _ROW_WORK
        if self._cells > MOST_CELLS:
            raise too_large(self.name)

    def keep(self, cells: Sequence[str]) -> None:
        """Count a row that is kept. Raises DatasetError beyond the limits."""
        check_columns(self.name, len(cells))
        self._width = max(self._width, len(cells))
        self._rows += 1
        self._chars += sum(map(len, cells))
        if self._rows * self._width > MOST_CELLS or self._chars > LARGEST_TABLE:
            raise too_large(self.name)


def _sheet_rows(sheet: Any, sizes: _SheetSizes) -> Iterator[tuple[int, list[str]]]:
    """Yield (row number, cells) for each row that is not blank, without the blank cells at its end."""
    sheet.reset_dimensions()  # what the file claims about its size is often wrong
    for number, row in enumerate(sheet.iter_rows(values_only=True, max_row=MOST_SHEET_ROWS + 1), 1):
        sizes.walk(number, len(row))
        end = len(row)
        while end and row[end - 1] is None:
            end -= 1
        if not end:
            continue
        cells = [cell_text(v) for v in row[:end]]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            sizes.keep(cells)
            yield number, cells


def _from_sheet(rows: Sequence[tuple[int, list[str]]], notes: list[str]) -> RawTable:
    header = rows[0][1]
    body = rows[1:]
    width = max(len(cells) for _, cells in rows)
    padded = [cells + [""] * (width - len(cells)) for _, cells in body]
    cells: list[object] = list(zip(*padded, strict=True)) if padded else [[] for _ in range(width)]
    return RawTable(header + [""] * (width - len(header)), cells, [], notes, [n for n, _ in body])


def read_parquet(data: bytes, name: str, rows_at_once: int = 1024, largest: int = LARGEST_TABLE) -> RawTable:
    """Read a Parquet file, some of its rows at a time. Raises TooLargeError for more than `largest` bytes of text."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(data), pre_buffer=False)
        names = list(file.schema_arrow.names)
        check_columns(name, len(names))
        if file.metadata.num_rows * max(1, len(names)) > MOST_CELLS:
            raise too_large(name)
        parts: list[list[Any]] = [[] for _ in names]
        size = 0
        for batch in file.iter_batches(batch_size=rows_at_once, use_threads=False):
            for part, column in zip(parts, batch.columns, strict=True):
                part.append(_column_text(column))
                size += part[-1].nbytes
            if size > largest:
                raise too_large(name)
    except MemoryError:
        raise  # Arrow's is one of its exceptions too
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{name!r} is not a Parquet file that can be read. Save the table again."
        ) from error
    return RawTable(
        names, [pa.chunked_array(part, pa.large_string()) for part in parts], [], [], first_number=1
    )


def _column_text(column: Any) -> object:
    """Return an Arrow column as text."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = column.cast(pa.large_string()).fill_null("")
        try:
            text.validate(full=True)
            return text
        except pa.ArrowInvalid:  # bytes that are not UTF-8
            column = column.cast(pa.large_binary())
    return arrow_text([cell_text(v) for v in column.to_pylist()])


_WANTED = 'Tuneboard reads a list of objects, such as [{"question": "...", "answer": "..."}].'
