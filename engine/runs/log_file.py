"""Log files in the data folder: for their owner alone, without keys, and without what the disk has no room for."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from engine.basics.text import visible
from engine.lm.keys import without_keys


class LogFile(RotatingFileHandler):
    """The log file `name` of a data folder. What comes before its last `most` bytes is in NAME.1 (0: all is in one)."""

    def __init__(self, home: Path, name: str, most: int = 2_000_000) -> None:
        super().__init__(home / "logs" / name, maxBytes=most, backupCount=1, delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
        return os.fdopen(os.open(self.baseFilename, flags, 0o600), "a", encoding="utf-8")

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a text without keys."""
        return visible(without_keys(super().format(record)))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Report an error, unless it is the disk's."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, also on a full disk."""
        with suppress(OSError):
            super().close()
