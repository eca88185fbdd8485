"""Data folders that tests of the dashboard share."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.store.store import Store


@pytest.fixture
def welcomed(home: Path) -> Path:
    """The folder of a user who has seen the first page: it gets no sample project."""
    with Store.open(home) as store:
        store.settings.set("welcomed", True)
    return home
