"""Where Tuneboard keeps its files: the database, the call cache, exports and logs.

It knows one environment variable and the operating system's custom, and creates nothing but the folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """Return the data folder, made if it was missing: TUNEBOARD_HOME, else the system's place for user data.

    Raises OSError where the folder cannot be made.

    >>> data_home().is_dir()
    True
    """
    chosen = os.environ.get("TUNEBOARD_HOME")
    if chosen:
        home = Path(chosen).expanduser()
    else:
        # Imported here: with the variable set, start-up does not pay for it.
        from platformdirs import user_data_path

        home = user_data_path("tuneboard", appauthor=False)
    home.mkdir(parents=True, exist_ok=True)
    return home
