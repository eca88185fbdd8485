"""One chart element for every chart: Plotly drawn in place, so zoom and hidden series survive updates.

`st.plotly_chart` builds its element anew whenever the data changes; this one calls `Plotly.react`.
Figures come from `dashboard.charts` as plain dicts whose colours are names ("$accent"); the browser
replaces them by the theme's.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

_JS = """
const PALETTE = {
  "$accent": "--st-primary-color", "$text": "--st-text-color", "$muted": "--st-gray-text-color",
  "$faint": "--st-border-color", "$good": "--st-green-text-color", "$bad": "--st-red-text-color",
  "$warn": "--st-orange-text-color", "$blue": "--st-blue-text-color", "$background": "--st-background-color",
};
let loading;
const library = () => window.Plotly ? Promise.resolve(window.Plotly) : (loading ??= new Promise((done, fail) => {
  const script = document.createElement("script");
  script.src = new URL("vendor/plotly.min.js", document.baseURI).href;
  script.onload = () => done(window.Plotly);
  script.onerror = fail;
  document.head.append(script);
}));
const coloured = (value, style) => {
  if (typeof value === "string") {
    return PALETTE[value] ? style.getPropertyValue(PALETTE[value]).trim() || "#888" : value;
  }
  if (Array.isArray(value)) return value.map((item) => coloured(item, style));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
  }
  return value;
};
export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".plot");
  const style = getComputedStyle(box);
  const font = { family: style.getPropertyValue("--st-font") || "sans-serif", color: style.getPropertyValue("--st-text-color"), size: 13 };
  const { traces, layout } = coloured(data.figure, style);
  const axis = (own) => ({
    gridcolor: coloured("$faint", style), zeroline: false, automargin: true, ...own, title: { font, ...own?.title },
  });
  box.style.height = `${data.height}px`;
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", data.label);
  library().then((plotly) => plotly.react(box, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: "keep", autosize: true,
    margin: { l: 56, r: 24, t: 16, b: 44 }, hovermode: "closest", font, height: data.height, ...layout,
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { ...font, size: 12 }, ...layout.legend },
    hoverlabel: { bgcolor: style.getPropertyValue("--st-secondary-background-color"), bordercolor: coloured("$faint", style), font, align: "left" },
  }, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] }))
    .then(() => {
      box.dataset.points = String(traces.reduce((count, trace) => count + (trace.x?.length ?? 0), 0));
      box.dataset.stamp = String(data.stamp ?? "");
      if (box.dataset.listening) return;
      box.dataset.listening = "yes";
      box.on("plotly_click", (event) => {
        const chosen = event.points?.[0]?.customdata;
        if (chosen !== undefined) setTriggerValue("clicked", Array.isArray(chosen) ? chosen[0] : chosen);
      });
    })
    .catch(() => { box.textContent = "The chart could not be drawn: Plotly's script did not load."; });
};
"""

_element = st.components.v2.component(
    "tuneboard_plot", html="<div class='plot'></div>", js=_JS, isolate_styles=False
)


def plot(figure: dict[str, Any], *, key: str, label: str, height: int = 340, stamp: str = "") -> Any:
    """Draw a figure; return the clicked point's `customdata`, or None.

    `label` is what a screen reader says; `stamp` marks the state drawn, for tests and measurements.
    """
    result = _element(
        key=key,
        data={"figure": figure, "label": label, "height": height, "stamp": stamp},
        on_clicked_change=lambda: None,
    )
    return result.clicked
