"""Every page over the frozen store as text: titles, texts, numbers, tables, labels and choices, in order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from golden.internals import Store
from golden.machine import frozen_home, masked, same_machine, words_of_html
from streamlit.testing.v1 import AppTest
from support.pages.page_frame import APP

TEXTS = ("title", "header", "subheader", "markdown", "caption", "text", "success", "info", "warning", "error")
TABS = {
    "results_tab": ("Prompts", "Rows", "Models and cost"),
    "prompt_view": ("With a red pen",),
    "prompts_view": ("All prompts", "What came from what", "Which step"),
    "rows_view": ("By prompt", "Scores"),
    "example_tabs": ("Rows", "Add rows", "Columns"),
    "export_tab": ("For people", "For developers"),
}


def _tabs(key: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the tabs of a page: a name for the file, and what the session holds when one is open."""
    return [(tab.lower().replace(" ", "-"), {key: tab}) for tab in TABS[key]]


def _rows(*rows: int) -> dict[str, Any]:
    """Return what the session holds when rows of the history are chosen."""
    return {"history_table": {"selection": {"rows": list(rows), "columns": [], "cells": []}}}


PROJECT = "2734f8b479ed"
"""Id of the project in the frozen store."""
LONGEST_CODE = 12
"""Lines of a piece of code that are written out: exports are compared elsewhere."""


class Visit(NamedTuple):
    """A page, what its address and the session hold, and the key of a button that is pressed."""

    page: str
    address: Mapping[str, str] = {}
    session: Mapping[str, Any] = {}
    pressed: str = ""


PAGES: Mapping[str, Visit] = {
    "home": Visit("home"),
    "task": Visit("task"),
    "task-second-step": Visit("task", {"step": "2"}),
    **{f"examples-{name}": Visit("examples", session=tab) for name, tab in _tabs("example_tabs")},
    "metric": Visit("metric"),
    "tune": Visit(
        "tune", session={f"other_ways_{PROJECT}": ["small model", "several models", "all optimizers"]}
    ),
    "run": Visit("run"),
    "results-of-the-second-run": Visit("results", {"run": "Random search"}),
    **{f"results-{name}": Visit("results", session=tab) for name, tab in _tabs("results_tab")},
    **{f"results-{name}": Visit("results", session=view) for name, view in _tabs("prompt_view")},
    **{f"results-{name}": Visit("results", session=view) for name, view in _tabs("prompts_view")},
    **{
        f"results-{name}": Visit("results", session={**view, "results_tab": "Rows"})
        for name, view in _tabs("rows_view")
    },
    "results-one-row": Visit("results", {"row": "9"}, {"results_tab": "Rows"}),
    "try_it": Visit("try_it"),
    "try_it-answered": Visit("try_it", pressed="try_it"),
    **{
        f"export-{name}": Visit("export", session={**tab, "export_prompt": True})
        for name, tab in _tabs("export_tab")
    },
    "history": Visit("history"),
    "history-one-run": Visit("history", session=_rows(0)),
    "history-two-runs": Visit("history", session=_rows(0, 1)),
    "settings": Visit("settings"),
}
"""Golden file -> how it is made."""

NAMES = tuple(PAGES)


def page_text(name: str) -> str:
    """Return what a page of `NAMES` shows."""
    with same_machine() as home:
        frozen_home(home)
        text = masked("\n".join([*_lines(_opened(PAGES[name])), ""]), home)
        # A script carries code of the engine, whose length changes.
        return re.sub(r"goes on for [\d,]+ lines", "goes on for N lines", text)


def _opened(visit: Visit) -> AppTest:
    with Store.open(read_only=True) as store:
        runs = {run.title: run.id for run in store.runs.all()}
        project = store.projects.all()[0].id
    app = AppTest.from_file(APP, default_timeout=180)
    address = {"project": project, **visit.address, "run": runs[visit.address.get("run", "GEPA")]}
    app.query_params.update(address)
    app.run()
    if visit.page != "home":
        app.query_params.update(address)  # leaving the first page forgets them
        app.switch_page(f"{visit.page}/page.py")
        for key, value in visit.session.items():
            app.session_state[key] = value
        app.run()
    if visit.pressed:
        app.button(key=visit.pressed).click().run()
    assert not app.exception, app.exception
    return app


