"""Editing a project's rows: each edit makes a new version of its table, and the one before can be had back.

Earlier states are in a setting of the project; versions that fall off its end and that
nothing else uses are deleted.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

from dashboard.state import launching, reading, users
from dashboard.state.editing.drafts import Change, ChangedElsewhereError, edit_seen
from dashboard.state.messages import calls_a_row, messages, tokens_of
from dashboard.state.models import for_process
from dashboard.state.writing import check, writing
from engine.basics.data import Values
from engine.errors import EngineError, RunError
from engine.lm.choice import is_offline
from engine.pipeline.spec import PipelineSpec
from engine.runs.child.new_rows import NO_NEW_ROWS, NewRows, NewRowsRequest
from engine.runs.spec import ModelChoice, ProjectDraft
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.dataset import Dataset, Split
    from engine.dataset.preflight import Finding
    from engine.dataset.table import Edited

MOST_UNDONE = 30
SOURCE = "edit"


def template(spec: PipelineSpec) -> bytes:
    """Return an empty table as CSV: a column for each field of the task, in a form that spreadsheets open.

    >>> from engine.pipeline.spec import FieldSpec, StepSpec
    >>> step = StepSpec(name="route", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="team"),))
    >>> template(PipelineSpec(steps=(step,))).decode("utf-8-sig")
    'text,team\\r\\n'
    """
    return (",".join(f.name for f in (*spec.inputs, *spec.outputs)) + "\r\n").encode("utf-8-sig")


_KEPT = {"dataset", "mapping", "excluded", "synthetic", "feedback"}


class TaskChange(TypedDict, total=False):
    """A change that comes with new rows: the task, the columns (by field) that some fields are filled from, or columns to make."""

    pipeline: PipelineSpec
    mapping: Mapping[str, str]
    columns: Sequence[str]


def change_rows(
    project_id: str,
    what: str,
    table: Dataset,
    *,
    seen: str = "",
    cells: Mapping[tuple[int, str], str] | None = None,
    added: Sequence[Mapping[str, str]] = (),
    synthetic: bool = False,
    also: TaskChange | None = None,
) -> tuple[ProjectDraft, Edited]:
    """Store a new version of a project's table and make it the project's; rows left out or marked are followed.

    `table` is the version the edit was made on. With `synthetic` the added rows are marked as written by a model;
    `also` is what changes in the task; columns that it names and the table does not have are made, blank.
    Raises DatasetError for what is not there, ChangedElsewhereError where the project has other examples by now.
    """
    from engine.dataset.table import edited

    task: TaskChange = also or {}
    filled = task.get("mapping", {})
    new_version = edited(
        table, cells=cells, added=added, columns=[*filled.values(), *task.get("columns", ())]
    )
    dataset_id = _stored(new_version, local_files=table.local_files)

    def change(draft: ProjectDraft) -> ProjectDraft:
        written = [new_version.rows[row] for row in draft.synthetic if row in new_version.rows]
        return draft.model_copy(
            update={
                "pipeline": task.get("pipeline", draft.pipeline),
                "mapping": {**draft.mapping, **filled},
                "dataset": dataset_id,
                "excluded": {
                    new_version.rows[row]: why
                    for row, why in draft.excluded.items()
                    if row in new_version.rows
                },
                "synthetic": (*written, *(new_version.added if synthetic else ())),
                "feedback": tuple(
                    f.model_copy(update={"row": new_version.rows[f.row]})
                    for f in draft.feedback
                    if f.row in new_version.rows
                ),
            }
        )

    try:
        after = _saved(project_id, what, change, seen)
    except ChangedElsewhereError:
        with writing() as store:
            store.datasets.drop_unused(dataset_id)
        raise
    with writing() as store:
        _carry(store, project_id, dataset_id, new_version.rows)
    return after, new_version


def _stored(made: Edited, *, local_files: bool) -> str:
    """Store a version of a table; return its id."""
    from engine.dataset import read_dataset
    from engine.store.rows import FROM_ELSEWHERE

    read = read_dataset(made.content, made.name)
    # A user who is no administrator may not write the names of the server's files into cells.
    source = SOURCE if local_files and users.is_administrator() else FROM_ELSEWHERE
    with writing() as store:
        return store.datasets.add(read.name, made.content, read.content_hash, read.columns, len(read), source)


def leave_out(project_id: str, what: str, rows: Mapping[int, str], *, seen: str = "") -> ProjectDraft:
    """Leave rows out of the project's runs, each with a reason; they stay in the table."""
    return _saved(project_id, what, lambda d: d.model_copy(update={"excluded": {**d.excluded, **rows}}), seen)


