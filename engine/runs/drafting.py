"""Drafts of tasks: from a text and a table, or from documents and their right answers. No pages and no models.

A page has documents imported by the short-lived process, which is limited in time and memory (`import_documents`).
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel

from engine.basics.children import limit_memory
from engine.dataset import ColumnProfile, Dataset, guess_mapping, logs
from engine.dataset.profiling import LONGEST_CATEGORY
from engine.dataset.structured import cell_text
from engine.dataset.table import csv_bytes
from engine.errors import DatasetError, EngineError
from engine.pipeline.check import usable_name
from engine.pipeline.importers.attachments import TEXT, GivenFile, keep_file
from engine.pipeline.importers.document_batch import (
    DocumentBatch,
    ImportProblem,
    document_batch,
)
from engine.pipeline.importers.step import Imported
from engine.pipeline.importers.task import import_task
from engine.pipeline.infer import infer_mapping, infer_pipeline
from engine.pipeline.records import DATE, infer_fields, paths, renamed
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import Frozen, Named, ProjectDraft

NAME, FILE, DOCUMENT = "name", "file", "document"
ANSWER = "correct_"
"""Beginning of the columns of right answers."""

INSTRUCTIONS = "Read the document and fill in the record."

MOST_MEMORY = 3 * 2**30
"""Bytes of memory in which documents are read."""


@dataclass(frozen=True, slots=True)
class DraftedTask:
    """A task, the columns (by field) that its fields are filled from, its metric, and notes on what was guessed."""

    pipeline: PipelineSpec | None
    mapping: dict[str, str]
    metric: Named | None
    notes: tuple[str, ...] = ()


def draft_task(
    imported: Imported | None, table: Dataset | None = None, profiles: Sequence[ColumnProfile] = ()
) -> DraftedTask:
    """Return the task of a text, of a table's columns, or of both: then the columns fill the fields and their values.

    A table whose columns say nothing gives no task; the note says what to choose.
    """
    if imported is None and table is None:
        return DraftedTask(None, {}, None)
    if imported is None and table is not None:
        try:
            pipeline = infer_pipeline(table, profiles=profiles)
        except EngineError as error:
            return DraftedTask(None, {}, None, (str(error),))
        mapping = infer_mapping(table, pipeline)
        if logs.OUTPUT in table.columns:
            pipeline, mapping = _of_log(pipeline, mapping, table)
        metric = advised_metric(pipeline, long_texts(mapping, profiles))
        return DraftedTask(pipeline, mapping, metric, table.notes)
    assert imported is not None  # noqa: S101 - the cases above
    spec, mapping = PipelineSpec(steps=(imported.step,)), {}
    if table is not None:
        names = [f.name for f in (*spec.inputs, *spec.outputs)]
        outputs = [f.name for f in spec.outputs]
        mapping = guess_mapping(table, names, outputs=outputs, profiles=profiles)
        spec = _with_values(spec, mapping, table, profiles)
    return DraftedTask(spec, mapping, advised_metric(spec, long_texts(mapping, profiles)), imported.notes)


def _with_values(
    spec: PipelineSpec, mapping: Mapping[str, str], table: Dataset, profiles: Sequence[ColumnProfile]
) -> PipelineSpec:
    """Return the task with what the columns say of answers that are plain texts in it: allowed values, numbers."""
    roles: dict[str, Literal["input", "output", "ignore"]] = dict.fromkeys(table.columns, "ignore")
    for field in (*spec.inputs, *spec.outputs):
        if field.name in mapping:
            roles[mapping[field.name]] = "output" if field in spec.outputs else "input"
    if not {"input", "output"} <= set(roles.values()):
        return spec
    by_column = infer_pipeline(table, roles, profiles)
    columns = infer_mapping(table, by_column)
    known = {columns[f.name]: f for f in by_column.outputs}

    def typed(field: FieldSpec) -> FieldSpec:
        column_field = known.get(mapping.get(field.name, ""))
        if column_field is None or field.type != "str" or field.choices:
            return field
        return field.model_copy(update={"type": column_field.type, "choices": column_field.choices})

    last = spec.steps[-1]
    last = last.model_copy(update={"outputs": tuple(map(typed, last.outputs))})
    return PipelineSpec(steps=(*spec.steps[:-1], last))


def _of_log(
    spec: PipelineSpec, mapping: Mapping[str, str], table: Dataset
) -> tuple[PipelineSpec, dict[str, str]]:
    """Return the task of a log's table with the instructions that most of its calls had, and its answer named so."""
    step = spec.steps[-1]
    names = {f.name for f in step.inputs}
    answer = usable_name("answer", names)
    outputs = tuple(
        f.model_copy(update={"name": answer}) if mapping.get(f.name) == logs.OUTPUT else f
        for f in step.outputs
    )
    renamed = {(answer if column == logs.OUTPUT else name): column for name, column in mapping.items()}
    instructions = Counter(table.values(logs.SYSTEM) if logs.SYSTEM in table.columns else ())
    text, times = instructions.most_common(1)[0] if instructions else ("", 0)
    changes: dict[str, object] = {"outputs": outputs, "name": "solve" if answer == step.name else step.name}
    if text.strip() and 2 * times > len(table):
        changes["instructions"] = text.strip()
    return PipelineSpec(steps=(step.model_copy(update=changes),)), renamed


