"""Reading what is stored, for the pages: projects, tables, runs. What is read from one file or run is kept and shared."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import streamlit as st

from dashboard.state import users
from dashboard.state.live.replay import replay
from dashboard.state.live.snapshot import Snapshot, SnapshotReader
from dashboard.state.messages import messages, sample_call, text_of
from dashboard.state.writing import read_only
from engine.basics.data import JsonObject
from engine.basics.home import data_home
from engine.dataset.memory import LARGE, release_memory
from engine.errors import EngineError, NotFoundError, RunError, StoreError
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, Example, Outcome
from engine.runs.spec import ModelChoice, ProjectDraft, RunSpec
from engine.search.backend import BackendChoice
from engine.store.connection import BUSY_SECONDS
from engine.store.queue import SETTING as LIMITS
from engine.store.queue import Limits
from engine.store.rows import CandidateRow, DatasetRow, LinkRow, ProjectRow, RunRow, VersionRow
from engine.store.store import Store

if TYPE_CHECKING:
    from dashboard.state.editing.project_file import AttachedFile
    from engine.dataset import ColumnProfile, Dataset, RowProblem
    from engine.search.estimate import Estimate


_P = ParamSpec("_P")
_T = TypeVar("_T")

WHAT_ROWS_NEED = {"dataset", "pipeline", "mapping", "split", "excluded", "synthetic"}
"""The fields of a draft that decide the rows in use and their split."""

HASHED: dict[str | type[Any], Callable[[Any], object]] = {
    RunRow: lambda run: (run.id, run.revision),
    RunSpec: RunSpec.model_dump_json,
    PipelineSpec: PipelineSpec.model_dump_json,
    ProjectDraft: lambda draft: draft.model_dump_json(include=WHAT_ROWS_NEED),
}
"""Kind of argument of what is kept -> what tells two of them apart."""


LONG_MAKING = 0.5
"""Seconds: work on rows that takes longer has taken memory too, of which most is not needed afterwards."""


def cached_for_home(
    entries: int, spinner: str | bool = False
) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator that keeps results, shared between sessions: never change them.

    What is kept of a run is made again when the run has changed. Another TUNEBOARD_HOME's results are never seen.
    """

    def decorate(make: Callable[_P, _T]) -> Callable[_P, _T]:
        @st.cache_resource(max_entries=entries, show_spinner=spinner, hash_funcs=HASHED)
        @wraps(make)
        def kept_result(*args: Any, home: str, **named: Any) -> Any:  # noqa: ARG001 - part of the cache's key
            started = time.perf_counter()
            value = make(*args, **named)
            if time.perf_counter() - started > LONG_MAKING:
                release_memory()
            return value

        @wraps(make)
        def result(*args: _P.args, **named: _P.kwargs) -> _T:
            return kept_result(*args, home=_home(), **named)  # type: ignore[no-any-return]

        return result

    return decorate


def _home() -> str:
    return os.environ.get("TUNEBOARD_HOME") or str(data_home())


@contextmanager
def open_store(wait: float = BUSY_SECONDS) -> Iterator[Store]:
    """Open the store to read what the page's user may from it; `wait` is how many seconds another program may keep it locked."""
    with users.opened(users.current(), wait=wait) as store:
        yield store


