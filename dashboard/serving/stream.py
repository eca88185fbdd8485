"""The event stream of a run: a websocket that carries what has changed, as JSON objects, part -> value.

It is a websocket and no server-sent events because a browser keeps six connections to a host open over HTTP/1.1, for
all of its tabs together: a seventh tab would wait for ever. It only tells; nothing that comes in is read.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlparse

from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.serving.watching import Tab, Watcher

MOST_TABS = 400
HOSTS = ("127.0.0.1", "localhost")
PATH = "/live/{run_id}"

_RUN_ID = re.compile(r"[0-9a-f]{12}")
_POLICY_VIOLATION, _TRY_LATER = 1008, 1013

watcher = Watcher()


async def live(socket: WebSocket) -> None:
    """Send what there is of a run, then every change, until the tab is closed."""
    run_id = str(socket.path_params["run_id"])
    if not _is_own_page(socket) or not _RUN_ID.fullmatch(run_id):
        await socket.close(_POLICY_VIOLATION)
        return
    if watcher.tabs >= MOST_TABS:
        await socket.close(_TRY_LATER)
        return
    await socket.accept()
    tab = Tab(asyncio.get_running_loop())
    watcher.join(run_id, tab)
    sending = asyncio.create_task(_send(socket, tab))
    try:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        watcher.leave(run_id, tab)
        sending.cancel()


async def _send(socket: WebSocket, tab: Tab) -> None:
    try:
        while True:
            await socket.send_text(await tab.message())
    except (WebSocketDisconnect, RuntimeError):
        return  # the tab was closed meanwhile


def _is_own_page(socket: WebSocket) -> bool:
    """Whether the page that asks was served from here. Websockets know no same-origin rule of their own."""
    host = socket.headers.get("host", "")
    origin = urlparse(socket.headers.get("origin", ""))
    return origin.netloc == host and urlparse(f"//{host}").hostname in HOSTS
