"""A row of meters: calls, tokens, money, time, each against its limit, and how far the run is. They follow the run by themselves."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.stream_js import STREAM_JS

_CSS = """
.tb-meters{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.7rem;font-family:var(--st-font)}
.tb-meters>div{border:1px solid var(--st-border-color);border-radius:var(--st-base-radius);padding:.75rem 1rem .8rem}
.tb-meters span{display:block;font-size:.86rem;color:var(--st-gray-text-color)}
.tb-meters b{display:block;font-size:1.5rem;font-weight:650;line-height:1.35;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;
  font-variant-numeric:tabular-nums}
.tb-meters i,.tb-progress i{display:block;height:4px;border-radius:2px;margin-top:.45rem;
  background:color-mix(in srgb,var(--st-gray-text-color) 22%,transparent)}
.tb-meters i::after,.tb-progress i::after{content:"";display:block;height:100%;border-radius:2px;width:var(--share,0%);
  background:var(--st-primary-color);transition:width .25s linear}
.tb-meters i.full::after{background:var(--st-orange-text-color)}
.tb-progress{font-family:var(--st-font);font-size:.86rem;color:var(--st-gray-text-color);margin-top:.7rem}
.tb-progress i{height:7px;border-radius:4px;margin-top:.25rem}
.tb-progress[hidden]{display:none}
"""

_JS = """
const held = (globalThis.tuneboardMeters ??= new WeakMap());
const show = (box, bar, meters) => {
  meters.cards.forEach((meter, at) => {
    let card = box.children[at];
    if (!card) {
      card = document.createElement("div");
      card.append(document.createElement("span"), document.createElement("b"), document.createElement("i"));
      box.append(card);
    }
    card.dataset.meter = meter.name.toLowerCase();
    card.title = meter.help;
    card.children[0].textContent = meter.name;
    card.children[1].textContent = meter.text;
    card.children[2].style.setProperty("--share", `${100 * (meter.share ?? 0)}%`);
    card.children[2].style.visibility = meter.share === null ? "hidden" : "visible";
    card.children[2].className = meter.share >= 0.95 ? "full" : "";
  });
  bar.hidden = !meters.words;
  bar.firstElementChild.textContent = meters.words;
  bar.lastElementChild.style.setProperty("--share", `${100 * meters.share}%`);
  bar.setAttribute("aria-valuenow", String(Math.round(100 * meters.share)));
};
export default ({ data, parentElement }) => {
  const box = parentElement.querySelector(".tb-meters");
  const bar = parentElement.querySelector(".tb-progress");
  if (!held.has(box)) held.set(box, {});
  const own = held.get(box);
  if (own.run !== data.run || !data.live) show(box, bar, data.meters);
  if (own.run !== data.run || !data.live) own.stop?.();
  if (data.live && own.run !== data.run) {
    own.stop = listen(data.run, ({ meters }) => meters && show(box, bar, meters));
  }
  own.run = data.live ? data.run : undefined;
  return () => { own.stop?.(); own.run = undefined; };
};
"""

_element = st.components.v2.component(
    "tuneboard_meters",
    html="<div class='tb-meters'></div><div class='tb-progress' role='progressbar' aria-label='How far the run is' "
    "aria-valuemin='0' aria-valuemax='100' hidden><span></span><i></i></div>",
    css=_CSS,
    js=STREAM_JS + _JS,
    isolate_styles=False,
)


def run_meters(run_id: str, meters: dict[str, Any], *, live: bool) -> None:
    """Show what a run has used, and how far it is; `meters` as in `dashboard.moment`."""
    _element(key="meters", data={"run": run_id, "meters": meters, "live": live})
