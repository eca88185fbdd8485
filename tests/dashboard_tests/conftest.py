"""Data folders, a project and a tuned run that tests of the dashboard share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from support.pages.page_frame import stored_draft

from dashboard.state import launching, reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import Store


class Tuned(NamedTuple):
    """Ids of the sample's project and of its finished run."""

    project: str
    run: str


@pytest.fixture
def welcomed(home: Path) -> Path:
    """The folder of a user who has seen the first page: it gets no sample project."""
    with Store.open(home) as store:
        store.settings.set("welcomed", True)
    return home


@pytest.fixture
def project(home: Path) -> str:
    """The id of a project that was made from the first sample."""
    return drafts.project_from_sample(SAMPLES[0])


@pytest.fixture(scope="session")
def tuned_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tuned]:
    """A data folder with a finished run of the sample, made once for each process of tests: copy it, change nothing."""
    folder = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", str(folder))
        patch.delenv("OPENAI_API_KEY", raising=False)
        project = drafts.project_from_sample(SAMPLES[0])
        draft = stored_draft(project).model_copy(update={"optimizer": Named(name="LabeledFewShot")})
        spec = draft.to_run(reading.datasets()[0].hash).model_dump(mode="json")
        run = launching.create(project, spec, "A run")
        assert work(folder, run) == 0
    return folder, Tuned(project, run)


@pytest.fixture
def tuned(home: Path, tuned_folder: tuple[Path, Tuned]) -> Tuned:
    """The sample's project with a finished run, in the test's data folder."""
    folder, ids = tuned_folder
    shutil.copytree(folder, home, dirs_exist_ok=True)
    return ids
