"""The parts of a project in a text and files that a user starts with.

They can be a prompt, a chat, a class, a schema, a saved program, a sentence, a table, documents, a project.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engine.basics.text import counted, json_of
from engine.dataset import paste_dataset
from engine.errors import DatasetError, EngineError
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.prompts import messages_in
from engine.pipeline.importers.step import Form, Imported
from engine.pipeline.importers.task import guess_form, import_task, task_form

Source = Literal["upload", "paste"]
TABLES = (".csv", ".tsv", ".xlsx", ".parquet", ".jsonl", ".ndjson")
NO_TABLES = (".xls", ".xlsm", ".ods", ".gz", ".bz2", ".db", ".sqlite")
"""Endings of files that hold tables which cannot be read as they are: the reader of tables says what to do."""

TEXTS = (".txt", ".md", ".prompt", ".py", ".json")
PROJECT, PROGRAM = "tuneboard.project", "tuneboard.program"


@dataclass(frozen=True, slots=True)
class Recognised:
    """Parts that were recognised: at most one task text, one table, documents; or a whole project or program.

    `line` says it in one line; `form` is the task text's form. `source` is how the table came: pasted rows are read by
    other rules than a file.
    """

    line: str
    task: str = ""
    form: Form | None = None
    table: GivenFile | None = None
    source: Source = "upload"
    documents: tuple[GivenFile, ...] = ()
    project: bytes = b""
    program: bytes = b""

    def imported(self) -> Imported | None:
        """Return the step of the task's text, if any. Raises PipelineError for a text that cannot be read."""
        return import_task(self.task, self.form) if self.form else None


def recognise(text: str, files: Sequence[GivenFile] = ()) -> Recognised:
    """Return what a text and files are. Raises DatasetError where they are nothing that can be started from.

    >>> recognise("Sort this mail. Answer with one of: a, b.\\n{{mail}}").line
    'Recognised: a prompt.'
    >>> recognise("", [GivenFile("rows.csv", b"text,team\\nhi,a\\n")]).line
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
        table, source, task = GivenFile("pasted rows", text.encode("utf-8", "replace")), "paste", ""
    form = guess_form(task) if task.strip() else None
    parts = [task_form(form).title] if form else []
    if table is not None:
        parts.append("a table" if source == "paste" else f"the table {table.name!r}")
    if documents:
        parts.append(counted(len(documents), "file with documents", "files with documents"))
    return Recognised(f"Recognised: {' and '.join(parts)}.", task, form, table, source, documents)


def recognise_rows(text: str, files: Sequence[GivenFile] = ()) -> Recognised:
    """Return what a text and files are as rows of a project that there is: a text without files is a table.

    Raises DatasetError where they hold no rows.

    >>> recognise_rows("mail\\nhi").line
    'Recognised: a table.'
    """
    if text.strip() and not files:
        pasted = GivenFile("pasted rows", text.encode("utf-8", "replace"))
        return Recognised("Recognised: a table.", table=pasted, source="paste")
    if not files:
        raise DatasetError("Paste rows, or drop files that hold them.")
    recognised = recognise(text, files)
    if recognised.table is not None or recognised.documents:
        return recognised
    if len(files) == 1 and files[0].ending in (".txt", ".md"):
        return Recognised("Recognised: 1 file with documents.", documents=tuple(files))
    raise DatasetError(
        f"{files[0].name!r} holds no rows. Bring a table, a log or documents here; a prompt, a program or a whole project is "
        "brought on Home."
    )


def _saved_whole(content: bytes) -> Recognised | None:
    """Return a project or a program that Tuneboard saved; None for anything else."""
    head = content[:400]
    if b'"format"' not in head:
        return None
    if PROJECT.encode() in head:
        return Recognised("Recognised: a project saved by Tuneboard.", project=content)
    return (
        Recognised("Recognised: a program exported by Tuneboard.", program=content)
        if PROGRAM.encode() in head
        else None
    )


def _sorted_files(files: Sequence[GivenFile]) -> tuple[GivenFile | None, tuple[GivenFile, ...], str]:
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


def _holds_rows(one: GivenFile, text: str) -> bool:
    """Return whether a text file is a table and not the text of a task."""
    if one.ending == ".json":
        return guess_form(text) not in ("chat", "state", "schema")
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
        table = paste_dataset(text)
    except EngineError:
        return False
    return len(table.columns) == len(head) and len(table) >= max(1, (len(lines) - 1) // 2)


def _holds_objects(text: str) -> bool:
    first = text.strip().splitlines()[0]
    try:
        data: object = json_of(text)
    except ValueError:
        try:
            return isinstance(json_of(first), dict)
        except ValueError:
            return False
    if messages_in(data):
        return False
    return isinstance(data, list) and bool(data) and all(isinstance(row, dict) for row in data)
