"""Elements with their own script, and the one of them that draws charts: Plotly in place, so zoom survives updates.

`st.plotly_chart` builds its element again whenever the data changes; this one calls `Plotly.react`.
Figures are plain dicts whose colours are names ("$accent"); the browser replaces them
by the theme's.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components import ui
from dashboard.services import JsonObject


def own_element(name: str, html: str, *scripts: str) -> Any:
    """Return an element made of a piece of HTML, the scripts named, and the script and style sheet of its name."""
    style = f"{name}.css"
    return st.components.v2.component(
        f"tuneboard_{name}",
        html=html,
        css=ui.static_text(style) if (ui.STATIC / style).exists() else None,
        js=ui.static_text(*scripts, f"{name}.js"),
        isolate_styles=False,
    )


_element = own_element("plot", "<div class='plot'></div>", "stream.js")


def plot(
    figure: JsonObject | None,
    *,
    key: str,
    label: str,
    height: int = 340,
    stamp: str = "",
    live: str = "",
    chosen: object = None,
    empty: str = "",
) -> Any:
    """Draw a figure; return the clicked point's `customdata`, or None.

    `label` is what a screen reader says; `stamp` marks the state drawn, for tests and measurements. `live` is a
    run's id: the figure then follows its "part" of the run's event stream (by default "chart") by itself. `chosen` is the `customdata` of the point
    that gets a ring (charts that follow a run only). Without a figure `empty` is said instead.
    """
    data: dict[str, object] = {
        "figure": figure,
        "label": label,
        "height": height,
        "stamp": stamp,
        "live": live,
    }
    data |= {"chosen": chosen, "empty": empty, "marks": bool(live)}
    return _element(key=key, data=data, on_clicked_change=lambda: None).clicked
