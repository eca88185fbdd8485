"""The dashboard's server: `python -m dashboard.server --port 8501` serves on loopback only, where no users were set up.

Little is imported here, so that the browser is answered at once: `dashboard.serving.front` serves Streamlit's page and
scripts while `dashboard.serving.hosting`, which is everything else, is being loaded.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING

import uvicorn

from dashboard.serving.access import TOKEN_VARIABLE, OneToken
from dashboard.serving.front import Front
from engine.store.users import user_file

if TYPE_CHECKING:
    import streamlit as st

HOST = "127.0.0.1"
PING_SECONDS = 30
MOST_BYTES = 200 * 1024 * 1024
"""A message of a page's websocket may be this large, as in Streamlit's own server."""

TURN_SECONDS = 0.0005
"""The imports take turns with the browser's requests, which are short."""


def serve(port: int, host: str = HOST) -> int:
    """Serve until interrupted; return the exit code. The pages' code is loaded while the browser loads its scripts."""

    def load() -> st.App:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(TURN_SECONDS)
        try:
            hosted: st.App = importlib.import_module("dashboard.serving.hosting").hosted(port)
        finally:
            sys.setswitchinterval(usual)
        return hosted

    def load_rest() -> None:
        importlib.import_module("dashboard.serving.hosting").load_rest()

    def give_up() -> None:
        server.should_exit = True

    # Taken out: the processes that this one starts have no use for it.
    token = os.environ.pop(TOKEN_VARIABLE, "")
    front = Front(load, load_rest, give_up, user_file() or (OneToken(token) if token else None))
    server = uvicorn.Server(
        uvicorn.Config(
            front.app,
            host=host,
            port=port,
            ws="websockets-sansio",
            ws_max_size=MOST_BYTES,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            ws_per_message_deflate=False,  # on one machine, packing costs more than it saves
            access_log=False,
            log_level="warning",
        )
    )
    server.run()
    return 0 if server.started and not front.failed else 1


def main() -> None:
    """Serve until interrupted."""
    gc.disable()  # garbage is not looked for until everything is imported
    # Measured: after a table of 60 MB Arrow's own allocator keeps another 60 MB; the system's gives it back.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    parser = argparse.ArgumentParser(prog="dashboard.server", description="Serve the Tuneboard dashboard.")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--host", default=HOST, help="Only with users: see `tuneboard open --users`.")
    given = parser.parse_args()
    if given.host != HOST and user_file() is None:
        parser.error("Others could reach this address: give the server users (tuneboard open --users FILE).")
    sys.exit(serve(given.port, given.host))


if __name__ == "__main__":
    main()
