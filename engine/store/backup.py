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

from engine.errors import RunError, StoreError, StoreLockedError
from engine.lm.cache import default_path
from engine.store.connection import copy_database
from engine.store.store import FILE_NAME, Store

_NOT_COPIED = re.compile(
    r"limits|deno|pyodide|reserve\.bin|(replaced|restore)-.*|.*\.schema-\d+\.db|.*\.db-\w+|.*\.sqlite3.*"
)
"""Names in a data folder that hold nothing of the user's, or older states of it; databases are copied by SQLite."""


def back_up(home: Path, path: Path, *, with_cache: bool = True) -> None:
    """Write a data folder to a new zip file, also while runs go on. Raises StoreError where that fails, and for a damaged store.

    `with_cache` includes the call cache: without it, a run that goes on after it was brought back pays for its calls again.
    """
    if path.exists() or path.resolve().is_relative_to(home.resolve()):
        raise StoreError(f"{path} exists, or is in the data folder {home}. Choose a new file elsewhere.")
    part = path.with_name(f"{path.name}.part")
    cache = home / default_path().name
    databases = [home / FILE_NAME, *([cache] if with_cache and cache.exists() else [])]
    try:
        with tempfile.TemporaryDirectory(prefix="backup-", dir=path.parent) as folder:
            part.touch(mode=0o600)
            with ZipFile(part, "w", ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as file:
                for database in databases:  # first: what their rows name is stored before the rows
                    copy_database(database, copy := Path(folder) / database.name)
                    file.write(copy, copy.name)
                _check_sound(Path(folder))
                tops = [
                    top
                    for top in home.iterdir()
                    if not _NOT_COPIED.fullmatch(top.name) and top != home / FILE_NAME
                ]
                for found in (one for top in tops for one in (top, *top.rglob("*"))):
                    if found.is_file() and found.suffix != ".partial":
                        with suppress(FileNotFoundError):  # deleted meanwhile
                            file.write(found, found.relative_to(home))
        part.rename(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The backup {path} cannot be written: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


def bring_back(home: Path, path: Path) -> Path | None:
    """Put a backup in the place of what a data folder holds; return the folder that has this now, None where there was nothing.

    Raises StoreError for a file that is no sound backup, RunError while a run goes on; nothing is changed then.
    """
    with tempfile.TemporaryDirectory(prefix="restore-", dir=home) as folder:
        _unpack(path, Path(folder))
        _check_unused(home)
        replaced = home / time.strftime("replaced-%Y%m%d-%H%M%S")
        for new in sorted(Path(folder).iterdir()):
            for old in (home / new.name, home / f"{new.name}-wal", home / f"{new.name}-shm"):
                if old.exists():
                    replaced.mkdir(exist_ok=True)
                    old.rename(replaced / old.name)
            new.rename(home / new.name)
    return replaced if replaced.exists() else None


def _unpack(path: Path, folder: Path) -> None:
    try:
        with ZipFile(path) as file:
            file.getinfo(FILE_NAME)
            for info in file.infolist():
                Path(file.extract(info, folder)).chmod(info.external_attr >> 16 & 0o777 | 0o600)
        _check_sound(folder)
    except KeyError:
        raise StoreError(f"The file {path} is no backup: it holds no {FILE_NAME}.") from None
    except (OSError, EOFError, RuntimeError, BadZipFile, zlib.error, StoreError) as error:
        raise StoreError(f"The backup {path} cannot be used, and nothing was changed: {error}") from error


def _check_sound(folder: Path) -> None:
    with Store.open(folder) as store:
        if (problem := store.connection.read("PRAGMA quick_check(1)")[0][0]) != "ok":
            raise StoreError(f"The database in it is damaged ({problem}).")


def _check_unused(home: Path) -> None:
    """Raise RunError while a run goes on; a store that is missing or damaged is in no use."""
    if not (home / FILE_NAME).exists():
        return
    try:
        with Store.open(home) as store:
            titles = [run.title for run in store.runs.all() if run.goes_on]
    except StoreLockedError:
        raise
    except StoreError:
        return
    if titles:
        raise RunError(
            f"The run {titles[0]!r} goes on. Stop it, or wait for its end, before you bring a backup back."
        )
