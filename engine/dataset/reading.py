"""A file, an upload or a paste -> Dataset: its reader, its encoding, its separator, and the limits.

The bytes decide where the name is wrong: a workbook called .csv is read as a workbook. It must not guess types.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import hashlib
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from engine.basics.text import counted
from engine.dataset.structured import read_json
from engine.dataset.table import Dataset, RawTable, RowProblem, build_dataset
from engine.dataset.unpacking import read_unpacked
from engine.errors import DatasetError

EXTENSIONS = ("csv", "tsv", "txt", "json", "jsonl", "xlsx", "parquet")
LARGEST_FILE = 200_000_000
"""Bytes of the largest table, and of anything else that a page takes. The dashboard's server has the same limit."""

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
        raise _empty(name)
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
        return read_unpacked(data, name, "parquet")
    if data.startswith(b"PK\x03\x04") or extension in ("xlsx", "xlsm"):
        return read_unpacked(data, name, "workbook")
    text, notes, utf8 = decode(data, name)
    table = _read_text(text, name, extension, utf8)
    table.notes[:0] = notes
    return table


def _empty(name: str) -> DatasetError:
    return DatasetError(f"{name!r} is empty. Upload a table with column names in its first row.")


def _read_text(text: str, name: str, extension: str, utf8: bytes | None) -> RawTable:
    if not text.strip():
        raise _empty(name)
    if extension in ("jsonl", "ndjson"):
        return read_unpacked(text.encode("utf-8", "replace"), name, "json_lines")
    if extension == "json" or (extension not in EXTENSIONS and text.lstrip()[0] in "[{"):
        return read_unpacked(text.encode("utf-8", "replace"), name, "json")
    if text.lstrip()[:9].lower() in ("<!doctype", "<html>") or text.lstrip()[:5].lower() == "<html":
        raise DatasetError(f"{name!r} is a web page, not a table. Download the table itself as CSV.")
    return read_separated(text, name, utf8=utf8, prefer="\t" if extension == "tsv" else "")


_MARKS = (
    # The UTF-32 marks begin with the UTF-16 ones, so they are tried first.
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8", ""),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_CONTROLS = tuple(bytes([c]) for c in range(1, 32) if c not in b"\t\n\r\v\f\x1b")


Decoded = tuple[str, tuple[str, ...], bytes | None]
"""Text, notes on how it was read, and the text's UTF-8 where the bytes already were that."""


def decode(data: bytes, name: str) -> Decoded:
    """Read bytes as text. Raises DatasetError when they are not text.

    >>> decode("café".encode("utf-16"), "menu.csv")
    ('café', ('The file is encoded in UTF-16 and was read as such.',), None)
    """
    for mark, codec, title in _MARKS:
        if data.startswith(mark):
            return _decoded_as(data[len(mark) :], codec, title, name)
    sample = data[:4096]
    if sample.count(0) > len(sample) // 5:
        # UTF-16 without a mark: Latin letters leave every other byte 0.
        even, odd, half = sample[0::2].count(0), sample[1::2].count(0), len(sample) // 2
        if max(even, odd) <= half * 0.4 or min(even, odd) >= half * 0.1:
            raise _not_text(name)
        return _decoded_as(data, "utf-16-le" if odd > even else "utf-16-be", "UTF-16", name)
    if sum(sample.count(c) for c in _CONTROLS) > max(8, len(sample) // 50):
        raise _not_text(name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(data, error)
    return _without_nuls(text, data, ())


def _decoded_as(data: bytes, codec: str, title: str, name: str) -> Decoded:
    notes: tuple[str, ...] = (f"The file is encoded in {title} and was read as such.",) if title else ()
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        text = data.decode(codec, "replace")
        if text.count("\ufffd") > max(10, len(text) // 100):
            raise _not_text(name) from None
        notes += ("Some characters are damaged and are shown as \ufffd.",)
    return _without_nuls(text, data if codec == "utf-8" and "\ufffd" not in text else None, notes)


# charset-normalizer took Windows-1252 text, which is what spreadsheets write, for another encoding in 4 of 4 short files.
def _not_utf8(data: bytes, error: UnicodeDecodeError) -> Decoded:
    replaced = data.decode("utf-8", "replace")
    damaged = replaced.count("\ufffd")
    fine = sum(not c.isascii() for c in replaced) - damaged
    if fine > damaged * 4:
        line = data.count(b"\n", 0, error.start) + 1
        note = (
            f"{damaged:,} character{'s are' if damaged > 1 else ' is'} damaged and shown as \ufffd, "
            f"the first in line {line:,}."
        )
        return _without_nuls(replaced, None, (note,))
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    note = (
        "The file is not in UTF-8; it was read as Windows-1252 (Western European). "
        "If accented letters look wrong, save it again as 'CSV UTF-8' and upload that."
    )
    return _without_nuls(text, None, (note,))


def _without_nuls(text: str, utf8: bytes | None, notes: tuple[str, ...]) -> Decoded:
    count = text.count("\0")
    if not count:
        return text, notes, utf8
    note = f"{count:,} NUL character{'s were' if count > 1 else ' was'} removed."
    return text.replace("\0", ""), (*notes, note), None


def _not_text(name: str) -> DatasetError:
    return DatasetError(
        f"{name!r} is not a text file. Save the table as CSV, Excel (.xlsx), JSON or Parquet and upload that."
    )


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
    best, best_score = prefer or ",", (0.0, 0, False)
    for separator in SEPARATORS:
        rows = [r for r in _first_records(text, separator) if r]
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        agree = sum(len(r) == width for r in rows) / len(rows)
        score = (round(agree, 1), width, separator == prefer)
        if score > best_score:
            best, best_score = separator, score
    return best


def _first_records(text: str, separator: str) -> list[list[str]]:
    """Return the records in the first lines, up to one that cannot be read."""
    records: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        lines = islice(io.StringIO(text[:200_000], newline=""), 60)
        records.extend(row for row in csv.reader(lines, delimiter=separator))
    return records


def _read_with_arrow(text: str, utf8: bytes | None, separator: str, notes: list[str]) -> RawTable | None:
    """Return the table, or None where only the careful reader can be trusted."""
    quotes = text.count('"')
    if quotes % 2 or text[:1] in "\r\n":
        return None
    header, *_ = _first_records(text, separator) or [[]]
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
        # A row of another length, a blank line, a cell longer than a block: the careful reader finds it.
        return None
    first = [table.column(i)[0].as_py() for i in range(len(names))] if table.num_rows else []
    if first != header or (quotes and any(_holds_quotes(c) for c in table.columns)):
        return None
    return RawTable(header, table.slice(1).columns, [], notes)


def _holds_quotes(column: object) -> bool:
    """Return whether a cell holds a quotation mark: Arrow reads a doubled one and a stray one alike."""
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
        raise _empty(name)
    plain = not numbers or (numbers[-1] - numbers[0] == len(numbers) - 1 and numbers[0] == 2)
    cells: list[object] = list(zip(*rows, strict=True)) if rows else [[] for _ in header]
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
    quotes = f"Put texts that contain a {SEPARATORS[separator]} in double quotes."
    advice = quotes if len(row) > len(header) else "Fill in the missing ones."
    return f"This row has {counted(len(row), 'cell')} where the header has {len(header)}. {advice}"


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
