"""What the browser meets first: Streamlit's page and scripts, from this machine's files, while the rest still loads.

A browser needs most of a second for those scripts; in this time the pages' code is imported in a thread. What needs it
waits until it is there. Everything that is answered gets the security headers. No Streamlit is imported here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

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
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

# Scripts of elements on the home page, by the names that Streamlit's build gives them. One that is gone is left out.
HOME_SCRIPTS = frozenset(
    {"Html", "purify", "Button", "MenuButton", "useLoadMoreSentinel", "Autocomplete", "useCollator"}
    | {"PageLink", "ButtonGroup", "WidgetLabel", "WidgetLabelHelpIconInline", "useBasicWidgetState"}
)
KINDS = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".woff2": b"font/woff2",
}
# The names of these files hold a hash of what is in them.
FOR_EVER = b"public, immutable, max-age=31536000"

# Plotly's script is large: it is loaded while a person looks at the first page, not when the first chart is to be drawn.
# `dashboard.components.plot` waits for the same promise.
EARLY_PLOTLY = b"""<script>
addEventListener("load", () => setTimeout(() => requestIdleCallback(() => {
  globalThis.tuneboardPlotly ??= new Promise((done, fail) => document.head.append(Object.assign(document.createElement("script"),
    { src: new URL("vendor/plotly.min.js", document.baseURI).href, onload: () => done(globalThis.Plotly), onerror: fail })));
}), 2500));
</script>"""

QUIET_SECONDS = 1.2
LATEST_SECONDS = 20.0

_log = logging.getLogger(__name__)


class Site(Protocol):
    """The rest of the server: an ASGI app that is started and stopped by whoever mounts it."""

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """Return what is entered to start it, and left to stop it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""


