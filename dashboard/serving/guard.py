"""Guards of the dashboard's server: only its own pages reach it and, where it has a door, only who has signed in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import logging
import os
import re
import secrets
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.users import URL_VARIABLE, User, token_hash

TOKEN_VARIABLE = "TUNEBOARD_DASHBOARD_TOKEN"  # noqa: S105 - the variable's name, not a token
HEALTH = "/_stcore/health"
COOKIE = "tuneboard-user"
USER_HEADER = "x-tuneboard-user"
"""The header by which the server's front says to the pages who has signed in; a browser cannot set it."""

SIGN_IN, SIGN_OUT, OIDC_IN = "/sign-in", "/sign-out", "/sign-in/oidc"
COOKIE_SECONDS = 30 * 24 * 3600
WRONG_SECONDS, MOST_WRONG = 2.0, 5
"""A wrong token is answered this late; from one address this many may wait, and further ones are not looked at."""

LONGEST_FORM = 4096
FILES = "/media/"
MOST_FILES = 10_000
"""Files of one user's pages that are remembered; the ones sent longest ago are forgotten first."""

_log = logging.getLogger(__name__)
_PAGE = Path(__file__).parents[1] / "static" / "sign_in.html"


def own_hosts() -> tuple[str, ...]:
    """Return the names under which a browser may ask for the dashboard: this machine's, and that of its public address."""
    public = urlsplit(os.environ.get(URL_VARIABLE, "")).hostname
    return ("127.0.0.1", "localhost", *([public] if public else []))


def from_elsewhere(headers: Headers) -> bool:
    """Return whether a page of another address sends a request; what is no browser's page names no origin.

    Browsers take all ports of one machine for one site, so that only the whole address tells pages apart.

    >>> from_elsewhere(Headers({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8601"}))
    True
    """
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


class SameOrigin:
    """Middleware that refuses requests and sockets of pages from another address, another port of this machine included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        if scope["type"] in ("http", "websocket") and from_elsewhere(Headers(scope=scope)):
            await _refuse(scope, receive, send, 403, "Only the dashboard's own pages may ask for this.")
            return
        await self._app(scope, receive, send)


class Door(Protocol):
    """Rules on who may come in, such as `engine.users.UserFile`."""

    @property
    def has_oidc(self) -> bool:
        """True if a user signs in at an OpenID Connect provider."""

    def by_token(self, token: str) -> User | None:
        """Return the user with this token."""

    def named(self, name: str, *, oidc: bool | None = None) -> User | None:
        """Return the user of this name who may still come in; `oidc` says how the user has signed in."""

    def proof(self, name: str) -> str:
        """Return what a user's cookie is bound to."""


class OneToken:
    """A door for one user without a name: the token that was printed where Tuneboard was started."""

    has_oidc = False

    def __init__(self, token: str) -> None:
        self._hash = token_hash(token)

    def by_token(self, token: str) -> User | None:
        """Return the user, for the right token."""
        return User("", administrator=True) if hmac.compare_digest(token_hash(token), self._hash) else None

    def named(self, name: str, *, oidc: bool | None = None) -> User | None:
        """Return the user, who has no name."""
        return User("", administrator=True) if not name and not oidc else None

    def proof(self, name: str) -> str:  # noqa: ARG002 - there is one user
        """Return the token's hash."""
        return self._hash


class Cookies:
    """Signed cookies that say who has signed in, until they end. Each start makes another key, kept nowhere."""

    def __init__(self, door: Door) -> None:
        self._door, self._key = door, secrets.token_bytes(32)
        self._ended: dict[str, float] = {}

    def made(self, user: User) -> str:
        """Return a cookie for a user."""
        rest = f"{user.name}|{int(time.time()) + COOKIE_SECONDS}|{secrets.token_hex(8)}"
        return f"{rest}|{self._signature(rest, user.name)}"

    def user(self, cookie: str) -> User | None:
        """Return the user of a cookie, if it was made here and the user may still come in."""
        rest, _, signature = cookie.rpartition("|")
        name, _, end = rest.rpartition("|")[0].rpartition("|")
        right = hmac.compare_digest(signature.encode(), self._signature(rest, name).encode())
        if not right or not end.isdecimal() or int(end) < time.time() or cookie in self._ended:
            return None
        return self._door.named(name, oidc=False)

    def end(self, cookie: str) -> None:
        """Refuse a cookie from now on: its user has signed out."""
        now = time.time()
        self._ended = {one: until for one, until in self._ended.items() if until > now}
        if self.user(cookie) is not None:
            self._ended[cookie] = now + COOKIE_SECONDS

    def _signature(self, rest: str, name: str) -> str:
        return hmac.new(self._key, f"{rest}|{self._door.proof(name)}".encode(), hashlib.sha256).hexdigest()


