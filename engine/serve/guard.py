"""Who may ask a service, and how much they may send: a layer around the application.

It knows the ASGI protocol and no web framework.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DISCARDED = 16_000_000
"""How much of a request that is too long is read before the connection is closed on it."""

OPEN_PATHS = frozenset({"/health"})
"""Answered without a token, for whoever watches over the service."""


class Guard:
    """Refuses requests without the token (401), to another host name (403) or with too much to read (413).

    `hosts` are the names a browser may have asked for; a page of another name that resolves here is refused, which
    stops DNS rebinding. None takes any.
    """

    def __init__(self, app: App, *, token: str | None, max_bytes: int, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._max_bytes = max_bytes
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._hosts is not None and _host(headers) not in self._hosts:
            await _refuse(send, 403, "This service answers on this machine's own address only.")
            return
        if scope["path"] not in OPEN_PATHS and not self._allowed(headers):
            await _refuse(send, 401, "Send the service's token: Authorization: Bearer ...")
            return
        body = await self._body(headers, receive)
        if body is None:
            await _refuse(send, 413, f"The request is over {self._max_bytes:,} bytes.")
            return
        await self._app(scope, _replay(body, receive), send)

    def _allowed(self, headers: Mapping[bytes, bytes]) -> bool:
        if self._token is None:
            return True
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
        """Read the whole body; None when it is too long.

        What is too long is read to its end, within bounds, and thrown away: who is still sending would see a broken
        connection instead of the answer.
        """
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_bytes + DISCARDED:
            return None
        body, size, more = bytearray(), 0, True
        while more and size <= self._max_bytes + DISCARDED:
            message = await receive()
            piece = message.get("body", b"")
            size += len(piece)
            if size <= self._max_bytes:
                body += piece
            more = message["type"] == "http.request" and message.get("more_body", False)
        return None if size > self._max_bytes else bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _host(headers: Mapping[bytes, bytes]) -> str:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = orjson.dumps({"error": sentence})
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        fields.append((b"www-authenticate", b"Bearer"))
    if status == 413:
        fields.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
