"""Data folders, a project and a tuned run that tests of the dashboard share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from support.pages.finished_runs import finished_runs

from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
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
    folder, project, (run,) = finished_runs(tmp_path_factory.mktemp("tuned"), "A run")
    return folder, Tuned(project, run)


@pytest.fixture
def tuned(home: Path, tuned_folder: tuple[Path, Tuned]) -> Tuned:
    """The sample's project with a finished run, in the test's data folder."""
    folder, ids = tuned_folder
    shutil.copytree(folder, home, dirs_exist_ok=True)
    return ids
