"""One open database file: how it is opened, locked, and how SQLite's errors become clear messages.

All reading and writing of the file goes through `read` and `write`.
"""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from functools import cache, partial
from os.path import samestat
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote

import orjson

from engine.basics.text import listed
from engine.errors import (
    AccessError,
    NotFoundError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreTakenError,
    StoreTooNewError,
)
from engine.records import json_form
from engine.store.migrations import SCHEMA_VERSION, migrate

BUSY_SECONDS = 15.0

_ID = "[0-9a-f]" * 12
"""Pattern of the ids of runs and projects, in names of files."""

_log = logging.getLogger(__name__)

_Record = TypeVar("_Record")


class Connection:
    """An open store file. Safe to share between threads of one process: calls take turns.

    Raises StoreTooNewError for a file of a newer version, StoreLockedError when another program holds
    it for longer than `busy_seconds`, StoreError when it cannot be used at all.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._busy = busy_seconds
        self._lock = RLock()
        self._depth = 0
        with self._clear_errors():
            if not read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
            self._file = self.path.stat()

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        with self._lock:
            self._db.close()

    def limit(self, statements: Iterable[str]) -> None:
        """Limit this connection to what one user may: see `engine.store.access`."""
        with self._lock, self._clear_errors():
            for statement in statements:
                self._db.execute(statement)

    def data_version(self) -> int:
        """Return a number that changes when another connection has written (compare on one connection)."""
        return int(self.read("PRAGMA data_version")[0][0])

    def check_current(self) -> None:
        """Raise StoreTakenError where the open file is not at its path any more, or a newer version uses it."""
        with self._lock, self._clear_errors():
            if not (self.path.exists() and samestat(self.path.stat(), self._file)):
                raise StoreTakenError(
                    f"The folder {self.path.parent} was moved, deleted or replaced meanwhile."
                )
            self._schema(self._db)

    def _open(self) -> sqlite3.Connection:
        existed = self.path.exists()
        if self.read_only:
            if not existed:
                type(self)(self.path).close()  # a first reader finds an empty store, not an error
            db, version = self._opened_to_read()
            if version < SCHEMA_VERSION:
                db.close()
                type(self)(self.path).close()
                db, _ = self._opened_to_read()
            return db
        db = self._connect(str(self.path))
        if self._schema(db) < SCHEMA_VERSION:
            self._migrate(db, existed)
        db.execute("PRAGMA synchronous = NORMAL")
        return db

    def _opened_to_read(self) -> tuple[sqlite3.Connection, int]:
        """Return the file opened to read, and its schema's version."""
        address = f"file:{quote(str(self.path))}?mode=ro"
        db = self._connect(address, uri=True)
        try:
            return db, self._schema(db)
        except sqlite3.OperationalError as error:
            # SQLite notes its readers in a file next to this one. Where there is no right or no room for that, and no process
            # is writing, it can do without.
            barred = any(
                words in str(error) for words in ("readonly", "unable to open", "disk I/O", "is full")
            )
            written = self.path.with_name(f"{self.path.name}-wal")
            if not barred or (written.exists() and written.stat().st_size):
                raise
        db = self._connect(f"{address}&immutable=1", uri=True)
        return db, self._schema(db)

    def _connect(self, address: str, *, uri: bool = False) -> sqlite3.Connection:
        db = sqlite3.connect(
            address, timeout=self._busy, isolation_level=None, check_same_thread=False, uri=uri
        )
        # One damaged text is no damaged file.
        db.text_factory = partial(str, encoding="utf-8", errors="replace")
        return db

    def _schema(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StoreTooNewError(
                f"The database {self.path} was written by a newer version of Tuneboard. "
                "Update Tuneboard, or choose another folder with TUNEBOARD_HOME."
            )
        return version

    def _migrate(self, db: sqlite3.Connection, existed: bool) -> None:
        # Two processes may open a fresh folder at once: the second waits, then finds nothing to do.
        for attempt in range(100):
            try:
                db.execute("PRAGMA journal_mode = WAL")  # cannot wait by itself for another's change
                break
            except sqlite3.OperationalError:
                if attempt == 99:
                    raise
                time.sleep(self._busy / 100)
        db.execute("BEGIN IMMEDIATE")
        try:
            version = self._schema(db)
            if version == 0 and (left := self._left_by_a_run()):
                self._check_is_new(existed, left)
            if 0 < version < SCHEMA_VERSION:
                copy_database(self.path, self.path.with_name(f"{self.path.stem}.schema-{version}.db"))
            if version < SCHEMA_VERSION:
                migrate(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _left_by_a_run(self) -> Path | None:
        """Return a file in the folder that a run of this store has left, or None."""
        places = (f"logs/{_ID}.log", f"exports/{_ID}/program.json", f"programs/{_ID}/program.json")
        return next((path for place in places for path in self.path.parent.glob(place)), None)

    def _check_is_new(self, existed: bool, left: Path) -> None:
        """Raise StoreError for a database that was emptied; a user who has deleted the file may start again."""
        name = left.relative_to(self.path.parent)
        if existed:
            raise StoreDamagedError(
                f"The database {self.path} is empty, though {name} is from a run that was stored in it: it was emptied or "
                "overwritten. Put a copy of it back, delete it to start again without its runs, or choose another folder with "
                "TUNEBOARD_HOME."
            )
        _log.warning(
            "The database %s was missing, though %s is from a run: a new one begins without earlier runs.",
            self.path,
            name,
        )

    def _run(self, sql: str, values: Sequence[object]) -> sqlite3.Cursor:
        return self._db.execute(sql, [_stored(value) for value in values])

    def read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query."""
        with self._lock, self._clear_errors():
            return self._run(sql, values).fetchall()

    def records(
        self, kind: type[_Record], rest: str, values: Sequence[object] = (), *, leave_out: str = ""
    ) -> list[_Record]:
        """Return rows as records of a kind, whose fields are columns; `rest` is the query from its FROM on.

        A field is read from JSON where it holds a dict, a tuple or a record with `from_json`. `leave_out` is a field that keeps its default. What no field
        of its type can hold is left empty in a record that can say so (`damaged`); for others that is a StoreDamagedError.
        """
        known: object = kind
        columns = [column for column in _columns(known) if column[0] != leave_out]
        rows = self.read(f"SELECT {', '.join(name for name, _ in columns)} {rest}", values)
        with self.decoding():
            return [_record(known, columns, row) for row in rows]

    def record(self, kind: type[_Record], missing: str, rest: str, values: Sequence[object]) -> _Record:
        """Return the first row as a record. Raises NotFoundError with the message `missing`."""
        for found in self.records(kind, rest, values):
            return found
        raise NotFoundError(missing)

    def write(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement; return how many rows it changed. Mappings and lists become JSON."""
        with self._lock, self._clear_errors():
            return self._run(sql, values).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        with self._lock, self._clear_errors():
            self._db.executemany(sql, rows)

    def insert(self, table: str, values: Mapping[str, object], *, replace: bool = False) -> int:
        """Add a row, in the place of one with the same key where `replace` says so; return its row id."""
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        sql = f"{verb} INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        with self._lock, self._clear_errors():
            return self._run(sql, list(values.values())).lastrowid or 0

    def update_run(self, run_id: str, **values: object) -> None:
        """Set columns of a run, and count the change: pages read it again."""
        changes = "".join(f"{name} = ?, " for name in values)
        sql = f"UPDATE runs SET {changes}revision = revision + 1 WHERE id = ?"  # noqa: S608 - our own names
        self.write(sql, (*values.values(), run_id))

    @contextmanager
    def changing(self, run_id: str) -> Iterator[None]:
        """Make what is written inside one commit, counted as a change of a run."""
        with self.transaction():
            self.update_run(run_id)
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is written inside one commit: all of it or nothing. May be nested."""
        with self._lock, self._clear_errors():
            if self._depth:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have ended it
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    @contextmanager
    def attached(self, path: Path) -> Iterator[None]:
        """Have another database file next to this one inside, its tables as `archive.NAME`, this one's as `main.NAME`."""
        with self._lock, self._clear_errors():
            self._db.execute("ATTACH ? AS archive", [str(path)])
            try:
                yield
            finally:
                self._db.execute("DETACH archive")

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Have all that is read inside show the file at one moment, whatever others write meanwhile."""
        with self._lock, self._clear_errors():
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Raise StoreDamagedError where a stored text inside cannot be read as the value that it was written from."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> StoreDamagedError:
        return StoreDamagedError(
            f"The file {self.path} is damaged or not a Tuneboard database ({type(error).__name__}: {error}). Bring a backup back "
            "with: tuneboard restore FILE. Without one, move it away, or choose another folder with TUNEBOARD_HOME."
        )

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                raise StoreLockedError(
                    f"Another program holds the database {self.path}. Close it, or try again in a moment."
                ) from error
            if _no_room(error):
                raise StoreFullError(
                    f"The disk that holds the database {self.path} is full: nothing can be stored. Free some space."
                ) from error
            if any(words in text for words in ("decode", "malformed", "no such")):
                raise self._damaged(error) from error
            raise StoreError(
                f"The database {self.path} cannot be used: {text}. Check that the folder can be written "
                "to and that the disk has room, or choose another folder with TUNEBOARD_HOME."
            ) from error
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
                raise AccessError(str(error)) from error  # from `engine.store.access`
            raise
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise StoreError(
                f"The folder {self.path.parent} cannot be used: {error.strerror or error}. "
                "Choose another one with TUNEBOARD_HOME."
            ) from error


def copy_database(path: Path, target: Path) -> None:
    """Write a copy of a database as it is at one moment, also while others write. Raises StoreFullError, sqlite3.Error, OSError."""
    needed = 2 * path.stat().st_size  # also for what is written meanwhile
    if shutil.disk_usage(target.parent).free < needed:
        raise StoreFullError(
            f"A copy of {path} needs {needed // 2**20 + 1} MB in {target.parent}. Free some space."
        )
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    address = f"file:{quote(str(path))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # all of it is in one file
    part.replace(target)


def _no_room(error: sqlite3.Error) -> bool:
    # A limit on the size of files and a device that refuses to write come as errors of input and output.
    codes = (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    )
    return getattr(error, "sqlite_errorcode", None) in codes


class StorePart:
    """Base of the store's parts."""

    def __init__(self, db: Connection) -> None:
        self._db = db


def to_json(value: object) -> str:
    r"""Return compact JSON.

    >>> to_json({"a": "\x00", 1: {2}})
    '{"a":"\\u0000","1":[2]}'
    """
    try:
        return orjson.dumps(value, default=json_form, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):  # surrogates, integers over 64 bits, very deep nesting
        return json.dumps(value, default=json_form, skipkeys=True)


def from_json(text: str | None) -> Any:
    """Read what `to_json` wrote; None stays None."""
    if text is None:
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)


@cache
def _columns(kind: Any) -> list[tuple[str, Any]]:
    """Return the column of each of a record's fields, and the type that it is read as, None for one of any type."""
    hints = get_type_hints(kind)
    found: list[tuple[str, object]] = []
    for field in fields(kind):
        shapes = [get_origin(one) or one for one in (hints[field.name], *get_args(hints[field.name]))]
        record = next((shape for shape in shapes if hasattr(shape, "from_json")), None)
        shape = next((one for one in (bool, dict, tuple, int, float, str) if one in shapes), None)
        found.append((str(field.metadata.get("column", field.name)), record or shape))
    return found


def _record(kind: Any, columns: Sequence[tuple[str, Any]], row: Sequence[Any]) -> Any:
    values, damaged = [], []
    for (name, shape), value in zip(columns, row, strict=True):
        try:
            values.append(_read_as(shape, value))
        except (ValueError, TypeError):
            values.append(None if hasattr(shape, "from_json") else shape())
            damaged.append(name)
    record = kind(*values)
    if damaged and not hasattr(record, "damaged"):
        raise ValueError(f"{listed(damaged)} of a {kind.__name__} cannot be read")
    return replace(record, damaged=True) if damaged else record


LARGEST_NUMBER = 1e12
"""Largest value of a column: times, tokens, US dollars, numbers of rows."""


def _read_as(shape: Any, value: Any) -> object:
    """Return a column's value as a field's type. Raises ValueError, TypeError for what cannot be one."""
    if value is None or shape is None or type(value) is shape is str:
        return value
    if hasattr(shape, "from_json"):
        return shape.from_json(from_json(value))
    if shape is bool or (shape in (int, float) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER):
        return shape(value)
    if shape in (dict, tuple) and isinstance(content := from_json(value), list if shape is tuple else dict):
        return shape(content)
    raise ValueError(value)


def _stored(value: object) -> object:
    """Return a value as SQLite can hold it; in a text unpaired surrogates become the replacement character."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    return to_json(value) if isinstance(value, Mapping | list | tuple) else value
