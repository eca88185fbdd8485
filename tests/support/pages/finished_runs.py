"""Data folders with finished runs of the first sample, for pages that show one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from dashboard.state import launching, reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.runs.worker import work

FEW_SHOT = Named(name="LabeledFewShot")


class FinishedRuns(NamedTuple):
    """A data folder, its project, and its runs, the oldest first."""

    home: Path
    project: str
    runs: tuple[str, ...]

    @property
    def address(self) -> str:
        """The part of a page's address that shows the oldest run."""
        return f"project={self.project}&run={self.runs[0]}"


def finished_runs(home: Path, *titles: str, optimizer: Named = FEW_SHOT) -> FinishedRuns:
    """Store finished runs of the first sample in an empty data folder, one for each title."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", str(home))
        patch.delenv("OPENAI_API_KEY", raising=False)
        project = drafts.project_from_sample(SAMPLES[0])
        draft = drafts.update(project, optimizer=optimizer)
        spec = draft.to_run(reading.datasets()[0].hash).model_dump(mode="json")
        runs = tuple(launching.create(project, spec, title) for title in titles)
        for run in runs:
            assert work(home, run) == 0
    return FinishedRuns(home, project, runs)
