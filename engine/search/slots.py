"""How many program rows run at once, shared by all asks of a batch, earlier asks first.

Here pause and stop take hold too: a row that has its slot asks the run's control before it starts. A plain
semaphore would let the asks of a batch advance side by side, and a budget that ends in the middle would
leave every candidate half scored; in order, those that are finished count.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from types import TracebackType

from engine.search.budget import Ledger
from engine.search.settings import Control, Stop


class Slots:
    """A bounded number of slots; `at(place)` is entered around a row, the lowest place is served first."""

    def __init__(self, size: int, control: Control | None, ledger: Ledger) -> None:
        self.size = size
        self._free = size
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._control = control
        self._ledger = ledger

    def at(self, place: int) -> _Place:
        """Return the door for the asks at this place."""
        return _Place(self, place)

    def ignore_control(self) -> None:
        """Pause and stop nothing any more."""
        self._control = None

    async def take(self, place: int) -> None:
        """Wait for a slot, then for the control's leave."""
        if self._free:
            self._free -= 1
        else:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (place, next(self._order), future))
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self.give()
                raise
        await self._checkpoint()

    def give(self) -> None:
        """Hand a slot to whoever waits for one."""
        while self._waiting:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
                return
        self._free += 1

    async def _checkpoint(self) -> None:
        if self._control is None or self._ledger.closed is not None:
            return
        self._ledger.pause()
        try:
            await self._control.checkpoint()
        except Stop:
            self._ledger.close("The run was stopped.", "stopped")
        except BaseException:
            self.give()
            raise
        finally:
            self._ledger.unpause()


class _Place:
    def __init__(self, slots: Slots, place: int) -> None:
        # Twice the slots: as many rows run as wait, so that a slot freed by an ask can go to the same ask again.
        self.size = 2 * slots.size
        self._slots = slots
        self._place = place

    async def __aenter__(self) -> None:
        await self._slots.take(self._place)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.give()