RECORDS = "JSONMatch"
"""The metric for records."""


def long_texts(mapping: Mapping[str, str], profiles: Sequence[ColumnProfile]) -> frozenset[str]:
    """Return the fields whose columns hold free text: in other words it is as right."""
    free = {c.name for c in profiles if c.kind == "text" and c.longest > LONGEST_CATEGORY}
    return frozenset(field for field, column in mapping.items() if column in free)


def advised_metric(spec: PipelineSpec | None, free: Collection[str] = ()) -> Named | None:
    """Return the metric that fits a task's answers best, with the options it starts with; None before it has answers.

    `free` are answers in free text (see `long_texts`): of a record they are compared by likeness, not by equality.

    >>> spec = PipelineSpec(steps=(import_task("mail -> team: Literal['a', 'b']").step,))
    >>> advised_metric(spec).name
    'ExactMatch'
    """
    if spec is None or not spec.outputs:
        return None
    exact = [bool(f.choices) or f.parsed_type.plain in (bool, int) for f in spec.outputs]
    if spec.steps[-1].strategy == "extract" or (spec.has_record and not all(exact)):
        alike = ", ".join(f"{f.name}=text_similarity" for f in spec.outputs if f.name in free)
        options = usual_options(RECORDS, spec) | ({"evaluators": alike} if alike else {})
        return Named(name=RECORDS, options=options)
    last = spec.outputs[-1]
    if last.parsed_type.plain in (int, float) and not last.choices:
        return Named(name="NumberWithin")
    return Named(name="ExactMatch" if exact[-1] else "TokenF1")


def usual_options(name: str, spec: PipelineSpec | None) -> dict[str, object]:
    """Return the options that a metric starts with: for a record all of its fields count, and lists item by item."""
    return {"every_output": True, "best_match": True} if name == RECORDS and spec and spec.has_record else {}


# Records from documents


@dataclass(frozen=True, slots=True)
class RecordProject:
    """The result of reading a batch: the table as a CSV file, and the draft without it."""

    table: bytes
    draft: ProjectDraft
    notes: tuple[str, ...] = ()


def record_project(batch: DocumentBatch, written: str = "") -> RecordProject:
    """Return the table and the task of a batch. `written` is a class, a JSON Schema or a signature that gives the record.

    Without it the record's type is inferred from the answers; without either the task has no outputs yet.
    Raises EngineError for a text that cannot be read.
    """
    imported: Imported | None = import_task(written) if written.strip() else None
    if imported is not None:
        outputs = imported.step.outputs
    else:
        outputs = infer_fields([*batch.answers.values()]) if batch.answers else ()
    kind = "str" if batch.has_text else _media_kind(batch)
    step = StepSpec(
        strategy="extract",
        name="read" if "read" not in {f.name for f in outputs} else "step_1",
        instructions=(imported.step.instructions if imported else "") or INSTRUCTIONS,
        inputs=(FieldSpec(name=usable_name(DOCUMENT, [f.name for f in outputs]), type=kind),),
        outputs=outputs,
        source=imported.step.source if imported else "",
    )
    mapping = {step.inputs[0].name: DOCUMENT if kind == "str" else FILE}
    mapping |= {f.name: f"{ANSWER}{f.name}" for f in outputs}
    draft = ProjectDraft(
        pipeline=PipelineSpec(steps=(step,)),
        mapping=mapping,
        metric=_metric(outputs) if outputs else None,
        adapter="chat",
    )
    return RecordProject(_table(batch, outputs), draft, tuple(_notes(batch, imported, outputs)))


