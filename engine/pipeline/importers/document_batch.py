"""Documents and their right answers out of files, some of them archives.

The answers are a table, a JSON file, or one JSON file next to each document. An unusable file is a problem with a
message, and the rest goes on.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from engine.basics.data import JsonObject
from engine.basics.text import counted, first_of, json_of
from engine.basics.value_parsing import Convention, convention_of, plain_numbers
from engine.dataset import ColumnProfile, profile, read_dataset
from engine.dataset.documents import read_document
from engine.errors import DatasetError, EngineError
from engine.pipeline.importers.attachments import LARGEST, GivenFile, keep_file

MOST_FILES = 5000
MOST_UNPACKED = 500 * 2**20
"""Bytes of all archives' files together."""

ANSWERS = (".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet")


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """Something that cannot be used: the file, and why."""

    file: str
    sentence: str


@dataclass(frozen=True, slots=True)
class BatchDocument:
    """One document ready for the table: its name, the name under which its file is kept ("": a text), and its text."""

    name: str
    kept: str
    text: str


@dataclass
class DocumentBatch:
    """Documents and answers of a batch. `answers` is the place of a document -> its right answer."""

    documents: list[BatchDocument] = field(default_factory=list)
    answers: dict[int, JsonObject] = field(default_factory=dict)
    problems: list[ImportProblem] = field(default_factory=list)

    @property
    def has_text(self) -> bool:
        """True if every document has a text, so that a model without eyes can read them all."""
        return all(one.text.strip() for one in self.documents)


def document_batch(files: Iterable[GivenFile]) -> DocumentBatch:
    """Return the documents and answers in some files. Raises DatasetError where there is no document."""
    batch = DocumentBatch()
    sources: list[GivenFile] = []
    for one in _unpacked(files, batch.problems):
        if not PurePosixPath(one.name).name:
            batch.problems.append(ImportProblem(one.name, "It has no name. Give it one."))
            continue
        ending = PurePosixPath(one.name).suffix.lower()
        if ending in ANSWERS:
            sources.append(one)
            continue
        try:
            batch.documents.append(read_file(one))
        except DatasetError as error:
            batch.problems.append(ImportProblem(one.name, str(error)))
    if not batch.documents:
        first = f" {batch.problems[0].sentence}" if batch.problems else ""
        raise DatasetError(f"There is no document that can be read. Choose texts, pictures or PDFs.{first}")
    places = _places(batch.documents)
    for source in sources:
        try:
            _take_answers(source, places, batch)
        except EngineError as error:
            batch.problems.append(ImportProblem(source.name, str(error)))
    return batch


def _unpacked(files: Iterable[GivenFile], problems: list[ImportProblem]) -> Iterator[GivenFile]:
    """Iterate over files, those in archives in their place."""
    number, left = 0, MOST_UNPACKED
    for one in files:
        if _is_hidden(PurePosixPath(one.name)):
            continue
        packed = one.name.lower().endswith(".zip")
        for found in _archive(one, left, problems) if packed else [one]:
            number += 1
            left -= len(found.content) if packed else 0
            if number > MOST_FILES:
                problems.append(ImportProblem(one.name, f"Only the first {MOST_FILES:,} files were read."))
                return
            yield found


def _archive(archive: GivenFile, left: int, problems: list[ImportProblem]) -> Iterator[GivenFile]:
    """Iterate over an archive's files, `left` bytes of them; one that is damaged leaves the others."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            shown = (i for i in opened.infolist() if not (i.is_dir() or _is_hidden(_path_of(i))))
            for info in islice(shown, MOST_FILES + 1):
                path = _path_of(info)
                if info.flag_bits & 1:
                    problems.append(
                        ImportProblem(str(path), "It is locked with a password. Unlock it first.")
                    )
                    continue
                if info.file_size > min(left, 10 * LARGEST):
                    problems.append(ImportProblem(str(path), "It is too large to be unpacked here."))
                    continue
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    # Others are unpacked as a whole before their size is looked at.
                    problems.append(
                        ImportProblem(str(path), "It is packed in an unusual way. Use an ordinary zip.")
                    )
                    continue
                left -= info.file_size  # no more than this is unpacked, whatever the file holds
                try:
                    content = opened.open(info).read(info.file_size + 1)
                except _DAMAGED:
                    problems.append(ImportProblem(str(path), "It is damaged in its archive. Pack it again."))
                    continue
                yield GivenFile("/".join(p for p in path.parts if p not in ("..", "/")), content)
    except _DAMAGED:
        problems.append(ImportProblem(archive.name, "This archive is damaged or of a kind not known here."))


_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # zipfile's, for an archive's newer version, patched data and strong encryption
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # zipfile's, for a file that turns out to be locked
)
"""Errors of zipfile for archives that are damaged or of a kind it does not know."""


def _path_of(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))


def _is_hidden(path: PurePosixPath) -> bool:
    """Return whether a file is one that a system leaves behind in folders and archives."""
    left_behind = path.name.casefold() in ("thumbs.db", "desktop.ini")
    return left_behind or any(part.startswith((".", "__MACOSX")) and part.strip(".") for part in path.parts)


def read_file(one: GivenFile) -> BatchDocument:
    """Return one document. Raises DatasetError with what keeps it from being read."""
    document = read_document(one.content, PurePosixPath(one.name).name)
    file_name = "" if document.form == "text" else keep_file(one.name, one.content)
    return BatchDocument(one.name, file_name, "" if document.scans else document.text)


# Answers


def _places(documents: Sequence[BatchDocument]) -> dict[str, list[int]]:
    """Return the documents' places by each name that an answer may call them by."""
    by_name: dict[str, list[int]] = {}
    for place, one in enumerate(documents):
        path = PurePosixPath(one.name.casefold())
        for name in {str(path), path.name, str(path.with_suffix("")), path.stem}:
            by_name.setdefault(name, []).append(place)
    return by_name


