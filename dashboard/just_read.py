"""The table that was read a moment ago, handed over so that an upload is read once. No Streamlit, no store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.dataset import Dataset

_tables: dict[str, Dataset] = {}


def hand_over(dataset_id: str, table: Dataset) -> None:
    """Keep a table for whoever asks for this stored file next; the one kept before is let go."""
    _tables.clear()
    _tables[dataset_id] = table


def taken(dataset_id: str) -> Dataset | None:
    """Return the table of this stored file, once; None where none was handed over."""
    return _tables.pop(dataset_id, None)