def take_back(project_id: str, what: str, rows: Collection[int], *, seen: str = "") -> ProjectDraft:
    """Use rows again that were left out."""
    gone = frozenset(rows)
    return _saved(
        project_id,
        what,
        lambda d: d.model_copy(update={"excluded": {r: w for r, w in d.excluded.items() if r not in gone}}),
        seen,
    )


def use_table(project_id: str, dataset_id: str, mapping: Mapping[str, str], **task: object) -> ProjectDraft:
    """Make another table the project's: nothing of it is left out yet. `task` are other parts of the draft."""

    def change(draft: ProjectDraft) -> ProjectDraft:
        fresh: dict[str, object] = (
            {"excluded": {}, "synthetic": (), "feedback": ()} if dataset_id != draft.dataset else {}
        )
        return draft.model_copy(update={"dataset": dataset_id, "mapping": dict(mapping), **fresh, **task})

    return _saved(project_id, "Use other examples", change, "")


def undo(project_id: str) -> bool:
    """Take the latest edit back; return whether there was one."""
    with writing("undid change", project_id) as store, store.transaction():
        history = list(store.settings.get(key_of(project_id), []))
        if not history:
            return False
        before = history.pop()["before"]
        draft = ProjectDraft.model_validate(store.projects.get(project_id).draft)
        restored = ProjectDraft.model_validate({**draft.model_dump(mode="json"), **before})
        store.projects.save_draft(project_id, restored.model_dump(mode="json"))
        store.settings.set(key_of(project_id), history)
        if draft.dataset and draft.dataset != restored.dataset:
            _drop(store, {draft.dataset}, history)
    return True


def key_of(project_id: str) -> str:
    """Return the name of the setting that holds a project's edits."""
    return f"examples_undo:{project_id}"


def _saved(project_id: str, what: str, change: Change, seen: str) -> ProjectDraft:
    """Return the draft after an edit, which can be taken back."""

    def remember(store: Store, before: ProjectDraft, after: ProjectDraft) -> None:
        if before.dataset is None:
            return
        fields = _KEPT | ({"pipeline"} if after.pipeline != before.pipeline else set())
        entry = {"what": what, "before": before.model_dump(mode="json", include=fields)}
        history = [*store.settings.get(key_of(project_id), []), entry]
        gone = {e["before"]["dataset"] for e in history[:-MOST_UNDONE]}
        history = history[-MOST_UNDONE:]
        store.settings.set(key_of(project_id), history)
        _drop(store, {g for g in gone if g}, history)

    return edit_seen(project_id, change, "examples", seen, remember)


def _drop(store: Store, gone: Collection[str], history: Sequence[Values]) -> None:
    """Delete versions that an edit made and that can no longer be had back."""
    datasets_in_use = {e["before"]["dataset"] for e in history}
    edited_versions = {d.id for d in store.datasets.all() if d.source == SOURCE}
    for dataset_id in set(gone) & edited_versions - datasets_in_use:
        store.datasets.drop_unused(dataset_id)


def _carry(store: Store, project_id: str, dataset_id: str, rows: Mapping[int, int]) -> None:
    """Move users' feedback and grades along with their rows into the new version."""
    history = store.settings.get(key_of(project_id), [])
    before = history[-1]["before"]["dataset"] if history else None
    if not before or before == dataset_id:
        return
    with store.transaction():
        for feedback in store.feedback.all(project_id, before):
            if feedback.row in rows:
                store.feedback.save(project_id, dataset_id, replace(feedback, row=rows[feedback.row]))
        for (row, answer), grade in store.feedback.grades(project_id, before).items():
            if row in rows:
                store.feedback.save_grade(project_id, dataset_id, rows[row], answer, grade)


@reading.cached_for_home(6)
def split_of(draft: ProjectDraft) -> Split:
    """Return which rows a run would learn from, choose by and test on. Raises EngineError when it could not."""
    from engine.runs import prepare

    pipeline, table = draft.pipeline or PipelineSpec(), reading.dataset(draft.dataset or "")
    return prepare.split_of(draft, prepare.usable_examples(pipeline, table, draft.mapping))