def _take_answers(source: GivenFile, places: Mapping[str, list[int]], batch: DocumentBatch) -> None:
    """Put the answers of one file to their documents. Raises EngineError where it holds none."""
    wrong: dict[str, list[str]] = {}
    for name, answer in _answers_in(source, places):
        matching = places.get(name.strip().replace("\\", "/").casefold(), [])
        if len(matching) == 1 and matching[0] not in batch.answers:
            batch.answers[matching[0]] = answer
            continue
        why = (
            "for several documents of that name"
            if len(matching) > 1
            else "for a document that has one already"
        )
        wrong.setdefault(why if matching else "for no document of the batch", []).append(name)
    for why, names in wrong.items():
        them = counted(len(names), "answer is", "answers are")
        batch.problems.append(ImportProblem(source.name, f"{them} {why}: {first_of(names, 3)}."))


def _answers_in(source: GivenFile, places: Mapping[str, list[int]]) -> list[tuple[str, JsonObject]]:
    if source.name.lower().endswith((".json", ".jsonl")):
        data = _json(source)
        same_name = next((n for n in (source.stem, PurePosixPath(source.stem).name) if n in places), None)
        if isinstance(data, dict) and same_name is not None:
            return [(same_name, _record(data))]
        if isinstance(data, dict) and data and all(isinstance(v, dict) for v in data.values()):
            return [(str(name), _record(answer)) for name, answer in data.items()]
        if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
            key = _file_key(data, places)
            return [
                (str(row.get(key, "")), _record({k: v for k, v in row.items() if k != key})) for row in data
            ]
        raise DatasetError(
            'It holds no answers by file. Write a list such as [{"file": "a.pdf", "total": 12.5}], or one object by file name.'
        )
    table = read_dataset(source.content, source.name)
    rows: list[JsonObject] = [dict(row) for row in table.rows()]
    key = _file_key(rows, places)
    typed = _typed_columns(table, [c for c in table.columns if c != key])
    return [(str(row[key]), {c: typed[c][at] for c in typed}) for at, row in enumerate(rows)]


def _json(source: GivenFile) -> object:
    text = source.content.decode("utf-8-sig", "replace")
    try:
        if source.name.lower().endswith(".jsonl"):
            return [json_of(line) for line in text.splitlines() if line.strip()]
        return json_of(text)
    except ValueError as error:
        raise DatasetError(f"It {error}.") from None


def _record(data: JsonObject) -> JsonObject:
    """Return the answer in a wrapping such as {"expected_output": {...}}, else the data itself."""
    for key in ("record", "answer", "expected", "expected_output", "output", "labels"):
        inside = data.get(key)
        if isinstance(inside, dict) and data.keys() - {key} <= _NEXT_TO_ANSWER:
            return inside
    return data


_NEXT_TO_ANSWER = frozenset({"file", "filename", "name", "id", "text", "document", "input", "input_data"})
"""Keys next to a wrapped answer; with any other key the whole is the answer."""


def _file_key(rows: Sequence[Mapping[str, object]], places: Mapping[str, list[int]]) -> str:
    """Return the column whose values name the documents. Raises DatasetError."""
    keys = dict.fromkeys(key for row in rows for key in row)
    counts = {
        key: sum(str(row.get(key, "")).strip().replace("\\", "/").casefold() in places for row in rows)
        for key in keys
    }
    best = max(counts, key=lambda key: counts[key], default="")
    if best and counts[best]:
        return best
    named = next((key for key in keys if key.strip().casefold() in _FILE_COLUMNS), None)
    if named is None:
        raise DatasetError(
            "No column of it names the documents. Add a column with their file names, such as: file."
        )
    given = ", ".join(list(dict.fromkeys(str(row.get(named, "")) for row in rows))[:3])
    known = ", ".join(sorted(name for name in places if "." in name and "/" not in name)[:3])
    raise DatasetError(
        f"Its column {named!r} names none of the documents: it has {given}, and the documents are {known}."
    )


_FILE_COLUMNS = ("file", "filename", "file_name", "document", "name", "path")
"""Columns that are meant to name the documents."""


def _typed_columns(table: Any, columns: Sequence[str]) -> dict[str, list[object]]:
    """Return a table's columns with the values their texts mean; a blank cell is None."""
    columns_typed: dict[str, list[object]] = {}
    for column in profile(table):
        if column.name in columns:
            cells = table.values(column.name)
            convention = convention_of(cells)
            columns_typed[column.name] = [_typed(cell, column, convention) for cell in cells]
    return columns_typed


def _typed(cell: str, column: ColumnProfile, convention: Convention) -> object:
    text = cell.strip()
    if not text:
        return None
    try:
        if column.kind == "number" and not column.unit:
            plain = [*plain_numbers(text, convention), text][0]
            return int(plain) if column.whole else float(plain)
        if column.kind == "json" or text[0] in "[{":
            return json_of(text)
    except ValueError:
        return cell
    if column.kind == "yes_no" and text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    return cell
