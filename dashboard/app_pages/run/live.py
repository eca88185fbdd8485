"""What happened in a run, newest first, in plain words. Outside text is shown as text. It follows the run by itself."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.app_pages.run.requests import run_requests
from dashboard.app_pages.run.trial_card import trial_card
from dashboard.components.page import complain
from dashboard.components.plot import STREAM_JS, plot
from dashboard.components.run_header import run_actions, state_badge
from dashboard.components.runs import verdict_card
from dashboard.state import reading
from dashboard.state.snapshot import Seen, parts
from dashboard.views.glossary import explain
from dashboard.views.text import plain
from engine.errors import EngineError
from engine.store.rows import RunRow

_FEED_CSS = """
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

_FEED_JS = """
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

_feed_element = st.components.v2.component(
    "tuneboard_feed",
    html="<div class='tb-feed' role='log' aria-label='What happened, the newest first' tabindex='0'></div>",
    css=_FEED_CSS,
    js=STREAM_JS + _FEED_JS,
    isolate_styles=False,
)


def event_feed(run_id: str, feed: dict[str, Any], *, height: int = 340, live: bool = False) -> None:
    """Show the latest events; `feed` as in `dashboard.state.snapshot`."""
    _feed_element(
        key="feed",
        data={
            "run": run_id,
            "feed": feed,
            "height": height,
            "live": live,
            "empty": "What the search does will be told here, step by step.",
        },
    )


_METERS_CSS = """
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

_METERS_JS = """
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

_meters_element = st.components.v2.component(
    "tuneboard_meters",
    html="<div class='tb-meters'></div><div class='tb-progress' role='progressbar' aria-label='How far the run is' "
    "aria-valuemin='0' aria-valuemax='100' hidden><span></span><i></i></div>",
    css=_METERS_CSS,
    js=STREAM_JS + _METERS_JS,
    isolate_styles=False,
)


def run_meters(run_id: str, meters: dict[str, Any], *, live: bool) -> None:
    """Show what a run has used, and how far it is; `meters` as in `dashboard.state.snapshot`."""
    _meters_element(key="meters", data={"run": run_id, "meters": meters, "live": live})


_WATCH_CSS = """
.tb-watch{display:flex;gap:1.1rem;align-items:center;flex-wrap:wrap;font-family:var(--st-font);font-size:.86rem;
  color:var(--st-gray-text-color);min-height:1.6rem}
