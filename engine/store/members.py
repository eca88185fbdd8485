"""Users' roles in projects, on a server with several users, and links that show the report of one run to others.

Of a link's token only the hash is stored. It knows nothing of how users sign in.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict

from engine.errors import NotFoundError, RunError, StoreError
from engine.store.connection import StorePart
from engine.store.rows import ROLES, LinkRow, MemberRow, Role
from engine.store.users import token_hash


class Members(StorePart):
    """Reading and writing the members of projects.

    A project without members is one of before there were users. A project has one owner at most, who can be replaced only.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from engine.store.store import Store
    >>> with tempfile.TemporaryDirectory() as home, Store.open(Path(home)) as store:
    ...     project = store.projects.create("Routing", {})
    ...     store.members.set_role(project, "ada", "owner")
    ...     store.members.set_role(project, "bob", "viewer")
    ...     [(member.user, member.role) for member in store.members.of(project)]
    [('ada', 'owner'), ('bob', 'viewer')]
    """

    def of(self, project_id: str) -> list[MemberRow]:
        """Return a project's members by role, the owner first, then by name."""
        order = "FROM members WHERE project_id = ? ORDER BY role = 'viewer', role = 'editor', user"
        return self._db.records(MemberRow, order, (project_id,))

    def all(self) -> list[MemberRow]:
        """Return the members of all projects, by project and name."""
        return self._db.records(MemberRow, "FROM members ORDER BY project_id, user")

    def role(self, project_id: str, user: str) -> Role | None:
        """Return a user's role in a project; None where the user is no member of it."""
        rows = self._db.read("SELECT role FROM members WHERE project_id = ? AND user = ?", (project_id, user))
        return rows[0][0] if rows else None

    def set_role(self, project_id: str, user: str, role: Role) -> None:
        """Add a user to a project, or change the user's role. A new owner takes the place of the old one, who becomes an editor.

        Raises StoreError for an unknown role, and where the project would have no owner any more; NotFoundError.
        """
        if role not in ROLES:
            raise StoreError(f"There is no role {role!r}. The roles are {', '.join(ROLES)}.")
        with self._db.transaction():
            if not self._db.read("SELECT 1 FROM projects WHERE id = ?", (project_id,)):
                raise NotFoundError(f"There is no project {project_id!r}. It may have been deleted.")
            if role != "owner":
                self._check_not_owner(project_id, user)
            self._db.insert("members", asdict(MemberRow(project_id, user, role)), replace=True)
            if role == "owner":
                self._db.write(
                    "UPDATE members SET role = 'editor' WHERE project_id = ? AND role = 'owner' AND user != ?",
                    (project_id, user),
                )

    def remove(self, project_id: str, user: str) -> None:
        """Take a user off a project; the user may be no member. Raises StoreError for its owner."""
        with self._db.transaction():
            self._check_not_owner(project_id, user)
            self._db.write("DELETE FROM members WHERE project_id = ? AND user = ?", (project_id, user))

    def _check_not_owner(self, project_id: str, user: str) -> None:
        if self.role(project_id, user) == "owner":
            raise StoreError(f"{user} owns this project. Make another user its owner first.")


DAYS = (1, 7, 30, 90)
"""Days that a link may work."""


class Links(StorePart):
    """Reading and writing links."""

    def make(self, run_id: str, days: int, made_by: str = "") -> str:
        """Store a new link to a run, made by a user; return its token, which is stored nowhere. Links past their end date go.

        Raises RunError where it would work for another number of days than one of `DAYS`.
        """
        if days not in DAYS:
            raise RunError(f"A link works for {', '.join(map(str, DAYS))} days.")
        token, now = secrets.token_urlsafe(24), time.time()
        values = {
            "hash": token_hash(token),
            "run_id": run_id,
            "created_at": now,
            "ends_at": now + days * 86_400,
            "made_by": made_by,
        }
        with self._db.transaction():
            self._db.write("DELETE FROM links WHERE run_id = ? AND ends_at < ?", (run_id, now))
            self._db.insert("links", values)
        return token

    def all(self) -> list[LinkRow]:
        """Return the links that work, in the order made."""
        return self._db.records(LinkRow, "FROM links WHERE ends_at >= ? ORDER BY created_at", (time.time(),))

    def find(self, token: str) -> LinkRow | None:
        """Return the link with a token; None where it has ended, or never was one."""
        return next((link for link in self.all() if link.hash == token_hash(token)), None)

    def end(self, link: str) -> None:
        """End a link, given by its hash, at once."""
        self._db.write("DELETE FROM links WHERE hash = ?", (link,))
