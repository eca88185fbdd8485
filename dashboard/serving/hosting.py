"""Streamlit as an ASGI app, with Plotly's script from this machine and the event streams of runs; what pages need is loaded.

Importing it takes most of the time that the server needs to start.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import sys
import threading

# Measured: of the 0.4 s of CPU that importing Streamlit takes, 0.12 s are Plotly's Python side, for a theme of charts that
# are not used here. An import that is refused is allowed for; tests/dashboard_tests/serving/test_hosting.py checks it.
sys.modules.setdefault("plotly.graph_objects", None)  # type: ignore[arg-type]  # how an import is refused
import streamlit as st

if sys.modules["plotly.graph_objects"] is None:  # the refusal ends here: from now on it can be imported
    del sys.modules["plotly.graph_objects"]
from starlette.routing import Mount, Route, WebSocketRoute
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime import memory_session_storage
from streamlit.runtime.session_manager import SessionInfo, SessionStorage
from streamlit.web import bootstrap

from dashboard.serving import stream
from dashboard.serving.access import METRICS, USER_HEADER, own_hosts
from dashboard.serving.front import DASHBOARD, CachedFiles, package_folder
from dashboard.serving.metrics import metrics
from dashboard.state import reading, users
from dashboard.state.editing import examples
from engine.basics.home import data_home
from engine.dataset.memory import keep_little
from engine.errors import EngineError
from engine.runs.log_file import LogFile
from engine.runs.spec import ModelChoice, ProjectDraft
from engine.store.users import user_file

FIRST_PAGE = (
    *(f"dashboard.home.{name}" for name in ("projects", "welcome")),
    *("dashboard.components.wizard", "engine.registry", "engine.runs.spec", "engine.pipeline.check"),
)
THRESHOLDS = (20_000, 20, 20)
"""Each redraw of a page makes thousands of objects: Python's own (700, 10, 10) would collect several times in each."""

MOST_CLOSED = 64
"""Closed pages whose sessions stay; a server's process may have 1,024 descriptors."""

TURN_SECONDS = 0.0005
"""The longest that warming up keeps a page's code waiting."""

_log = logging.getLogger(__name__)
_NO_PAGE = "streamlit.runtime.scriptrunner_utils.script_run_context"


def hosted(port: int) -> st.App:
    """Return the app, ready to be started; the parts of its first page are imported."""
    app = st.App(
        DASHBOARD / "app.py",
        routes=[
            Mount("/vendor", CachedFiles(package_folder("plotly") / "package_data", "public, max-age=86400")),
            WebSocketRoute(stream.PATH, stream.live),
            Route(METRICS[0], metrics),
        ],
        on_script_error=lambda error: _log.error("A page failed.", exc_info=error),
    )
    logging.basicConfig(handlers=(LogFile(data_home(), "dashboard.log"), logging.StreamHandler()))
    bootstrap.load_config_options(
        {
            "server.port": port,
            "server.allowedHosts": list(own_hosts()),
            "server.trustedUserHeaders": {USER_HEADER: users.KEY},  # only the front sets it: see `SignIn`
        }
    )
    # Measured: reading what every installed package says of its components takes 0.18 s of CPU. None brings any for these
    # pages. tests/dashboard_tests/serving/test_hosting.py fails when Streamlit looks for them in another way.
    manifest_scanner.scan_component_manifests = list  # type: ignore[assignment]  # it finds none
    memory_session_storage.MemorySessionStorage = ClosedPages  # type: ignore[assignment,misc]  # a test counts what stays
    app.lifespan()  # makes the runtime
    for name in FIRST_PAGE:
        importlib.import_module(name)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # Streamlit makes it log every request
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").handlers.clear()
    keep_little()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
    return app


class ClosedPages(SessionStorage):
    """The last sessions whose page was closed, for a page that connects again within `ttl_seconds`.

    Each holds an event loop with three descriptors. Streamlit's own storage looks for expired ones only when it stores another,
    and leaves their end to the garbage collector: measured, 398 descriptors stay after 200 sessions.
    """

    def __init__(self, ttl_seconds: int) -> None:
        self._seconds = ttl_seconds
        self._sessions: dict[str, SessionInfo] = {}

    def get(self, session_id: str) -> SessionInfo | None:
        """Return a session, or None."""
        return self._sessions.get(session_id)

    def save(self, session_info: SessionInfo) -> None:
        """Store a session until its time is over."""
        self._sessions[session_info.session.id] = session_info
        asyncio.get_running_loop().call_later(self._seconds, self._end, session_info)
        if len(self._sessions) > MOST_CLOSED:
            self._end(self.list()[0])

    def delete(self, session_id: str) -> None:
        """Take a session out, which goes on or was ended."""
        del self._sessions[session_id]

    def list(self) -> list[SessionInfo]:
        """Return all sessions."""
        return [*self._sessions.values()]

    def _end(self, info: SessionInfo) -> None:
        if self._sessions.get(info.session.id) is info:
            self.delete(info.session.id)
            info.session.shutdown()


def load_rest() -> None:
    """Load what later pages need. Frozen objects are not looked at again by a garbage collection."""
    import numpy  # noqa: F401 - loading it is the purpose
    import pandas as pd

    pd.DataFrame({"warm": ["up"]}).to_dict("records")
    folders = [DASHBOARD / "components", *(page.parent for page in DASHBOARD.glob("*/page.py"))]
    for path in sorted(file for folder in folders for file in folder.glob("*.py")):
        if path.stem not in ("page", "__init__"):  # a page is a script: Streamlit runs it
            importlib.import_module(".".join(path.with_suffix("").relative_to(DASHBOARD.parent).parts))
    gc.collect()
    gc.freeze()
    if user_file() is None:  # with users it is not known whose pages are next
        warm()
    gc.freeze()  # without a collection: it would walk all rows of a large table


class _OtherThreads(logging.Filter):
    """Leaves out Streamlit's warnings about this thread, which draws no page."""

    def __init__(self) -> None:
        super().__init__()
        self._own = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._own


def warm() -> None:
    """Fill the caches that the pages of the project changed last will ask for.

    For a table of 100,000 rows it takes seconds to find the usable rows, their division and what is doubtful.
    Errors are left to the pages.
    """
    others = _OtherThreads()
    usual = sys.getswitchinterval()
    logging.getLogger(_NO_PAGE).addFilter(others)
    sys.setswitchinterval(TURN_SECONDS)
    try:
        projects = reading.projects()
        if projects:
            _warm_project(reading.draft_of(projects[0]))
    except EngineError:
        return
    finally:
        sys.setswitchinterval(usual)
        logging.getLogger(_NO_PAGE).removeFilter(others)


def _warm_project(draft: ProjectDraft) -> None:
    if draft.dataset is None:
        return
    reading.profiles(draft.dataset)
    if draft.pipeline is None:
        return
    reading.usable(draft.dataset, draft.pipeline, draft.mapping)
    examples.split_of(draft)
    examples.findings_of(draft)
    stored = reading.examples_file(draft)
    if stored is not None and not draft.problems():
        # As the card of the Tune page asks, for a project without feedback.
        start = draft.model_copy(update={"model": draft.model or ModelChoice(), "feedback": ()})
        reading.estimate(start.to_run(stored.hash))
