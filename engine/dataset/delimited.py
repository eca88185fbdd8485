"""Separated text: CSV, TSV, semicolons, and what a spreadsheet puts on the clipboard.

Two readers give the same table: Arrow's for long, regular text, Python's for everything else (short
text, blank lines, rows of the wrong length, quotes that never close). It must not guess types.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from engine.dataset.table import RawTable, RowProblem
from engine.errors import DatasetError

SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
ARROW_FROM_CHARS = 500_000
LONGEST_CELL = 16_000_000

_END = "\x1eend of the table\x1e"


def read_separated(text: str, name: str, *, utf8: bytes | None = None, prefer: str = "") -> RawTable:
    """Read separated text; the first row that is not blank is the header.

    `utf8` is the same text as UTF-8 bytes where the caller has them; `prefer` is the separator to take
    when two fit equally. Raises DatasetError when there is nothing but blank lines.

    >>> table = read_separated("text;label\\nhi;a\\nlost\\nho;b", "x.csv")
    >>> [list(c) for c in table.cells], table.problems[0].row
    ([['hi', 'ho'], ['a', 'b']], 3)
    """
    separator = find_separator(text, prefer)
    notes = [] if separator in (",", "\t") else [f"Columns are separated by a {SEPARATORS[separator]}."]
    if len(text) >= ARROW_FROM_CHARS:
        table = _read_with_arrow(text, utf8, separator, notes)
        if table is not None:
            return table
    return _read_with_python(text, name, separator, notes)


def find_separator(text: str, prefer: str = "") -> str:
    """Return the separator that splits the header into columns which the next rows repeat.

    >>> find_separator("a;b\\n1,5;2\\n2,5;3")
    ';'
    """
    sample = _first_lines(text, 60)
    best, best_score = prefer or ",", (0.0, 0, False)
    for separator in SEPARATORS:
        rows = [r for r in _records(sample, separator) if r]
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        agree = sum(len(r) == width for r in rows) / len(rows)
        score = (round(agree, 1), width, separator == prefer)
        if score > best_score:
            best, best_score = separator, score
    return best


def _first_lines(text: str, count: int) -> str:
    return "".join(islice(io.StringIO(text[:200_000], newline=""), count))


def _records(text: str, separator: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    except csv.Error:
        return


def _read_with_arrow(text: str, utf8: bytes | None, separator: str, notes: list[str]) -> RawTable | None:
    """Return the table, or None where only the careful reader can be trusted."""
    quotes = text.count('"')
    if quotes % 2 or text[:1] in "\r\n":
        return None
    header = next(_records(_first_lines(text, 60), separator), [])
    if len(header) < 2:
        return None
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [str(i) for i in range(len(header))]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(utf8 if utf8 is not None else text.encode()),
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=16 << 20),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, newlines_in_values=quotes > 0, ignore_empty_lines=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        # A row of another length, a blank line, a cell longer than a block: the careful reader tells which.
        return None
    first = [table.column(i)[0].as_py() for i in range(len(names))] if table.num_rows else []
    if first != header or (quotes and any(_holds_quotes(c) for c in table.columns)):
        return None
    return RawTable(header, table.slice(1).columns, [], notes)


def _holds_quotes(column: Any) -> bool:
    """Whether a cell holds a quotation mark: a doubled one or a stray one, which Arrow does not tell apart."""
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring(column, '"')).as_py())


def _read_with_python(text: str, name: str, separator: str, notes: list[str]) -> RawTable:
    header: list[str] | None = None
    rows: list[list[str]] = []
    numbers: list[int] = []
    problems: list[RowProblem] = []
    number = 0
    for number, row, message in _numbered(text, separator):
        if message:
            problems.append(RowProblem(number, "", message))
        elif header is None:
            header = row if any(c.strip() for c in row) else None
        elif row:
            fitted = row if len(row) == len(header) else _fitted(row, header)
            if len(fitted) == len(header):
                rows.append(fitted)
                numbers.append(number)
            else:
                problems.append(RowProblem(number, "", _ragged(fitted, header, separator)))
    if header is None:
        raise DatasetError(f"{name!r} is empty. Upload a table with column names in its first row.")
    plain = not numbers or (numbers[-1] - numbers[0] == len(numbers) - 1 and numbers[0] == 2)
    cells: list[Any] = list(zip(*rows, strict=True)) if rows else [[] for _ in header]
    return RawTable(header, cells, problems, notes, None if plain else numbers)


def _fitted(row: list[str], header: list[str]) -> list[str]:
    """Return the row with the blank cells that a spreadsheet adds or leaves out at its end put right."""
    end = len(row)
    while end > len(header) and not row[end - 1].strip():
        end -= 1
    if any(name.strip() for name in header[end:]):
        return row
    return row[:end] + [""] * (len(header) - end)


def _ragged(row: list[str], header: list[str], separator: str) -> str:
    cells = f"{len(row)} cell{'s' if len(row) != 1 else ''}"
    if len(row) > len(header):
        return (
            f"This row has {cells} where the header has {len(header)}. "
            f"Put texts that contain a {SEPARATORS[separator]} in double quotes."
        )
    return f"This row has {cells} where the header has {len(header)}. Fill in the missing ones."


def _numbered(text: str, separator: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield (row number, cells, problem) for each record, blank ones too.

    A quotation mark that never closes would swallow the rest of the file. A sentinel after the last line
    shows it: then the line that opened it is reported, and reading goes on below that line.
    """
    csv.field_size_limit(LONGEST_CELL)  # the process's, and never put back: another thread may be reading
    lines = list(io.StringIO(text, newline=""))
    if lines and lines[-1][-1:] not in "\r\n":
        lines[-1] += "\n"
    number, start = 0, 0
    while start < len(lines):
        reader = csv.reader(chain(islice(lines, start, None), [_END]), delimiter=separator)
        opened = start
        try:
            for row in reader:
                if row == [_END]:
                    return
                if row and row[-1].endswith(_END):
                    break
                number += 1
                opened = start + reader.line_num
                yield number, row, ""
        except csv.Error:
            pass
        number += 1
        yield number, [], "A quotation mark is opened in this row and never closed. Close it or remove it."
        start = opened + 1
