"""Telling that a model has gone silent: a call may be waited for long before it counts as failed.

It only watches a counter; it ends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

AFTER_SECONDS = 30.0
LOOK_SECONDS = 1.0


async def tell_of_silence(
    answers: Callable[[], int],
    waiting: Callable[[], bool],
    tell: Callable[[str], None],
    *,
    after: float = AFTER_SECONDS,
    look: float = LOOK_SECONDS,
) -> None:
    """Tell once for each silence: `answers()` has not changed for `after` seconds while `waiting()` was true.

    Runs until it is cancelled.
    """
    seen, since, told = answers(), 0.0, False
    while True:
        await asyncio.sleep(look)
        now = answers()
        if now != seen or not waiting():
            seen, since, told = now, 0.0, False
            continue
        since += look
        if since >= after and not told:
            told = True
            tell(
                f"The model has not answered for {after:.0f} seconds. The run goes on waiting, and tries again what "
                "does not come; stop it if the model's address is wrong."
            )
