"""Every test of runs has a data folder and a key."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def folder_and_key(key: str) -> None:
    """The key is in the environment only."""
