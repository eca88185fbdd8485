"""Starting a project from what the user has: recognised, drafted, stored. What was guessed is kept for the review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from dashboard.state import launching, models, reading
from dashboard.state.editing import drafts, records
from dashboard.state.selection import check
from engine.dataset import paste_dataset, read_dataset
from engine.dataset.memory import LARGE, release_memory
from engine.errors import EngineError, RunError
from engine.export.program import parse_program
from engine.lm.choice import is_offline
from engine.lm.prices import price
from engine.pipeline.build import with_wording
from engine.pipeline.spec import FieldSpec, PipelineSpec
from engine.runs.child.task_draft import TOKENS, TaskDraftAnswer, TaskDraftRequest
from engine.runs.intake.attachments import BroughtFile
from engine.runs.intake.drafting import (
    Brought,
    DraftedTask,
    advised_metric,
    draft_task,
    imported_of,
    recognise,
)
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


def guessed(project_id: str) -> Guessed | None:
    """Return what was recognised and guessed for a project in this session."""
    found: Guessed | None = st.session_state.get(f"guessed_{project_id}")
    return found


def start_project(text: str, files: Sequence[BroughtFile]) -> str:
    """Store a project made of what the user brought; return its id. Raises EngineError where it cannot be used."""
    check()
    brought = recognise(text, files)
    if brought.project:
        project = drafts.import_project(brought.project)
        _note(project, Guessed(brought.line))
        return project
    if brought.program:
        project = _from_program(brought.program)
        _note(project, Guessed(brought.line))
        return project
    project = ""
    try:
        if brought.documents:
            project = drafts.create_project(drafts.UNTITLED)
            _take_documents(project, brought)
        else:
            project = _from_text_and_table(brought)
    except EngineError:
        if project:
            drafts.delete_project(project)
        raise
    finally:
        if sum(len(file.content) for file in files) > LARGE:
            release_memory()
    return project


def _note(project_id: str, found: Guessed) -> None:
    st.session_state[f"guessed_{project_id}"] = found


def _from_program(content: bytes) -> str:
    """Store a project with an exported program's task and its tuned wording. Raises EngineError."""
    from dashboard.state.editing.project_file import ProjectFile

    program = parse_program(content)
    spec = with_wording(program.pipeline, program.candidate)
    draft = ProjectDraft(pipeline=spec, adapter=program.adapter, metric=advised_metric(spec))
    # By the way of a project's file, which takes along nothing of this machine and no keys.
    return drafts.import_project(ProjectFile(name=program.title, draft=draft).model_dump_json().encode())


def _take_documents(project_id: str, brought: Brought) -> None:
    """Make the task and the rows of documents; a prompt or a sentence with them stays the task."""
    record = brought.task if brought.form in RECORD_FORMS else ""
    made = imported_of(brought) if not record else None
    if made is not None:
        spec = PipelineSpec(steps=(made.step,))
        drafts.update(project_id, pipeline=spec, metric=advised_metric(spec))
    files = [(f.name, f.content) for f in brought.documents]
    records.take_pile(project_id, files, record, inferred=True, own_task=made is not None)
    _note(project_id, Guessed(brought.line, made.notes if made else (), brought.task))


def _from_text_and_table(brought: Brought) -> str:
    table, dataset_id = _stored_table(brought)
    imported = imported_of(brought)
    profiles = reading.profiles(dataset_id) if dataset_id else ()
    made = draft_task(imported, table, profiles)
    if made.pipeline is not None and table is not None:
        typed = with_attachments(made.pipeline, {p.name: p for p in profiles}, made.mapping)
        made = replace(made, pipeline=typed)
    draft = ProjectDraft(
        pipeline=made.pipeline, mapping=made.mapping, metric=made.metric, dataset=dataset_id or None
    )
    project = drafts.create_project(drafts.UNTITLED, draft)
    if imported is not None:
        drafts.rename_project(project, _title(imported.step.instructions))
    elif brought.table is not None and brought.source == "upload":
        drafts.name_after(project, brought.table.name)
    _note(project, Guessed(brought.line, made.notes, brought.task, by_columns=imported is None))
    return project


def _stored_table(brought: Brought) -> tuple[Dataset | None, str]:
    """Return the table that was brought and the id it is stored under; None and "" without one."""
    if brought.table is None:
        return None, ""
    name, content = brought.table.name, brought.table.content
    if brought.source == "paste":
        table = paste_dataset(content.decode(), name)
        return table, drafts.add_file(table, content, "paste")
    table = read_dataset(content, name)
    dataset_id = drafts.add_file(table, content, "upload")
    reading.dataset(dataset_id, table)
    return table, dataset_id


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
    spec = with_attachments(spec, {p.name: p for p in profiles}, mapping)
    made = DraftedTask(spec, mapping, advised_metric(spec))
    drafts.update(project_id, pipeline=made.pipeline, mapping=made.mapping, metric=made.metric)
    return made


def with_attachments(
    pipeline: PipelineSpec, profiles: Mapping[str, ColumnProfile], mapping: Mapping[str, str]
) -> PipelineSpec:
    """Return the task with the inputs whose cells name pictures or PDFs typed as such."""
    from engine.runs.intake.attachments import attached_path

    def typed(field: FieldSpec) -> FieldSpec:
        paths = (
            [attached_path(cell) for cell in profiles[mapping[field.name]].samples]
            if field.name in mapping
            else []
        )
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
    found = price(model.name)
    return None if found is None else found.cost(*TOKENS)


def draft_by_model(project_id: str, model: ModelChoice) -> float | None:
    """Ask a model once for the task that the user's text wants; return what it cost. Raises EngineError."""
    check()
    found = guessed(project_id)
    if found is None or not found.text:
        raise RunError("The text that this project was started from is not known any more. Start it again.")
    draft = reading.draft(project_id)
    table = reading.dataset(draft.dataset) if draft.dataset else None
    profiles = reading.profiles(draft.dataset) if draft.dataset else ()
    columns = {p.name: tuple(value[:80] for value, _ in p.top_values[:20]) for p in profiles}
    request = TaskDraftRequest(text=found.text, columns=columns, model=model)
    answer = TaskDraftAnswer.model_validate(
        launching.child_result("task_draft", request, models.for_process())
    )
    from engine.pipeline.importers.step import Imported

    made = draft_task(Imported(answer.step, answer.notes), table, profiles)
    drafts.update(project_id, pipeline=made.pipeline, mapping=made.mapping, metric=made.metric)
    _note(project_id, found._replace(notes=made.notes))
    return answer.cost
