"""Starting a project from what the user has: recognised, drafted, stored. What was guessed is kept for the review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dashboard.state import launching, models, reading
from dashboard.state.editing import drafts, examples, records
from dashboard.state.session import SessionValue
from dashboard.state.writing import check
from engine.dataset import guess_mapping, paste_dataset, read_dataset
from engine.errors import DatasetError, EngineError, RunError
from engine.export.program import parse_program
from engine.lm.choice import is_offline
from engine.lm.prices import price
from engine.pipeline.build import with_wording
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.recognise import Recognised, recognise, recognise_rows
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.runs.child.task_draft import TOKENS, TaskDraftAnswer, TaskDraftRequest
from engine.runs.drafting import DraftedTask, advised_metric, draft_task, long_texts
from engine.runs.spec import ModelChoice, ProjectDraft

if TYPE_CHECKING:
    from engine.dataset import ColumnProfile, Dataset

RECORD_FORMS = ("class", "schema", "signature")
"""Forms of a text that give the record to read out of documents; others give the whole task."""


class Guessed(NamedTuple):
    """Content of the review of a new project: the recognised line, notes, the user's text, and whether columns made the task."""

    line: str
    notes: tuple[str, ...] = ()
    text: str = ""
    by_columns: bool = False


GUESSED: SessionValue[Guessed | None] = SessionValue("guessed", None)


def start_project(text: str, files: Sequence[GivenFile]) -> str:
    """Store a project made of what the user brought; return its id. Raises EngineError where it cannot be used."""
    check()
    recognised = recognise(text, files)
    if recognised.project or recognised.program:
        project = drafts.import_project(recognised.project or _project_of(recognised.program))
        GUESSED.set(Guessed(recognised.line), project)
        return project
    project = drafts.create_project(drafts.UNTITLED)
    try:
        _take(project, recognised)
    except EngineError:
        drafts.delete_project(project)
        raise
    return project


def bring_rows(project_id: str, text: str, files: Sequence[GivenFile]) -> bool:
    """Make what the user brought the rows of a project; return whether its task was drafted too, to be reviewed.

    A task that it has stays, unless a record's type comes with documents. Raises EngineError where there are no rows.
    """
    check()
    return _take(project_id, recognise_rows(text, files))


def use_rows(project_id: str, dataset_id: str, *, redraft: bool = False) -> bool:
    """Make a stored file a project's rows, as `bring_rows` does; with `redraft` its task is drafted again."""
    check()
    table = reading.dataset(dataset_id)
    recognised = Recognised(f"Drafted from the columns of {table.name!r}.")
    return _use_table(project_id, recognised, table, dataset_id, None if redraft else _task_of(project_id))


def rows_to_add(
    project_id: str, text: str, files: Sequence[GivenFile]
) -> tuple[list[dict[str, str]], list[str]]:
    """Return what the user brought as rows by column of a project's table, and the columns that it does not have.

    Raises EngineError where there are no rows, or none of their columns is in the table.
    """
    recognised = recognise_rows(text, files)
    added = _read_table(recognised)
    columns = reading.dataset(reading.draft(project_id).dataset or "").columns
    known = {column.casefold(): column for column in columns}
    names = {column: known[column.casefold()] for column in added.columns if column.casefold() in known}
    if not names:
        raise DatasetError(
            f"None of the columns ({', '.join(added.columns[:6])}) is in the table: {', '.join(columns)}. Rename them."
        )
    rows = [{name: row[column] for column, name in names.items()} for row in added.rows()]
    return rows, [column for column in added.columns if column not in names]


def _task_of(project_id: str) -> PipelineSpec | None:
    """Return the task that a project has; None where nothing goes into it yet."""
    spec = reading.draft(project_id).pipeline
    return spec if spec is not None and spec.inputs else None


def _take(project_id: str, recognised: Recognised) -> bool:
    """Make what was brought the rows, and the task if it is still empty; return whether the task was drafted."""
    task, record = _task_of(project_id), recognised.form in RECORD_FORMS
    if task is not None and recognised.task and not (record and recognised.documents):
        raise DatasetError(
            "The project has a task already. Bring rows without the text of another one; the task is changed on the Task page."
        )
    if recognised.documents:
        return _take_documents(project_id, recognised, task)
    if recognised.table is None:
        return _use_table(project_id, recognised, None, "", task)
    table = _read_table(recognised)
    dataset_id = drafts.add_file(table, recognised.table.content, recognised.source)
    if recognised.source == "upload":  # pasted rows are read by other rules than the file they are kept as
        reading.dataset(dataset_id, table)  # so that an upload is read once
    return _use_table(project_id, recognised, table, dataset_id, task)


def _project_of(content: bytes) -> bytes:
    """Return the project's file with an exported program's task and its tuned wording. Raises EngineError."""
    from dashboard.state.editing.project_file import ProjectFile

    program = parse_program(content)
    spec = with_wording(program.pipeline, program.candidate)
    draft = ProjectDraft(pipeline=spec, adapter=program.adapter, metric=advised_metric(spec))
    # By the way of a project's file, which takes along nothing of this machine and no keys.
    return ProjectFile(name=program.title, draft=draft).model_dump_json().encode()


def _take_documents(project_id: str, recognised: Recognised, own: PipelineSpec | None) -> bool:
    """Make rows of documents, and their task unless there is one: a prompt or a sentence with them is the task."""
    record = recognised.task if recognised.form in RECORD_FORMS else ""
    imported = recognised.imported() if not record else None
    if imported is not None:
        spec = PipelineSpec(steps=(imported.step,))
        drafts.update(project_id, pipeline=spec, metric=advised_metric(spec))
    stays = imported is not None or (own is not None and not record)
    records.import_documents(project_id, recognised.documents, record, own_task=stays)
    if own is not None and stays:
        return False
    GUESSED.set(Guessed(recognised.line, imported.notes if imported else (), recognised.task), project_id)
    return True


