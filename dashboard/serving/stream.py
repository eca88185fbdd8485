"""The event stream of a run: a websocket that carries what has changed, as JSON objects, part -> value.

It is a websocket and no server-sent events because a browser keeps six connections to a host open over HTTP/1.1, for
all of its tabs together: a seventh tab would wait for ever. It only sends; nothing that comes in is read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.serving.access import USER_HEADER
from dashboard.state import reading, users
from dashboard.state.live.snapshot import SnapshotReader, parts
from engine.errors import EngineError, NotFoundError
from engine.store.store import Store
from engine.store.users import user_file

POLL_SECONDS = 0.1
LOOK_ANYWAY_SECONDS = 1.0
"""A run whose process has died changes nothing in the store: it is looked at this often."""

LOCKED_SECONDS = 2.0
"""Seconds that another program may hold the database before the tabs get a message; reading is retried all the time."""

BUSY_SHARE = 3.0
"""Working a change out may take a third of the time at most: a run of 10,000 trials sends changes less often."""

_log = logging.getLogger(__name__)


class Tab:
    """The parts not yet sent to one browser tab. Newer parts replace older ones."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, str] = {}
        self._news = asyncio.Event()

    async def message(self) -> str:
        """Wait for news; return all of it as one JSON object: part -> value."""
        await self._news.wait()
        self._news.clear()
        waiting, self._waiting = self._waiting, {}
        return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in waiting.items()) + "}"

    def send(self, changed: dict[str, str]) -> None:
        """Add news, from any thread."""
        with suppress(RuntimeError):  # the server is going down, and its loop is closed
            self._loop.call_soon_threadsafe(self._add, changed)

    def _add(self, changed: dict[str, str]) -> None:
        self._waiting.update(changed)
        self._news.set()


