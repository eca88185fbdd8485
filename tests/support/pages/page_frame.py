"""Helpers for tests of single pages: open one without a browser, read its text, look at the draft."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamlit.testing.v1 import AppTest

from engine.runs.spec import ProjectDraft
from engine.store.store import Store

APP = str(Path(__file__).parents[3] / "dashboard" / "app.py")


def open_page(page: str = "home", *, user: Mapping[str, str] | None = None, **params: str) -> AppTest:
    """Open a page with these query parameters, signed in as `user`; it must not raise."""
    app = AppTest.from_file(APP, default_timeout=180)
    if user is not None:
        app.user = dict(user)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    if page != "home":
        # Leaving the first page forgets them.
        for name, value in params.items():
            app.query_params[name] = value
        app.switch_page(f"{page}/page.py").run()
    assert not app.exception, app.exception
    return app


def open_tune(project: str, *ways: str) -> AppTest:
    """Open the Tune page of a project, and some of its other ways by name."""
    app = open_page("tune", project=project)
    if ways:
        (line,) = [g for g in app.get("button_group") if str(g.key).startswith("other_ways_")]
        line.set_value(list(ways)).run()
    return app


def said(app: AppTest) -> str:
    """Everything a page says in words, without the marks that keep it from being read as Markdown."""
    kinds = (app.title, app.markdown, app.caption, app.text, app.code, app.success, app.info, app.warning)
    return "\n".join(str(e.value).replace("\\", "") for kind in kinds for e in kind)


def html(app: AppTest) -> str:
    """Everything a page says in HTML of its own."""
    return "\n".join(str(element.value) for element in app.get("html"))


def links(app: AppTest) -> list[str]:
    """The words on a page's links to other pages."""
    return [link.proto.label.replace("\\", "") for link in app.get("page_link")]


def stored_draft(project: str) -> ProjectDraft:
    """A project's draft as it is in the store."""
    with Store.open() as store:
        return ProjectDraft.model_validate(store.projects.get(project).draft)