class Front:
    """ASGI app: answers what it can by itself, and passes the rest on once there is somebody to pass it to.

    `load` returns the site; it is called in a thread. `load_rest` is called when the first page is out, in a thread
    too: both at once would share one interpreter. `give_up` is called when there will be no site.
    """

    def __init__(
        self, load: Callable[[], Site], load_rest: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        self.failed = False
        self._load, self._load_rest, self._give_up = load, load_rest, give_up
        self._site: Site | None = None
        self._settled, self._closing = asyncio.Event(), asyncio.Event()
        self._waiting: asyncio.Task[None] | None = None
        self._busy_at = 0.0
        folder = streamlit_folder()
        self._document = document(folder)
        self._paths = {
            "/",
            *(f"/{page.parent.name}" for page in (Path(__file__).parents[1] / "app_pages").glob("*/page.py")),
        }
        self._files = {
            f"/static/{path.relative_to(folder / 'static').as_posix()}": path
            for path in (folder / "static").rglob("*")
            if path.suffix in KINDS
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self._busy_at = time.monotonic()
        if scope["type"] == "http":
            send = _with_headers(scope["path"], send)
            if scope["method"] == "GET" and await self._answered(scope, send):
                return
        else:
            send = self._noticed(send)
            if self._waiting is None:
                self._waiting = asyncio.create_task(self._load_when_quiet())
        await self._settled.wait()
        if self._site is None:
            await _refuse(scope, send)
            return
        await self._site(scope, receive, send)

    async def _answered(self, scope: Scope, send: Send) -> bool:
        """Answer with a file or the document; False when it is for the site to answer."""
        path = scope["path"]
        if (file := self._files.get(path)) is not None:
            await _reply(send, file.read_bytes(), KINDS[file.suffix], FOR_EVER)
        elif path in self._paths:
            await _reply(send, self._document, b"text/html; charset=utf-8", b"no-cache")
        elif path == "/_stcore/health" and not self._settled.is_set() and not _from_a_page(scope):
            # Whoever asks before the site is there may open the page: it will be answered. A page that asks waits for the
            # site's own answer: it brings the cookie without which nothing can be uploaded.
            await _reply(send, b"ok", b"text/plain; charset=utf-8", b"no-cache")
        else:
            return False
        return True

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start the site beside the server, and stop it with the server."""
        await receive()
        hosting = asyncio.create_task(self._host())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._closing.set()
        await asyncio.gather(hosting, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _host(self) -> None:
        loading = asyncio.create_task(_in_thread(self._load))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({loading, closing}, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                return  # a site that is loaded is started and stopped in full: Streamlit's does not bear a start cut short
            site = loading.result()
            async with site.lifespan()(site):
                self._site = site
                self._settled.set()
                await self._closing.wait()
        except Exception:  # noqa: BLE001 - whatever it is, the server must end and say so
            _log.exception("The dashboard could not be loaded.")
            self.failed = True
            self._give_up()
        finally:
            loading.cancel()
            closing.cancel()
            self._settled.set()

    def _noticed(self, send: Send) -> Send:
        async def noticed(message: Message) -> None:
            self._busy_at = time.monotonic()
            await send(message)

        return noticed

    async def _load_when_quiet(self) -> None:
        """Load what later pages need once the first page is out."""
        await self._settled.wait()
        started = time.monotonic()
        while True:
            await asyncio.sleep(0.2)
            now = time.monotonic()
            if now - self._busy_at > QUIET_SECONDS or now - started > LATEST_SECONDS:
                break
        threading.Thread(target=self._load_rest, name="load-rest", daemon=True).start()


def streamlit_folder() -> Path:
    """Return the folder of the installed Streamlit's page and scripts."""
    spec = importlib.util.find_spec("streamlit")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("streamlit is not installed; install Tuneboard again")
    return Path(spec.origin).parent / "static"


def document(folder: Path) -> bytes:
    """Return Streamlit's page, with links to the scripts that the home page needs, and Plotly's for later.

    The browser then asks for them at once instead of when each element arrives.
    """
    scripts = sorted(
        p for p in (folder / "static/js").glob("*.js") if p.name.split(".", 1)[0] in HOME_SCRIPTS
    )
    links = "".join(f'<link rel="modulepreload" href="./static/js/{p.name}">' for p in scripts)
    page = (folder / "index.html").read_bytes().replace(b"<title>Streamlit<", b"<title>Tuneboard<", 1)
    return page.replace(b"</head>", links.encode() + EARLY_PLOTLY + b"</head>", 1)


async def _in_thread(load: Callable[[], Site]) -> Site:
    """Return what `load` returns. A daemon thread: a server that is stopped meanwhile does not wait for it."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Site] = loop.create_future()

    def tell(act: Callable[[Any], None], value: Any) -> None:
        with suppress(RuntimeError):  # the server was stopped meanwhile, and its loop is closed
            loop.call_soon_threadsafe(lambda: None if found.done() else act(value))

    def run() -> None:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)  # the imports take turns with the browser's requests, which are short
        try:
            site = load()
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            tell(found.set_exception, error)
        else:
            tell(found.set_result, site)
        finally:
            sys.setswitchinterval(usual)

    threading.Thread(target=run, name="load-site", daemon=True).start()
    return await found


def _from_a_page(scope: Scope) -> bool:
    """Whether a script in a browser asks: browsers say so, and scripts cannot take it away."""
    return any(name.lower() == b"sec-fetch-mode" for name, _ in scope["headers"])


def _with_headers(path: str, send: Send) -> Send:
    """Return a `send` that adds `HEADERS`."""

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            taken = {name for name, _ in HEADERS}
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in taken]
            if path.startswith("/vendor/"):
                kept.append((b"cache-control", b"public, max-age=86400"))
            message["headers"] = [*kept, *HEADERS]
        await send(message)

    return with_headers


async def _reply(send: Send, body: bytes, kind: bytes, keep: bytes, status: int = 200) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", keep),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, send: Send) -> None:
    """Say that there is nobody to answer: the server is on its way down."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1012})
        return
    text = b"The dashboard is not running. Look at the messages where it was started."
    await _reply(send, text, b"text/plain; charset=utf-8", b"no-store", 503)
