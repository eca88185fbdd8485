"""The number of model calls that one run of a program may take."""

from __future__ import annotations

from typing import NamedTuple


class CallRange(NamedTuple):
    """The fewest and the most model calls of one run, a reply that must be asked for again left out.

    >>> agent = CallRange(2, 21)
    >>> agent.usual, agent + CallRange(1, 1), 3 * agent
    (8, CallRange(least=3, most=22), CallRange(least=6, most=63))
    """

    least: int
    most: int

    @property
    def usual(self) -> int:
        """The call count to plan with before any run: a third of the range, since most runs end long before the limit."""
        return self.least + round((self.most - self.least) / 3)

    def __add__(self, other: object) -> CallRange:
        if not isinstance(other, CallRange):
            return NotImplemented
        return CallRange(self.least + other.least, self.most + other.most)

    def __rmul__(self, times: object) -> CallRange:
        return CallRange(times * self.least, times * self.most) if isinstance(times, int) else NotImplemented

    def up_to(self, times: int) -> CallRange:
        """Return the range for 1 to `times` runs."""
        return CallRange(self.least, times * self.most)
