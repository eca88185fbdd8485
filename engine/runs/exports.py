"""A run's program in files: every form of export in `home/exports/RUN_ID`, and the versions that a project keeps and uses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.errors import EngineError, RunError
from engine.export.formats import EXPORTS
from engine.export.program import ProgramFile, program_file, to_text, write_text
from engine.records import Candidate
from engine.runs.spec import RunSpec
from engine.store.rows import RunRow, VersionRow
from engine.store.store import Store


def export_run(
    home: Path, run: RunRow, spec: RunSpec, candidate: Candidate, result: Mapping[str, object]
) -> dict[str, str]:
    """Write every form but large ones; return the paths of the program file and the script, `export_path` and `script_path`.

    The script is the one that needs no Tuneboard, where the program can be one. Raises RunError.
    """
    folder = home / "exports" / run.id
    content = program_file(
        spec.pipeline,
        candidate,
        model=spec.model.model_dump(),
        adapter=spec.adapter,
        metadata=metadata(run, spec, result),
    )
    try:
        for form in EXPORTS:
            if form.on_demand:
                continue
            try:
                made = form.content(content)
            except EngineError:
                if form.name in ("json", "python_tuneboard"):
                    raise
                # A form that cannot hold this program: asked for by name it gives the reason.
                (folder / form.file_name).unlink(missing_ok=True)
                continue
            write_text(made.decode(), folder / form.file_name)
    except OSError as error:
        raise RunError(
            f"The program could not be exported to {folder}: {error.strerror or error}."
        ) from error
    paths = {form.name: str(folder / form.file_name) for form in EXPORTS}
    alone = Path(paths["python"]).exists()
    return {
        "export_path": paths["json"],
        "script_path": paths["python" if alone else "python_tuneboard"],
    }


def export_again(home: Path, store: Store, run_id: str, candidate_id: str | None = None) -> dict[str, str]:
    """Write a run's exports again, of its best candidate or of another one; return their paths.

    Raises NotFoundError for an unknown run or candidate, RunError when the run has no result yet.
    """
    run = store.runs.get(run_id)
    wanted = candidate_id or (run.result or {}).get("best_candidate")
    if wanted is None:
        raise RunError(f"The run {run_id!r} has no result yet ({run.state}). Wait for its end, or resume it.")
    spec = RunSpec.model_validate(run.spec)
    return export_run(home, run, spec, store.trials.candidate(run_id, wanted), run.result or {})


def metadata(run: RunRow, spec: RunSpec, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the origin that a program file states: title, run, time, optimizer, metric, scores, verdict."""
    return {
        "title": run.title,
        "run": run.id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "optimizer": spec.optimizer.name,
        "metric": spec.metric.name,
        "baseline": (result.get("baseline") or {}).get("test"),
        "score": (result.get("best") or {}).get("test"),
        "verdict": " ".join(
            result[part]["sentence"] for part in ("verdict", "whole_set") if result.get(part)
        ),
    }


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
