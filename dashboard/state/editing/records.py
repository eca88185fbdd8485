"""Documents that were brought, and the right answers to them: taken in, and corrected in place."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_origin

from dashboard.state import launching, reading
from dashboard.state.editing import drafts, examples
from dashboard.state.session import DOCUMENT_PROBLEMS
from engine.basics.data import JsonObject
from engine.dataset import Dataset, read_dataset
from engine.dataset.documents import Page, PagedDocument, read_document
from engine.dataset.documents.paged import PAGE_BREAK
from engine.dataset.structured import cell_text
from engine.errors import DatasetError, EngineError
from engine.pipeline.importers.attachments import GivenFile, attached_path
from engine.pipeline.records import paths
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.records import plain_path
from engine.runs.drafting import ANSWER, DOCUMENT, FILE, NAME, ImportedDocuments, ImportRequest, ImportSource
from engine.runs.spec import ProjectDraft, RunSpec

LARGEST_BATCH = 500 * 2**20
"""Bytes of files taken in at once."""

LONGEST_READING = 300.0
"""Seconds after which the reading of documents is ended."""


def read_documents(files: Sequence[GivenFile], written: str = "") -> ImportedDocuments:
    """Return the table and the task of documents; `written` gives the record, else the answers do.

    They are read by a child process, limited in time and memory. Raises EngineError where nothing can be used.
    """
    if sum(len(file.content) for file in files) > LARGEST_BATCH:
        raise DatasetError("These files are too large together. Bring a part of them.")
    with TemporaryDirectory(prefix="tuneboard-") as folder:
        sources = []
        for number, file in enumerate(files):
            path = Path(folder) / str(number)
            path.write_bytes(file.content)
            sources.append(ImportSource(name=file.name, path=str(path)))
        request = ImportRequest(files=tuple(sources), written=written)
        return ImportedDocuments.model_validate(
            launching.child_result("documents", request, timeout=LONGEST_READING)
        )


def import_documents(
    project_id: str, files: Sequence[GivenFile], written: str = "", *, own_task: bool = False
) -> ProjectDraft:
    """Make a project's task and examples of documents; with `own_task` it keeps the task and the metric that it has.

    What could not be used is in `DOCUMENT_PROBLEMS`, for this tab. Raises EngineError where nothing can be.
    """
    imported = read_documents(files, written)
    content = imported.table.encode()
    table = read_dataset(content, "documents.csv")
    dataset_id = drafts.add_file(table, content, "upload")
    reading.dataset(dataset_id, table)
    draft = reading.draft(project_id)
    task = draft if own_task and draft.pipeline is not None else imported.draft
    mapping = (
        _mapping_of(draft.pipeline, table) if task is draft and draft.pipeline else imported.draft.mapping
    )
    after = examples.use_table(project_id, dataset_id, mapping, pipeline=task.pipeline, metric=task.metric)
    drafts.name_after(project_id, files[0].name if len(files) == 1 else "Records from documents.zip")
    DOCUMENT_PROBLEMS.set([*imported.problems], project_id)
    return after


def _mapping_of(spec: PipelineSpec, table: Dataset) -> dict[str, str]:
    """Return the columns of a table of documents that fill a task's fields."""
    first = spec.inputs[0]
    answers = {f.name: f"{ANSWER}{f.name}" for f in spec.outputs if f"{ANSWER}{f.name}" in table.columns}
    return {first.name: FILE if first.parsed_type.names & MEDIA else DOCUMENT, **answers}


MEDIA = {"Image", "PDF", "File"}
"""Types of a field that is filled from a file."""


# One document and its record


def document_at(table: Dataset, spec: PipelineSpec, mapping: Mapping[str, str], row: int) -> PagedDocument:
    """Return the document of a row: its file where it has one, else the text of the first input. Raises DatasetError."""
    (cells,) = table.rows(row, row + 1)
    column = mapping.get(spec.inputs[0].name, "")
    named = [cells.get(FILE, ""), cells.get(column, "")]
    for cell in named:
        path = attached_path(cell, local_files=table.local_files) if cell else None
        if path is not None:
            return _file(str(path), cells.get(NAME, "") or path.name)
    return text_document(cells.get(column, "") or " ", cells.get(NAME, ""))


