"""A table with some cells changed, rows added or rows taken out, as the bytes of a new file.

An edit never changes a stored file: it makes another one, so that what was there before can be had back. It knows
no store.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.dataset.table import Dataset, missing_column
from engine.errors import DatasetError

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
) -> Edited:
    """Return a table with cells (row id, column) replaced, rows added at the end and rows dropped, as a CSV file.

    Rows that are blank altogether are dropped, as they are when a file is read. Raises DatasetError for a column or
    a row that is not there, and when no row would be left.

    >>> from engine.dataset import read_dataset
    >>> data = read_dataset(b"q,a\\n1+1,2\\n1+2,3\\n", "sums.csv")
    >>> made = edited(data, cells={(0, "a"): "two"}, added=[{"q": "2+2", "a": "4"}], dropped=[1])
    >>> read_dataset(made.content, made.name).rows(), made.rows, made.added
    ([{'q': '1+1', 'a': 'two'}, {'q': '2+2', 'a': '4'}], {0: 0}, (1,))
    """
    changes = cells or {}
    _check(dataset, changes, added, dropped)
    columns: dict[str, list[str]] = {c: dataset.values(c) for c in dataset.columns}
    for (row, column), text in changes.items():
        columns[column][row] = text
    for row_values in added:
        for column in dataset.columns:
            columns[column].append(str(row_values.get(column, "")))
    total = len(dataset) + len(added)
    touched = {row for row, _ in changes} | set(range(len(dataset), total))
    gone = set(dropped) | {row for row in touched if not any(columns[c][row] for c in dataset.columns)}
    if len(gone) >= total:
        raise DatasetError("No row would be left. Keep at least one.")
    if gone:
        kept = [row for row in range(total) if row not in gone]
        columns = {c: [values[row] for row in kept] for c, values in columns.items()}
        place = {row: at for at, row in enumerate(kept)}
    else:
        place = {row: row for row in range(total)}
    old = {row: at for row, at in place.items() if row < len(dataset)}
    new = tuple(at for row, at in place.items() if row >= len(dataset))
    stem = dataset.name.rpartition(".")[0] if "." in dataset.name else dataset.name
    return Edited(f"{stem or 'rows'}.csv", csv_bytes(columns), old, new)


def csv_bytes(columns: Mapping[str, Sequence[str]]) -> bytes:
    """Return columns of text as CSV, everything in quotes, so that every text comes back as it was."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    table = pa.table({name: _text_array(values) for name, values in columns.items()})
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
    return csv_bytes({_inert(c): [_inert(v) for v in dataset.values(c)] for c in dataset.columns})


def _inert(text: str) -> str:
    if text[:1] not in ("=", "+", "-", "@", "\t", "\r"):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _text_array(values: Sequence[str]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        return pa.array([v.encode("utf-8", "replace").decode() for v in values], pa.large_string())


def _check(
    dataset: Dataset,
    cells: Mapping[tuple[int, str], str],
    added: Sequence[Mapping[str, str]],
    dropped: Collection[int],
) -> None:
    size = len(dataset)
    for row in {*(row for row, _ in cells), *dropped}:
        if not 0 <= row < size:
            raise DatasetError(
                f"There is no row {row + 1} in {dataset.name!r}; it has {size:,}. Load the page again."
            )
    for column in {*(column for _, column in cells), *(c for values in added for c in values)}:
        if column not in dataset.columns:
            raise DatasetError(missing_column(dataset, column))
    if len(added) > MOST_ADDED:
        raise DatasetError(
            f"{len(added):,} rows are too many to add at once; at most {MOST_ADDED:,}. Upload them as a file."
        )
