"""Guards of the dashboard's server: its own pages reach it and, where it has a door, users who have signed in.

What a user may fetch and upload is read from the messages to the user's pages: an address in a text that a page shows opens
nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import importlib
import logging
import os
import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.store.users import URL_VARIABLE, User, UserFile, token_hash

TOKEN_VARIABLE = "TUNEBOARD_DASHBOARD_TOKEN"  # noqa: S105 - the variable's name, not a token
HEALTH = "/_stcore/health"
COOKIE = "tuneboard-user"
USER_HEADER = "x-tuneboard-user"
"""The header by which the server's front says to the pages who has signed in; a browser cannot set it."""

SIGN_IN, SIGN_OUT, OIDC_IN = "/sign-in", "/sign-out", "/sign-in/oidc"
COOKIE_SECONDS = 30 * 24 * 3600
WRONG_SECONDS, MOST_WRONG = 2.0, 5
"""A wrong token is answered this late; from one address this many may wait. The right one gets in meanwhile."""

LONGEST_FORM = 4096
FILES, UPLOADS = "/media/", "/_stcore/upload_file/"
MOST_OF_PAGE, MOST_OF_USER = 600 * 1024 * 1024, 1000 * 1024 * 1024
"""Bytes of uploads in memory, of one page and of all pages of a user. Documents are uploaded by up to 500 MB."""

METRICS = ("/metrics", "/_stcore/metrics")
"""Paths of the server's figures, which are for administrators: Tuneboard's, and Streamlit's."""

MOST_SOCKETS, MOST_SOCKETS_OF_SIGN_IN = 100, 60
"""Websockets that one user, and one browser of the user, may have open: each tab has one or two."""

_log = logging.getLogger(__name__)
_PAGE = Path(__file__).parents[1] / "static" / "sign_in.html"


def own_hosts() -> tuple[str, ...]:
    """Return the names under which a browser may ask for the dashboard: this machine's, and that of its public address."""
    public = urlsplit(os.environ.get(URL_VARIABLE, "")).hostname
    return ("127.0.0.1", "localhost", *([public] if public else []))


def refusal(headers: Headers) -> str:
    """Return why a request is refused: it is for another host, or of a page of another address; "" for others.

    Browsers take all ports of one machine for one site, so that only the whole address tells pages apart. What is no browser's
    page names no origin.

    >>> refusal(Headers({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8601"}))
    "Only the dashboard's own pages may ask for this."
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if re.sub(r":\d*$", "", host).lower() not in own_hosts():
        return "The dashboard answers only at the address that it was started with."
    if origin is not None and origin.partition("://")[2] != host:
        return "Only the dashboard's own pages may ask for this."
    return ""


class SameOrigin:
    """Middleware that refuses what asks for another host, and pages from another address, be it a port of this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        if scope["type"] in ("http", "websocket") and (reason := refusal(Headers(scope=scope))):
            await refuse(scope, receive, send, 403, reason)
            return
        await self._app(scope, receive, send)


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


Door = UserFile | OneToken
"""Rules on who may come in."""


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
        self._ended = {ended: until for ended, until in self._ended.items() if until > now}
        if self.user(cookie) is not None:
            self._ended[cookie] = now + COOKIE_SECONDS

    def _signature(self, rest: str, name: str) -> str:
        return hmac.new(self._key, f"{rest}|{self._door.proof(name)}".encode(), hashlib.sha256).hexdigest()


