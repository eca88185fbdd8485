"""The store: one SQLite file in the data folder, with everything that is kept.

Opening it to read costs some 0.3 ms, so a page opens it again for each look and closes it. It knows nothing of
models, searches or pages; see `engine.store.rows` for the records it hands out.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path

from engine.basics.home import data_home
from engine.store.access import limits
from engine.store.archive import Archive
from engine.store.connection import BUSY_SECONDS, Connection
from engine.store.members import Links, Members
from engine.store.projects import Datasets, Projects, StoredFeedback, StoredSettings, Versions
from engine.store.queue import Queue
from engine.store.runs import Runs, StoredRequests
from engine.store.spend import Spend
from engine.store.trials import Events, StoredTrials
from engine.store.users import User

FILE_NAME = "tuneboard.db"


class Store:
    """Projects, datasets, runs and what happened in them: parts over one connection.

    For a `user` of a server with several, it holds the user's projects and refuses changes that the user has no right
    to with AccessError; without one, all is open.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home, Store.open(Path(home)) as store:
    ...     project = store.projects.create("Routing", {"seed": 1})
    ...     store.projects.get(project).draft
    {'seed': 1}
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
        user: User | None = None,
    ) -> None:
        self.connection = Connection(path, read_only=read_only, busy_seconds=busy_seconds)
        if user is not None:
            self.connection.limit(limits(user, read_only=read_only))
        self.projects = Projects(self.connection)
        self.members = Members(self.connection)
        self.datasets = Datasets(self.connection)
        self.settings = StoredSettings(self.connection)
        self.runs = Runs(self.connection)
        self.queue = Queue(self.connection, self.runs, self.settings)
        self.trials = StoredTrials(self.connection)
        self.events = Events(self.connection)
        self.requests = StoredRequests(self.connection)
        self.links = Links(self.connection)
        self.feedback = StoredFeedback(self.connection)
        self.versions = Versions(self.connection)
        self.archive = Archive(self.connection)
        self.spend = Spend(self.connection)
        self._user = user.name if user else ""
        self.noted: tuple[str, str] | None = None
        """What is done with the store and about what, for the audit log: written when it is closed without an error."""

    @classmethod
    def open(cls, home: Path | None = None, *, read_only: bool = False) -> Store:
        """Open the store of a data folder (the default one: `engine.basics.home.data_home`), made if there is none.

        Raises StoreError, StoreTooNewError or StoreLockedError with a message to show.
        """
        return cls((home or data_home()) / FILE_NAME, read_only=read_only)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if self.noted and error is None:
            action, about = self.noted
            entry = {"at": time.time(), "user": self._user, "action": action, "about": about}
            self.connection.insert("audit", entry)
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self.connection.close()

    def audit(self, words: str = "") -> list[dict[str, str]]:
        """Return the audit log's entries that hold the words, the newest first, at most 5,000."""
        rows = self.connection.read(
            "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch'), user, action, about FROM audit "
            "WHERE instr(lower(user || ' ' || action || ' ' || about), lower(?)) ORDER BY id DESC LIMIT 5000",
            (words,),
        )
        return [dict(zip(("time", "user", "action", "about"), row, strict=True)) for row in rows]

    def transaction(self) -> AbstractContextManager[None]:
        """Make what is written inside one commit: all of it or nothing. May be nested."""
        return self.connection.transaction()