.tb-watch label{display:flex;gap:.4rem;align-items:center;cursor:pointer}
.tb-watch input{accent-color:var(--st-primary-color);width:1rem;height:1rem;margin:0;cursor:pointer}
.tb-watch output{color:var(--st-orange-text-color);flex-basis:100%}
.tb-watch output:empty{display:none}
"""

_WATCH_JS = """
const held = (globalThis.tuneboardWatches ??= new WeakMap());
const kept = (name, value) => {
  try {
    if (value !== undefined) localStorage.setItem(`tuneboard.${name}`, value ? "on" : "");
    return localStorage.getItem(`tuneboard.${name}`) === "on";
  } catch { return false; }
};
const beep = (sound) => {
  sound.resume().then(() => [660, 880].forEach((pitch, at) => {
    const tone = sound.createOscillator();
    const volume = sound.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.12, sound.currentTime + 0.22 * at);
    volume.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + 0.22 * at + 0.2);
    tone.connect(volume).connect(sound.destination);
    tone.start(sound.currentTime + 0.22 * at);
    tone.stop(sound.currentTime + 0.22 * at + 0.2);
  }));
};
const ended = (own, end) => {
  own.box.dataset.ended = end.title;
  if (kept("notify") && globalThis.Notification?.permission === "granted") {
    new Notification(end.title, { body: end.text, tag: own.run });
  }
  if (kept("sound")) beep((globalThis.tuneboardSound ??= new AudioContext()));
};
const hear = (own, news) => {
  const { box } = own;
  if (news.trouble !== undefined || news.stage !== undefined) own.note.textContent = news.trouble || "";
  if (news.lost) {
    own.note.textContent = "The live updates were interrupted; trying again.";
    // Without a stream the page asks for itself, now and then.
    if (news.lost > 2) own.trigger("stage", `asked ${Date.now()}`);
  }
  if (news.end) {
    if (own.over === false && news.end.over) ended(own, news.end);
    own.over = news.end.over;
  }
  if (news.stage !== undefined && news.stage !== own.stage) {
    own.stage = news.stage;
    own.trigger("stage", news.stage);
  }
};
export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".tb-watch");
  if (!held.has(box)) held.set(box, { box, note: box.querySelector("output") });
  const own = held.get(box);
  Object.assign(own, { trigger: setTriggerValue, stage: data.stage });
  const [notify, sound] = box.querySelectorAll("input");
  box.querySelectorAll("label").forEach((label) => { label.hidden = !data.live; label.style.display = data.live ? "" : "none"; });
  // Nothing to wish for any more: no room is taken either.
  box.style.display = data.live ? "" : "none";
  notify.checked = kept("notify") && globalThis.Notification?.permission === "granted";
  notify.disabled = !globalThis.Notification || Notification.permission === "denied";
  notify.parentElement.title = notify.disabled ? "This browser does not allow notifications from this page."
    : "The browser shows a message when the run ends, also while you look at something else.";
  notify.onchange = async () => {
    const wished = notify.checked;
    if (wished && Notification.permission === "default") await Notification.requestPermission();
    notify.checked = kept("notify", wished && Notification.permission === "granted");
  };
  sound.checked = kept("sound");
  sound.onchange = () => {
    kept("sound", sound.checked);
    if (sound.checked) beep((globalThis.tuneboardSound ??= new AudioContext()));
  };
  if (data.live && own.run !== data.run) {
    own.stop?.();
    own.over = false;
    own.run = data.run;
    own.stop = listen(data.run, (news) => hear(own, news));
  } else if (!data.live) {
    own.stop?.();
    own.run = undefined;
  }
  return () => { own.stop?.(); own.run = undefined; };
};
"""

_watch_element = st.components.v2.component(
    "tuneboard_watch",
    html="<div class='tb-watch'><label><input type='checkbox'>Notify me when it ends</label>"
    "<label><input type='checkbox'>Play a sound</label><output role='status'></output></div>",
    css=_WATCH_CSS,
    js=STREAM_JS + _WATCH_JS,
    isolate_styles=False,
)


def run_watch(run_id: str, stage: str, *, live: bool) -> Any:
    """Follow a run; the page is drawn again when its stage is another than `stage` (see `dashboard.state.snapshot`)."""
    return _watch_element(
        key="watch",
        data={"run": run_id, "stage": stage, "live": live},
        on_stage_change=lambda: None,
    ).stage


CHART_HEIGHT = 400


def live_run(run_id: str) -> None:
    """Show a run and keep it up to date until it is over."""
    st.fragment(_draw)(run_id, reading.run(run_id).is_over)


def _draw(run_id: str, was_over: bool) -> None:
    try:
        seen = reading.moment(reading.run(run_id))
    except EngineError as error:  # a fragment runs by itself: the app's own net is not around it
        complain(error)
        return
    run, live = seen.run, not seen.run.is_over
    shown = _parts(run.id, run.revision, run.state, seen)
    name, actions = st.columns([2, 5], vertical_alignment="center")
    with name, st.container(horizontal=True, vertical_alignment="center", key="run_head"):
        st.subheader(plain(run.title, 120), anchor=False, width="content")
        state_badge(run)
    with actions:
        run_actions(seen)
    # What comes and goes has a place of its own: else what follows would be built anew, and the chart lose its zoom.
    with st.container():
        _message(run)
    run_meters(run.id, shown["meters"], live=live)
    run_watch(run.id, shown["stage"], live=live)
    with st.container():
        run_requests(seen)
    left, right = st.columns([5, 3], gap="medium")
    chosen = _chosen()
    with left, st.container(border=True, key="chart_card"):
        st.markdown(
            "**Scores of the prompts**",
            help=explain(
                "candidate",
                "Each dot is one, scored on some rows, and is joined to those it came from. Click one to see it.",
            ),
        )
        clicked = plot(
            shown["chart"]["figure"],
            key="scores",
            label=shown["chart"]["label"],
            stamp=shown["chart"]["stamp"],
            live=run.id if live else "",
            chosen=chosen,
            height=CHART_HEIGHT,
            empty="The first dot appears as soon as the starting prompt has answered its first row.",
        )
        if clicked is not None and int(clicked) != chosen:
            st.query_params["trial"] = str(int(clicked))
            chosen = int(clicked)
    with right:
        trial = next((t for t in seen.trials if t.number == chosen), None)
        with st.container():
            if trial is not None:
                trial_card(seen, trial)
        event_feed(run.id, shown["feed"], height=CHART_HEIGHT + 64 if trial is None else 260, live=live)
    if run.is_over != was_over:
        st.rerun()


@st.cache_resource(max_entries=16, show_spinner=False)
def _parts(run_id: str, revision: int, state: str, _seen: Seen) -> dict[str, Any]:  # noqa: ARG001 - the cache's key
    """Return a run's parts, worked out once for all sessions."""
    return parts(_seen)


def _chosen() -> int | None:
    """Return the trial in the address."""
    text = st.query_params.get("trial", "")
    return int(text) if text.isdecimal() and len(text) < 9 else None


def _message(run: RunRow) -> None:
    if run.is_over and run.result:
        verdict_card(run.result["verdict"])
    if not run.message:
        return
    show = {"failed": st.error, "lost": st.warning, "stopped": st.info}.get(run.state, st.caption)
    show(plain(run.message))