class WatchedRun:
    """The state of one run. Only what can have changed is read again."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.tabs: set[Tab] = set()
        self.sent: dict[str, str] = {}
        self.look_again = self.not_before = 0.0
        self.seen_version = self._version = -1
        self._reader = SnapshotReader(run_id)
        self._process: tuple[Any, ...] = ()

    def trouble(self, sentence: str) -> dict[str, str]:
        """Return the change that the run cannot be read, and why; the next successful read ends it."""
        self._version = -1
        text = json.dumps(sentence)
        changed = {} if self.sent.get("trouble") == text else {"trouble": text}
        self.sent = {**self.sent, **changed}
        return changed

    def changes(self, store: Store) -> dict[str, str]:
        """Return the parts that have changed, as JSON texts. Raises EngineError."""
        version = store.runs.version(self.run_id)
        run = store.runs.get(self.run_id)
        process = (run.pid, run.started_at, run.is_over)
        if version == self._version and process == self._process and run.state != "lost" and self.sent:
            return {}
        if (
            process != self._process
        ):  # another process drives it, or it has ended, where old trials are removed
            self._reader.forget()
            self._process = process
        self._version = version
        seen = self._reader.read(store, run)
        texts = {name: json.dumps(value) for name, value in {**parts(seen), "trouble": ""}.items()}
        changed = {name: text for name, text in texts.items() if self.sent.get(name) != text}
        self.sent = texts
        return changed


class Watcher:
    """Follows the runs that tabs look at, in a thread that lives as long as there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, WatchedRun] = {}
        self._thread: threading.Thread | None = None

    @property
    def tabs(self) -> int:
        """The number of tabs that changes are sent to."""
        with self._lock:
            return sum(len(run.tabs) for run in self._runs.values())

    @property
    def idle(self) -> bool:
        """True when nothing is watched and the store is closed."""
        with self._lock:
            return self._thread is None

    def join(self, run_id: str, tab: Tab) -> None:
        """Send a tab the state of a run, and every change."""
        with self._lock:
            run = self._runs.setdefault(run_id, WatchedRun(run_id))
            run.tabs.add(tab)
            if run.sent:
                tab.send(run.sent)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="watch-store", daemon=True)
                self._thread.start()

    def leave(self, run_id: str, tab: Tab) -> None:
        """Send a tab nothing more."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is not None:
                run.tabs.discard(tab)
                if not run.tabs:
                    del self._runs[run_id]

    def _watch(self) -> None:
        while True:
            with ExitStack() as stack:
                try:
                    store = stack.enter_context(users.opened(None, wait=LOCKED_SECONDS))
                    while self._round(store):
                        time.sleep(POLL_SECONDS)
                    return
                except EngineError as error:
                    self._trouble(str(error))
                except Exception:  # noqa: BLE001 - of any kind: the tabs must get later changes
                    _log.exception("Looking at the store failed; trying again.")
                    self._trouble("Something inside Tuneboard went wrong; trying again.")
            time.sleep(LOOK_ANYWAY_SECONDS)
            if not self._watched():  # also where the store could not be opened
                return

    def _watched(self) -> list[WatchedRun]:
        """Return the runs to look at; without any, the thread ends."""
        with self._lock:
            if not self._runs:
                self._thread = None
            return list(self._runs.values())

    def _round(self, store: Store) -> bool:
        """Look at every watched run that may have changed; return False when there is none left to watch."""
        if not (runs := self._watched()):
            return False
        version = store.connection.data_version()
        if any(version != run.seen_version for run in runs):
            store.connection.check_current()
        for run in runs:
            now = time.monotonic()
            if now < run.look_again and (version == run.seen_version or now < run.not_before):
                continue
            self._look(store, run, version)
        return True

    def _look(self, store: Store, run: WatchedRun, version: int) -> None:
        started = time.monotonic()
        try:
            changed = run.changes(store)
        except NotFoundError as error:
            changed = run.trouble(str(error))
        took = time.monotonic() - started
        run.seen_version = version
        run.not_before = started + took * (1 + BUSY_SHARE)
        run.look_again = max(run.not_before, started + LOOK_ANYWAY_SECONDS)
        if changed:
            with self._lock:
                for tab in run.tabs:
                    tab.send(changed)

    def _trouble(self, sentence: str) -> None:
        with self._lock:
            for run in self._runs.values():
                changed = run.trouble(sentence)
                for tab in run.tabs if changed else ():
                    tab.send(changed)


PATH = "/live/{run_id}"

_RUN_ID = re.compile(r"[0-9a-f]{12}")
_POLICY_VIOLATION = 1008

watcher = Watcher()


async def live(socket: WebSocket) -> None:
    """Send the state of a run, then every change, until the tab is closed."""
    run_id = str(socket.path_params["run_id"])
    # Its page was served from here: `SameOrigin` has looked at the origin that there is.
    seen = "origin" in socket.headers and _RUN_ID.fullmatch(run_id) and await _is_visible(socket, run_id)
    if not seen:
        await socket.close(_POLICY_VIOLATION)
        return
    await socket.accept()
    tab = Tab(asyncio.get_running_loop())
    watcher.join(run_id, tab)
    sending = asyncio.create_task(_send(socket, tab, run_id))
    try:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
    finally:
        watcher.leave(run_id, tab)
        sending.cancel()


async def _send(socket: WebSocket, tab: Tab, run_id: str) -> None:
    try:
        while True:
            message = await tab.message()
            if not await _is_visible(socket, run_id):  # no member of its project any more
                await socket.close(_POLICY_VIOLATION)
                return
            await socket.send_text(message)
    except (WebSocketDisconnect, RuntimeError):
        return  # the tab was closed meanwhile


async def _is_visible(socket: WebSocket, run_id: str) -> bool:
    """Return whether the socket's user may read a run; on a server without users everybody may."""
    if user_file() is None:
        return True
    return await asyncio.to_thread(_reads, socket.headers.get(USER_HEADER, ""), run_id)


def _reads(name: str, run_id: str) -> bool:
    try:
        with users.acting(name), reading.open_store(LOCKED_SECONDS) as store:
            return store.runs.version(run_id) >= 0
    except EngineError:
        return False