@reading.cached_for_home(6, "Looking the rows over")
def findings_of(draft: ProjectDraft) -> tuple[Finding, ...]:
    """Return what is doubtful in a draft's rows; nothing where the task does not fit its table yet."""
    from engine.dataset.preflight import Table, preflight

    if draft.dataset is None or draft.pipeline is None:
        return ()
    try:
        test = split_of(draft).test
    except EngineError:
        test = ()
    rows, spec = reading.dataset(draft.dataset), draft.pipeline
    fields = (*spec.inputs, *spec.outputs)
    return preflight(
        Table(
            cells={f.name: rows.values(draft.mapping[f.name]) for f in fields},
            inputs=[f.name for f in spec.inputs],
            outputs=[f.name for f in spec.outputs],
            choices={f.name: f.choices for f in spec.outputs if f.choices},
            optional={f.name for f in fields if f.parsed_type.optional},
            apart=frozenset(test),
            left_out=frozenset(draft.excluded),
        )
    )


MANY_ROWS = 3000
"""Rows from which a sample is offered."""

SAMPLE = 300
CALL_TOKENS = 60
"""Tokens of a usual answer, for a price before there is an estimate."""


def rows_to_use(draft: ProjectDraft) -> int:
    """Return how many rows a run could use: those of the table that are not left out."""
    stored = reading.examples_file(draft)
    return 0 if stored is None else stored.rows - len(draft.excluded)


def plan_price(draft: ProjectDraft, sample: int | None) -> tuple[int, float | None]:
    """Return the calls of the Balanced plan on a sample (None: on all rows), and US dollars; None: price not known.

    Raises EngineError where the rows cannot be divided.
    """
    from engine.optimizers.choose import plans

    pipeline = draft.pipeline or PipelineSpec()
    split = split_of(draft.model_copy(update={"split": draft.split.model_copy(update={"sample": sample})}))
    calls = plans(len(split.validation), len(split.test), calls_a_row(pipeline, adapter=draft.adapter))[
        "Balanced"
    ]
    return calls, calls_price(draft, calls)


def calls_price(draft: ProjectDraft, calls: int) -> float | None:
    """Return about what some calls cost that answer rows like the first one, in US dollars; None: price not known."""
    from engine.lm.prices import price

    model, pipeline = draft.model or ModelChoice(), draft.pipeline or PipelineSpec()
    if is_offline(model):
        return 0.0
    known = price(model.name)
    sent = messages(pipeline, reading.first_row(draft), adapter=draft.adapter)
    return None if known is None else calls * known.cost(tokens_of(sent), CALL_TOKENS)


ROWS_AS_EXAMPLES = 60


def cannot_write_rows(draft: ProjectDraft) -> str:
    """Return why a model cannot be asked for rows, or ""."""
    if draft.pipeline is None or any(p.step in ("task", "examples") for p in draft.problems()):
        return "First finish the task and its columns."
    if is_offline(draft.model or ModelChoice()):
        return NO_NEW_ROWS
    return ""


def write_rows(draft: ProjectDraft, table: Dataset, number: int, wish: str) -> NewRows:
    """Return rows that the draft's model wrote for its table, as column -> text. Raises RunError."""
    check()
    why_not = cannot_write_rows(draft)
    if why_not or draft.pipeline is None:
        raise RunError(why_not)
    fields = [f.name for f in (*draft.pipeline.inputs, *draft.pipeline.outputs)]
    left = {*draft.excluded, *draft.synthetic}
    rows = [r for r in range(len(table)) if r not in left]
    chosen = random.Random(draft.seed).sample(rows, min(ROWS_AS_EXAMPLES, len(rows)))
    examples = []
    for row in sorted(chosen):
        (values,) = table.rows(row, row + 1)
        examples.append({name: values[draft.mapping[name]][:2000] for name in fields})
    request = NewRowsRequest(
        pipeline=draft.pipeline,
        examples=tuple(examples),
        count=number,
        wish=wish,
        model=draft.model or ModelChoice(),
        adapter=draft.adapter,
        seed=draft.seed,
    )
    new_rows = NewRows.model_validate(launching.child_result("new_rows", request, for_process()))
    named = tuple({draft.mapping[name]: row[name] for name in fields} for row in new_rows.rows)
    return NewRows(rows=named, left_out=new_rows.left_out)