@reading.cached_for_home(16)
def _file(path: str, name: str) -> PagedDocument:
    return read_document(Path(path), name)


@reading.cached_for_home(16)
def text_document(text: str, name: str = "") -> PagedDocument:
    """Return a text as a document."""
    return PagedDocument(
        name, "text", b"", tuple(Page(n, page) for n, page in enumerate(text.split(PAGE_BREAK), 1)), ()
    )


def from_documents(table: Dataset) -> bool:
    """Return whether a table was made of documents."""
    return {NAME, FILE, DOCUMENT} <= set(table.columns)


def pictures_without_text(draft: ProjectDraft) -> int:
    """Return the number of a project's documents that only a model with eyes can read."""
    if draft.dataset is None or draft.pipeline is None:
        return 0
    table = reading.dataset(draft.dataset)
    columns = {draft.mapping.get(f.name) for f in draft.pipeline.inputs}
    if not from_documents(table) or FILE not in columns:
        return 0
    return sum(not text.strip() for text in table.values(DOCUMENT))


def record_at(table: Dataset, spec: PipelineSpec, mapping: Mapping[str, str], row: int) -> JsonObject:
    """Return the right answer of a row as JSON values by output; a cell that is no such value stays a text."""
    (cells,) = table.rows(row, row + 1)
    return {f.name: _cell_value(cells.get(mapping.get(f.name, ""), ""), f) for f in spec.outputs}


def answer_now(project_id: str, row: int) -> JsonObject:
    """Return the right answer of a row of the project's examples as they are now."""
    draft = reading.draft(project_id)
    if draft.dataset is None or draft.pipeline is None:
        return {}
    return record_at(reading.dataset(draft.dataset), draft.pipeline, draft.mapping, row)


def _cell_value(cell: str, field: FieldSpec) -> Any:
    """Return what a cell or a typed text means in a field; None for a blank one."""
    text = cell.strip()
    if not text:
        return None
    plain = field.parsed_type.plain
    if field.fields or field.parsed_type.is_list or plain in (int, float, bool) or get_origin(plain) is dict:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def columns_to_make(spec: PipelineSpec, mapping: Mapping[str, str], table: Dataset) -> dict[str, str]:
    """Return the fields of a record that no column holds the right answers of, with the name of the column to make."""
    missing = [f.name for f in spec.outputs if mapping.get(f.name) not in table.columns]
    return {name: f"{ANSWER}{name}" for name in missing}


def make_columns(project_id: str, seen: str = "") -> None:
    """Make a blank column for the right answers of each field that has none; it can be undone there.

    Raises EngineError, also where another tab has changed the examples.
    """
    draft = reading.draft(project_id)
    if draft.dataset is None or draft.pipeline is None:
        raise DatasetError("The project has no examples any more. Load the page again.")
    table = reading.dataset(draft.dataset)
    missing = columns_to_make(draft.pipeline, draft.mapping, table)
    examples.change_rows(
        project_id, "Make columns for the right answers", table, seen=seen, also={"mapping": missing}
    )


def correct(project_id: str, row: int, act: str, path: str, text: str) -> None:
    """Save a correction of a row's right answer in the project's examples; it can be undone there.

    Columns for right answers that are missing are made. `act` is "corrected" (the value at `path` becomes what `text` means), "added" (an empty item in the list at `path`) or
    "removed" (the item at `path`). Raises EngineError, also where another tab has changed the examples.
    """
    draft = reading.draft(project_id)
    if draft.dataset is None or draft.pipeline is None:
        raise DatasetError("The project has no examples to correct any more.")
    table = reading.dataset(draft.dataset)
    root = re.split(r"[.\[]", path)[0]
    field = next((f for f in draft.pipeline.outputs if f.name == root), None)
    if field is None or row >= len(table):
        raise DatasetError(f"The examples have no answer {root!r} in this row any more. Load the page again.")
    record = {root: record_at(table, draft.pipeline, draft.mapping, row)[root]}
    record = _corrected(record, field, act, path, text)
    cell = cell_text(record[root])
    what = f"Correct {path} in row {table.row_number(row)}"
    missing = columns_to_make(draft.pipeline, draft.mapping, table)
    column = missing.get(root) or draft.mapping[root]
    examples.change_rows(project_id, what, table, cells={(row, column): cell}, also={"mapping": missing})


