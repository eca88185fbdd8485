"""Workbooks, Parquet files and large JSON read in a child process with limits: they can take far more memory than bytes.

    python -m engine.dataset.unpacking < request

The request is one line of JSON (`kind`, `name`) and the file's bytes; the answer one line of JSON (the table's header
and notes, or the problem) and the columns as an Arrow stream.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable
from typing import IO, Literal

from engine.basics.children import Child, limit_memory
from engine.dataset.structured import (
    TooLargeError,
    read_json,
    read_json_lines,
    read_parquet,
    read_workbook,
    too_large,
    unpacked_size,
)
from engine.dataset.table import RawTable, RowProblem, arrow_text
from engine.errors import DatasetError

Kind = Literal["parquet", "workbook", "json", "json_lines"]

MOST_MEMORY = 900_000_000
"""Bytes that the child may have."""

MOST_JSON_MEMORY = 3_000_000_000
"""The same for JSON, whose values take several times their text until they are columns."""

SMALL_JSON = 4_000_000
"""Bytes of JSON up to which it is read without a child."""

SECONDS = 8.0
SECONDS_PER_MB = 2.0
"""Time for a file, and for each megabyte of it; ordinary workbooks take a fifth of this."""

SMALL_WORKBOOK = 4_000_000
"""Unpacked bytes up to which a workbook is read without a child: an archive gives no more than it says, and the worst
case of this much XML takes half a gigabyte of memory."""

_READERS: dict[Kind, Callable[[bytes, str], RawTable]] = {
    "parquet": read_parquet,
    "workbook": read_workbook,
    "json": lambda data, name: read_json(data.decode(), name),
    "json_lines": lambda data, name: read_json_lines(data.decode(), name),
}


def read_unpacked(data: bytes, name: str, kind: Kind) -> RawTable:
    """Read a file that unpacks. Raises DatasetError for one that needs more memory or time than it may.

    What certainly stays small is read here, since a child takes a quarter of a second to start.
    """
    if kind in ("json", "json_lines") and len(data) <= SMALL_JSON:
        return _READERS[kind](data, name)
    if kind == "workbook" and _is_small(data):
        return read_workbook(data, name)
    if kind == "parquet" and (rows := _safe_rows(data)):
        with contextlib.suppress(TooLargeError):  # a child may still read it
            return read_parquet(data, name, rows, _SMALL_PARQUET)
    request = json.dumps({"kind": kind, "name": name}).encode() + b"\n" + data
    seconds = SECONDS + SECONDS_PER_MB * len(data) / 1e6
    # One thread and the system's memory, so that the count is the same on every machine.
    env = {
        **os.environ,
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        with Child("engine.dataset.unpacking", request, seconds=seconds, env=env) as child:
            table = _answered(child)
            if child.late:
                raise DatasetError(
                    f"{name!r} takes more than {seconds:.0f} seconds to read. Save the table as CSV and upload that."
                )
            if table is None:
                raise _ended_early(name, child.last_words())
            return table
    except OSError as error:
        raise DatasetError(f"The process that reads {name!r} could not be started: {error}.") from error


def _is_small(data: bytes) -> bool:
    try:
        return unpacked_size(data) <= SMALL_WORKBOOK
    except (
        zipfile.BadZipFile,
        ValueError,
        NotImplementedError,
    ):  # the last is zipfile's, for kinds it does not know
        return True  # not an archive that can be read: the reader reports it


def _safe_rows(data: bytes) -> int:
    """Return how many rows of a Parquet file can be read at once without a child; 0 where that is not certain.

    What a file says of its sizes is not to be trusted. What holds for every file of flat columns in Snappy: a page
    unpacks to at most 22 times the file's size, a value is at most a page, and no more rows are read than it says.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        about = parquet.ParquetFile(io.BytesIO(data)).metadata
        columns, groups = about.num_columns, about.num_row_groups
        page = _MOST_SNAPPY * len(data)
        if about.num_rows * columns > _MOST_SMALL_CELLS or groups * columns * page > _SMALL_PARQUET:
            return 0
        if any(about.schema.column(at).max_repetition_level for at in range(columns)):
            return 0
        chunks = (about.row_group(group).column(at) for group in range(groups) for at in range(columns))
        if any(chunk.compression not in ("SNAPPY", "UNCOMPRESSED") for chunk in chunks):
            return 0
    except (pa.ArrowException, OSError, ValueError):
        return 0
    rows: int = min(1024, _SMALL_PARQUET // (page * max(1, columns)))
    return rows if about.num_rows <= rows * _MOST_PARTS else 0


_SMALL_PARQUET = 60_000_000
"""Bytes that some rows of a Parquet file may unpack to here, and all of them together."""

_MOST_SNAPPY = 22
_MOST_SMALL_CELLS = 500_000
_MOST_PARTS = 1700
"""Parts in which a file is read here: with more of them a child is faster."""


def _answered(child: Child) -> RawTable | None:
    """Return the table that a child writes; None where it ended before it was whole. Raises DatasetError for a problem."""
    import pyarrow as pa
    from pyarrow import ipc

    line = child.output.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    if "problem" in head:
        raise DatasetError(head["problem"])
    try:
        columns = ipc.open_stream(child.output).read_all().columns
    except (pa.ArrowException, OSError):
        return None
    numbers = columns.pop().to_pylist() if head["numbered"] else None
    problems = [RowProblem(*problem) for problem in head["problems"]]
    return RawTable(head["header"], columns, problems, head["notes"], numbers, head["first_number"])


def _ended_early(name: str, last_words: str) -> DatasetError:
    """Return the error for a child that ended before its answer was whole."""
    if re.search("memory|alloc", last_words, re.IGNORECASE):  # MemoryError, std::bad_alloc
        return too_large(name)
    reason = last_words or "it gave no reason; this machine may be short of memory"
    return DatasetError(
        f"The process that reads {name!r} ended early: {reason}. Try again, or save the table as CSV and upload that."
    )


def _write(table: RawTable, out: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import ipc

    head = {
        "header": list(table.header),
        "notes": table.notes,
        "numbered": table.numbers is not None,
        "problems": [(p.row, p.column, p.message) for p in table.problems],
        "first_number": table.first_number,
    }
    columns = [arrow_text(cells) for cells in table.cells]
    if table.numbers is not None:
        columns.append(pa.array(table.numbers, pa.int64()))
    whole = pa.table(columns, names=[str(i) for i in range(len(columns))])
    out.write(json.dumps(head).encode() + b"\n")
    with ipc.new_stream(out, whole.schema) as stream:
        stream.write_table(whole, max_chunksize=65_536)
    out.flush()


def main() -> None:
    """Answer the request on standard input."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # libraries print too
    asked = json.loads(sys.stdin.buffer.readline())
    limit_memory(MOST_JSON_MEMORY if asked["kind"].startswith("json") else MOST_MEMORY)
    try:
        _write(_READERS[asked["kind"]](sys.stdin.buffer.read(), asked["name"]), out)
    except DatasetError as error:
        out.write(json.dumps({"problem": str(error)}).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
