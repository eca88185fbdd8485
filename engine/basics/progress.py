"""One line on the progress of a search or an evaluation, for `compile`, `Evaluate` and the command line.

On a terminal and in a notebook the line is written over itself; elsewhere a new line comes now and then.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import IO

from engine.basics.text import cut, duration, visible

_LIVE_SECONDS, _PLAIN_SECONDS = 0.1, 5.0
"""Least time between two lines, written over each other or one below the other."""

_BAR = 20


class ProgressLine:
    """Writes phase, bar, figures and time to a stream (stderr by default); nothing unless `shown`."""

    def __init__(self, stream: IO[str] | None = None, *, shown: bool = True) -> None:
        self._stream = stream or sys.stderr
        self._shown = shown and self._stream is not None
        terminal = self._shown and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self.live = terminal or "ipykernel" in sys.modules
        self._started = time.monotonic()
        self._written_at, self._width = 0.0, 0
        self._line = self._last = ""

    def show(self, phase: str, done: float, total: float | None, *figures: str) -> None:
        """Show how far it is: `done` of `total` (None: unknown) as a bar, and the figures that are not empty."""
        if not self._shown:
            return
        filled = round(_BAR * min(1.0, done / total)) if total else 0
        bar = f"{'━' * filled}{'─' * (_BAR - filled)}" if total and self.live else ""
        now = time.monotonic()
        self._line = visible("  ".join(filter(None, [phase, bar, *figures, duration(now - self._started)])))
        if now - self._written_at >= (_LIVE_SECONDS if self.live else _PLAIN_SECONDS):
            self._write()
            self._written_at = now

    def close(self, *, erase: bool = False) -> None:
        """Write the last state and end the line, or erase it."""
        if self._line and not erase:
            self._write()
        if self.live and self._width:
            self._stream.write(f"\r{' ' * self._width}\r" if erase else "\n")
            self._stream.flush()

    def _write(self) -> None:
        if self._line == self._last:
            return
        line = cut(self._line, max(20, shutil.get_terminal_size().columns - 1)) if self.live else self._line
        self._stream.write(f"\r{line.ljust(self._width)}" if self.live else f"{line}\n")
        self._stream.flush()
        self._width, self._last = len(line), self._line
