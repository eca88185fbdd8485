"""The same machine everywhere: no keys, no model servers, one time zone, one width; and a data folder from the frozen files."""

from __future__ import annotations

import html
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from golden.internals import FILE_NAME, PROVIDERS

FROZEN = Path(__file__).parent / "frozen"
_MASKS = (
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"(?<=Made by Tuneboard on )\d+ \w+ \d{4}"), "DAY"),
    (re.compile(r"\b(\d+ min )?\d+(\.\d+)? (s|ms)\b"), "TIME"),
    (re.compile(r"\b[\d.,]+ (bytes|kB|KB|MB)"), "SIZE"),
)


@contextmanager
def same_machine() -> Iterator[Path]:
    """Set up the environment for the block, with an empty data folder; return that."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        home = Path(folder).resolve() / "home"
        home.mkdir()
        for provider in PROVIDERS:
            if provider.key_env:
                patch.delenv(provider.key_env, raising=False)
            if provider.local:
                # An address elsewhere is never asked, so servers of this machine are not found.
                patch.setenv(f"{provider.prefix.upper()}_API_BASE", "http://elsewhere.invalid")
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        patch.setenv("TUNEBOARD_HOME", str(home))
        patch.setenv("COLUMNS", "1000")
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield home
    time.tzset()


def frozen_home(home: Path) -> None:
    """Put the frozen store and its exports into an empty data folder."""
    shutil.copytree(FROZEN / "home", home, dirs_exist_ok=True)
    script = (FROZEN / "store.sql").read_text(encoding="utf-8").replace("@HOME@", str(home))
    with closing(sqlite3.connect(home / FILE_NAME)) as database:
        database.executescript(script)


def masked(text: str, *places: Path) -> str:
    """Return a text without ids and durations, and with each of these folders written as its name in capitals."""
    for place in places:
        text = text.replace(str(place), place.name.upper())
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return text


def words_of_html(page: str) -> str:
    """Return the words of a piece of HTML, a line for each piece of text."""
    bare = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    lines = (" ".join(html.unescape(line).split()) for line in re.split(r"<[^>]+>", bare))
    return "\n".join(line for line in lines if line)
