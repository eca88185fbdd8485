"""The data folder of a test: a fresh one for each test that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.store.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, with no key in the environment."""
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


@pytest.fixture
def welcomed(home: Path) -> Path:
    """The folder of a user who has seen the first page: it gets no sample project."""
    with Store.open(home) as store:
        store.settings.set("welcomed", True)
    return home
