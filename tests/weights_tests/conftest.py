"""Tests with torch: `make test-weights`, or `OMP_NUM_THREADS=1 .venv-weights/bin/python -m pytest tests/weights_tests` after `make weights`.

In an environment without torch they are skipped. `make test` runs all but those marked slow.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the children too: small models gain nothing from threads
os.environ["HF_HUB_OFFLINE"] = "1"

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the libraries for weights warn: they deprecate something with each version."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a model that answers `tiny_model.TASK` by chance; made once for all workers. Leave it as it is."""
    from support.training.tiny_model import tiny_model

    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    return once(shared / "tiny_base", lambda folder: tiny_model(folder))


def once(folder: Path, make: object) -> Path:
    """Return a folder that the first worker makes and the others wait for."""
    claim = folder.with_suffix(".claim")
    try:
        claim.mkdir()
    except FileExistsError:
        waited = time.monotonic() + 300
        while not folder.exists():
            if time.monotonic() > waited:
                pytest.fail(f"{folder} is not made by the other worker.")
            time.sleep(0.1)
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    make(part)  # type: ignore[operator]
    part.rename(folder)
    return folder


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for each test."""
    home = tmp_path / "home"
    monkeypatch.setenv("TUNEBOARD_HOME", str(home))
    return home
