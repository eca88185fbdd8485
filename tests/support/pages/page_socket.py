"""A user's session with a dashboard's server without a browser: its HTTP requests and its page's websocket.

What a browser would never send can be sent here: events of widgets that the page does not show, forged headers, other hosts.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Mapping
from urllib.parse import urlencode

from google.protobuf.message import Message
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

PAGES = (
    "",
    "task",
    "examples",
    "metric",
    "tune",
    "run",
    "results",
    "try_it",
    "export",
    "history",
    "review",
    "settings",
)
"""Paths of all pages."""

VALUES = {"button": "trigger_value", "text_input": "string_value", "text_area": "string_value"}
"""Widgets whose events are sent -> the form of their value."""

DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)
SECONDS = 60.0


class Session:
    """One user's requests to a server at 127.0.0.1; nobody's until `sign_in`. `headers` go along with each."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port, self.cookie, self.headers = port, "", dict[str, str]()
        if token and not self.sign_in(token):
            raise RuntimeError("the server does not know this token")

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Return the status, the body and the headers of an answer; `headers` have _ in the place of -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            cookie = {"cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, body or None, {**self.headers, **cookie, **named})
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    def sign_in(self, token: str) -> bool:
        """Sign in; return whether the token was right."""
        form = {"content_type": "application/x-www-form-urlencoded", "origin": self.origin}
        status, _, headers = self.request("/sign-in", "POST", urlencode({"token": token}).encode(), **form)
        if status == 303:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return status == 303

    @property
    def is_signed_in(self) -> bool:
        return (
            b"Token" not in self.request("/")[1][:20_000] and self.request("/_stcore/host-config")[0] == 200
        )

    def socket(self, path: str, **headers: str) -> ClientConnection:
        """Open a websocket of the server; raises where it is refused."""
        origin = headers.pop("origin", self.origin)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return connect(
            f"ws://127.0.0.1:{self.port}{path}",
            additional_headers={**self.headers, "Cookie": self.cookie, **named},
            origin=origin,  # type: ignore[arg-type]
            max_size=None,
            open_timeout=SECONDS,
            legacy=True,
            subprotocols=["streamlit"] if "_stcore" in path else None,  # type: ignore[list-item]
        )


class Tab:
    """A page in a session. `text` is all that the server has sent for it, `widgets` what it shows: kind -> ids."""

    def __init__(self, session: Session, page: str, **params: str) -> None:
        self.text, self.widgets = "", dict[str, str]()
        self._page, self._params = page, params
        self._socket = session.socket("/_stcore/stream")
        self.send()

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, values: Mapping[str, tuple[str, str]] | None = None) -> str:
        """Send widgets' events, id -> (kind, text), and wait for the page; return what came."""
        asking = BackMsg()
        asking.rerun_script.query_string = urlencode(self._params)
        asking.rerun_script.page_name = self._page
        for widget, (kind, text) in (values or {}).items():
            state = asking.rerun_script.widget_states.widgets.add(id=widget)
            setattr(state, VALUES[kind], True if kind == "button" else text)
        self._socket.send(asking.SerializeToString())
        return self._received()

    def deferred(self, file_id: str) -> str:
        """Return the address of a download that is made when it is asked for; "" where it is refused."""
        asking = BackMsg()
        asking.backend_operation_request.request_id = file_id
        asking.backend_operation_request.session_id = self.session_id
        asking.backend_operation_request.deferred_file.file_id = file_id
        self._socket.send(asking.SerializeToString())
        while True:
            message = ForwardMsg.FromString(self._socket.recv(timeout=SECONDS))  # type: ignore[arg-type]
            if message.HasField("backend_operation_response"):
                return message.backend_operation_response.deferred_file.url

    @property
    def session_id(self) -> str:
        """Streamlit's id of this session."""
        found = re.search(r'session_id: "([^"]+)"', self.text)
        return found[1] if found else ""

    def _received(self) -> str:
        came: list[str] = []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            message = ForwardMsg.FromString(self._socket.recv(timeout=SECONDS))  # type: ignore[arg-type]
            came.append(str(message))
            if message.HasField("delta"):
                self._note(message.delta.new_element)
            if message.HasField("script_finished") and message.script_finished in DONE:
                break
        self.text += "".join(came)
        return "".join(came)

    def _note(self, element: Message) -> None:
        kind = element.WhichOneof("type") or ""
        widget = getattr(getattr(element, kind, None), "id", "")
        if kind in VALUES and widget:
            self.widgets[widget] = kind
