"""A table of examples in memory: its columns, its rows as text, what was wrong with the file, and the table edited."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.basics.text import first_of, harmless
from engine.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd


FIRST_ROW = 2
"""Number of the first row below a header, as a spreadsheet counts."""

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
    """Rows of text under named columns."""

    name: str
    columns: tuple[str, ...]
    frame: pd.DataFrame
    """Strings without missing values: an empty cell is "". Row ids everywhere else are 0-based positions in it."""
    problems: tuple[RowProblem, ...] = ()
    """Rows left out of the frame."""
    content_hash: str = ""
    """SHA-256 of the bytes read."""
    notes: tuple[str, ...] = ()
    """Sentences on the file as a whole: an encoding that was guessed, a column that was renamed."""
    numbers: tuple[int, ...] | None = None
    """Numbers of the rows in their file; None where they follow each other from `first_number`."""
    first_number: int = FIRST_ROW
    local_files: bool = True
    """True if cells may name files of this machine: the table did not come from elsewhere."""

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
    """Result of a reader: a header, cells by column, and each row's number when it is not the plain count.

    `first_number` is the number of the first row when `numbers` is None.
    """

    header: Sequence[str]
    cells: Sequence[Any]
    problems: list[RowProblem]
    notes: list[str]
    numbers: Sequence[int] | None = None
    first_number: int = FIRST_ROW


def build_dataset(name: str, raw: RawTable, content_hash: str) -> Dataset:
    """Make a Dataset of what a reader found.

    `raw.cells` holds one sequence (or Arrow array) of text per column. Raises DatasetError when there is
    nothing to use.
    """
    import pandas as pd
    import pyarrow as pa

    check_columns(name, len(raw.header))
    columns = [arrow_text(c) for c in raw.cells]
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


def check_columns(name: str, count: int) -> None:
    """Raise DatasetError for a table of more columns than can be read."""
    if count > MAX_COLUMNS:
        raise DatasetError(
            f"{name!r} has {count:,} columns; at most {MAX_COLUMNS} can be read. "
            "Keep the columns the task needs, or check that the right separator was used."
        )


def arrow_text(cells: Any) -> Any:
    """Return a column of text as an Arrow array."""
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
    row_numbers = (
        [numbers[i] for i in where] if numbers is not None else [i + raw.first_number for i in where]
    )
    return [pc.filter(c, filled) for c in columns], row_numbers


def _clean_names(
    header: Sequence[str], columns: list[object], notes: list[str]
) -> tuple[list[str], list[int]]:
    """Return usable, distinct column names and the positions of the columns kept."""
    import pyarrow.compute as pc

    # Half of a surrogate pair, which JSON escapes can smuggle in, is not text in any encoding.
    plain = [h.replace("\ufeff", "").encode("utf-8", "replace").decode() for h in header]
    tidy = [re.sub(r"\s+", " ", h).strip() for h in plain]
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
        f"{name!r} has column names ({first_of(columns, 5)}) "
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


MOST_ADDED = 10_000
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\r\v\f\x1b")


@dataclass(frozen=True, slots=True)
class Edited:
    """A new file: its name and bytes, where each kept row is now (old row id -> new), and the ids of the added rows."""

    name: str
    content: bytes
    rows: Mapping[int, int]
    added: tuple[int, ...]


def edited(
    dataset: Dataset,
    *,
    cells: Mapping[tuple[int, str], str] | None = None,
    added: Sequence[Mapping[str, str]] = (),
    dropped: Collection[int] = (),
    columns: Collection[str] = (),
) -> Edited:
    """Return a table with cells (row id, column) replaced, rows added at the end and rows dropped, as a CSV file.

    `columns` are needed: those that the table does not have are added, blank; cells may fill them. Rows that are blank
    altogether are dropped, as they are when a file is read. Raises DatasetError for a column or a row that is not
    there, and when no row would be left.

    >>> from engine.dataset import read_dataset
    >>> data = read_dataset(b"q,a\\n1+1,2\\n1+2,3\\n", "sums.csv")
    >>> made = edited(data, cells={(0, "a"): "two"}, added=[{"q": "2+2", "a": "4"}], dropped=[1])
    >>> read_dataset(made.content, made.name).rows(), made.rows, made.added
    ([{'q': '1+1', 'a': 'two'}, {'q': '2+2', 'a': '4'}], {0: 0}, (1,))
    """
    changes = cells or {}
    names = (*dataset.columns, *(c for c in columns if c not in dataset.columns))
    _check(dataset, changes, added, dropped, names)
    texts: dict[str, list[str]] = {
        c: dataset.values(c) if c in dataset.columns else [""] * len(dataset) for c in names
    }
    for (row, column), text in changes.items():
        texts[column][row] = text
    for row_values in added:
        for column in names:
            texts[column].append(str(row_values.get(column, "")))
    total = len(dataset) + len(added)
    touched = {row for row, _ in changes} | set(range(len(dataset), total))
    gone = set(dropped) | {row for row in touched if not any(texts[c][row] for c in names)}
    if len(gone) >= total:
        raise DatasetError("No row would be left. Keep at least one.")
    if gone:
        remaining = [row for row in range(total) if row not in gone]
        texts = {c: [values[row] for row in remaining] for c, values in texts.items()}
        place = {row: at for at, row in enumerate(remaining)}
    else:
        place = {row: row for row in range(total)}
    old = {row: at for row, at in place.items() if row < len(dataset)}
    new = tuple(at for row, at in place.items() if row >= len(dataset))
    stem = dataset.name.rpartition(".")[0] if "." in dataset.name else dataset.name
    return Edited(f"{stem or 'rows'}.csv", csv_bytes(texts), old, new)


def csv_bytes(columns: Mapping[str, Sequence[str]]) -> bytes:
    """Return columns of text as CSV, everything in quotes, so that every text comes back as it was."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    table = pa.table({name: arrow_text(values) for name, values in columns.items()})
    out = io.BytesIO()
    arrow_csv.write_csv(table, out, arrow_csv.WriteOptions(quoting_style="all_valid"))
    # Control characters would make the file look like none of text when it is read again.
    return out.getvalue().translate(None, delete=_CONTROLS)


def safe_csv(dataset: Dataset) -> bytes:
    """Return a table as CSV for a spreadsheet: a text that a spreadsheet would run as a formula gets a ' before it.

    >>> from engine.dataset import read_dataset
    >>> safe_csv(read_dataset(b"a,b\\n=1+1,x\\n-5,y\\n", "x.csv")).splitlines()[1:]
    [b'"\\'=1+1","x"', b'"-5","y"']
    """
    return csv_bytes({harmless(c): [harmless(v) for v in dataset.values(c)] for c in dataset.columns})


def _check(
    dataset: Dataset,
    cells: Mapping[tuple[int, str], str],
    added: Sequence[Mapping[str, str]],
    dropped: Collection[int],
    columns: Collection[str],
) -> None:
    size = len(dataset)
    for row in {*(row for row, _ in cells), *dropped}:
        if not 0 <= row < size:
            raise DatasetError(
                f"There is no row {row + 1} in {dataset.name!r}; it has {size:,}. Load the page again."
            )
    for column in {*(column for _, column in cells), *(c for values in added for c in values)}:
        if column not in columns:
            raise DatasetError(missing_column(dataset, column))
    if len(added) > MOST_ADDED:
        raise DatasetError(
            f"{len(added):,} rows are too many to add at once; at most {MOST_ADDED:,}. Upload them as a file."
        )