def _notes(batch: DocumentBatch, imported: Imported | None, outputs: Sequence[FieldSpec]) -> Iterator[str]:
    """Yield notes on the record's fields; the input is always the document."""
    if imported is not None:
        about_input = f"the input {imported.step.inputs[0].name!r}."
        yield from (note for note in imported.notes if not note.endswith(about_input))
        return
    keys = dict.fromkeys(str(key) for answer in batch.answers.values() for key in answer)
    for key, one in zip(keys, outputs, strict=False):
        if one.name != re.sub(r"\W+", "_", key).strip("_").casefold():
            yield f"{key!r} cannot be a field name; it is called {one.name!r} here."


def _metric(outputs: Sequence[FieldSpec]) -> Named:
    """Return the comparison of records with their fields compared by their types: dates as dates, amounts as numbers."""
    by_path = {path: _comparison(one) for path, one in paths(outputs)}
    chosen = ", ".join(f"{path}={how}" for path, how in by_path.items() if how)
    options: dict[str, object] = {"every_output": True, "best_match": True}
    return Named(name="JSONMatch", options={**options, "evaluators": chosen} if chosen else options)


def _comparison(one: FieldSpec) -> str:
    plain = one.parsed_type.plain
    if plain in (datetime.date, datetime.datetime) or one.description == DATE:
        return "date"
    return "number" if plain in (float, decimal.Decimal) else ""


def _media_kind(batch: DocumentBatch) -> str:
    pictures = sum(bool(one.kept) and not one.name.lower().endswith(".pdf") for one in batch.documents)
    pdfs = sum(one.name.lower().endswith(".pdf") for one in batch.documents)
    if not all(one.kept for one in batch.documents):
        return "File"
    return "Image" if pictures and not pdfs else "PDF" if pdfs and not pictures else "File"


def _table(batch: DocumentBatch, outputs: Sequence[FieldSpec]) -> bytes:
    # Next to pictures a text is a file too, so that every row has one.
    texts = {
        one.name: keep_file(f"{PurePosixPath(one.name).stem}{TEXT}", one.text.encode())
        for one in batch.documents
        if not batch.has_text and not one.kept
    }
    columns: dict[str, list[str]] = {
        NAME: [one.name for one in batch.documents],
        FILE: [one.kept or texts.get(one.name, "") for one in batch.documents],
        DOCUMENT: [one.text for one in batch.documents],
    }
    answers = [renamed(batch.answers.get(at, {}), outputs) for at in range(len(batch.documents))]
    for output in outputs:
        values = [one.get(output.name) if isinstance(one, Mapping) else None for one in answers]
        columns[f"{ANSWER}{output.name}"] = [cell_text(value) for value in values]
    return csv_bytes(columns)


THE_RECORD = "the record"
"""Name under which notes on the record's fields are listed."""


# In a separate process


class ImportSource(Frozen):
    """One file as it was brought: its name, and where it is now."""

    name: str
    path: str


class ImportRequest(Frozen):
    """A batch to take in, in `memory` bytes. `written` gives the record, else the answers do."""

    files: tuple[ImportSource, ...]
    written: str = ""
    memory: int = MOST_MEMORY


class ImportedDocuments(BaseModel):
    """The result of reading a batch: the table as CSV, the draft without it, and what could not be used."""

    table: str
    draft: ProjectDraft
    problems: tuple[ImportProblem, ...] = ()


def import_documents(request: ImportRequest) -> ImportedDocuments:
    """Read a batch from its files, in little memory. Raises EngineError where nothing can be used.

    It limits the memory of the whole process: it is a task of `engine.runs.child.process`.
    """
    limit_memory(request.memory)
    try:
        batch = document_batch(GivenFile(one.name, Path(one.path).read_bytes()) for one in request.files)
        project = record_project(batch, request.written)
        problems = (*batch.problems, *(ImportProblem(THE_RECORD, note) for note in project.notes))
        return ImportedDocuments(table=project.table.decode(), draft=project.draft, problems=problems)
    except MemoryError:
        raise DatasetError(
            f"The documents take more than {request.memory / 2**30:.1f} GB of memory to read. Give fewer of them at once."
        ) from None
