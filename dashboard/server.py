"""The web server: Streamlit as an ASGI app, with what it lacks: security headers, Plotly's script from
this machine, and a warm start.

`python -m dashboard.server --port 8501` serves on loopback only. It knows nothing of what pages show.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
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
            await send(message)

        await self.app(scope, receive, with_headers)


def _load_first_page() -> None:
    """Import what the first page shows."""
    for name in ("data", "components.project_cards", "components.sample_gallery", "components.wizard"):
        importlib.import_module(f"dashboard.{name}")


def _load_tables() -> None:
    """Load what later pages need, then take everything out of the garbage collector's sight.

    Frozen objects are not walked again by a collection.
    """
    import numpy  # noqa: F401 - loading it is the purpose
    import pandas as pd

    pd.DataFrame({"warm": ["up"]}).to_dict("records")
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def _lifespan(_app: st.App) -> AsyncIterator[None]:
    # Before the server is up: a first page would have to share the interpreter with these imports.
    _load_first_page()
    _load_tables()
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
    middleware=[Middleware(SecurityHeaders)],
    lifespan=_lifespan,
)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="dashboard.server", description="Serve the Tuneboard dashboard.")
    parser.add_argument("--port", type=int, default=8501)
    app.run(config={"server.port": parser.parse_args().port})


if __name__ == "__main__":
    main()
