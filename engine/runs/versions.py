"""Programs that a project keeps, and the one in use: keep a run's best prompt, use it, roll back to an earlier one.

The program in use is also a file at a place that does not change, for whatever serves it:
`tuneboard serve HOME/programs/PROJECT/program.json` answers with another version after the next start.
"""

from __future__ import annotations

from pathlib import Path

from engine.errors import RunError
from engine.export.program import ProgramFile, program_file, to_text, write_text
from engine.runs.exports import metadata
from engine.runs.spec import RunSpec
from engine.store.rows import VersionRow
from engine.store.store import Store


def program_path(home: Path, project_id: str) -> Path:
    """Return where the program lies that a project has in use.

    >>> program_path(Path("home"), "p1").as_posix()
    'home/programs/p1/program.json'
    """
    return home / "programs" / project_id / "program.json"


def keep_version(store: Store, run_id: str, candidate_id: str | None = None, note: str = "") -> VersionRow:
    """Keep a run's best prompt, or another of its candidates, as a version of its project's program.

    Keeping the same one again returns the version there is. Raises NotFoundError, or RunError when the run has no result.
    """
    run = store.runs.get(run_id)
    wanted = candidate_id or (run.result or {}).get("best_candidate")
    if wanted is None:
        raise RunError(f"The run {run_id!r} has no result yet ({run.state}). Wait for its end, or resume it.")
    spec = RunSpec.model_validate(run.spec)
    content = program_file(
        spec.pipeline,
        store.trials.candidate(run_id, wanted),
        model=spec.model.model_dump(),
        adapter=spec.adapter,
        metadata=metadata(run, spec, run.result or {}),
    )
    number = store.versions.add(run.project_id, run_id, wanted, content.model_dump(mode="json"), note)
    return store.versions.get(run.project_id, number)


def use_version(home: Path, store: Store, project_id: str, number: int) -> Path:
    """Put a version into use, the newest or an earlier one; return the file that holds it.

    Raises NotFoundError, or RunError where the file cannot be written (nothing is changed then).
    """
    version = store.versions.get(project_id, number)
    path = program_path(home, project_id)
    try:
        write_text(to_text(ProgramFile.model_validate(version.content)), path)
    except OSError as error:
        raise RunError(f"The program could not be written to {path}: {error.strerror or error}.") from error
    store.versions.set_in_use(project_id, number)
    return path


def use_none(home: Path, store: Store, project_id: str) -> None:
    """Take the program that is in use out of use; its versions stay."""
    store.versions.set_in_use(project_id, None)
    program_path(home, project_id).unlink(missing_ok=True)
