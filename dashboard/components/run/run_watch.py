"""Keeps a run's page in step with the run: draws the buttons anew when its state changes, and says when it has ended.

A notification is asked for by a click only, and made by the browser itself; nothing leaves the machine.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.components.stream_js import STREAM_JS

_CSS = """
.tb-watch{display:flex;gap:1.1rem;align-items:center;flex-wrap:wrap;font-family:var(--st-font);font-size:.86rem;
  color:var(--st-gray-text-color);min-height:1.6rem}
.tb-watch label{display:flex;gap:.4rem;align-items:center;cursor:pointer}
.tb-watch input{accent-color:var(--st-primary-color);width:1rem;height:1rem;margin:0;cursor:pointer}
.tb-watch output{color:var(--st-orange-text-color);flex-basis:100%}
.tb-watch output:empty{display:none}
"""

_JS = """
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

_element = st.components.v2.component(
    "tuneboard_watch",
    html="<div class='tb-watch'><label><input type='checkbox'>Notify me when it ends</label>"
    "<label><input type='checkbox'>Play a sound</label><output role='status'></output></div>",
    css=_CSS,
    js=STREAM_JS + _JS,
    isolate_styles=False,
)


def run_watch(run_id: str, stage: str, *, live: bool) -> Any:
    """Follow a run; the page is drawn again when its stage is another than `stage` (see `dashboard.moment`)."""
    return _element(
        key="watch",
        data={"run": run_id, "stage": stage, "live": live},
        on_stage_change=lambda: None,
    ).stage
