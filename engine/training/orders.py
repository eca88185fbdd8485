"""Orders of trainings that a run has started: driven again after a kill, it goes on with the very same rows.

A teacher's answer that failed before may pass this time. With other rows it would be another training, to be paid again.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from engine.basics.home import write_whole
from engine.records import content_hash, strict_json_form
from engine.training.contract import Order


class StartedOrders:
    """The orders that one run has started, kept in a folder; with None nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._wanted: dict[str, list[str]] = {}

    def place(self, order: Order, steps: tuple[str, ...]) -> Path | None:
        """Return where an order for these steps is kept: the same for a process that drives the run again.

        It depends on everything but the rows; of several such orders in a run it is the first's, the second's and so on.
        """
        if self._folder is None:
            return None
        asked = content_hash([order.task, list(steps), order.settings])[:12]
        wanted = self._wanted.setdefault(asked, [])
        if order.key not in wanted:
            wanted.append(order.key)
        return self._folder / f"{asked}-{wanted.index(order.key) + 1}.json"


def read_order(place: Path | None) -> Order | None:
    """Return the order that is kept there, or None."""
    try:
        return None if place is None else _ORDER.validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None


def write_order(place: Path | None, order: Order) -> None:
    """Keep an order there. Raises OSError."""
    if place is not None:
        write_whole(place, orjson.dumps(asdict(order), default=strict_json_form))


_ORDER = TypeAdapter(Order)
