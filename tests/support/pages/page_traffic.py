"""Messages between a page and Streamlit's server: tells when every request is answered, however slow the machine."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from playwright.sync_api import BrowserContext, Page, WebSocket
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg


class Traffic:
    """A script run that the page asked for and that has not ended."""

    def __init__(self) -> None:
        self.waiting = False
        self._begun = False

    def follow(self, socket: WebSocket) -> None:
        """Listen to a websocket of the page, where it is Streamlit's."""
        if "/_stcore/" in socket.url:
            socket.on("framesent", self._sent)
            socket.on("framereceived", self._received)
            socket.on("close", lambda _: self._forget())

    def _sent(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes) and BackMsg.FromString(frame).HasField("rerun_script"):
            self.waiting, self._begun = True, False

    def _received(self, frame: str | bytes) -> None:
        if not self.waiting or not isinstance(frame, bytes):
            return
        told = ForwardMsg.FromString(frame)
        if told.HasField("new_session"):
            self._begun = True
        elif self._begun and told.HasField("script_finished"):
            # A run that made room for the next is not the answer: that comes with the next.
            self.waiting = told.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN

    def _forget(self) -> None:
        self.waiting = self._begun = False  # the next connection asks again


_traffic: WeakKeyDictionary[Page, Traffic] = WeakKeyDictionary()


def follow(context: BrowserContext) -> None:
    """Follow every page of a browser's context, from its beginning."""
    context.on("page", _follow)


def _follow(page: Page) -> None:
    _traffic[page] = Traffic()
    page.on("websocket", _traffic[page].follow)


def is_answered(page: Page) -> bool:
    """Return whether the page waits for nothing. (True for a page that is not followed.)"""
    return page not in _traffic or not _traffic[page].waiting
