"""Speeds of models: seconds by tokens written, measured on every call that was made, in one file of the data folder.

Only sums are stored, under a hash of the model and its address. It knows no request, no text and no key.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from contextlib import suppress
from typing import NamedTuple

import orjson

from engine.basics.home import data_home, write_whole
from engine.errors import StoreError

# Calls after which earlier ones count less and less, and models whose speed is stored: those asked last.
_REMEMBERED, _MOST_PLACES = 500, 500
_FLUSH_SECONDS = 1.0
# Sum of squares, in tokens, from which on measured calls say more than a usual model on how long a token takes.
_TRUST = 10 * 20**2
# A hosted model takes some tenths of a second to begin and then writes about 80 tokens a second.
_BEGIN, _TOKENS_A_SECOND = 0.4, 80


class Speed(NamedTuple):
    """Sums over calls: their number, seconds, tokens written, squared tokens, and products of tokens and seconds.

    >>> speed = Speed()
    >>> for tokens in (20, 30, 200) * 20:
    ...     speed = speed.with_call(0.5 + tokens / 100, tokens)
    >>> round(speed.seconds_for(120), 1), Speed().seconds_for(80)
    (1.7, 1.4)
    """

    calls: float = 0.0
    seconds: float = 0.0
    tokens: float = 0.0
    squares: float = 0.0
    products: float = 0.0

    def with_call(self, seconds: float, tokens: float) -> Speed:
        """Return the sums with one more call; one that takes very long among many counts as five usual ones."""
        if self.calls >= 5:
            seconds = min(seconds, 5 * self.seconds / self.calls)
        share = min(1.0, _REMEMBERED / (self.calls + 1))
        call = (1.0, seconds, tokens, tokens**2, seconds * tokens)
        return Speed(*(share * known + more for known, more in zip(self, call, strict=True)))

    def seconds_for(self, tokens: float) -> float:
        """Return the seconds of a call that writes this many tokens, by a line; without any call, a usual hosted model's."""
        if not self.calls:
            return _BEGIN + tokens / _TOKENS_A_SECOND
        mean, usual = self.seconds / self.calls, self.tokens / self.calls
        expected = mean / (_BEGIN * _TOKENS_A_SECOND + usual)
        together, squares = self.products - mean * self.tokens, self.squares - usual * self.tokens
        slope = max(0.0, (together + _TRUST * expected) / (squares + _TRUST))
        return max(mean / 5, mean + slope * (tokens - usual))


_lock = threading.Lock()
_new: list[tuple[str, float, float]] = []
_written_at = -math.inf


def note(place: str, seconds: float, tokens: float) -> None:
    """Note a call that was made; it is in the file about a second later, or when the process ends."""
    _new.append((place, seconds, tokens))
    if time.monotonic() - _written_at >= _FLUSH_SECONDS:
        speeds()


@atexit.register
def speeds() -> dict[str, Speed]:
    """Return all speeds, with what is new, which is written to the file. Never raises: a damaged file counts as empty."""
    global _written_at
    known: dict[str, Speed] = {}
    with _lock, suppress(StoreError, OSError):
        path = data_home() / "speeds.json"
        with suppress(OSError, ValueError, TypeError, AttributeError):
            known = {p: Speed(*map(float, sums)) for p, sums in orjson.loads(path.read_bytes()).items()}
        if new := _new[:]:
            for place, seconds, tokens in new:
                known[place] = known.pop(place, Speed()).with_call(seconds, tokens)
            _written_at = time.monotonic()
            del _new[: len(new)]
            write_whole(path, orjson.dumps({p: [*known[p]] for p in list(known)[-_MOST_PLACES:]}))
    return known
