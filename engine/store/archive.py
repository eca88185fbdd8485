"""Runs moved out of the store into a file, and brought back: a small store with the same tables and the same rows.

A file is written, synced and read back before anything is deleted, so that a process killed at any moment loses nothing.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import NotFoundError, StoreError, StoreTooNewError
from engine.store.connection import LARGEST_NUMBER, StorePart
from engine.store.migrations import SCHEMA_VERSION, migrate
from engine.store.rows import OVER

OF_RUN = ("candidates", "trials", "outcomes", "events", "requests")
COUNTED = ("events", "requests")
"""Tables whose rows have a number that counts over all runs."""

OF_PROJECT = ("feedback", "grades", "versions")
"""Tables that stay in the store, for the project's next runs; the file has a copy for a store without the project."""

CHOSEN = "(SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """The ids of the runs that were brought back, and of those that were left out because they are here."""

    runs: tuple[str, ...]
    here: tuple[str, ...]


class Archive(StorePart):
    """Moving runs between the store and files."""

    def put_away(self, run_ids: Sequence[str], path: Path) -> None:
        """Move runs that are over into a new file at `path`: all that was recorded of them, and their projects and tables.

        Raises NotFoundError for an unknown run; StoreError for one that goes on, and where there is a file; AccessError.
        """
        ids = list(dict.fromkeys(run_ids))
        self._check(ids)
        if path.exists():
            raise StoreError(f"There is a file {path} already. Choose another name.")
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            _make(part)
            with self._db.attached(part), self._db.one_look():
                self._copy(ids)
            _sync(part)
            part.rename(path)
            _sync(path.parent)
        except OSError as error:
            raise StoreError(f"The file {path} cannot be written: {error.strerror or error}.") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        with self._db.attached(path), self._db.transaction():
            self._check_read_back(ids, path)
            for table in (*OF_RUN, "sends"):
                self._db.write(f"DELETE FROM main.{table} WHERE run_id IN {CHOSEN}", (ids,))
            self._db.write(f"DELETE FROM main.runs WHERE id IN {CHOSEN}", (ids,))
        self._give_space_back()

    def bring_back(self, path: Path) -> BroughtBack:
        """Add the runs of a file from `opened` to the store, as they were; runs that are here already are left out.

        Projects and tables of examples are added where they are not here. Raises AccessError.
        """
        with self._db.attached(path), self._db.transaction():
            every = [
                row[0] for row in self._db.read("SELECT id FROM archive.runs ORDER BY created_at, rowid")
            ]
            here = {
                row[0] for row in self._db.read("SELECT id FROM main.runs WHERE id IN " + CHOSEN, (every,))
            }
            new = [run_id for run_id in every if run_id not in here]
            projects = self._new(
                "projects", f"id IN (SELECT project_id FROM archive.runs WHERE id IN {CHOSEN})", new
            )
            tables = (
                f"id IN (SELECT json_extract(spec, '$.dataset') FROM archive.runs WHERE id IN {CHOSEN} "
                "UNION SELECT json_extract(draft, '$.dataset') FROM archive.projects)"
            )
            datasets = self._new("datasets", tables, new)
            self._add("projects", "id", projects)
            self._add("datasets", "id", datasets)
            self._add("runs", "id", new)
            for table in OF_RUN:
                self._add(table, "run_id", new)
            for table in OF_PROJECT:
                self._add(table, "project_id", projects)
        return BroughtBack(tuple(new), tuple(run_id for run_id in every if run_id in here))

    def _check(self, ids: Sequence[str]) -> None:
        """Raise an error unless there is a run of every id, all are over, and the user may change them."""
        with self._db.transaction():
            rows = self._db.read(f"SELECT id, title, state FROM main.runs WHERE id IN {CHOSEN}", (ids,))
            if missing := set(ids) - {row[0] for row in rows}:
                raise NotFoundError(
                    f"There is no run {min(missing)!r}. It may have been put away or deleted."
                )
            if going := [title for _, title, state in rows if state not in OVER]:
                raise StoreError(
                    f"The run {going[0]!r} has not ended. Stop it, or go on with it to its end, first."
                )
            self._db.write(f"UPDATE main.runs SET revision = revision WHERE id IN {CHOSEN}", (ids,))

    def _copy(self, ids: Sequence[str]) -> None:
        for table, chosen in _rows_of_runs().items():
            rows = f"SELECT * FROM main.{table} WHERE {chosen} ORDER BY {_order(table)}"
            self._db.write(f"INSERT INTO archive.{table} {rows}", (ids,))
        self._db.write(
            "INSERT INTO archive.projects SELECT * FROM main.projects WHERE id IN (SELECT project_id FROM archive.runs)"
        )
        self._db.write(
            "INSERT INTO archive.datasets SELECT * FROM main.datasets "
            "WHERE id IN (SELECT json_extract(spec, '$.dataset') FROM archive.runs)"
        )
        for table in OF_PROJECT:
            self._db.write(
                f"INSERT INTO archive.{table} SELECT * FROM main.{table} WHERE project_id IN (SELECT id FROM archive.projects)"
            )

    def _check_read_back(self, ids: Sequence[str], path: Path) -> None:
        """Raise StoreError unless the file holds exactly what is to be deleted."""
        whole = self._db.read("PRAGMA archive.quick_check(1)")[0][0] == "ok"
        for table, chosen in _rows_of_runs().items():
            mine = f"SELECT * FROM main.{table} WHERE {chosen}"
            missing = self._db.read(
                f"SELECT count(*) FROM ({mine} EXCEPT SELECT * FROM archive.{table})", (ids,)
            )
            counts = [
                self._db.read(f"SELECT count(*) FROM ({mine})", (ids,))[0][0],
                self._db.read(f"SELECT count(*) FROM archive.{table}")[0][0],
            ]
            whole = whole and missing[0][0] == 0 and counts[0] == counts[1]
        if not whole:
            raise StoreError(
                f"The file {path} does not hold all that is stored: a run has changed meanwhile, or the disk has lost something. "
                "Nothing was deleted. Delete the file and try again."
            )

    def _new(self, table: str, chosen: str, ids: Sequence[str]) -> list[str]:
        """Return the ids of a table's chosen rows in the file that are not in the store."""
        sql = f"SELECT id FROM archive.{table} WHERE {chosen} AND id NOT IN (SELECT id FROM main.{table})"
        return [row[0] for row in self._db.read(sql, (list(ids),))]

    def _add(self, table: str, column: str, ids: Sequence[str]) -> None:
        chosen = f"FROM archive.{table} WHERE {column} IN {CHOSEN}"
        names = "*"
        if table in COUNTED:
            clash = f"SELECT 1 {chosen} AND id IN (SELECT id FROM main.{table}) LIMIT 1"
            if self._db.read(clash, (list(ids),)):  # of another store: they get numbers of this one
                columns = self._db.read(f"PRAGMA main.table_info({table})")
                names = ", ".join(["NULL", *(name for _, name, *_ in columns[1:])])
        rows = f"SELECT {names} {chosen} ORDER BY {_order(table)}"
        self._db.write(f"INSERT INTO main.{table} {rows}", (list(ids),))

    def _give_space_back(self) -> None:
        """Make the file smaller, unless a run goes on: it would have to wait."""
        if self._db.read("SELECT 1 FROM main.runs WHERE state IN ('running', 'paused', 'queued') LIMIT 1"):
            return
        with suppress(StoreError):  # a full disk, a lock: the room is used again for what comes next
            self._db.write("VACUUM main")
            self._db.read("PRAGMA main.wal_checkpoint(TRUNCATE)")


