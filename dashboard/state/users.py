"""The user of a page, on a server that several people share, and the one place that opens the store for one.

On a server without users everything is open to its only user, who is None here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from dashboard.state.session import PROJECT
from engine.basics.home import data_home
from engine.errors import AccessError
from engine.store.access import ADMINISTRATOR_ONLY
from engine.store.connection import BUSY_SECONDS
from engine.store.rows import MemberRow, Role, Spent
from engine.store.store import FILE_NAME, Store
from engine.store.users import User, user_file

KEY = "tuneboard_user"
"""The name under which `st.user` holds who has signed in; the server's front sets it, see `dashboard.serving.access`."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_acting: ContextVar[str | None] = ContextVar("acting", default=None)


def current() -> User | None:
    """Return the user of this page; None on a server without users. Raises AccessError for one who may not come in any more."""
    file = user_file()
    if file is None:
        return None
    import streamlit as st  # here: the starting of runs, which asks for the user, needs no page

    signed_in = _acting.get()
    if signed_in is None:
        signed_in = str(st.user.get(KEY) or "")
    user = file.named(signed_in)
    if user is None:
        raise AccessError("You are signed out. Load the page again to sign in.")
    return user


def name() -> str:
    """Return the name of this page's user, to be noted on runs; "" on a server without users."""
    user = current()
    return user.name if user else ""


@contextmanager
def acting(user_name: str) -> Iterator[None]:
    """Act for a user where no page is being drawn: in a thread of the server, for a download."""
    before = _acting.set(user_name)
    try:
        yield
    finally:
        _acting.reset(before)


def acting_later(make: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return a function that acts for this page's user whenever it is called."""
    if user_file() is None:
        return make
    user_name = name()

    def made(*args: _P.args, **named: _P.kwargs) -> _T:
        with acting(user_name):
            return make(*args, **named)

    return made


def is_administrator() -> bool:
    """Return whether this page's user may change what concerns the whole server."""
    user = current()
    return user is None or user.administrator


def check_administrator() -> None:
    """Raise AccessError for a user who may not change what concerns the whole server."""
    if not is_administrator():
        raise AccessError(ADMINISTRATOR_ONLY)


def opened(user: User | None, *, read_only: bool = True, wait: float = BUSY_SECONDS) -> Store:
    """Open the store as a user may read or change it, as a whole for None; `wait` is how many seconds it may be locked."""
    return Store(data_home() / FILE_NAME, read_only=read_only, busy_seconds=wait, user=user)


def project_of_page() -> str:
    """Return the id of the project that the page shows; "" before it is known."""
    import streamlit as st

    asked = st.query_params.get("project") or PROJECT.get()
    return asked if isinstance(asked, str) else ""


# ---- projects and their members


def role(project_id: str) -> Role | None:
    """Return this user's role in a project; that of an administrator is owner, as on a server without users."""
    user = current()
    if user is None or user.administrator:
        return "owner"
    with opened(user) as store:
        return store.members.role(project_id, user.name)


def only_views(project_id: str | None) -> bool:
    """Return whether this user is a viewer of a project, the page's own without an id."""
    user = current()
    if user is None or user.administrator:
        return False
    return role(project_id or project_of_page()) == "viewer"


def members(project_id: str) -> list[MemberRow]:
    """Return the members of a project, its owner first; none for a project of before there were users."""
    with opened(current()) as store:
        return store.members.of(project_id)


def share(project_id: str, user_name: str, as_role: Role) -> None:
    """Give a user a role in a project. Raises AccessError for all but its owner and administrators, and for unknown users."""
    file, user = user_file(), current()
    if file is None or user is None:
        raise AccessError(
            "This server has no users to share with. Start it with: tuneboard open --users FILE"
        )
    if file.named(user_name) is None:
        raise AccessError(f"{user_name[:100]!r} cannot sign in here. An administrator adds users.")
    with opened(user, read_only=False) as store, store.transaction():
        store.noted = (f"made {as_role} of project {project_id}", user_name)
        if not store.members.of(project_id):
            store.members.set_role(project_id, user.name, "owner")  # an administrator's, from before users
        store.members.set_role(project_id, user_name, as_role)


def take_off(project_id: str, user_name: str) -> None:
    """Take a user off a project. Raises AccessError for all but its owner and administrators, StoreError for the owner."""
    with opened(current(), read_only=False) as store:
        store.noted = (f"took off project {project_id}", user_name)
        store.members.remove(project_id, user_name)


def known_names() -> list[str]:
    """Return the names of the users with a line in the file of users, in its order."""
    file = user_file()
    return [e.name for e in file.entries() if not e.name.startswith("@")] if file else []


def spend(month: str = "") -> dict[str, Spent]:
    """Return what each user has spent, in a month or in all. Raises AccessError for all but administrators."""
    check_administrator()
    with opened(current()) as store:
        return store.spend.by("user", month)