def read_store(read: Callable[Concatenate[Store, _P], _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """Return what a function reads in the store, which it takes first."""
    with open_store() as store:
        return read(store, *args, **named)


# ---- projects, datasets, settings


def projects(*, archived: bool = False) -> list[ProjectRow]:
    """Return the projects, the one changed last first; those put away too when asked for.

    A read-only dashboard shows the projects that have runs.
    """
    with open_store() as store:
        shown = [p for p in store.projects.all() if archived or not p.archived]
        if read_only(""):
            shown = [p for p in shown if store.runs.count(p.id)]
    return shown


def draft_of(project: ProjectRow) -> ProjectDraft:
    """Return a project's draft. Raises StoreError when it holds what this version cannot read."""
    try:
        return ProjectDraft.model_validate(None if project.damaged else project.draft)
    except ValueError as error:
        raise StoreError(
            f"The project {project.name!r} is damaged, or was saved by another version of Tuneboard, and cannot be read."
        ) from error


def draft(project_id: str) -> ProjectDraft:
    """Return the draft of a project as it is stored. Raises NotFoundError, StoreError."""
    with open_store() as store:
        return draft_of(store.projects.get(project_id))


def project_file(project: ProjectRow, files: Sequence[AttachedFile] = ()) -> bytes:
    """Return a project's set-up, its examples and the files given as one file. Raises StoreError."""
    from dashboard.state.editing.project_file import pack

    draft = draft_of(project)
    table = None
    if draft.dataset is not None:
        try:
            with open_store() as store:
                table = store.datasets.get(draft.dataset)
        except NotFoundError:
            draft = draft.model_copy(update={"dataset": None})
    return pack(project.name, draft, table, files)


def datasets() -> list[DatasetRow]:
    """Return the stored files, the newest first."""
    return read_store(lambda store: store.datasets.all())


def examples_file(draft: ProjectDraft) -> DatasetRow | None:
    """Return the stored file of a draft's examples, without its bytes, or None if it is gone."""
    return next((d for d in datasets() if d.id == draft.dataset), None)


def setting(key: str, default: object = None) -> Any:
    """Return a stored setting."""
    return read_store(lambda store: store.settings.get(key, default))


def backend() -> BackendChoice:
    """Return where the rows of new runs are answered."""
    return BackendChoice.model_validate(setting("backend", {}))


def limits() -> Limits:
    """Return the limits of the data folder."""
    return Limits.model_validate(setting(LIMITS, {}))


def choosable_models() -> list[ModelChoice]:
    """Return the models that a project can choose: the saved ones, then the tuned ones."""
    from engine.lm.tuned import tuned_models

    return [*saved_models(), *(ModelChoice(name=f"tuned/{model.name}") for model in tuned_models())]


def saved_models() -> list[ModelChoice]:
    """Return the models of the settings: the offline one, then those added there."""
    added = [ModelChoice.model_validate(m) for m in setting("models", [])]
    return [ModelChoice(), *(m for m in added if m.name != "offline/learner")]


# ---- a dataset as read


def dataset(dataset_id: str, _table: Dataset | None = None) -> Dataset:
    """Return a stored file as a table; one that has just been read is `_table`. Raises DatasetError, NotFoundError.

    Of large files only the last two are kept in memory.
    """
    return (_large_table if _file_size(dataset_id) > LARGE else _table_of)(dataset_id, _table)


@cached_for_home(256)
def _file_size(dataset_id: str) -> int:
    return read_store(lambda store: store.datasets.size(dataset_id))


def _read(dataset_id: str, _table: Dataset | None) -> Dataset:
    from engine.dataset import read_dataset
    from engine.store.rows import FROM_ELSEWHERE

    if _table is not None:
        return _table
    with open_store() as store:
        row = store.datasets.get(dataset_id)
    return replace(read_dataset(row.content, row.name), local_files=row.source != FROM_ELSEWHERE)


@cached_for_home(8, "Reading the file")
def _table_of(dataset_id: str, _table: Dataset | None) -> Dataset:
    return _read(dataset_id, _table)


@cached_for_home(2, "Reading the file")
def _large_table(dataset_id: str, _table: Dataset | None) -> Dataset:
    return _read(dataset_id, _table)


def row_numbers(dataset_id: str | None, rows: Iterable[int]) -> dict[int, int]:
    """Return rows as people count them in their file, by row id; as in a sheet with a header where the file is gone."""
    from engine.runs.prepare import row_numbers

    if not (wanted := list(rows)):
        return {}
    try:
        table = dataset(dataset_id) if dataset_id is not None else None
    except EngineError:
        table = None
    return row_numbers(table, wanted)


@cached_for_home(16)
def profiles(dataset_id: str) -> tuple[ColumnProfile, ...]:
    """Return what each column of a stored file holds."""
    from engine.dataset import profile

    return profile(dataset(dataset_id))


@dataclass(frozen=True, slots=True)
class UsableIds:
    """Ids of the rows that a task can use: those below `total` that are not `left_out`. `problems` say why."""

    total: int
    left_out: frozenset[int]
    problems: tuple[RowProblem, ...]

    def __contains__(self, row: int) -> bool:
        return 0 <= row < self.total and row not in self.left_out

    def __len__(self) -> int:
        return self.total - len(self.left_out)


@cached_for_home(16, "Checking every row")
def usable(dataset_id: str, pipeline: PipelineSpec, mapping: dict[str, str]) -> UsableIds:
    """Return the rows that the task can use, and a problem for each that it cannot. Raises EngineError.

    Their values are made when they are asked for (`examples_at`): all of a large file take twice its size in memory.
    """
    from engine.runs.prepare import usable_examples

    table = dataset(dataset_id)
    rows = usable_examples(pipeline, table, mapping)
    left_out = frozenset(row for row in range(len(table)) if row not in rows.examples)
    return UsableIds(len(table), left_out, rows.problems)


def examples_at(draft: ProjectDraft, rows: Iterable[int], *, labelled: bool = True) -> dict[int, Example]:
    """Return those of some rows of a draft that its task can use; without `labelled` their inputs. Raises EngineError."""
    from engine.runs.prepare import usable_examples

    pipeline = draft.pipeline or PipelineSpec()
    table = dataset(draft.dataset or "")
    return usable_examples(pipeline, table, draft.mapping, list(rows), labelled=labelled).examples


def first_row(draft: ProjectDraft) -> dict[str, object]:
    """Return a row of a draft's examples as field -> text, to show; empty when there are none yet."""
    if draft.dataset is None:
        return {}
    try:
        rows = dataset(draft.dataset).rows(0, 1)
    except EngineError:
        return {}
    inputs = {f.name for f in draft.pipeline.inputs} if draft.pipeline else set()
    return {f: rows[0][c] for f, c in draft.mapping.items() if rows and f in inputs and c in rows[0]}


@cached_for_home(64, "Working out what this will take")
def _estimate(spec: RunSpec, known: str) -> Estimate | RunError:  # noqa: ARG001 - part of the cache's key
    from engine.runs.prepare import estimate_run

    with open_store() as store:
        try:
            return estimate_run(store, spec)
        except RunError as error:
            return error  # a budget that is too small stays so: worked out once, like an estimate


def estimate(spec: RunSpec) -> Estimate:
    """Return what a run will take, worked out by driving the same search against a stand-in. Raises EngineError."""
    from engine.lm.client import shared_lm
    from engine.lm.prices import own_prices

    asked = (spec.model, spec.prompt_model, spec.teacher_model, *spec.models)
    # To one digit: a run that goes on measures its model all the time.
    speeds = [f"{shared_lm(model).speed().seconds_for(60):.1g}" for model in asked if model is not None]
    forecast = _estimate(spec, f"{own_prices()} {speeds}")
    if isinstance(forecast, RunError):
        raise RunError(str(forecast))
    return forecast


# ---- runs


def runs(project_id: str = "") -> list[RunRow]:
    """Return a project's runs, the newest first; all of them without a project. Never change what they hold."""
    known = _known_runs(home=_home())
    with open_store() as store:
        rows = store.runs.all(project_id or None, dict(known))
    if len(known) > MOST_KNOWN:
        known.clear()
    known.update((run.id, run) for run in rows[:MOST_KNOWN])
    return rows


MOST_KNOWN = 5_000
"""Runs that stay in memory as they were last read, some 15 KB each."""


@st.cache_resource(max_entries=4, show_spinner=False)
def _known_runs(home: str) -> dict[str, RunRow]:  # noqa: ARG001 - the cache's key
    return {}


class ArchiveFile(NamedTuple):
    """A file of runs that were put away: its runs, the newest first, and the names of their projects by id."""

    path: Path
    runs: Sequence[RunRow]
    projects: Mapping[str, str]


def archives() -> list[ArchiveFile]:
    """Return the files in the data folder's archive, the newest first; those that cannot be read are left out."""
    from engine.runs.results.archive import archives

    files = []
    for path in archives():
        with suppress(EngineError, OSError):
            files.append(_archive(str(path), path.stat().st_mtime_ns))
    return files


@cached_for_home(64)
def _archive(path: str, changed: int) -> ArchiveFile:  # noqa: ARG001 - the cache's key
    from engine.runs.results.archive import contents

    runs, projects = contents(Path(path))
    return ArchiveFile(Path(path), runs, {p.id: p.name for p in projects.values()})


def run(run_id: str) -> RunRow:
    """Return a run. Raises NotFoundError when there is no such run (any more)."""
    return read_store(lambda store: store.runs.get(run_id))


def run_spec(run: RunRow) -> RunSpec:
    """Return what a run does, read back from the store."""
    return RunSpec.model_validate(run.spec)


def candidates(run_id: str) -> list[CandidateRow]:
    """Return a run's prompts in the order found."""
    return read_store(lambda store: store.trials.candidates(run_id))


def snapshot(run: RunRow) -> Snapshot:
    """Return what a run's page shows; read again only when something has changed."""
    return _snapshot(run)._replace(run=run)


@cached_for_home(32)
def _snapshot(run: RunRow) -> Snapshot:
    return read_store(SnapshotReader(run.id).read)


def run_replay(run: RunRow) -> JsonObject:
    """Return the replay of a finished run."""
    return replay(snapshot(run), {c.id: c.candidate.reason for c in candidates(run.id) if c.number})


def outcomes(run: RunRow, trial: int) -> list[Outcome]:
    """Return the rows of one of a run's trials. Those stored before rows had a number get it from the file."""
    with open_store() as store:
        rows = store.trials.outcomes(run.id, trial)
    numbers = row_numbers(run.spec["dataset"], [o.row for o in rows if o.number is None])
    return [replace(o, number=numbers.get(o.row, o.number)) for o in rows]


def output_fields(run: RunRow) -> tuple[str, ...]:
    """Return the names of what a run's task answers."""
    return tuple(f.name for f in run_spec(run).pipeline.outputs)


def versions(project_id: str) -> list[VersionRow]:
    """Return the versions of a project's program, the newest first."""
    return read_store(lambda store: store.versions.all(project_id))


def links() -> list[LinkRow]:
    """Return the links to reports that work: an administrator's list has all, others see those to their projects' runs."""
    return read_store(lambda store: store.links.all())


def prompt(run: RunRow, candidate_id: str) -> Candidate:
    """Return one of a run's prompts. Raises NotFoundError where it has no such prompt."""
    return read_store(lambda store: store.trials.candidate(run.id, candidate_id))


@cached_for_home(8)
def hero(run: RunRow, estimate: tuple[float, int] | None = None) -> str:
    """Return the picture of what a run came to as HTML; with an estimated score and the number of parts it is without."""
    from engine.export.hero import StruckScore
    from engine.runs.results.report import hero_of

    return read_store(hero_of, run, StruckScore(*estimate) if estimate else None)


@cached_for_home(8)
def prompt_text(run: RunRow, candidate_id: str) -> str:
    """Return the messages of one of a run's prompts as text to paste."""
    from engine.export.formats import get_export
    from engine.runs.results.exports import taken_program

    with open_store() as store:
        return get_export("messages").content(taken_program(store, run.id, candidate_id)).decode()


def row_values(run: RunRow, rows: Iterable[int]) -> dict[int, JsonObject]:
    """Return some rows of a run's data, as field -> value by row id; none where the file is gone."""
    from engine.runs.prepare import row_values

    spec = run_spec(run)
    _, values = row_values(spec, lambda: dataset(spec.dataset), rows)
    return {row: dict(example) for row, example in values.items()}


def _one_row(run: RunRow) -> JsonObject:
    """Return one usable row of a run's data, or an empty one."""
    return next(iter(row_values(run, range(50)).values()), {})


def example_call(run: RunRow) -> str:
    """Return the arguments of a call of the run's program, with the values of one of its rows."""
    names = [f.name for f in run_spec(run).pipeline.inputs]
    row = _one_row(run)
    return sample_call({name: row.get(name, "...") for name in names})


def exact_messages(run: RunRow) -> list[dict[str, str]]:
    """Return the messages that the prompt taken from the run sends for one row, as role and content."""
    values = _one_row(run)
    spec = run_spec(run)
    sent = messages(spec.pipeline, values, adapter=spec.adapter, candidate=prompt(run, run.taken))
    several = len(sent) > 1
    return [
        {"role": f"{path}: {m['role']}" if several else m["role"], "content": text_of(m)}
        for path, turns in sent
        for m in turns
    ]
