"""A file, an upload or a paste -> Dataset: which reader, and the limits.

The bytes decide where the name is wrong: a workbook called .csv is read as a workbook.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.dataset.delimited import decode, read_separated
from engine.dataset.structured import read_json, read_json_lines, read_parquet, read_workbook
from engine.dataset.table import Dataset, RawTable, build_dataset
from engine.errors import DatasetError

EXTENSIONS = ("csv", "tsv", "txt", "json", "jsonl", "xlsx", "parquet")
LARGEST_FILE = 200_000_000

_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "is an old Excel file (.xls). Open it and save it as .xlsx or CSV"),
    (b"%PDF", "is a PDF. Upload a table: CSV, Excel, JSON or Parquet"),
    (b"\x1f\x8b", "is compressed (gzip). Unpack it first"),
    (b"BZh", "is compressed (bzip2). Unpack it first"),
    (b"\x89PNG", "is a picture. Upload a table: CSV, Excel, JSON or Parquet"),
    (b"\xff\xd8\xff", "is a picture. Upload a table: CSV, Excel, JSON or Parquet"),
    (b"SQLite format 3", "is a database. Save the table you need as CSV"),
)


def read_dataset(source: bytes | Path, name: str = "") -> Dataset:
    """Read a table of examples: CSV, TSV, JSON, JSON Lines, Excel or Parquet.

    `source` is the file's bytes or its path; `name` its file name, which chooses the reader (a path has
    its own). Every value is text. Raises DatasetError with one sentence when it cannot be used; rows
    that do not fit are in `problems`.

    >>> data = read_dataset(b"message,queue\\nWhere is my parcel?,shipping\\n", "tickets.csv")
    >>> data.columns, data.rows()[0]["queue"]
    (('message', 'queue'), 'shipping')
    """
    if isinstance(source, Path):
        name = name or source.name
        data = _read_file(source)
    else:
        data = bytes(source)
    _check_size(len(data), name)
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe"):
        raise DatasetError(f"{name!r} is empty. Upload a table with column names in its first row.")
    return build_dataset(name, _read(data, name), hashlib.sha256(data).hexdigest())


def paste_dataset(text: str, name: str = "pasted rows") -> Dataset:
    """Read what was pasted: rows from a spreadsheet (tabs), CSV, or JSON.

    Raises DatasetError when there is no table in it.

    >>> paste_dataset("question\\tanswer\\n1 + 1?\\t2\\n").rows()
    [{'question': '1 + 1?', 'answer': '2'}]
    """
    data = text.encode("utf-8", "replace")
    _check_size(len(data), name)
    text = text.replace("\0", "").strip("\r\n")
    if not text.strip():
        raise DatasetError("Nothing was pasted. Copy rows with their column names from a spreadsheet.")
    raw = read_json(text, name) if text.lstrip()[0] in "[{" else read_separated(text, name, prefer="\t")
    return build_dataset(name, raw, hashlib.sha256(data).hexdigest())


def _read_file(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DatasetError(f"{str(path)!r} is a folder. Name a file in it.")
        _check_size(path.stat().st_size, path.name)
        return path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(f"There is no file {str(path)!r}. Check the name and the folder.") from None
    except PermissionError:
        raise DatasetError(f"{str(path)!r} cannot be opened: permission denied.") from None


def _check_size(size: int, name: str) -> None:
    if size > LARGEST_FILE:
        raise DatasetError(
            f"{name!r} is {size / 1e6:,.0f} MB; at most {LARGEST_FILE // 1_000_000} MB can be read. "
            "A few hundred rows are enough for tuning: upload a part of it."
        )


def _read(data: bytes, name: str) -> RawTable:
    extension = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            raise DatasetError(f"{name!r} {what}.")
    if data.startswith(b"PAR1") or extension == "parquet":
        return read_parquet(data, name)
    if data.startswith(b"PK\x03\x04") or extension in ("xlsx", "xlsm"):
        return read_workbook(data, name)
    decoded = decode(data, name)
    table = _read_text(decoded.text, name, extension, decoded.utf8)
    table.notes[:0] = decoded.notes
    return table


def _read_text(text: str, name: str, extension: str, utf8: bytes | None) -> RawTable:
    if not text.strip():
        raise DatasetError(f"{name!r} is empty. Upload a table with column names in its first row.")
    if extension in ("jsonl", "ndjson"):
        return read_json_lines(text, name)
    if extension == "json" or (extension not in EXTENSIONS and text.lstrip()[0] in "[{"):
        return read_json(text, name)
    if text.lstrip()[:9].lower() in ("<!doctype", "<html>") or text.lstrip()[:5].lower() == "<html":
        raise DatasetError(f"{name!r} is a web page, not a table. Download the table itself as CSV.")
    return read_separated(text, name, utf8=utf8, prefer="\t" if extension == "tsv" else "")
