"""The call cache: every answer that was paid for, in one SQLite file, so that none is paid for twice.

A reply is written the moment it is received, in its own transaction (WAL), so a killed process loses none.
Rows are JSON and are never executed. The key covers everything that changes the answer and no API key. Requests
that are equal and under way at once are made once. A file that is damaged is set aside, never an error.

It knows replies and nothing of models.
"""

from __future__ import annotations

import asyncio
import atexit
import copy
import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from engine.basics.home import data_home
from engine.errors import LMError, StoreError
from engine.lm.exchange import Choice, Reply
from engine.records import Usage

log = logging.getLogger(__name__)

# One tree, by a number that follows from the key: a look-up among ten million answers reads one page that is in no cache of the
# processor, where a table with an index of its keys had it read four. Two keys with one number take each other's place.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, key BLOB, model TEXT, reply TEXT, payer TEXT,"
    " created_at FLOAT, calls INTEGER, input_tokens INTEGER, output_tokens INTEGER, cost FLOAT)",
    "CREATE TABLE IF NOT EXISTS kept (replies INTEGER, cost FLOAT)",
    "CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON answers BEGIN"
    " UPDATE kept SET replies = replies + 1, cost = cost + NEW.cost; END",
    "CREATE TRIGGER IF NOT EXISTS replaced AFTER UPDATE ON answers BEGIN"
    " UPDATE kept SET cost = cost + NEW.cost - OLD.cost; END",
)
SELECT = "SELECT model, reply, payer, calls, input_tokens, output_tokens, cost FROM answers WHERE id = ? AND key = ?"
INSERT = (
    "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET key = excluded.key,"
    " model = excluded.model, reply = excluded.reply, payer = excluded.payer, created_at = excluded.created_at,"
    " calls = excluded.calls, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,"
    " cost = excluded.cost"
)
# What earlier versions kept is read where it is.
OLD_TABLE = "SELECT 1 FROM sqlite_master WHERE name = 'replies'"
PAID_BY = "SELECT total(max(calls, 1)), total(input_tokens), total(output_tokens), total(cost) FROM answers WHERE payer = ?"
OLD_SELECT = "SELECT model, reply, payer, calls, input_tokens, output_tokens, cost FROM replies WHERE key = ?"

payer: ContextVar[str | None] = ContextVar("engine_lm_payer", default=None)
"""Id of the run that pays for the calls made here; the search driver sets it."""

MOST_UNKEPT = 2048
"""Replies that wait in memory at most until they can be written."""

LOCK_SECONDS = 10.0
"""Longest wait for another process that writes."""


def default_path() -> Path:
    """Return the cache's usual place, in the data folder."""
    return data_home() / "cache.sqlite3"


def default_cache() -> Cache:
    """Return the process's one cache at the default place; in memory where there can be no data folder."""
    path: Path | None
    try:
        path = default_path()
    except StoreError as error:
        log.warning("%s Answers are kept in memory only.", error)
        path = None
    return _opened.setdefault(path, Cache(path))