def _use_table(
    project_id: str, recognised: Recognised, table: Dataset | None, dataset_id: str, own: PipelineSpec | None
) -> bool:
    """Make a table the rows of the task that there is, or of a drafted one; return whether it was drafted."""
    profiles = reading.profiles(dataset_id) if dataset_id else ()
    if own is not None and table is not None:
        outputs = [f.name for f in own.outputs]
        mapping = guess_mapping(
            table, [*(f.name for f in own.inputs), *outputs], outputs=outputs, profiles=profiles
        )
        examples.use_table(project_id, dataset_id, mapping)
        return False
    imported = recognised.imported()
    drafted = draft_task(imported, table, profiles)
    if drafted.pipeline is not None and table is not None:
        typed = with_attachments(drafted.pipeline, profiles, drafted.mapping)
        drafted = replace(drafted, pipeline=typed)
    if table is not None:
        examples.use_table(
            project_id, dataset_id, drafted.mapping, pipeline=drafted.pipeline, metric=drafted.metric
        )
    else:
        drafts.update(project_id, pipeline=drafted.pipeline, metric=drafted.metric)
    if imported is not None:
        drafts.name_untitled(project_id, _title(imported.step.instructions))
    elif table is not None and recognised.source == "upload":
        drafts.name_after(project_id, table.name)
    GUESSED.set(
        Guessed(recognised.line, drafted.notes, recognised.task, by_columns=imported is None), project_id
    )
    return True


def _read_table(recognised: Recognised) -> Dataset:
    """Return the table that was brought, or that of the documents. Raises EngineError."""
    if recognised.table is None:
        documents = records.read_documents(recognised.documents, recognised.task)
        return read_dataset(documents.table.encode(), "documents.csv")
    name, content = recognised.table.name, recognised.table.content
    return (
        paste_dataset(content.decode(), name) if recognised.source == "paste" else read_dataset(content, name)
    )


LONGEST_TITLE = 36


def _title(instructions: str) -> str:
    """Return a project's name made of the beginning of an instruction."""
    first = " ".join(instructions.replace("`", "").split()).split(". ")[0].rstrip(".:")
    if len(first) <= LONGEST_TITLE:
        return first
    return first[:LONGEST_TITLE].rpartition(" ")[0].rstrip(",;:") + " …"


def set_roles(project_id: str, dataset_id: str, roles: dict[str, str]) -> DraftedTask:
    """Make the task again of a table's columns with other roles. Raises EngineError where none is read or answered."""
    from engine.pipeline.infer import infer_mapping, infer_pipeline

    table, profiles = reading.dataset(dataset_id), reading.profiles(dataset_id)
    spec = infer_pipeline(table, roles, profiles)  # type: ignore[arg-type]  # the three roles
    mapping = infer_mapping(table, spec)
    spec = with_attachments(spec, profiles, mapping)
    drafted = DraftedTask(spec, mapping, advised_metric(spec, long_texts(mapping, profiles)))
    drafts.update(project_id, pipeline=drafted.pipeline, mapping=drafted.mapping, metric=drafted.metric)
    return drafted


def with_attachments(
    pipeline: PipelineSpec, profiles: Sequence[ColumnProfile], mapping: Mapping[str, str]
) -> PipelineSpec:
    """Return the task with the inputs whose cells name pictures or PDFs typed as such."""
    from engine.pipeline.importers.attachments import attached_path

    samples = {profile.name: profile.samples for profile in profiles}

    def typed(field: FieldSpec) -> FieldSpec:
        paths = [attached_path(cell) for cell in samples.get(mapping.get(field.name, ""), ())]
        if not paths or None in paths:
            return field
        pdf = all(str(path).lower().endswith(".pdf") for path in paths)
        return field.model_copy(update={"type": "PDF" if pdf else "Image"})

    steps = [s.model_copy(update={"inputs": tuple(map(typed, s.inputs))}) for s in pipeline.steps]
    return PipelineSpec(steps=tuple(steps))


# With a model


def drafting_model() -> ModelChoice | None:
    """Return the first model of the settings that can be asked: it is real, and its key is there."""
    real = (m for m in reading.saved_models() if not is_offline(m))
    return next((m for m in real if not models.refusal([m])), None)


def drafting_price(model: ModelChoice) -> float | None:
    """Return about what drafting a task costs in US dollars; None where the price is not known."""
    known = price(model.name)
    return None if known is None else known.cost(*TOKENS)


def draft_by_model(project_id: str, model: ModelChoice) -> float | None:
    """Ask a model once for the task that the user's text wants; return what it cost. Raises EngineError."""
    check()
    guess = GUESSED.get(project_id)
    if guess is None or not guess.text:
        raise RunError("The text that this project was started from is not known any more. Start it again.")
    draft = reading.draft(project_id)
    table = reading.dataset(draft.dataset) if draft.dataset else None
    profiles = reading.profiles(draft.dataset) if draft.dataset else ()
    columns = {p.name: tuple(value[:80] for value, _ in p.top_values[:20]) for p in profiles}
    request = TaskDraftRequest(text=guess.text, columns=columns, model=model)
    answer = TaskDraftAnswer.model_validate(
        launching.child_result("task_draft", request, models.for_process())
    )
    from engine.pipeline.importers.step import Imported

    drafted = draft_task(Imported(answer.step, answer.notes), table, profiles)
    drafts.update(project_id, pipeline=drafted.pipeline, mapping=drafted.mapping, metric=drafted.metric)
    GUESSED.set(guess._replace(notes=drafted.notes), project_id)
    return answer.cost
