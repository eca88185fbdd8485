"""The server's front: Streamlit's page and scripts are answered at once, everything else when the site is loaded.

A browser needs most of a second for the scripts; meanwhile the pages' code is imported in a thread. Measured: from start to a
usable page, Streamlit's app alone takes 1.25 times as long. No Streamlit is imported here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.serving.access import HEALTH, Door, PageFiles, SameOrigin, SignIn, refuse
from dashboard.serving.shared import SharedReports

if TYPE_CHECKING:
    import streamlit as st

# Nothing a page holds, an uploaded text included, can make the browser ask another machine for anything.
# Streamlit needs inline styles, eval (its grid and charts) and blob modules (components).
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' ws://127.0.0.1:* ws://localhost:* blob: data:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": browsers then send forms without their origin, which `SameOrigin` looks at.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
DASHBOARD = Path(__file__).parents[1]

FIRST_PAGE_SECONDS = 2.5
"""The parts of later pages are loaded this long after the first page connects."""

NOT_RUNNING = "The dashboard is not running. Look at the messages where it was started."

_log = logging.getLogger(__name__)


class SecurityHeaders:
    """Middleware that puts `HEADERS` on every response, in place of any that the app sets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        names = {name for name, _ in HEADERS}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [
                    (name, value) for name, value in message.get("headers", ()) if name.lower() not in names
                ]
                message["headers"] = [*others, *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


class CachedFiles(StaticFiles):
    """Files of a folder that the browser keeps for `cache_control`."""

    def __init__(self, directory: Path, cache_control: str) -> None:
        super().__init__(directory=directory)
        self._cache_control = cache_control

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return a file, or that it has not changed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = self._cache_control
        return response


class Front:
    """The server's app. `load` returns the site, `load_rest` loads what later pages need: both are called in threads.

    With a `door` it answers only users whom that lets in. `give_up` is called when the site cannot be loaded; `failed` is then True.
    """

    def __init__(
        self,
        load: Callable[[], st.App],
        load_rest: Callable[[], None],
        give_up: Callable[[], None],
        door: Door | None = None,
    ) -> None:
        self.failed = False
        self._load, self._give_up = load, give_up
        self._rest = threading.Thread(target=load_rest, name="load-rest", daemon=True)
        self._site: st.App | None = None
        self._ready, self._closing = asyncio.Event(), asyncio.Event()
        self._connected = False
        folder = package_folder("streamlit") / "static"
        page = HTMLResponse(document(folder), headers={"cache-control": "no-cache"})
        names = (path.parent.name for path in DASHBOARD.glob("*/page.py"))
        self.app = Starlette(
            routes=[
                *(Route(path, page, methods=["GET"]) for path in ("/", *(f"/{name}" for name in names))),
                Route(HEALTH, self._health),
                # The names of these files hold a hash of what is in them.
                Mount("/static", CachedFiles(folder / "static", "public, immutable, max-age=31536000")),
                Mount("/", self._pass_on),
            ],
            middleware=[
                Middleware(SameOrigin),
                Middleware(SharedReports),  # before the door: a link shows a report to others
                Middleware(SecurityHeaders),
                *([Middleware(SignIn, door=door)] if door else ()),
                Middleware(PageFiles),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        hosting = asyncio.create_task(self._host())
        yield
        self._closing.set()
        await hosting

    async def _host(self) -> None:
        """Load the site and run it until the server closes."""
        try:
            site = await asyncio.to_thread(self._load)
            if not self._closing.is_set():
                async with site.lifespan()(site):
                    self._site = site
                    self._ready.set()
                    await self._closing.wait()
        except Exception:  # noqa: BLE001 - of any kind: the server must end and report it
            _log.exception("The dashboard could not be loaded.")
            self.failed = True
            self._give_up()
        finally:
            self._ready.set()

    async def _health(self, request: Request) -> ASGIApp:
        """Answer at once that a page may be opened; a page itself gets the site's answer.

        That one brings the cookie without which nothing can be uploaded. Browsers mark the requests of pages.
        """
        early = not self._ready.is_set() and "sec-fetch-mode" not in request.headers
        return PlainTextResponse("ok", headers={"cache-control": "no-cache"}) if early else self._pass_on

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the site answer, as soon as it is there."""
        await self._ready.wait()
        if self._site is None:
            await refuse(scope, receive, send, 503, NOT_RUNNING)
            return
        if scope["type"] == "websocket" and not self._connected:
            self._connected = True
            asyncio.get_running_loop().call_later(FIRST_PAGE_SECONDS, self._rest.start)
        await self._site(scope, receive, send)


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is not installed; install Tuneboard again")
    return Path(spec.origin).parent


def document(folder: Path) -> bytes:
    """Return Streamlit's page with our title, and the script that loads Plotly early."""
    script = (DASHBOARD / "static" / "early.js").read_bytes()
    page = (folder / "index.html").read_bytes().replace(b"<title>Streamlit<", b"<title>Tuneboard<", 1)
    return page.replace(b"</head>", b"<script>" + script + b"</script></head>", 1)
