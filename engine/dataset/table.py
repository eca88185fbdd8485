"""A table of examples in memory: its columns, its rows as text, and what was wrong with the file.

This module knows no file format. Readers hand it columns of text; it repairs column names, drops blank
rows and remembers which row of the file each one was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

MAX_COLUMNS = 500
MAX_LISTED_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that cannot be used, and why, in one sentence.

    `row` is the number a person sees: the spreadsheet row (the header is 1), the line of a JSON Lines
    file or the item of a JSON list. `column` is "" when the whole row is wrong.
    """

    row: int
    column: str
    message: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of text under named columns.

    `frame` is a pandas DataFrame of strings: no missing values, an empty cell is "". Row ids everywhere
    else are 0-based positions in it; `row_number` turns one into the number a person sees. `problems`
    are rows left out of the frame, `notes` are sentences about the file as a whole (an encoding that
    was guessed, a column that was renamed). `content_hash` is the SHA-256 of the bytes read.
    """

    name: str
    columns: tuple[str, ...]
    frame: pd.DataFrame
    problems: tuple[RowProblem, ...] = ()
    content_hash: str = ""
    notes: tuple[str, ...] = ()
    numbers: tuple[int, ...] | None = None
    first_number: int = 2

    def __len__(self) -> int:
        return len(self.frame)

    def row_number(self, row: int) -> int:
        """Return the number in the file of the row at a 0-based position."""
        return self.numbers[row] if self.numbers is not None else row + self.first_number

    def values(self, column: str) -> list[str]:
        """Return one column's cells in order. Raises DatasetError when there is no such column."""
        if column not in self.columns:
            raise DatasetError(missing_column(self, column))
        return self.frame[column].tolist()

    def rows(self, start: int = 0, stop: int | None = None) -> list[dict[str, str]]:
        """Return some rows as dicts of text, by position."""
        part = self.frame.iloc[start:stop]
        cells = zip(*(part[c].tolist() for c in self.columns), strict=True)
        return [dict(zip(self.columns, row, strict=True)) for row in cells]


@dataclass(slots=True)
class RawTable:
    """What a reader found: a header, cells by column, and each row's number when it is not the plain count.

    `first_number` is the number of the first row when `numbers` is None.
    """

    header: Sequence[str]
    cells: Sequence[Any]
    problems: list[RowProblem]
    notes: list[str]
    numbers: Sequence[int] | None = None
    first_number: int = 2


def build_dataset(name: str, raw: RawTable, content_hash: str) -> Dataset:
    """Make a Dataset of what a reader found.

    `raw.cells` holds one sequence (or Arrow array) of text per column. Raises DatasetError when there is
    nothing to use.
    """
    import pandas as pd
    import pyarrow as pa

    if len(raw.header) > MAX_COLUMNS:
        raise DatasetError(
            f"{name!r} has {len(raw.header):,} columns; at most {MAX_COLUMNS} can be read. "
            "Keep the columns the task needs, or check that the right separator was used."
        )
    columns = [_as_arrow(c) for c in raw.cells]
    numbers = raw.numbers
    columns, numbers = _without_blank_rows(columns, numbers, raw)
    names, keep = _clean_names(raw.header, columns, raw.notes)
    if not names:
        raise DatasetError(f"{name!r} has no named columns. Put a column name in each cell of its first row.")
    if not columns or len(columns[0]) == 0:
        raise DatasetError(_no_rows(name, names, raw.problems))
    table = pa.table([columns[i] for i in keep], names=names)
    frame = table.to_pandas(types_mapper={pa.large_string(): pd.StringDtype("pyarrow")}.get)
    _note_headerless(names, columns, keep, raw.notes)
    return Dataset(
        name=name,
        columns=tuple(names),
        frame=frame,
        problems=_listed(raw),
        content_hash=content_hash,
        notes=tuple(raw.notes),
        numbers=tuple(numbers) if numbers is not None else None,
        first_number=raw.first_number,
    )


def missing_column(dataset: Dataset, column: str) -> str:
    """Return the sentence for a column that the data does not have."""
    return f"{dataset.name!r} has no column {column!r}. Its columns are: {', '.join(dataset.columns)}."


