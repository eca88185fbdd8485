"""The server of a service: requests that never end, or begin with too much, are refused, and a signal ends it in time."""

from __future__ import annotations

import asyncio
import os
import threading
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_SECONDS = 30.0
"""Time in which a request must be there, from its first byte, or from the start of a connection, to its last."""

HEAD_BYTES = 65_536
"""Bytes that the first line and the headers of a request may take."""

CONNECTIONS = 1000
"""Connections that may be open; fewer where the process may not have twice as many files open."""

KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 10
"""Time that answers under way have after a signal; then they are cancelled."""

END_SECONDS = 18.0
"""Time after a signal when the process ends, whatever still runs in it."""


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits on what a caller may send, and on how long it may take to do so.

    uvicorn itself waits for ever for the rest of a request; `tests/engine_tests/serve/test_limits.py` fails when it
    reads requests in another way.
    """

    seconds = REQUEST_SECONDS
    head_bytes = HEAD_BYTES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._head: int | None = 0
        """Bytes of the headers so far; None when they are complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()
        if self.limit_concurrency and len(self.connections) > self.limit_concurrency * 3 // 4:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers have become too long."""
        if self._deadline is None and self._head is not None:
            self._wait()
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > self.head_bytes and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", b"The request's headers are too long.")

    def on_headers_complete(self) -> None:
        """Note that what follows is the body, which the service itself limits."""
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is there."""
        self._wait_no_more()
        self._head, self._since = 0, self.loop.time()
        super().on_message_complete()

    def _make_room(self) -> None:
        """Close the connection that has been without a whole request for the longest time."""
        every = [one for one in self.connections if isinstance(one, LimitedProtocol)]
        idle = [one for one in every if one._deadline or one.cycle is None or one.cycle.response_complete]
        longest = min(idle, key=lambda one: one._since)
        self.connections.discard(longest)  # at once: it counts until it is closed
        longest._refuse(b"503 Service Unavailable", b"Too many connections are open. Try again.")

    def _wait(self) -> None:
        self._since = self.loop.time()
        self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout", b"The request did not come to its end in time.")

    def _refuse(self, status: bytes, message: bytes) -> None:
        self._wait_no_more()
        body = b'{"error":"' + message + b'"}'
        head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()


class EndingServer(uvicorn.Server):
    """A server whose process ends within 20 seconds of a signal, also if a program blocks a thread for ever."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down, and make sure that it ends."""
        last = threading.Timer(END_SECONDS, os._exit, (0,))
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return the server of an ASGI application, ready to run."""
    files = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else -1
    most = min(CONNECTIONS, files // 2) if files > 0 else CONNECTIONS  # it may also be unlimited
    return EndingServer(
        uvicorn.Config(
            app,
            http=LimitedProtocol,
            log_level="warning",
            limit_concurrency=most,
            backlog=min(100, most // 2 + 1),  # the most that are accepted at once
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
