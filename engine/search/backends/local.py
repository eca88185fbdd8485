"""The backend that is this process: rows run on the engine's event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine import evaluate
from engine.search.backends.contract import Heard, Work, metric_of, program_of

if TYPE_CHECKING:
    from engine.search.settings import Settings


class Local:
    """Runs rows in this process, and trains on this machine."""

    trainers = ()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, work: Work, rows: Sequence[int], heard: Heard) -> None:
        """Run rows here."""
        await evaluate.run_rows(
            program_of(self._settings, work),
            [(row, self._settings.rows[row]) for row in rows],
            metric_of(self._settings, work),
            limit=heard.limit,
            on_outcome=heard.on_outcome,
            on_failure=heard.on_failure,
            trace=work.trace,
        )
