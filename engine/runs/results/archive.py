"""Old runs put away in a file and brought back; a file that was not put away here is treated as from elsewhere.

What a stranger's file may not do is in `engine.runs.trust`; what a file holds, in `engine.store.archive`.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from engine.basics.home import data_home
from engine.errors import StoreDamagedError, StoreError
from engine.runs.spec import ProjectDraft, RunSpec
from engine.runs.trust import foreign_model, harmless, note_addresses
from engine.store.archive import BroughtBack, opened
from engine.store.connection import LARGEST_NUMBER, from_json
from engine.store.rows import FROM_ELSEWHERE, OVER, ProjectRow, RunRow
from engine.store.store import Store

FOLDER = "archive"
SUFFIX = ".tuneboard-runs"
_ID = re.compile("[0-9a-f]{12}")


def put_away(store: Store, run_ids: Sequence[str], path: Path | None = None) -> Path:
    """Move runs that are over into a file, by default a new one in the data folder; return its path.

    Nothing is deleted before the file was written, synced and read back. Raises StoreError, NotFoundError.
    """
    if path is None:
        path = (
            data_home()
            / FOLDER
            / f"runs-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06d}{SUFFIX}"
        )
    store.archive.put_away(run_ids, path)
    return path


def bring_back(store: Store, path: Path, *, trust: bool = False) -> BroughtBack:
    """Add the runs of a file to the store again; those that are here already are left out.

    A file in the data folder's own `archive` is the user's own, and its runs come back as they were. One from elsewhere loses
    what names keys, files and programs of another machine, unless the user has reason to `trust` it. Raises StoreError.
    """
    with opened(path) as copy:
        if not (trust or is_own(path)):
            with Store(copy) as file, file.transaction():
                _make_harmless(store, file, path.name)
        brought = store.archive.bring_back(copy)
    if not brought.runs:
        raise StoreError(f"All runs in {path.name} are here already: nothing was brought back.")
    return brought


def is_own(path: Path) -> bool:
    """Return whether a file is in the folder where this data folder's runs are put away."""
    return path.resolve().parent == (data_home() / FOLDER).resolve()


def contents(path: Path) -> tuple[list[RunRow], dict[str, ProjectRow]]:
    """Return the runs in a file, the newest first, and their projects by id. Raises StoreError."""
    with opened(path) as copy, Store(copy, read_only=True) as file:
        return file.runs.all(), {project.id: project for project in file.projects.all()}


def archives() -> list[Path]:
    """Return the files in the data folder's archive, the newest first."""
    return sorted((data_home() / FOLDER).glob(f"*{SUFFIX}"), reverse=True)


def _make_harmless(store: Store, file: Store, name: str) -> None:
    """Take out of a stranger's file what `harmless` takes out of specs, and its programs. Raises StoreError for a forged one."""
    write = file.connection.write
    brought = []
    _check_numbers(file, name)
    try:
        for run in file.runs.all():
            if run.state not in OVER or not _ID.fullmatch(run.id) or not _ID.fullmatch(run.project_id):
                raise StoreError(
                    f"The file {name} holds a run that cannot have been put away: {run.id[:20]!r}."
                )
            spec = harmless(RunSpec.model_validate(run.spec)).model_dump(mode="json")
            rows = file.connection.read("SELECT content FROM candidates WHERE run_id = ?", (run.id,))
            if other := foreign_model(spec, [from_json(text) for (text,) in rows]):
                raise StoreError(f"The file {name} has a prompt that asks {other[:80]!r}: its run did not.")
            brought.append(spec)
            write("UPDATE runs SET spec = ? WHERE id = ?", (spec, run.id))
        for project in file.projects.all():
            draft = harmless(ProjectDraft.model_validate(project.draft)).model_dump(mode="json")
            brought.append(draft)
            write("UPDATE projects SET draft = ? WHERE id = ?", (draft, project.id))
    except (StoreDamagedError, ValidationError, ValueError, TypeError) as error:
        raise StoreError(f"The file {name} is damaged, or was made by another program.") from error
    note_addresses(store, brought)
    write(
        "UPDATE runs SET in_use = 0, from_archive = 1, started_by = '', "
        "result = json_remove(result, '$.export_path', '$.script_path')"
    )
    for dataset in file.datasets.all():
        content = file.datasets.get(dataset.id).content
        write(
            "UPDATE datasets SET source = ?, hash = ? WHERE id = ?",
            (FROM_ELSEWHERE, hashlib.sha256(content).hexdigest(), dataset.id),
        )
    write("DELETE FROM versions")


JSON_COLUMNS = {
    "runs": ("estimate", "result", "tags"),
    "candidates": ("content",),
    "outcomes": ("content",),
    "events": ("data",),
    "requests": ("content",),
}


def _check_numbers(file: Store, name: str) -> None:
    """Raise StoreError for JSON that cannot be read, and for a number in it that no run can have."""
    for table, columns in JSON_COLUMNS.items():
        for column in columns:
            for (text,) in file.connection.read(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"):  # noqa: S608 - our own names
                try:
                    sound = _in_range(from_json(text))
                except (ValueError, RecursionError):
                    sound = False
                if not sound:
                    raise StoreError(f"The file {name} holds {table} with values that no run can have.")


def _in_range(value: object) -> bool:
    if isinstance(value, dict):
        used = (value.get(amount) for amount in ("calls", "cached", "input_tokens", "output_tokens", "cost"))
        return all(map(_in_range, value.values())) and not any(
            isinstance(amount, int | float) and amount < 0 for amount in used
        )
    if isinstance(value, list):
        return all(map(_in_range, value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST_NUMBER
