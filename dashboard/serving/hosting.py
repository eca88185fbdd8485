"""Streamlit as an ASGI app, with what it lacks: Plotly's script from this machine and the runs' event stream.

Importing it takes most of the time that the server needs to start. It knows nothing of what pages show.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import pkgutil
import sys
from pathlib import Path

# Streamlit loads Plotly's Python side with itself, for a theme of its own charts: a quarter of the time to start. Ours
# are drawn by Plotly's script alone, so it is told that there is none.
sys.modules.setdefault("plotly.graph_objects", None)  # type: ignore[arg-type]  # how an import is refused
import streamlit as st

if sys.modules["plotly.graph_objects"] is None:
    del sys.modules["plotly.graph_objects"]
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from streamlit.components.v2 import manifest_scanner
from streamlit.web import bootstrap

from dashboard.serving import stream

HERE = Path(__file__).parents[1]

FIRST_PAGE = (
    *(f"dashboard.app_pages.home.{name}" for name in ("projects", "welcome", "runs")),
    *("dashboard.components.wizard", "engine.registry", "engine.runs.parts", "engine.pipeline.check"),
)
THRESHOLDS = (20_000, 20, 20)
"""A page drawn anew makes some thousand objects: Python's own (700, 10, 10) would look for garbage several times in each."""


def hosted(port: int) -> st.App:
    """Return the app, ready to be started: what its first page shows has been imported."""
    app = st.App(
        HERE / "app.py",
        routes=[
            Mount("/vendor", app=StaticFiles(directory=plotly_folder())),
            WebSocketRoute(stream.PATH, stream.live),
        ],
    )
    bootstrap.load_config_options({"server.port": port})
    # No installed package brings components for these pages: Streamlit need not read what each of them says of itself.
    manifest_scanner.scan_component_manifests = list  # type: ignore[assignment]  # it finds none
    app.lifespan()  # makes the runtime
    for name in FIRST_PAGE:
        importlib.import_module(name)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(
            logging.WARNING
        )  # Streamlit has it tell of every connection and request
    logging.getLogger("uvicorn.access").handlers.clear()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()
    return app


def load_rest() -> None:
    """Load what later pages need, then take everything out of the garbage collector's sight.

    Frozen objects are not walked again by a collection.
    """
    import numpy  # noqa: F401 - loading it is the purpose
    import pandas as pd

    pd.DataFrame({"warm": ["up"]}).to_dict("records")
    for folder in ("components", "app_pages"):
        for found in pkgutil.walk_packages([str(HERE / folder)], f"dashboard.{folder}."):
            if not found.name.endswith(".page"):  # a page is a script: Streamlit runs it
                importlib.import_module(found.name)
    warming = importlib.import_module("dashboard.serving.warming")
    gc.collect()
    gc.freeze()
    warming.warm()
    gc.freeze()  # and no collection now: it would walk all rows of a large table, and nobody could do anything meanwhile


def plotly_folder() -> Path:
    """Return the folder of the installed Plotly package that holds plotly.min.js."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly is not installed; install Tuneboard again")
    return Path(spec.origin).parent / "package_data"