class SignIn:
    """Middleware that answers who has not signed in with the page to do so, and nothing else.

    A user signs in with a token, typed on that page (one without a name: also in the address, as ?token=...), or at an OpenID
    Connect provider where Streamlit is set up for one. Each message of an open socket is checked again.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door, self._cookies = app, door, Cookies(door)
        self._wrong: Counter[str] = Counter()
        self._sockets: Counter[tuple[str, ...]] = Counter()

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
        elif user is not None and path in METRICS and not user.administrator:
            await refuse(scope, receive, send, 403, "Only an administrator may read the server's figures.")
        elif user is not None and scope["type"] == "websocket":
            await self._socket(user, connection, receive, send)
        elif user is not None:
            await self._pass_on(user, connection, receive, send)
        elif self._has_oidc and path in _oidc().PATHS:
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "GET":
            await self._page(connection, 401)(scope, receive, send)
        else:
            await refuse(scope, receive, send, 401, "Sign in first.")

    async def _socket(self, user: User, connection: HTTPConnection, receive: Receive, send: Send) -> None:
        sign_in = (user.name, connection.cookies.get(_cookie_name(connection), ""))
        places = {(user.name,): MOST_SOCKETS, sign_in: MOST_SOCKETS_OF_SIGN_IN}
        if any(self._sockets[place] >= most for place, most in places.items()):
            await refuse(connection.scope, receive, send, 429, "Close other tabs first.")
            return
        self._sockets.update(places.keys())
        try:
            await self._pass_on(user, connection, receive, send)
        finally:
            self._sockets -= Counter(places.keys())  # forgets those without a socket

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

        await self._app(scope, receive_checked, send)

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
        if connection.scope["path"] in METRICS:
            return self._door.by_token(connection.headers.get("authorization", "").removeprefix("Bearer "))
        return None

    async def _own_page(self, request: Request, user: User | None) -> Response | None:
        """Return the answer to a request that is about signing in or out; None to any other."""
        path, method = request.url.path, request.method
        if path == SIGN_IN and method == "POST":
            return await self._signed_in(request)
        if path == SIGN_OUT and method == "POST":
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
        user = self._door.by_token(form.get("token", "").strip())
        return await self._wrong_token(request, to) if user is None else self._let_in(request, user, to)

    async def _wrong_token(self, request: Request, to: str = "") -> Response:
        address = _address(request)
        if self._wrong[address] >= MOST_WRONG:
            return self._page(request, 429, "Too many wrong tokens at once. Try again in a few seconds.", to)
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
                other += (
                    f'<form method="post" action="{SIGN_OUT}"><button>Use another account</button></form>'
                )
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


@dataclass
class _Page:
    """A page's session: the addresses of files that it was sent, its script's run, and the last one that asked for a file."""

    id: str
    user: str
    sockets: int = 0
    coming: int = 0
    run: str = ""
    asked_in: str = ""
    files: set[str] = field(default_factory=set)

    @property
    def uploaded(self) -> int:
        """Bytes of its uploads, with those on their way."""
        stored = _streamlit("runtime").get_instance().uploaded_file_mgr.file_storage.get(self.id, {})
        return self.coming + sum(len(file.data) for file in stored.values())

    def note(self, message: Any) -> None:
        """Note what the page is sent. Uploads are freed after a run of the whole script that asks for none."""
        element = message.delta.new_element
        self.run = message.metadata.run.script_run_id or self.run  # only some messages of a run name it
        addresses = [image.url for image in element.imgs.imgs]
        addresses += [element.download_button.url, message.backend_operation_response.deferred_file.url]
        addresses.append(element.download_button.deferred_file_id)
        self.files |= {address.partition(".")[0] for address in addresses}
        if element.HasField("file_uploader"):
            self.asked_in = self.run
        done = message.HasField("script_finished") and not message.script_finished  # 0 is successfully
        if done and self.asked_in != self.run:
            self.asked_in = ""
            _streamlit("runtime").get_instance().uploaded_file_mgr.remove_session_files(self.id)


class PageFiles:
    """Middleware between users and the files that Streamlit has in memory, which itself answers every user."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._pages: dict[str, _Page] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        path, user = scope.get("path", ""), Headers(raw=scope.get("headers", [])).get(USER_HEADER, "")
        pages = [page for page in self._pages.values() if page.user == user]
        if scope["type"] == "websocket":
            await self._socket(user, scope, receive, send)
        elif path.startswith(UPLOADS):
            await self._upload(pages, scope, receive, send)
        elif path.startswith(FILES) and not self._sent_to(user, path.partition(".")[0]):
            await refuse(scope, receive, send, 404, "Your pages show no such file. Open the page again.")
        else:
            await self._app(scope, receive, send)

    async def _socket(self, user: str, scope: Scope, receive: Receive, send: Send) -> None:
        page: _Page | None = None

        async def send_noted(message: Message) -> None:
            nonlocal page
            if data := message.get("bytes"):
                sent = _streamlit("proto.ForwardMsg_pb2").ForwardMsg.FromString(data)
                if page is None and (session := sent.new_session.initialize.session_id):
                    page = self._pages.setdefault(session, _Page(session, user))
                    page.sockets += 1
                if page is not None:
                    page.note(sent)
            await send(message)

        async def receive_checked() -> Message:
            message = await receive()
            if data := message.get("bytes"):
                asked = _streamlit("proto.BackMsg_pb2").BackMsg.FromString(data)
                operation = asked.backend_operation_request
                if (wanted := operation.deferred_file.file_id) and not self._sent_to(user, wanted):
                    operation.deferred_file.file_id = (
                        ""  # Streamlit makes any page's download for who knows its id
                    )
                    return {**message, "bytes": asked.SerializeToString()}
            return message

        try:
            await self._app(scope, receive_checked, send_noted)
        finally:
            if page is not None:
                page.sockets -= 1
                # The page may connect again until its session ends: see `ClosedPages`.
                seconds = _streamlit("config").get_option("server.disconnectedSessionTTL")
                asyncio.get_running_loop().call_later(seconds, self._forget, page)

    def _sent_to(self, user: str, file: str) -> bool:
        """Return whether one of a user's pages was sent a file, or the id of one that is made when it is asked for."""
        return any(file in page.files for page in self._pages.values() if page.user == user)

    def _forget(self, page: _Page) -> None:
        if not page.sockets:
            self._pages.pop(page.id, None)

    async def _upload(self, pages: list[_Page], scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["path"].removeprefix(UPLOADS).partition("/")[0]
        page = next((page for page in pages if page.id == session and page.asked_in), None)
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else MOST_OF_PAGE + 1 if scope["method"] == "PUT" else 0
        if page is None:
            await refuse(scope, receive, send, 403, "The page asks for no file. Load it again.")
        elif page.uploaded + size > MOST_OF_PAGE or sum(p.uploaded for p in pages) + size > MOST_OF_USER:
            await refuse(scope, receive, send, 413, "A page may upload 600 MB. Load it again to upload more.")
        else:
            page.coming += size
            try:
                await self._app(scope, receive, send)
            finally:
                page.coming -= size


def _cookie_name(connection: HTTPConnection) -> str:
    # Cookies hold for all ports of a machine: each server has its own.
    port = re.sub("[^0-9]", "", connection.headers.get("host", "").rpartition(":")[2])
    return f"{COOKIE}-{port}"


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    """Refuse a request with a status and a message, a websocket without one."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    answer: Response = PlainTextResponse(message, status, headers={"cache-control": "no-store"})
    await answer(scope, receive, send)


def _oidc() -> ModuleType:
    from dashboard.serving import oidc

    return oidc


def _streamlit(name: str) -> Any:
    return importlib.import_module(f"streamlit.{name}")