class SentFiles:
    """Addresses of pictures and downloads that each user's pages were sent. Streamlit itself answers every user.

    >>> sent = SentFiles()
    >>> sent.note("ada", b"...\x12\x0f/media/0a1b.png...")
    >>> sent.may_read("ada", "/media/0a1b.png"), sent.may_read("bob", "/media/0a1b.png")
    (True, False)
    """

    _address = re.compile(rb"/media/(\w+)")

    def __init__(self) -> None:
        self._ids: dict[str, dict[bytes, None]] = {}

    def note(self, name: str, message: bytes) -> None:
        """Remember the files that a message to a user's page names."""
        for found in self._address.findall(message):
            ids = self._ids.setdefault(name, {})
            ids.pop(found, None)
            ids[found] = None
            if len(ids) > MOST_FILES:
                del ids[next(iter(ids))]

    def may_read(self, name: str, path: str) -> bool:
        """Return whether a user's pages were sent the file at a path."""
        found = self._address.match(path.encode())
        return found is not None and found[1] in self._ids.get(name, {})


class SignIn:
    """Middleware that answers who has not signed in with the page to do so, and nothing else.

    A user signs in with a token, typed on that page (one without a name: also in the address, as ?token=...), or at an OpenID
    Connect provider where Streamlit is set up for one. Each message of an open socket is checked again. Files that pages show or
    offer are sent to users whose pages were sent their addresses.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door, self._cookies = app, door, Cookies(door)
        self._wrong: Counter[str] = Counter()
        self._files = SentFiles()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        if scope["type"] not in ("http", "websocket") or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        user, path = self._user(connection), scope["path"]
        if scope["type"] == "http" and (answer := await self._own_page(Request(scope, receive), user)):
            answer.headers["cache-control"] = "no-store"
            await answer(scope, receive, send)
        elif user is not None and path.startswith(FILES) and not self._files.may_read(user.name, path):
            await _refuse(scope, receive, send, 404, "Your pages show no such file. Open the page again.")
        elif user is not None:
            await self._pass_on(user, connection, receive, send)
        elif self._has_oidc and path in _oidc().PATHS:
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "GET":
            await self._page(connection, 401)(scope, receive, send)
        else:
            await _refuse(scope, receive, send, 401, "Sign in first.")

    async def _pass_on(self, user: User, connection: HTTPConnection, receive: Receive, send: Send) -> None:
        name = USER_HEADER.encode()
        headers = [one for one in connection.scope["headers"] if one[0].lower() != name]
        scope = {**connection.scope, "headers": [*headers, (name, user.name.encode())]}

        async def receive_checked() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and self._user(connection) is None:
                await send({"type": "websocket.close", "code": 1008})
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        async def send_noted(message: Message) -> None:
            if data := message.get("bytes"):
                self._files.note(user.name, data)
            await send(message)

        is_socket = scope["type"] == "websocket"
        await self._app(scope, receive_checked, send_noted if is_socket else send)

    @property
    def _has_oidc(self) -> bool:
        # Streamlit is loaded only where it is needed: without it the first page is there at once.
        return self._door.has_oidc and _oidc().is_set_up()

    def _user(self, connection: HTTPConnection) -> User | None:
        # Other programs' cookies come along, of whatever form: Starlette reads each for itself, as browsers do.
        cookies = connection.cookies
        if cookie := cookies.get(_cookie_name(connection)):
            return self._cookies.user(cookie)
        if self._has_oidc and (name := _oidc().user_in(cookies)):
            return self._door.named(name, oidc=True)
        return None

    async def _own_page(self, request: Request, user: User | None) -> Response | None:
        """Return the answer to a request that is about signing in or out; None to any other."""
        path, method = request.url.path, request.method
        if path == SIGN_IN and method == "POST":
            return await self._signed_in(request)
        if path == SIGN_OUT:
            return self._signed_out(request)
        if path == OIDC_IN and self._has_oidc:
            return RedirectResponse(_oidc().login_path(), 303)
        token = request.query_params.get("token", "")
        if user is None and method == "GET" and token and isinstance(self._door, OneToken):
            if (known := self._door.by_token(token)) is None:
                return await self._wrong_token(request)
            rest = urlencode([(key, value) for key, value in request.query_params.items() if key != "token"])
            return self._let_in(request, known, f"{path}?{rest}" if rest else path)
        return None

    async def _signed_in(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_FORM:
                return self._page(request, 413, "This is no token.")
        form = dict(parse_qsl(body.decode("latin-1")))
        to = form.get("to", "/")
        if self._wrong[_address(request)] >= MOST_WRONG:
            return self._page(request, 429, "Too many wrong tokens at once. Try again in a few seconds.", to)
        user = self._door.by_token(form.get("token", "").strip())
        return await self._wrong_token(request, to) if user is None else self._let_in(request, user, to)

    async def _wrong_token(self, request: Request, to: str = "") -> Response:
        address = _address(request)
        if self._wrong[address] < MOST_WRONG:
            _log.warning("A wrong token came from %s.", address)
            self._wrong[address] += 1
            try:
                await asyncio.sleep(WRONG_SECONDS)
            finally:
                self._wrong[address] -= 1
                self._wrong += Counter()  # forgets the addresses that wait no more
        return self._page(
            request, 401, "This token is not known here. Ask your administrator for a new one.", to
        )

    def _let_in(self, request: Request, user: User, to: str) -> Response:
        # Only a path: an address that begins with two slashes would lead to another machine.
        answer = RedirectResponse("/" + to.lstrip("/\\"), 303)
        secure = os.environ.get(URL_VARIABLE, "").startswith("https:")
        answer.set_cookie(
            _cookie_name(request),
            self._cookies.made(user),
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return answer

    def _signed_out(self, request: Request) -> Response:
        name = _cookie_name(request)
        self._cookies.end(request.cookies.get(name, ""))
        by_oidc = self._has_oidc and _oidc().user_in(request.cookies)
        answer = RedirectResponse(_oidc().LOGOUT if by_oidc else "/", 303)
        answer.delete_cookie(name, httponly=True, samesite="strict")
        return answer

    def _page(self, connection: HTTPConnection, status: int, problem: str = "", to: str = "") -> Response:
        path = connection.scope["path"]
        query = connection.scope["query_string"].decode("latin-1")
        other = ""
        if self._has_oidc:
            other = f'<a class="button" href="{OIDC_IN}">Sign in with your organisation</a>'
            if name := _oidc().user_in(connection.cookies):
                problem = problem or f"{name} may not come in here. Ask your administrator."
                other += f'<a href="{SIGN_OUT}">Use another account</a>'
        to = to or ("/" if path.startswith(SIGN_IN) else f"{path}?{query}" if query else path)
        hint = (
            "The address that was printed where Tuneboard was started has the token."
            if isinstance(self._door, OneToken)
            else "Your administrator has given you a token."
        )
        words = {"TO": to, "PROBLEM": problem, "HINT": hint}
        page = _PAGE.read_text(encoding="utf-8").replace("{{OTHER}}", other)
        for key, value in words.items():
            page = page.replace(f"{{{{{key}}}}}", html.escape(value))
        return HTMLResponse(page, status, headers={"cache-control": "no-store"})


def _cookie_name(connection: HTTPConnection) -> str:
    # Cookies hold for all ports of a machine: each server has its own.
    port = re.sub("[^0-9]", "", connection.headers.get("host", "").rpartition(":")[2])
    return f"{COOKIE}-{port}"


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    answer: Response = PlainTextResponse(message, status, headers={"cache-control": "no-store"})
    await answer(scope, receive, send)


def _oidc() -> ModuleType:
    from dashboard.serving import oidc

    return oidc
