"""A data folder written into one file while runs go on, and brought back from it."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from engine.errors import RunError, StoreDamagedError, StoreError
from engine.lm.calls.cache import default_path
from engine.store.connection import copy_database
from engine.store.store import FILE_NAME, Store

_NOT_COPIED = (
    r"limits|deno|pyodide|reserve\.bin|(replaced|restore)-.*|.*\.db(-\w+)?|.*\.sqlite3.*|.*\.partial"
)
"""Names in a data folder that hold nothing of the user's, or older states of it; databases are copied by SQLite."""


def back_up(home: Path, path: Path, *, with_cache: bool = True) -> None:
    """Write a data folder, and its call cache where wished, to a new zip file. Raises StoreError, also for a damaged store."""
    if path.exists() or path.resolve().is_relative_to(home.resolve()):
        raise StoreError(f"{path} exists, or is in the data folder {home}. Choose a new file elsewhere.")
    try:
        with tempfile.TemporaryDirectory(prefix="backup-", dir=path.parent) as folder:
            part = Path(folder) / "part.zip"
            part.touch(mode=0o600)
            with ZipFile(part, "w", ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as file:
                for name in (FILE_NAME, *([default_path().name] if with_cache else ())):
                    if (home / name).exists():
                        copy_database(home / name, Path(folder) / name)
                        file.write(Path(folder) / name, name)
                _check_sound(Path(folder))
                for (
                    top
                ) in home.iterdir():  # after the database: a file is stored before the row that names it
                    for found in () if re.fullmatch(_NOT_COPIED, top.name) else (top, *top.rglob("*")):
                        with suppress(FileNotFoundError):  # deleted meanwhile
                            file.write(found, found.relative_to(home))
            part.rename(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The backup {path} cannot be written: {error}.") from error


def bring_back(home: Path, path: Path) -> Path | None:
    """Put a backup in the place of what a data folder holds; return the folder that has this now, None where there was nothing.

    Raises StoreError for a file that is no sound backup, RunError while a run goes on; nothing is changed then.
    """
    with tempfile.TemporaryDirectory(prefix="restore-", dir=home) as folder:
        _unpack(path, Path(folder))
        if (home / FILE_NAME).exists():
            with suppress(StoreDamagedError), Store.open(home) as store:
                if going := [run.title for run in store.runs.all() if run.goes_on]:
                    raise RunError(f"The run {going[0]!r} goes on. Stop it, or wait for its end, first.")
        replaced = home / time.strftime("replaced-%Y%m%d-%H%M%S")
        for new in sorted(Path(folder).iterdir()):
            for name in (new.name, f"{new.name}-wal", f"{new.name}-shm"):
                if (home / name).exists():
                    replaced.mkdir(exist_ok=True)
                    (home / name).rename(replaced / name)
            new.rename(home / new.name)
    return replaced if replaced.exists() else None


def _unpack(path: Path, folder: Path) -> None:
    try:
        with ZipFile(path) as file:
            if FILE_NAME not in file.namelist():
                raise StoreError(f"it holds no {FILE_NAME}.")
            for info in file.infolist():
                Path(file.extract(info, folder)).chmod(info.external_attr >> 16 & 0o777 | 0o600)
        _check_sound(folder)
    except (OSError, EOFError, RuntimeError, BadZipFile, zlib.error, StoreError) as error:
        raise StoreError(f"The backup {path} cannot be used, and nothing was changed: {error}") from error


def _check_sound(folder: Path) -> None:
    with Store.open(folder) as store:
        if (problem := store.connection.read("PRAGMA quick_check(1)")[0][0]) != "ok":
            raise StoreError(f"The database is damaged ({problem}).")
