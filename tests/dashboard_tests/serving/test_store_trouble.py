"""A store that cannot be written to: every page is still there to read, and a change says that it was not saved."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.pages.page_frame import open_page, open_tune, said, stored_draft

from dashboard.state import writing
from dashboard.state.editing import drafts
from engine.errors import StoreError
from engine.store.store import FILE_NAME, Store

NOBODY = 65534
PAGES = ("home", "examples", "tune", "results", "history")


@pytest.fixture
def home(monkeypatch) -> Iterator[Path]:
    """A data folder that other users may read, too."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.setenv("TUNEBOARD_HOME", str(folder))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Be somebody who may read the folder and change nothing in it; root may change everything, so be somebody else."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    (folder / FILE_NAME).chmod(0o444)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        (folder / FILE_NAME).chmod(0o644)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow beyond a few pages, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_locked_store_says_so_and_the_next_click_is_saved(home, project, monkeypatch):
    monkeypatch.setattr(writing, "WAIT", 0.3)
    app = open_tune(project, "all optimizers")
    holder = sqlite3.connect(home / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    app.button(key="choose_SIMBA").click().run()
    assert not app.exception
    (toast,) = app.toast
    assert "Another program holds the database" in toast.value
    assert "/] Tune" in said(app)
    app.button(key="start_run").click().run()
    app.run()  # the message stays until the next attempt
    assert not app.exception
    assert "Another program holds the database" in said(app)
    holder.execute("ROLLBACK")
    holder.close()
    app.button(key="choose_SIMBA").click().run()
    assert stored_draft(project).optimizer.name == "SIMBA"


def test_a_full_disk_says_so_and_what_is_there_is_shown(home, project):
    before = stored_draft(project)
    app = open_tune(project, "all optimizers")
    with full_disk():
        with pytest.raises(StoreError, match="is full"):
            drafts.edit(project, lambda draft: draft.model_copy(update={"seed": 77}))
        app.button(key="choose_SIMBA").click().run()
        assert not app.exception
        assert "is full" in app.toast[0].value
        assert "/] Tune" in said(app)
    assert stored_draft(project) == before


def test_a_folder_that_cannot_be_written_to_is_still_read(home, project):
    for page in PAGES:
        open_page(page, project=project)  # a user without rights may not even load what draws it
    with without_rights(home):
        for page in PAGES:
            app = open_page(page, project=project)
            assert len(said(app)) > 100, page
        with Store.open(read_only=True) as store:
            assert [p.id for p in store.projects.all()] == [project]
        with pytest.raises(StoreError, match="can be written to"):
            drafts.rename_project(project, "Another name")
        app = open_tune(project, "all optimizers")
        app.button(key="choose_SIMBA").click().run()
        assert not app.exception
        assert "can be written to" in app.toast[0].value
    assert stored_draft(project).optimizer.name != "SIMBA"
