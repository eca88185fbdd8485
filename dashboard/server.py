"""The web server: Streamlit as an ASGI app, with what it lacks: security headers, Plotly's script from
this machine, the runs' event stream, and a quick first page.

`python -m dashboard.server --port 8501` serves on loopback only. It knows nothing of what pages show.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import importlib.util
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

# Streamlit loads Plotly's Python side with itself, for a theme of its own charts: a quarter of the time to start. Ours
# are drawn by Plotly's script alone, so it is told that there is none.
sys.modules.setdefault("plotly.graph_objects", None)  # type: ignore[arg-type]
import streamlit as st

if sys.modules["plotly.graph_objects"] is None:
    del sys.modules["plotly.graph_objects"]
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import stream

HERE = Path(__file__).parent

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
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

# Scripts of elements on the home page, by the names that Streamlit's build gives them. One that is gone is left out.
HOME_SCRIPTS = frozenset(
    {"Html", "purify", "Button", "MenuButton", "useLoadMoreSentinel", "Autocomplete", "useCollator"}
    | {"ButtonGroup", "WidgetLabel", "WidgetLabelHelpIconInline", "useBasicWidgetState"}
)
FIRST_PAGE = (
    *(
        f"dashboard.components.{name}"
        for name in ("project_cards", "sample_gallery", "wizard", "new_project", "run_list")
    ),
    *("engine.registry", "engine.runs.parts", "engine.pipeline.check", "numpy", "PIL.Image"),
)
QUIET_SECONDS = 1.2
LATEST_SECONDS = 20.0


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith("/vendor/"):
                    headers["Cache-Control"] = "public, max-age=86400"
            await send(message)

        await self.app(scope, receive, with_headers)


class QuickFirstPage:
    """ASGI middleware for a quick first page.

    The document names the scripts that the home page needs, so that the browser asks for them at once instead of
    when each element arrives. What only later pages need is loaded once the first page is out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._links = preload_links()
        self._loading: asyncio.Task[None] | None = None
        self._busy_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add links to the document, and start to load the rest after the first page."""
        self._busy_at = time.monotonic()
        if scope["type"] == "websocket":
            if self._loading is None:
                self._loading = asyncio.create_task(self._load_when_quiet())

            async def noticed(message: Message) -> None:
                self._busy_at = time.monotonic()
                await send(message)

            await self.app(scope, receive, noticed)
            return
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def with_links(message: Message) -> None:
            if message["type"] == "http.response.start":
                kind = MutableHeaders(scope=message).get("content-type", "")
                if message["status"] == 200 and kind.startswith("text/html"):
                    held.append(message)
                    return
            elif held and message["type"] == "http.response.body":
                held.append(message)
                if not message.get("more_body"):
                    await self._send_document(held, send)
                return
            await send(message)

        await self.app(scope, receive, with_links)

    async def _load_when_quiet(self) -> None:
        """Load what later pages need once the first page is out: both at once would share one interpreter."""
        started = time.monotonic()
        while True:
            await asyncio.sleep(0.2)
            now = time.monotonic()
            if now - self._busy_at > QUIET_SECONDS or now - started > LATEST_SECONDS:
                break
        threading.Thread(target=load_rest, name="load-rest", daemon=True).start()

    async def _send_document(self, held: list[Message], send: Send) -> None:
        start, *parts = held
        body = b"".join(part.get("body", b"") for part in parts).replace(
            b"</head>", self._links + b"</head>", 1
        )
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})


def preload_links() -> bytes:
    """Return links to the scripts of the home page's elements, as Streamlit's installed version names them."""
    folder = Path(st.__file__).parent / "static" / "static" / "js"
    names = sorted(p.name for p in folder.glob("*.js") if p.name.split(".", 1)[0] in HOME_SCRIPTS)
    return "".join(f'<link rel="modulepreload" href="./static/js/{name}">' for name in names).encode()


def _load_first_page() -> None:
    """Import what the first page shows, and what Streamlit needs for the logo."""
    for name in FIRST_PAGE:
        importlib.import_module(name)


def load_rest() -> None:
    """Load what later pages need, then take everything out of the garbage collector's sight.

    Frozen objects are not walked again by a collection.
    """
    import numpy  # noqa: F401 - loading it is the purpose
    import pandas as pd

    pd.DataFrame({"warm": ["up"]}).to_dict("records")
    for name in ("components.live_run", "components.example_page", "components.start_card", "watching"):
        importlib.import_module(f"dashboard.{name}")
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def _lifespan(_app: st.App) -> AsyncIterator[None]:
    # Before the server is up: a first page would have to share the interpreter with these imports.
    _load_first_page()
    gc.collect()
    gc.freeze()
    yield


def plotly_folder() -> Path:
    """Return the folder of the installed Plotly package that holds plotly.min.js."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly is not installed; install Tuneboard again")
    return Path(spec.origin).parent / "package_data"


app = st.App(
    HERE / "app.py",
    routes=[
        Mount("/vendor", app=StaticFiles(directory=plotly_folder())),
        WebSocketRoute(stream.PATH, stream.live),
    ],
    middleware=[Middleware(SecurityHeaders), Middleware(QuickFirstPage)],
    lifespan=_lifespan,
)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="dashboard.server", description="Serve the Tuneboard dashboard.")
    parser.add_argument("--port", type=int, default=8501)
    app.run(config={"server.port": parser.parse_args().port})


if __name__ == "__main__":
    main()
