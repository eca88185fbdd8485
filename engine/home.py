"""The folder of Tuneboard's files: the database, the call cache, exports and logs.

It knows environment variables, the operating system's custom, and how a file is written whole.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import StoreError

ENVIRONMENT_VARIABLE = "TUNEBOARD_HOME"
READ_ONLY_VARIABLE = "TUNEBOARD_READ_ONLY"
"""Variable that makes the dashboard change nothing."""


def data_home() -> Path:
    """Return the data folder, made if it was missing: TUNEBOARD_HOME, else the system's place for user data.

    Raises StoreError where the folder cannot be made.

    >>> data_home().is_dir()
    True
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        home = Path(chosen).expanduser()
    else:
        # Imported here: with the variable set, start-up does not pay for it.
        from platformdirs import user_data_path

        home = user_data_path("tuneboard", appauthor=False)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data folder {home} cannot be made: {error.strerror or error}. Choose another with {ENVIRONMENT_VARIABLE}."
        ) from error
    return home


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, and its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