def _as_arrow(cells: Any) -> Any:
    import pyarrow as pa

    if isinstance(cells, pa.Array | pa.ChunkedArray):
        return cells if cells.type == pa.large_string() else cells.cast(pa.large_string())
    try:
        return pa.array(cells, pa.large_string())
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON escapes can smuggle in, is not text in any encoding.
        return pa.array([str(c).encode("utf-8", "replace").decode() for c in cells], pa.large_string())


def _without_blank_rows(
    columns: list[Any], numbers: Sequence[int] | None, raw: RawTable
) -> tuple[list[Any], Sequence[int] | None]:
    """Drop rows whose every cell is empty; the others keep their numbers."""
    import pyarrow.compute as pc

    if not columns or len(columns[0]) == 0:
        return columns, numbers
    blank = None
    for column in columns:
        empty = pc.equal(pc.binary_length(column), 0)
        blank = empty if blank is None else pc.and_(blank, empty)
        if not pc.any(blank).as_py():
            return columns, numbers
    filled = pc.invert(blank)
    where = pc.indices_nonzero(filled).to_pylist()
    count = len(columns[0]) - len(where)
    raw.notes.append(f"{count:,} blank row{'s were' if count > 1 else ' was'} skipped.")
    kept = [numbers[i] for i in where] if numbers is not None else [i + raw.first_number for i in where]
    return [pc.filter(c, filled) for c in columns], kept


def _clean_names(header: Sequence[str], columns: list[Any], notes: list[str]) -> tuple[list[str], list[int]]:
    """Return usable, distinct column names and the positions of the columns kept."""
    import pyarrow.compute as pc

    tidy = [re.sub(r"\s+", " ", h.replace("\ufeff", "")).strip() for h in header]
    names: list[str] = []
    keep: list[int] = []
    for i, name in enumerate(tidy):
        if not name:
            # A blank name over blank cells is what a trailing separator leaves behind.
            if not columns or not pc.any(pc.greater(pc.binary_length(columns[i]), 0)).as_py():
                continue
            name = _distinct(f"column {letter(i)}", {*tidy, *names})
            notes.append(f"Column {letter(i)} has no name in the first row; it is called {name!r} here.")
        elif name in names:
            first = letter(keep[names.index(name)])
            renamed = _distinct(name, {*tidy, *names})
            notes.append(
                f"Two columns are called {name!r} ({first} and {letter(i)}); the second is called {renamed!r} here."
            )
            name = renamed
        names.append(name)
        keep.append(i)
    return names, keep


def _distinct(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name} {n}" for n in range(2, len(taken) + 3) if f"{name} {n}" not in taken)


def letter(position: int) -> str:
    """Return a column's spreadsheet letter.

    >>> letter(0), letter(25), letter(26)
    ('A', 'Z', 'AA')
    """
    text = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def _note_headerless(names: list[str], columns: list[Any], keep: list[int], notes: list[str]) -> None:
    """Say so when the first row looks like data: most of its cells come up again right below themselves."""
    import pyarrow.compute as pc

    if len(columns[0]) < 3:
        return
    again = sum(pc.any(pc.equal(columns[i], n)).as_py() for n, i in zip(names, keep, strict=True))
    numeric = sum(bool(re.fullmatch(r"[+-]?\d+([.,]\d+)?", n)) for n in names)
    if again or numeric * 2 > len(names):
        notes.append(
            "The first row looks like data, not like column names. "
            "If it is, add a row of column names above it and upload the file again."
        )


def _no_rows(name: str, columns: list[str], problems: list[RowProblem]) -> str:
    if problems:
        first = problems[0]
        return (
            f"No row of {name!r} can be used. The first problem is in row {first.row}: {first.message} "
            "Check which character separates the columns and that texts with that character are in quotes."
        )
    return (
        f"{name!r} has column names ({', '.join(columns[:5])}{', ...' if len(columns) > 5 else ''}) "
        "but no rows below them. Add at least ten rows of examples."
    )


def _listed(raw: RawTable) -> tuple[RowProblem, ...]:
    """Return the problems in row order; beyond a screenful of pages they are counted, not listed."""
    problems = sorted(raw.problems, key=lambda p: p.row)
    left_off = len(problems) - MAX_LISTED_PROBLEMS
    if left_off > 0:
        raw.notes.append(
            f"{len(problems):,} rows have problems; the first {MAX_LISTED_PROBLEMS} are listed and none of them is used."
        )
    return tuple(problems[:MAX_LISTED_PROBLEMS])
