"""The command line is tested in a folder of its own, with the data folder below it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder below the current folder; the terminal is 120 columns wide."""
    monkeypatch.setenv("TUNEBOARD_HOME", str(home / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return home / "home"
