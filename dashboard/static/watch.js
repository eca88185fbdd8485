const kept = (name, value) => {
  try {
    if (value !== undefined) localStorage.setItem(`tuneboard.${name}`, value ? "on" : "");
    return localStorage.getItem(`tuneboard.${name}`) === "on";
  } catch {
    return false;
  }
};
const beep = (sound) => {
  sound.resume().then(() =>
    [660, 880].forEach((pitch, at) => {
      const tone = sound.createOscillator();
      const volume = sound.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.12, sound.currentTime + 0.22 * at);
      volume.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + 0.22 * at + 0.2);
      tone.connect(volume).connect(sound.destination);
      tone.start(sound.currentTime + 0.22 * at);
      tone.stop(sound.currentTime + 0.22 * at + 0.2);
    })
  );
};
const ended = (own, end) => {
  own.box.dataset.ended = end.title;
  if (kept("notify") && globalThis.Notification?.permission === "granted") {
    new Notification(end.title, { body: end.text, tag: own.run });
  }
  if (kept("sound")) beep(globalThis.tuneboardSound ??= new AudioContext());
};
const heard = (own, changes) => {
  if (changes.trouble !== undefined || changes.stage !== undefined) {
    own.note.textContent = changes.trouble || "";
  }
  if (changes.lost) {
    own.note.textContent = "The live updates were interrupted; trying again.";
    // Without a stream the page asks for itself, now and then.
    if (changes.lost > 2) own.trigger("stage", `asked ${Date.now()}`);
  }
  if (changes.end) {
    if (own.over === false && changes.end.over) ended(own, changes.end);
    own.over = changes.end.over;
  }
  if (changes.stage !== undefined && changes.stage !== own.stage) {
    own.stage = changes.stage;
    own.trigger("stage", changes.stage);
  }
};

export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".tb-watch");
  const own = (box.tuneboard ??= { box, note: box.querySelector("output") });
  Object.assign(own, { trigger: setTriggerValue, stage: data.stage });
  const [notify, sound] = box.querySelectorAll("input");
  // Once the run is over there is nothing to choose, and no room is taken.
  box.style.display = data.live ? "" : "none";
  notify.checked = kept("notify") && globalThis.Notification?.permission === "granted";
  notify.disabled = !globalThis.Notification || Notification.permission === "denied";
  notify.parentElement.title = notify.disabled
    ? "This browser does not allow notifications from this page."
    : "The browser shows a message when the run ends, also while you look at something else.";
  notify.onchange = async () => {
    const wished = notify.checked;
    if (wished && Notification.permission === "default") await Notification.requestPermission();
    notify.checked = kept("notify", wished && Notification.permission === "granted");
  };
  sound.checked = kept("sound");
  sound.onchange = () => {
    kept("sound", sound.checked);
    if (sound.checked) beep(globalThis.tuneboardSound ??= new AudioContext());
  };
  if (own.run !== data.live) own.over = false;
  follow(own, data.live, (changes) => heard(own, changes));
  return () => follow(own, "");
};
