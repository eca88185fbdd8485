"""Many calls at once, a bounded number at a time; the error of a failed call is recorded."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import starmap, takewhile
from typing import Any

from engine import loop
from engine.errors import RunError
from engine.runtime import current

_log = logging.getLogger(__name__)


async def answered(
    rows: Sequence[tuple[object, Callable[[], Awaitable[object]]]],
    num_threads: int | None,
    max_errors: int | None,
    return_failed: bool,
) -> Any:
    """Return the answers of some (example, call), a bounded number at once; see `Parallel`."""
    failures: dict[int, Exception] = {}
    most = current().max_errors if max_errors is None else max_errors

    async def answer(place: int, row: tuple[object, Callable[[], Awaitable[object]]]) -> object:
        try:
            return await row[1]()
        except Exception as error:  # noqa: BLE001 - whatever one call raises is recorded
            failures[place] = error
            _log.warning("Example %d failed: %s: %s", place, type(error).__name__, error)
            return None

    wanted = takewhile(lambda _: most is None or len(failures) < most, enumerate(rows))
    answers = await loop.all_of(starmap(answer, wanted), num_threads or current().num_threads)
    if most is not None and failures and len(failures) >= most:
        last = list(failures.values())[-1]
        stopped = RunError(f"Stopped after {len(failures)} failed examples; the last one: {last}")
        stopped.answers = answers + [None] * (len(rows) - len(answers))  # type: ignore[attr-defined]  # so that nothing paid for is lost
        raise stopped from last
    if not return_failed:
        return answers
    places = sorted(failures)
    return answers, [rows[i][0] for i in places], [failures[i] for i in places]
