"""Users of a dashboard that several people share: one file says who may sign in, and how.

Each line of the file is a user: a name, how the user signs in, and `administrator` for one who may see and set everything.

    ada                 sha256:9f86d0...    administrator
    eva@example.org     oidc
    @example.org        oidc

`sha256:...` is the hash of a token, `oidc` a user that an OpenID Connect provider vouches for, by e-mail or `sub`; a
name that begins with @ lets in everyone with an e-mail of that domain. It knows nothing of pages and requests.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from engine.basics.home import write_whole
from engine.errors import ConfigurationError

USERS_VARIABLE = "TUNEBOARD_USERS"
"""Variable that names the file of users; without it a dashboard has one user, who does not sign in."""

URL_VARIABLE = "TUNEBOARD_URL"
"""Variable that holds the address under which users reach a server that other machines can reach."""

OIDC, ADMINISTRATOR = "oidc", "administrator"
LOOPBACK = "127.0.0.1"
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}|@[A-Za-z0-9][A-Za-z0-9.-]{0,99}")


@dataclass(frozen=True, slots=True)
class User:
    """A user who has signed in. An administrator sees every project and may change the server's settings."""

    name: str
    administrator: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the file: `way` is "oidc" or the hash of a token."""

    name: str
    way: str
    administrator: bool = False

    @property
    def user(self) -> User:
        """The user that it lets in."""
        return User(self.name, self.administrator)


@dataclass(frozen=True, slots=True)
class Team:
    """Way of serving a dashboard to several people: the file of its users, where it listens, and the address users open.

    Without any of these it serves one user of this machine.
    """

    users: Path | None = None
    host: str = LOOPBACK
    url: str = ""

    def check(self) -> None:
        """Raise ConfigurationError where others could come in without signing in, or would find no dashboard."""
        if self.users is not None:
            UserFile(self.users).entries()
        elif self.host != LOOPBACK or self.url:
            raise ConfigurationError(
                "A dashboard that others can reach needs users: make a file of them with `tuneboard users add NAME`, "
                "and give it with --users."
            )
        if self.host != LOOPBACK and not self.url:
            raise ConfigurationError("Give the address under which users open the dashboard, with --url.")
        if self.url and not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:[0-9]+)?/?", self.url):
            raise ConfigurationError(
                f"--url is an address such as https://tuneboard.example.org, not {self.url!r}."
            )

    def environment(self) -> dict[str, str]:
        """Return the variables that tell the dashboard's server of it; empty ones where there are no users."""
        users = str(self.users.expanduser().absolute()) if self.users else ""
        return {USERS_VARIABLE: users, URL_VARIABLE: self.url}


class UserFile:
    """A file of users. It is read again when it has changed, so that a user who was removed is out at once.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = UserFile(Path(folder) / "users.txt")
    ...     token = file.add("ada")
    ...     file.by_token(token), file.by_token("guess"), token in file.path.read_text()
    (User(name='ada', administrator=True), None, False)
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._stamp: tuple[int, ...] = ()
        self._entries: tuple[Entry, ...] = ()

    def entries(self) -> tuple[Entry, ...]:
        """Return the file's lines. Raises ConfigurationError where it cannot be read."""
        try:
            stat = self.path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                self._entries = _entries(self.path.read_text(encoding="utf-8"), self.path)
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"The file of users {self.path} cannot be read: {getattr(error, 'strerror', None) or error}. "
                "Make it with: tuneboard users add NAME"
            ) from error
        return self._entries

    def by_token(self, token: str) -> User | None:
        """Return the user with this token. Every hash is compared, in the same time whatever is in it."""
        given = token_hash(token)
        right = [entry for entry in self.entries() if hmac.compare_digest(entry.way, given)]
        return right[0].user if right else None

    def named(self, name: str, *, oidc: bool | None = None) -> User | None:
        """Return the user of this name who may sign in; `oidc` says how the user has, where that is known.

        The user's own line counts before that of the domain.
        """
        domain = f"@{name.rpartition('@')[2]}" if "@" in name[1:] else ""
        lines = {entry.name: entry for entry in self.entries()}
        entry = lines.get(name) if not name.startswith("@") else None
        if entry is None and (found := lines.get(domain)) is not None and _NAME.fullmatch(name):
            entry = Entry(name, found.way, found.administrator)
        if entry is None or (oidc is not None and oidc != (entry.way == OIDC)):
            return None
        return entry.user

    @property
    def has_oidc(self) -> bool:
        """True if a user signs in at an OpenID Connect provider."""
        return any(entry.way == OIDC for entry in self.entries())

    def proof(self, name: str) -> str:
        """Return what a user's cookie is bound to: the hash of the token, so that a new one ends older cookies; "" without."""
        return next((entry.way for entry in self.entries() if entry.name == name and entry.way != OIDC), "")

    def add(self, name: str, *, oidc: bool = False, administrator: bool = False) -> str:
        """Add a user, or give one a new token; return the token, which is kept nowhere ("" with `oidc`).

        The first user of a file is an administrator. Raises ConfigurationError for a name that cannot be one.
        """
        if not _NAME.fullmatch(name) or (name.startswith("@") and not oidc):
            raise ConfigurationError(
                f"{name[:100]!r} cannot be a user's name: use letters, digits and . _ + - @, as in an e-mail address. "
                "A domain (@example.org) needs OpenID Connect."
            )
        token = "" if oidc else secrets.token_urlsafe(32)
        before = self.entries() if self.path.exists() else ()
        old = next((entry for entry in before if entry.name == name), None)
        first = not before and not name.startswith("@")
        first_or_was = first or (old is not None and old.administrator)
        entry = Entry(name, OIDC if oidc else token_hash(token), administrator or first_or_was)
        self._write([*(one for one in before if one.name != name), entry])
        return token

    def remove(self, name: str) -> None:
        """Remove a user. Raises ConfigurationError if there is none of that name."""
        before = self.entries()
        if name not in {entry.name for entry in before}:
            known = ", ".join(entry.name for entry in before) or "none"
            raise ConfigurationError(f"There is no user {name!r} in {self.path}. Its users: {known}.")
        self._write([entry for entry in before if entry.name != name])

    def _write(self, entries: list[Entry]) -> None:
        lines = [f"{e.name} {e.way}{f' {ADMINISTRATOR}' if e.administrator else ''}\n" for e in entries]
        try:
            write_whole(self.path, "".join(lines).encode(), private=True)
        except OSError as error:
            raise ConfigurationError(
                f"The file of users {self.path} cannot be written: {error.strerror or error}."
            ) from error


def token_hash(token: str) -> str:
    """Return the hash of a token as the file holds it. Tokens are long and random, so that one round is enough."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def user_file() -> UserFile | None:
    """Return the file of this server's users; None on a server without users."""
    path = os.environ.get(USERS_VARIABLE, "")
    if not path:
        return None
    return _FILES.setdefault(path, UserFile(Path(path)))


_FILES: dict[str, UserFile] = {}


def _entries(text: str, path: Path) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, way, *rest = (*words, "") if len(words) == 1 else words
        right = _NAME.fullmatch(name) and (way == OIDC or (_HASH.fullmatch(way) and not name.startswith("@")))
        if not right or rest not in ([], [ADMINISTRATOR]) or name in found:
            raise ConfigurationError(
                f"Line {number} of the file of users {path} is not: a name, sha256:HASH or oidc, and administrator or nothing; "
                "each name once. Make lines with: tuneboard users add NAME"
            )
        found[name] = Entry(name, way, bool(rest))
    return tuple(found.values())
