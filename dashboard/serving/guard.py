"""Guards of the dashboard's server: only its own pages reach it and, where a token was asked for, only who has that."""

from __future__ import annotations

import hmac
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_VARIABLE = "TUNEBOARD_DASHBOARD_TOKEN"  # noqa: S105 - the variable's name, not a token
HEALTH = "/_stcore/health"
COOKIE = "tuneboard-token"


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


class Token:
    """Middleware that asks for a token: once in the address, as ?token=..., afterwards in the cookie that it has set."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        if scope["type"] not in ("http", "websocket") or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # Cookies hold for all ports of a machine: each server has its own.
        name = f"{COOKIE}-{re.sub('[^0-9]', '', headers.get('host', '').rpartition(':')[2])}"
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        # Other programs' cookies come along, of whatever form: Starlette reads each for itself, as browsers do.
        if self._is_right(HTTPConnection(scope).cookies.get(name, "")):
            await self._app(scope, receive, send)
        elif (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and self._is_right(dict(query).get("token", ""))
        ):
            rest = urlencode([(key, value) for key, value in query if key != "token"])
            # Only the path: an address that begins with two slashes would lead to another machine.
            path = "/" + scope["path"].lstrip("/\\")
            answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            answer.set_cookie(name, self._token, httponly=True, samesite="lax")
            answer.headers["cache-control"] = "no-store"
            await answer(scope, receive, send)
        else:
            await _refuse(
                scope, receive, send, 401, "Open the address that was printed where Tuneboard was started."
            )

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    answer: Response = PlainTextResponse(message, status, headers={"cache-control": "no-store"})
    await answer(scope, receive, send)