def _lines(block: Any) -> Iterator[str]:
    for item in getattr(block, "_tree", block).children.values():
        if not hasattr(item, "children"):
            yield from _element(item)
            continue
        if label := getattr(item, "label", ""):
            yield f"[{item.type}] {label}"
        yield from _lines(item)


def _element(item: Any) -> Iterator[str]:
    """Return the lines for one element; pictures, spaces and styles have none."""
    kind = item.type
    if kind in TEXTS:
        yield _indented(kind, str(item.value))
    elif kind == "code":
        lines = str(item.value).splitlines()
        more = len(lines) - LONGEST_CODE
        yield _indented(kind, "\n".join([*lines[:LONGEST_CODE], *(["..."] if more > 0 else [])]))
    elif kind == "html":
        if text := words_of_html(item.value):
            yield _indented(kind, text)
    elif kind == "metric":
        yield f"metric: {item.label} = {item.value} {item.delta}".rstrip()
    elif kind in ("dataframe", "table"):
        table = item.value if not hasattr(item.value, "data") else item.value.data
        yield _indented(kind, table.to_csv(index=False, float_format="%.4g"))
    elif kind == "bidi_component":
        yield from _component(item.proto)
    elif hasattr(item, "label"):
        yield _widget(item)


def _widget(item: Any) -> str:
    proto = item.proto
    text = f"{item.type}: {item.label or getattr(proto, 'icon', '')}"
    options = list(getattr(item, "options", []))
    if item.type == "button_group":
        options = [f"{o.content_icon} {o.content}".strip() for o in item.proto.options]
    if options:
        chosen = _chosen(item)
        return f"{text} = {' | '.join(f'({o})' if i in chosen else o for i, o in enumerate(options))}"
    value = getattr(item, "value", None)
    if item.type not in ("button", "download_button", "page_link", "menu_button") and value not in (
        None,
        "",
        [],
    ):
        text += f" = {value}"
    return f"{text} (disabled)" if getattr(proto, "disabled", False) else text


def _chosen(item: Any) -> Sequence[int]:
    """Return the places of the options that are chosen."""
    if item.type == "button_group":
        shown = item.formatted_values
        return [
            i for i, o in enumerate(item.proto.options) if shown and any(v.endswith(o.content) for v in shown)
        ]
    return getattr(item, "indices", None) or [getattr(item, "index", -1)]


def _component(proto: Any) -> Iterator[str]:
    """Return the words and numbers that an element of our own is given: a chart's series, or every text in it."""
    data = json.loads(proto.json) if proto.json else {}
    traces = (data.get("figure") or {}).get("traces") or []
    for trace in traces:
        series = (f"{axis}={_series(trace[axis])}" for axis in "xyz" if trace.get(axis))
        yield _indented(
            "chart", "\n".join([f"{trace.get('name', '')} {' '.join(series)}", *_words(trace.get("text"))])
        )
    if not traces:
        yield from (f"component: {text}" for text in _words(data.get("words") or data))


def _series(values: Any) -> str:
    if isinstance(values, list):
        return " ".join(f"[{_series(v)}]" if isinstance(v, list) else _series(v) for v in values)
    return f"{values:.4g}" if isinstance(values, int | float) else str(values)


def _words(data: Any) -> Iterator[str]:
    """Yield the texts in JSON data that are more than an id; texts and numbers in one list are one."""
    if isinstance(data, str) and re.search(r"\w", data) and not re.fullmatch("[0-9a-f]{12}", data):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _words(value)
    elif isinstance(data, list):
        kinds = {type(value) for value in data}
        if kinds == {int, str}:
            yield " ".join(str(value) for value in data)
        else:
            for value in data:
                yield from _words(value)


def _indented(kind: str, text: str) -> str:
    return f"{kind}: " + text.rstrip("\n").replace("\n", "\n    ")
