"""Links to the report of one run, for others: a file without scripts, shown to whom the rest of the server is closed.

No page, no session and no Streamlit take part: a link that has ended answers nothing more from that moment on.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.store.users import user_file

if TYPE_CHECKING:
    from engine.store.rows import LinkRow
    from engine.store.store import Store

PATH = "/shared/"
"""Path of a link, before its token."""

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
}
ENDED = "This link has ended, or it never was one. Ask the person who sent it for another."
TROUBLE = "The report cannot be read now. Try again in a moment."


class SharedReports:
    """Middleware that answers links to reports by itself, and passes every other request on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._one_at_a_time = app, asyncio.Lock()
        self._last: tuple[tuple[LinkRow, int], str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        answer: Response
        if scope["method"] not in ("GET", "HEAD"):
            answer = PlainTextResponse("A report can only be read.", 405, headers=HEADERS)
        else:
            async with self._one_at_a_time:
                answer = await asyncio.to_thread(self._answer, scope["path"].removeprefix(PATH))
        await answer(scope, receive, send)

    def _answer(self, token: str) -> Response:
        """Return the report that a token shows. What it needs is loaded at the first link that is opened."""
        from engine.errors import EngineError, NotFoundError
        from engine.runs.results.report import run_report
        from engine.store.store import Store

        try:
            with Store.open(read_only=True) as store:
                link = store.links.find(token)
                if link is None or not _may_share(store, link):
                    return PlainTextResponse(ENDED, 404, headers=HEADERS)
                key = (link, store.runs.version(link.run_id))
                if self._last is None or self._last[0] != key:
                    self._last = (key, run_report(store, link.run_id, shared(link)))
        except NotFoundError:  # the run is in an archive, or was deleted meanwhile
            return PlainTextResponse(ENDED, 404, headers=HEADERS)
        except EngineError:
            return PlainTextResponse(TROUBLE, 503, headers=HEADERS)
        return HTMLResponse(self._last[1], headers=HEADERS)


def shared(link: LinkRow) -> str:
    """Return who made a link, and until when it works."""
    until = datetime.fromtimestamp(link.ends_at).astimezone().strftime("%d %b %Y, %H:%M")
    return f"Shared {f'by {link.made_by} ' if link.made_by else ''}until {until}"


def _may_share(store: Store, link: LinkRow) -> bool:
    """Return whether the maker of a link may still change its project, as the maker of one must."""
    file = user_file()
    if file is None or not link.made_by:
        return True
    user = file.named(link.made_by)
    role = store.members.role(store.runs.get(link.run_id).project_id, link.made_by)
    return user is not None and (user.administrator or role in ("editor", "owner"))
