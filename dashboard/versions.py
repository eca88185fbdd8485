"""Writing what a person keeps of runs: versions of a project's program, the one in use, and tags."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.mode import writing
from engine.home import data_home
from engine.store.versions import VersionRow


def keep(run_id: str, candidate_id: str | None = None, note: str = "") -> VersionRow:
    """Keep a run's best prompt (or another one) as a version of its project's program. Raises EngineError."""
    from engine.runs.versions import keep_version

    with writing() as store:
        return keep_version(store, run_id, candidate_id, note)


def use(project_id: str, number: int) -> None:
    """Put a version into use. Raises EngineError."""
    from engine.runs.versions import use_version

    with writing() as store:
        use_version(data_home(), store, project_id, number)


def use_none(project_id: str) -> None:
    """Take the program in use out of use."""
    from engine.runs.versions import use_none as stop_using

    with writing() as store:
        stop_using(data_home(), store, project_id)


def set_run_in_use(run_id: str, project_id: str, in_use: bool) -> None:
    """Keep a run's best prompt as a version and put it into use; or take the program in use out of use."""
    if in_use:
        use(project_id, keep(run_id).number)
    else:
        use_none(project_id)


def note(project_id: str, number: int, text: str) -> None:
    """Keep a person's own words about a version."""
    with writing() as store:
        store.set_version_note(project_id, number, text)


def tag(run_id: str, tags: Sequence[str]) -> None:
    """Give a run these tags."""
    with writing() as store:
        store.set_tags(run_id, tags)