def _rows_of_runs() -> dict[str, str]:
    return {"runs": f"id IN {CHOSEN}", **dict.fromkeys(OF_RUN, f"run_id IN {CHOSEN}")}


def _order(table: str) -> str:
    return "run_id, number" if table == "trials" else "rowid"


def _make(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = FULL")
        file.execute("BEGIN IMMEDIATE")
        migrate(file)
        file.execute("COMMIT")


def _sync(path: Path) -> None:
    """Have a file, or a folder's list of files, on the disk before going on."""
    if os.name == "nt" and path.is_dir():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Make a copy of a file of runs for as long as the block lasts, checked and with today's schema: a small store.

    Raises StoreError for any other file, also for one that holds more; StoreTooNewError.
    """
    refused = f"The file {path.name} holds no runs that were put away, or it is damaged."
    with tempfile.TemporaryDirectory(prefix="tuneboard-") as folder:
        copy = Path(folder) / "runs"
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            raise StoreError(f"The file {path} cannot be read: {error.strerror or error}.") from error
        with closing(sqlite3.connect(copy, isolation_level=None)) as file:
            try:
                file.execute("PRAGMA trusted_schema = OFF")
                file.execute("PRAGMA cell_size_check = ON")
                version = int(file.execute("PRAGMA user_version").fetchone()[0])
                if version > SCHEMA_VERSION:
                    raise StoreTooNewError(
                        f"The file {path.name} was written by a newer version of Tuneboard. Update Tuneboard."
                    )
                if not _is_sound(file, version):
                    raise StoreError(refused)
                file.execute("BEGIN")
                migrate(file)
                file.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(refused) from error
        yield copy


LONGEST_NAME = 10_000
"""Characters of a name, a title or a note in a file."""


def _is_sound(file: sqlite3.Connection, version: int) -> bool:
    """Return whether a file has a store's schema and nothing else (triggers, views), and values of its columns' types and ranges."""
    what = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh, upto=version)
        if version == 0 or file.execute(what).fetchall() != fresh.execute(what).fetchall():
            return False
    return file.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok" and all(
        not file.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone()
        for table in ("runs", "projects", "datasets", *OF_RUN, *OF_PROJECT)
        for wrong in _wrong_types(file, table)
    )


NAMES = ("id", "name", "title", "note", "label", "state", "phase", "message", "started_by")
SIGNED = ("score", "thumbs", "heartbeat_at")


def _wrong_types(file: sqlite3.Connection, table: str) -> Iterator[str]:
    kinds = {"TEXT": "'text'", "INTEGER": "'integer'", "REAL": "'real', 'integer'", "BLOB": "'blob'"}
    for _, name, kind, *_ in file.execute(f"PRAGMA table_info({table})").fetchall():
        yield f"typeof({name}) NOT IN ({kinds[kind]}, 'null')"
        if kind in ("INTEGER", "REAL"):
            least = -LARGEST_NUMBER if name in SIGNED else 0
            yield f"NOT {name} BETWEEN {least} AND {LARGEST_NUMBER}"
        elif name in NAMES:
            yield f"length({name}) > {LONGEST_NAME}"
