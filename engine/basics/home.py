"""The folder of Tuneboard's files: the database, the call cache, exports and logs.

It knows environment variables, the operating system's custom, and how a file is written whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
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


def write_whole(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file, whole or not at all, and its folder; a file that is replaced keeps its permissions. Raises OSError.

    Only its owner may read a file that is `private`. A device or a pipe, such as /dev/stdout, is written to as it is.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = path.resolve()  # of a link, the file that it leads to is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:100]}-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            if private:
                partial.chmod(0o600)
            elif path.exists():
                shutil.copymode(path, partial)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
