"""One chart element for every chart: Plotly drawn in place, so zoom and hidden series survive updates.

`st.plotly_chart` builds its element again whenever the data changes; this one calls `Plotly.react`.
Figures come from `dashboard.views.score_chart` as plain dicts whose colours are names ("$accent"); the browser
replaces them by the theme's.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.layout import static_text

_element = st.components.v2.component(
    "tuneboard_plot",
    html="<div class='plot'></div>",
    js=static_text("stream.js", "plot.js"),
    isolate_styles=False,
)


def plot(
    figure: dict[str, Any] | None,
    *,
    key: str,
    label: str,
    height: int = 340,
    stamp: str = "",
    live: str = "",
    chosen: Any = None,
    empty: str = "",
) -> Any:
    """Draw a figure; return the clicked point's `customdata`, or None.

    `label` is what a screen reader says; `stamp` marks the state drawn, for tests and measurements. `live` is a
    run's id: the figure then follows the run's event stream by itself. `chosen` is the `customdata` of the point
    that gets a ring (charts that follow a run only). Without a figure `empty` is said instead.
    """
    result = _element(
        key=key,
        data={
            "figure": figure,
            "label": label,
            "height": height,
            "stamp": stamp,
            "live": live,
            "chosen": chosen,
            "empty": empty,
            "marks": bool(live),
        },
        on_clicked_change=lambda: None,
    )
    return result.clicked
