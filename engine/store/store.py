"""The store: one SQLite file in the data folder, with everything that is kept.

Opening it to read costs some 0.3 ms, so a page opens it anew for each look and closes it again. It
knows nothing of models, searches or pages; see `engine.store.rows` for the records it hands out.
"""

from __future__ import annotations

from pathlib import Path

from engine.home import data_home
from engine.store.people import PeopleStore
from engine.store.requests import RequestStore
from engine.store.versions import VersionStore

FILE_NAME = "tuneboard.db"


class Store(RequestStore, PeopleStore, VersionStore):
    """Projects, datasets, runs and what happened in them.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home, Store.open(Path(home)) as store:
    ...     project = store.create_project("Routing", {"seed": 1})
    ...     store.get_project(project).draft
    {'seed': 1}
    """

    @classmethod
    def open(cls, home: Path | None = None, *, read_only: bool = False) -> Store:
        """Open the store of a data folder (the default one: `engine.home.data_home`), made where there is none.

        Raises StoreError, StoreTooNewError or StoreLockedError with a sentence to show.
        """
        return cls((home or data_home()) / FILE_NAME, read_only=read_only)
