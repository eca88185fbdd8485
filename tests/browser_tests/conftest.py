"""A real dashboard server, a real Chromium, and what every browser test checks without being asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, Request, expect
from support.pages.browser_frame import BACKSTOP, chromium, settled
from support.pages.dashboard_server import Server
from support.pages.page_traffic import follow

collect_ignore = (
    [] if importlib.util.find_spec("torch") else ["tune/test_small_model_here.py"]
)  # `make test-weights` has torch

expect.set_options(timeout=1000 * BACKSTOP)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the module's server; a module that shows finished runs has one with them."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder).start()
    yield running
    running.stop()


@pytest.fixture
def home(server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the server, which is this process's too."""
    monkeypatch.setenv("TUNEBOARD_HOME", str(server.home))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return server.home


@pytest.fixture
def new_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page; afterwards no page may have failed or called another machine."""
    yield from watched(browser, server)


@pytest.fixture(scope="module")
def run_page(browser: Browser, server: Server) -> Iterator[Page]:
    """One page that the tests of a module share."""
    for open_page in watched(browser, server):
        yield open_page()


def watched(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Give a function that opens pages; complain about what went wrong on them at the end."""
    contexts = []
    trouble: list[str] = []

    def open_page(path: str = "", *, theme: str = "light", width: int = 1280, height: int = 900) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            accept_downloads=True,  # type: ignore[arg-type]
        )
        context.set_default_timeout(1000 * BACKSTOP)
        follow(context)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(f"script error: {error}"))
        page.on("request", lambda request: _outside(request, trouble))
        page.goto(f"{server.url}/{path}")
        settled(page)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            shown = page.get_by_test_id("stException")
            trouble.extend(
                f"exception on {page.url}: {shown.nth(i).inner_text()}" for i in range(shown.count())
            )
        context.close()
    assert not trouble, "\n".join(trouble)


def _outside(request: Request, trouble: list[str]) -> None:
    host = urlparse(request.url).hostname
    if host not in (None, "127.0.0.1", "localhost"):
        trouble.append(f"request to another machine: {request.url}")