def _corrected(record: JsonObject, field: FieldSpec, act: str, path: str, text: str) -> JsonObject:
    if act == "removed":
        return without_item(record, path)
    if act == "added":
        there = record_value(record, path)
        return with_value(record, f"{path}[{len(there) if isinstance(there, list) else 0}]", {})
    plain = plain_path(path)
    leaf = next((f for name, f in paths([field]) if name == plain), field)
    return with_value(record, path, _cell_value(text, leaf))


def same_row(project_id: str, spec: RunSpec, row: int) -> int | None:
    """Return the row of the project's examples as they are now that a run's row is; None where it is gone.

    Edits make new versions of the table: there the row is found by its inputs.
    """
    draft = reading.draft(project_id)
    if draft.dataset is None or draft.pipeline is None or draft.pipeline.inputs != spec.pipeline.inputs:
        return None
    if draft.dataset == spec.dataset:
        return row
    try:
        before, now = reading.dataset(spec.dataset), reading.dataset(draft.dataset)
    except EngineError:
        return None
    (cells,) = before.rows(row, row + 1)
    wanted = {
        draft.mapping.get(f.name, ""): cells.get(spec.mapping[f.name], "") for f in spec.pipeline.inputs
    }
    if not wanted.keys() <= set(now.columns):
        return None
    columns = {c: now.values(c) for c in wanted}
    return next((r for r in range(len(now)) if all(columns[c][r] == wanted[c] for c in wanted)), None)


_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def with_value(record: JsonObject, path: str, value: object) -> JsonObject:
    """Return a record with one value changed; lists and records on the way are made. A path may end in an item.

    >>> with_value({"lines": [{"price": 1}]}, "lines[1].price", 2)
    {'lines': [{'price': 1}, {'price': 2}]}
    """
    steps: list[str | int] = [name or int(number) for name, number in _STEP.findall(path)]
    changed: JsonObject = json.loads(json.dumps(record, default=str))
    here: Any = changed
    for at, step in enumerate(steps):
        last = at == len(steps) - 1
        empty: Any = [] if not last and isinstance(steps[at + 1], int) else {}
        if isinstance(step, int):
            here.extend({} for _ in range(step + 1 - len(here)))
            if last:
                here[step] = value
            elif not isinstance(here[step], dict | list):
                here[step] = empty
        elif last:
            here[step] = value
        elif not isinstance(here.get(step), type(empty)):
            here[step] = empty
        here = here[step]
    return changed


def record_value(record: JsonObject, path: str) -> Any:
    """Return the value at a path of a record, or None.

    >>> record_value({"lines": [{"price": 1}]}, "lines[0].price"), record_value({}, "lines[0].price")
    (1, None)
    """
    here: Any = record
    for name, number in _STEP.findall(path):
        if name:
            here = here.get(name) if isinstance(here, dict) else None
        else:
            here = here[int(number)] if isinstance(here, list) and int(number) < len(here) else None
    return here


def without_item(record: JsonObject, path: str) -> JsonObject:
    """Return a record without one item of a list.

    >>> without_item({"lines": [{"price": 1}, {"price": 2}]}, "lines[0]")
    {'lines': [{'price': 2}]}
    """
    around, _, number = path.rpartition("[")
    items = record_value(record, around)
    at = int(number.rstrip("]"))
    return with_value(record, around, [item for i, item in enumerate(items or []) if i != at])
