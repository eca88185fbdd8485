"""Files between the server and its pages: users fetch what a page of theirs was sent, and upload where a page asks for it.

Both are read from the fields of the messages to a page. An address in a text that a page shows opens nothing.
"""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.serving.guard import USER_HEADER, refuse

FILES, UPLOADS = "/media/", "/_stcore/upload_file/"
MOST_OF_PAGE, MOST_OF_USER = 600 * 1024 * 1024, 1000 * 1024 * 1024
"""Bytes of uploads in memory, of one page and of all pages of a user. Documents are uploaded by up to 500 MB."""


@dataclass
class _Page:
    """A page's session: the addresses of files that it was sent, and its script's latest run that asked for one."""

    id: str
    user: str
    sockets: int = 0
    coming: int = 0
    run: str = ""
    asked_in: str = ""
    files: set[str] = field(default_factory=set)

    @property
    def uploaded(self) -> int:
        """Bytes of its uploads, with those on their way."""
        stored = _runtime().uploaded_file_mgr.file_storage.get(self.id, {})
        return self.coming + sum(len(file.data) for file in stored.values())

    def note(self, message: Any) -> None:
        """Note what the page is sent. Uploads are freed after a run of the whole script that asks for none."""
        element = message.delta.new_element
        self.run = message.metadata.run.script_run_id or self.run  # only some messages of a run name it
        addresses = [image.url for image in element.imgs.imgs]
        addresses += [element.download_button.url, message.backend_operation_response.deferred_file.url]
        self.files |= {address.partition(".")[0] for address in addresses}
        if element.HasField("file_uploader"):
            self.asked_in = self.run
        done = message.HasField("script_finished") and not message.script_finished  # 0 is successfully
        if done and self.asked_in != self.run:
            self.asked_in = ""
            _runtime().uploaded_file_mgr.remove_session_files(self.id)


class PageFiles:
    """Middleware between users and the files that Streamlit has in memory, which itself answers every user."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._pages: dict[str, _Page] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass a request on."""
        path, user = scope.get("path", ""), Headers(raw=scope.get("headers", [])).get(USER_HEADER, "")
        pages = [page for page in self._pages.values() if page.user == user]
        if scope["type"] == "websocket":
            await self._socket(user, scope, receive, send)
        elif path.startswith(UPLOADS):
            await self._upload(pages, scope, receive, send)
        elif path.startswith(FILES) and not any(path.partition(".")[0] in page.files for page in pages):
            await refuse(scope, receive, send, 404, "Your pages show no such file. Open the page again.")
        else:
            await self._app(scope, receive, send)

    async def _socket(self, user: str, scope: Scope, receive: Receive, send: Send) -> None:
        page: _Page | None = None

        async def send_noted(message: Message) -> None:
            nonlocal page
            if data := message.get("bytes"):
                sent = importlib.import_module("streamlit.proto.ForwardMsg_pb2").ForwardMsg.FromString(data)
                if page is None and (session := sent.new_session.initialize.session_id):
                    page = self._pages.setdefault(session, _Page(session, user))
                    page.sockets += 1
                if page is not None:
                    page.note(sent)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            if page is not None:
                page.sockets -= 1
                # Once they have passed, Streamlit finds the session no more, and frees it when another one ends.
                config = importlib.import_module("streamlit.config")
                seconds = 0.9 * config.get_option("server.disconnectedSessionTTL")
                asyncio.get_running_loop().call_later(seconds, self._end, page)

    def _end(self, page: _Page) -> None:
        if not page.sockets and self._pages.pop(page.id, None):
            _runtime().close_session(page.id)

    async def _upload(self, pages: list[_Page], scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["path"].removeprefix(UPLOADS).partition("/")[0]
        page = next((page for page in pages if page.id == session and page.asked_in), None)
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else MOST_OF_PAGE + 1 if scope["method"] == "PUT" else 0
        if page is None:
            await refuse(scope, receive, send, 403, "The page asks for no file. Load it again.")
        elif page.uploaded + size > MOST_OF_PAGE or sum(p.uploaded for p in pages) + size > MOST_OF_USER:
            await refuse(scope, receive, send, 413, "A page may upload 600 MB. Load it again to upload more.")
        else:
            page.coming += size
            try:
                await self._app(scope, receive, send)
            finally:
                page.coming -= size


def _runtime() -> Any:
    return importlib.import_module("streamlit.runtime").get_instance()