class Cache:
    """A persistent cache of replies. Opened on first use; safe in threads and in several processes at once.

    `path` None keeps them in memory, for as long as the object lives.

    >>> import tempfile
    >>> from engine.lm.exchange import Choice
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = Cache(Path(folder) / "cache.sqlite3")
    ...     cache.put("k", Reply((Choice("hello"),)))
    ...     found = cache.get("k")
    ...     cache.close()
    >>> found.text, found.cached
    ('hello', True)
    """

    def __init__(self, path: Path | str | None) -> None:
        self.path = Path(path) if path is not None else None
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._has_older = False
        self._in_flight: dict[tuple[int, str], asyncio.Future[Reply | None]] = {}
        self._unkept: dict[str, tuple[object, ...]] = {}

    async def fetch(self, key: str, buy: Callable[[], Awaitable[Reply]], *, faulty: bool = False) -> Reply:
        """Return the reply kept under a key, or `buy` it once, keep it and return it.

        Equal requests that arrive meanwhile wait for the same reply and get it as cached. When the first request
        fails, those waiting fail with it, at no cost of theirs; when it is cancelled, one of them is sent instead.
        `faulty` is as in `get`.
        """
        flight = (id(asyncio.get_running_loop()), key)
        while True:
            stored = self.get(key, faulty=faulty)
            if stored is not None:
                return stored
            other = self._in_flight.get(flight)
            if other is None:
                return await self._buy(flight, buy)
            reply = await asyncio.shield(other)
            if reply is not None:
                return replace(reply, cached=True)

    async def _buy(self, flight: tuple[int, str], buy: Callable[[], Awaitable[Reply]]) -> Reply:
        waiting: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        self._in_flight[flight] = waiting
        try:
            new = await buy()
            reply = Reply(new.choices, new.usage, new.model, new.seconds, False, flight[1], payer.get())
            self.put(flight[1], reply, reply.payer)
        except Exception as error:
            waiting.set_exception(_unpaid(error))
            # The caller gets it; without others waiting it must not count as forgotten.
            waiting.exception()
            raise
        except BaseException:
            waiting.set_result(None)
            raise
        else:
            waiting.set_result(reply)
            return reply
        finally:
            self._in_flight.pop(flight, None)

    def get(self, key: str, *, faulty: bool = False) -> Reply | None:
        """Return the reply kept under a key, marked as cached, or None; one that is `faulty` where that is asked for alone."""
        if self._unkept and (unkept := self._unkept.get(key)) is not None:
            return _kept_reply(key, (*unkept[2:5], *unkept[6:]))
        try:
            with self._lock:
                connection = self._open()
                row = connection.execute(SELECT, place_of(key)).fetchone()
                if row is None and self._has_older:
                    row = connection.execute(OLD_SELECT, (key,)).fetchone()
        except sqlite3.Error as error:
            self._trouble(error, "read")
            return None
        if row is None:
            return None
        try:
            reply = _kept_reply(key, row)
            # A faulty one was kept by an earlier version: an endpoint may have been repaired since.
            return reply if faulty or not reply.faulty else None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            log.warning("One reply in %s is unreadable; it will be asked for again.", self.path)
            return None

    def put(self, key: str, reply: Reply, payer: str | None = None) -> None:
        """Keep a reply under a key, at once and for good.

        On a disk that is full, or while another program holds the file, it is kept in memory until `settle` can write it,
        which the next `put`, `close` and the end of the process try as well.
        """
        data = orjson.dumps(
            {"choices": reply.choices, "seconds": reply.seconds},
            default=lambda value: dict(value) if isinstance(value, Mapping) else str(value),
            option=orjson.OPT_NON_STR_KEYS,
        )
        used = reply.usage
        spent = (used.calls, used.input_tokens, used.output_tokens, used.cost)
        row = (*place_of(key), reply.model, data.decode(), payer, time.time(), *spent)
        if self._unkept:  # what holds this one up too need not be waited for again
            self._unkept[key] = row
            self.settle()
            return
        try:
            with self._lock:
                self._open().execute(INSERT, row)
        except sqlite3.Error as error:
            if self._trouble(error, "written to"):
                with self._lock:
                    self._open().execute(INSERT, row)
            else:
                self._unkept[key] = row
                _waiting.add(self)

    @property
    def unkept(self) -> bool:
        """True if replies wait in memory because they could not be written."""
        return bool(self._unkept)

    def settle(self, seconds: float = 0.1) -> str:
        """Write what could not be written before; return a message on why it still cannot be, "" when all is kept.

        `seconds` is the longest wait for another program that holds the file.
        """
        if not self._unkept:
            return ""
        try:
            with self._lock:
                for oldest in list(self._unkept)[:-MOST_UNKEPT]:
                    del self._unkept[oldest]
                connection = self._open()
                connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")
                try:
                    for key, row in list(self._unkept.items()):
                        connection.execute(INSERT, row)
                        del self._unkept[key]
                finally:
                    connection.execute(f"PRAGMA busy_timeout = {int(1000 * LOCK_SECONDS)}")
        except sqlite3.Error as error:
            return f"The call cache {self.path} cannot be written to ({error}): {len(self._unkept)} answers wait in memory."
        _waiting.discard(self)
        return ""

    def paid_by(self, payer: str) -> Usage:
        """Return what a run has paid for the replies that are kept. Reads the whole file."""
        try:
            with self._lock:
                calls, read, written, cost = self._open().execute(PAID_BY, (payer,)).fetchone()
        except sqlite3.Error as error:
            self._trouble(error, "read")
            return Usage()
        return Usage(int(calls), 0, int(read), int(written), cost)

    def size(self) -> tuple[int, int, float]:
        """Return how much is kept: replies, bytes on disk, and the US dollars paid for them."""
        try:
            with self._lock:
                count, cost = self._open().execute("SELECT replies, cost FROM kept").fetchone()
        except sqlite3.Error as error:
            self._trouble(error, "read")
            count, cost = 0, 0.0
        return count, sum(f.stat().st_size for f in self._files() if f.exists()), cost

    def clear(self) -> int:
        """Forget every reply, also those that wait in memory; return how many there were."""
        with self._lock:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                (count,) = connection.execute("SELECT replies FROM kept").fetchone()
                connection.execute("DELETE FROM answers")
                connection.execute("UPDATE kept SET replies = 0, cost = 0.0")
                if self._has_older:
                    connection.execute("DELETE FROM replies")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            count += len(self._unkept)
            self._unkept.clear()
            _waiting.discard(self)
        return int(count)

    def close(self) -> None:
        """Write what waits in memory, if that can be done now, and close the file; the next use opens it again."""
        if problem := self.settle():
            log.warning("%s", problem)
        self._disconnect()

    def _disconnect(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._new_connection()
            self._has_older = bool(self._connection.execute(OLD_TABLE).fetchone())
        return self._connection

    def _new_connection(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except sqlite3.DatabaseError as error:
            if self.path is None or not _is_damage(error):
                return self._in_memory(error)
            self._set_aside(self.path, error)
            return _connect(self.path)
        except OSError as error:
            return self._in_memory(error)

    def _in_memory(self, error: Exception) -> sqlite3.Connection:
        log.warning(
            "The call cache %s cannot be opened (%s): answers are kept in memory only.", self.path, error
        )
        return _connect(None)

    def _trouble(self, error: sqlite3.Error, action: str) -> bool:
        """Log what went wrong; set a damaged file aside and return True."""
        with self._lock:
            if self.path is not None and _is_damage(error):
                self._disconnect()
                self._set_aside(self.path, error)
                return True
        so = (
            "the call goes on without it"
            if action == "read"
            else "the answer waits in memory until it can be"
        )
        log.warning("The call cache %s could not be %s (%s); %s.", self.path, action, error, so)
        return False

    def _set_aside(self, path: Path, error: Exception) -> None:
        name = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1_000_000:06d}"
        for side_file in self._files()[1:]:
            side_file.unlink(missing_ok=True)
        if path.exists():
            path.rename(path.with_name(name))
        log.warning(
            "The call cache %s was damaged (%s). It is now %s; a new one is begun.", path, error, name
        )

    def _files(self) -> list[Path]:
        """Return the database file and the two that SQLite keeps next to it."""
        path = self.path
        return [] if path is None else [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def place_of(key: str) -> tuple[int, bytes]:
    """Return the number under which a key's answer is kept, and what is compared with it there."""
    digest = hashlib.blake2b(key.encode(), digest_size=24).digest()
    return int.from_bytes(digest[:8], "big", signed=True), digest[8:]


def _unpaid(error: Exception) -> Exception:
    """Return a failure for those who have only waited for the call: it costs them nothing."""
    if not isinstance(error, LMError) or error.spent is None:
        return error
    other = copy.copy(error)
    other.spent = None
    return other


def _kept_reply(key: str, row: tuple[Any, ...]) -> Reply:
    """Return the reply of a row. Raises ValueError, KeyError or TypeError for one that is damaged."""
    model, text, paid_by, calls, tokens_in, tokens_out, cost = row
    data = orjson.loads(text)
    # Rows of earlier versions have "finish", and leave out what is empty.
    choices = [
        Choice(
            choice["text"],
            choice["finish_reason"] if "finish_reason" in choice else choice["finish"],
            choice.get("reasoning"),
            tuple(choice.get("tool_calls", ())),
            choice.get("logprobs"),
            tuple(choice.get("citations", ())),
        )
        for choice in data["choices"]
    ]
    usage = Usage(calls, 0, tokens_in, tokens_out, cost)
    return Reply(tuple(choices), usage, model, data["seconds"], True, key, paid_by)


def _connect(path: Path | None) -> sqlite3.Connection:
    """Open a file and make its table; wait for other processes that are just doing so."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return _connected(path)
        except sqlite3.OperationalError as error:
            # Switching a new file to WAL does not wait for a lock by itself.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _connected(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # NORMAL loses nothing when the process is killed, only when the machine is.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept'").fetchone():
            _make_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables, once; what an earlier version kept is counted in."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        for statement in SCHEMA:
            connection.execute(statement)
        before: tuple[int, float] = (0, 0.0)
        if connection.execute(OLD_TABLE).fetchone():
            before = connection.execute("SELECT count(*), total(cost) FROM replies").fetchone()
        connection.execute("INSERT INTO kept SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM kept)", before)


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (
        code is None and "malformed" in str(error)
    )


def configure_cache(
    enable_disk_cache: bool = True,
    enable_memory_cache: bool = True,
    disk_cache_dir: str | Path | None = None,
) -> None:
    """Choose where the models of this process keep their answers. Models with a separate cache keep it.

    On disk they lie in `disk_cache_dir`, or in the data folder; without the disk they live as long as the process; without
    both nothing is kept. Nothing is ever pickled.

    >>> configure_cache(enable_disk_cache=False)
    >>> chosen_cache().path is None
    True
    >>> configure_cache()
    >>> chosen_cache()
    True
    """
    global _chosen  # the one choice of the process
    if not enable_disk_cache:
        _chosen = enable_memory_cache and Cache(None)
    else:
        _chosen = disk_cache_dir is None or Cache(Path(disk_cache_dir) / "cache.sqlite3")


def chosen_cache() -> Cache | bool:
    """Return the cache that was chosen for the process; True: the one in the data folder, False: none."""
    return _chosen


_waiting: set[Cache] = set()
"""Caches with replies that wait in memory: held here until these are written."""


@atexit.register
def _settle_at_exit() -> None:
    for cache in list(_waiting):
        if problem := cache.settle(_SECONDS_AT_EXIT):
            log.warning("%s They are lost now.", problem)


_SECONDS_AT_EXIT = 2.0
_opened: dict[Path | None, Cache] = {}
_chosen: Cache | bool = True
