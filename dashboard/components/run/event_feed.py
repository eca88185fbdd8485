"""What happened in a run, newest first, in plain words. Outside text is shown as text. It follows the run by itself."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.stream_js import STREAM_JS

_CSS = """
.tb-feed{font-family:var(--st-font);font-size:.86rem;line-height:1.45;overflow-y:auto;border:1px solid var(--st-border-color);
  border-radius:var(--st-base-radius);padding:.5rem .9rem}
.tb-feed div{display:grid;grid-template-columns:4.6em 1fr;gap:.6em;padding:.28em 0;
  border-bottom:1px solid color-mix(in srgb,var(--st-text-color) 9%,transparent)}
.tb-feed time{color:var(--st-gray-text-color);font-variant-numeric:tabular-nums}
.tb-feed span{overflow-wrap:anywhere;white-space:pre-line;max-height:11.5em;overflow-y:auto}
.tb-feed .best{font-weight:650;color:var(--st-green-text-color)}
.tb-feed .error{color:var(--st-red-text-color)}
.tb-feed .warning{color:var(--st-orange-text-color)}
.tb-feed p{color:var(--st-gray-text-color);margin:.3rem 0}
"""

_JS = """
const held = (globalThis.tuneboardFeeds ??= new WeakMap());
const show = (box, lines) => {
  const known = new Map([...box.querySelectorAll("div")].map((line) => [Number(line.dataset.id), line]));
  if (lines.length) box.querySelector("p")?.remove();
  // The newest first; a line stays the same element while more of its kind are folded into it.
  const wanted = lines.toReversed().map(([id, at, kind, text]) => {
    const line = known.get(id) ?? document.createElement("div");
    if (!known.has(id)) line.append(document.createElement("time"), document.createElement("span"));
    line.dataset.id = id;
    line.children[1].className = kind;
    [at, text].forEach((words, part) => {
      if (line.children[part].textContent !== words) line.children[part].textContent = words;
    });
    known.delete(id);
    return line;
  });
  for (const line of known.values()) line.remove();
  wanted.forEach((line, place) => {
    if (box.children[place] !== line) box.insertBefore(line, box.children[place] ?? null);
  });
};
export default ({ data, parentElement }) => {
  const box = parentElement.querySelector(".tb-feed");
  box.style.height = `${data.height}px`;
  if (!held.has(box)) held.set(box, {});
  const own = held.get(box);
  if (own.run !== data.run || !data.live) {
    own.stop?.();
    box.replaceChildren(Object.assign(document.createElement("p"), { textContent: data.empty }));
  }
  if (own.run !== data.run || !data.live) show(box, data.feed.lines);
  if (data.live && own.run !== data.run) own.stop = listen(data.run, ({ feed }) => feed && show(box, feed.lines));
  own.run = data.live ? data.run : undefined;
  return () => { own.stop?.(); own.run = undefined; };
};
"""

_element = st.components.v2.component(
    "tuneboard_feed",
    html="<div class='tb-feed' role='log' aria-label='What happened, the newest first' tabindex='0'></div>",
    css=_CSS,
    js=STREAM_JS + _JS,
    isolate_styles=False,
)


def event_feed(run_id: str, feed: dict[str, Any], *, height: int = 340, live: bool = False) -> None:
    """Show the latest events; `feed` as in `dashboard.moment`."""
    _element(
        key="feed",
        data={
            "run": run_id,
            "feed": feed,
            "height": height,
            "live": live,
            "empty": "What the search does will be told here, step by step.",
        },
    )
