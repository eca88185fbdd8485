"""Every page over an empty store, a small one and a large one: it draws, says something, and does so in time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from support.large_store import LargeStore, fill

from engine.store.store import Store

ROOT = Path(__file__).parents[2] / "dashboard"
APP = str(ROOT / "app.py")
PAGES = sorted(p.parent.name for p in ROOT.glob("*/page.py"))
SLOW = 15.0
"""Seconds of this process a page may take here, on a slow machine too; the benchmark measures the real thing."""


@pytest.fixture(scope="module", params=["empty", "small", "large"])
def store(request, tmp_path_factory) -> tuple[Path, LargeStore | None]:
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "empty":
        with Store.open(home) as opened:
            opened.settings.set("welcomed", True)
        return home, None
    if request.param == "small":
        return home, fill(home, runs=3, trials=60, rows=40)
    return home, fill(home)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_draws_in_time(store, monkeypatch, page):
    home, ids = store
    monkeypatch.setenv("TUNEBOARD_HOME", str(home))
    app = AppTest.from_file(APP, default_timeout=180)
    if ids is not None:
        app.query_params["project"] = ids.wide if page in ("task", "examples", "metric", "tune") else ids.busy
        if page in ("run", "results", "try_it", "export"):
            app.query_params["run"] = ids.run
    app.run()
    app.switch_page(f"{page}/page.py").run()
    assert not app.exception, app.exception
    texts = [str(e.value) for e in (*app.title, *app.markdown, *app.caption)]
    assert any(text.strip() for text in texts)
    started = time.process_time()
    app.run()
    took = time.process_time() - started
    assert not app.exception, app.exception
    assert took < SLOW, f"{page} took {took:.1f} s"
