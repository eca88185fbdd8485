"""The parts of a project from a text and files that a user starts with: recognised, then drafted. No pages and no models.

They can be a prompt, a chat, a class, a schema, a saved program, a sentence, a table, documents, a project.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.basics.text import counted
from engine.dataset import ColumnProfile, Dataset, guess_mapping, logs, paste_dataset
from engine.dataset.profiling import LONGEST_CATEGORY
from engine.errors import DatasetError, EngineError
from engine.pipeline.check import usable_name
from engine.pipeline.importers.prompts import messages_in
from engine.pipeline.importers.step import Imported
from engine.pipeline.importers.task import FORMS, Form, guess_form, import_task
from engine.pipeline.infer import infer_mapping, infer_pipeline
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.runs.intake.attachments import BroughtFile
from engine.runs.spec import Named

Source = Literal["upload", "paste"]
TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl", ".ndjson")
NO_TABLES = (".xls", ".xlsm", ".ods", ".gz", ".bz2", ".db", ".sqlite")
"""Endings of files that hold tables which cannot be read as they are: the reader of tables says what to do."""

TEXTS = (".txt", ".md", ".prompt", ".py", ".json")
PROJECT, PROGRAM = "tuneboard.project", "tuneboard.program"


@dataclass(frozen=True, slots=True)
class Brought:
    """Parts that were recognised: at most one task text, one table, documents; or a whole project or program.

    `line` says it in one line; `form` is the task text's form. `source` is how the table came: pasted rows are read by
    other rules than a file.
    """

    line: str
    task: str = ""
    form: Form | None = None
    table: BroughtFile | None = None
    source: Source = "upload"
    documents: tuple[BroughtFile, ...] = ()
    project: bytes = b""
    program: bytes = b""


def recognise(text: str, files: Sequence[BroughtFile] = ()) -> Brought:
    """Return what a text and files are. Raises DatasetError where they are nothing that can be started from.

    >>> recognise("Sort this mail. Answer with one of: a, b.\\n{{mail}}").line
    'Recognised: a prompt.'
    >>> recognise("", [BroughtFile("rows.csv", b"text,team\\nhi,a\\n")]).line
    "Recognised: the table 'rows.csv'."
    """
    if not text.strip() and not files:
        raise DatasetError("Paste a text, drop a file, or say in a sentence what you want.")
    if len(files) == 1 and (saved := _saved_whole(files[0].content)):
        return saved
    if not files and (saved := _saved_whole(text.encode("utf-8", "replace"))):
        return saved
    table, documents, task = _sorted_files(files)
    source: Source = "upload"
    if text.strip() and task:
        raise DatasetError("There are two tasks: one in the text and one in a file. Bring one of them.")
    task = task or text
    if task is text and table is None and not documents and is_table(text):
        table, source, task = BroughtFile("pasted rows", text.encode("utf-8", "replace")), "paste", ""
    form = guess_form(task) if task.strip() else None
    parts = [FORMS[form]] if form else []
    if table is not None:
        parts.append("a table" if source == "paste" else f"the table {table.name!r}")
    if documents:
        parts.append(counted(len(documents), "file with documents", "files with documents"))
    return Brought(f"Recognised: {' and '.join(parts)}.", task, form, table, source, documents)


def recognise_rows(text: str, files: Sequence[BroughtFile] = ()) -> Brought:
    """Return what a text and files are as rows of a project that there is: a text without files is a table.

    Raises DatasetError where they hold no rows.

    >>> recognise_rows("mail\\nhi").line
    'Recognised: a table.'
    """
    if text.strip() and not files:
        pasted = BroughtFile("pasted rows", text.encode("utf-8", "replace"))
        return Brought("Recognised: a table.", table=pasted, source="paste")
    if not files:
        raise DatasetError("Paste rows, or drop files that hold them.")
    found = recognise(text, files)
    if found.table is not None or found.documents:
        return found
    if len(files) == 1 and files[0].ending in (".txt", ".md"):
        return Brought("Recognised: 1 file with documents.", documents=tuple(files))
    raise DatasetError(
        f"{files[0].name!r} holds no rows. Bring a table, a log or documents here; a prompt, a program or a whole project is "
        "brought on Home."
    )


def _saved_whole(content: bytes) -> Brought | None:
    """Return a project or a program that Tuneboard saved; None for anything else."""
    head = content[:400]
    if b'"format"' not in head:
        return None
    if PROJECT.encode() in head:
        return Brought("Recognised: a project saved by Tuneboard.", project=content)
    return (
        Brought("Recognised: a program exported by Tuneboard.", program=content)
        if PROGRAM.encode() in head
        else None
    )


def _sorted_files(files: Sequence[BroughtFile]) -> tuple[BroughtFile | None, tuple[BroughtFile, ...], str]:
    """Return the table, the documents and the text of a task among files."""
    if len(files) == 1:
        (one,) = files
        if one.ending in (*TABLES, *NO_TABLES):
            return one, (), ""
        if one.ending in TEXTS:
            text = one.content.decode("utf-8-sig", "replace")
            return (one, (), "") if _holds_rows(one, text) else (None, (), text)
        if one.ending == "":
            return one, (), ""
        return None, (one,), ""
    tables = [f for f in files if f.ending in TABLES or f.ending == ".json"]
    sources = [f for f in files if f.ending == ".py"]
    others = [f for f in files if f not in tables and f not in sources]
    task = sources[0].content.decode("utf-8-sig", "replace") if sources else ""
    if others:
        return None, (*others, *tables), task
    prompts = [
        f
        for f in tables
        if f.ending == ".json" and not _holds_rows(f, f.content.decode("utf-8-sig", "replace"))
    ]
    left = [f for f in tables if f not in prompts]
    if len(left) > 1 or len(prompts) + bool(task) > 1:
        names = ", ".join(repr(f.name) for f in files[:4])
        raise DatasetError(
            f"These are several tables or tasks: {names}. Bring one table, and at most one task with it."
        )
    task = task or (prompts[0].content.decode("utf-8-sig", "replace") if prompts else "")
    return (left[0] if left else None), (), task


def _holds_rows(one: BroughtFile, text: str) -> bool:
    """Return whether a text file is a table and not the text of a task."""
    if one.ending == ".json":
        try:
            return guess_form(text) not in ("chat", "state", "schema")
        except RecursionError:
            return True
    return one.ending == ".txt" and (not text.strip() or is_table(text))


def is_table(text: str) -> bool:
    """Return whether a pasted text is rows: from a spreadsheet, CSV, or JSON objects; a prompt and a chat are none.

    >>> is_table("text\\tteam\\nhi\\ta"), is_table("a,b\\n1,2\\n3,4"), is_table("Dear all, hello\\nSort it, please")
    (True, True, False)
    """
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if text.strip()[:1] in ("[", "{"):
        return _holds_objects(text)
    if len(lines) < 2:
        return False
    if "\t" in lines[0]:
        return lines[0].count("\t") == lines[1].count("\t")
    head = lines[0].split(",")
    names = len(head) > 1 and all(re.fullmatch(r"\s*\"?[\w .()#/-]{1,40}\"?\s*", name) for name in head)
    if not names or (len(lines) < 3 and " " in lines[0].strip()):
        return False
    try:
        found = paste_dataset(text)
    except EngineError:
        return False
    return len(found.columns) == len(head) and len(found) >= max(1, (len(lines) - 1) // 2)


def _holds_objects(text: str) -> bool:
    first = text.strip().splitlines()[0]
    try:
        data: object = json.loads(text)
    except RecursionError:
        return False
    except ValueError:
        try:
            return isinstance(json.loads(first), dict)
        except (ValueError, RecursionError):
            return False
    if messages_in(data):
        return False
    return isinstance(data, list) and bool(data) and all(isinstance(row, dict) for row in data)


# The draft


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
            made = infer_pipeline(table, profiles=profiles)
        except EngineError as error:
            return DraftedTask(None, {}, None, (str(error),))
        mapping = infer_mapping(table, made)
        if logs.OUTPUT in table.columns:
            made, mapping = _of_log(made, mapping, table)
        metric = advised_metric(made, long_texts(mapping, profiles))
        return DraftedTask(made, mapping, metric, table.notes)
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
        found = known.get(mapping.get(field.name, ""))
        if found is None or field.type != "str" or field.choices:
            return field
        return field.model_copy(update={"type": found.type, "choices": found.choices})

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
    said = Counter(table.values(logs.SYSTEM) if logs.SYSTEM in table.columns else ())
    text, times = said.most_common(1)[0] if said else ("", 0)
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


def imported_of(brought: Brought) -> Imported | None:
    """Return the step of the task text that was brought, if any. Raises PipelineError where it cannot be read."""
    return import_task(brought.task, brought.form) if brought.form else None
