// What happened last, in one sentence. A screen reader hears it at most once in ten seconds.
const PAUSE = 10_000;
const announce = (state) => {
  const wait = (state.heard ?? -PAUSE) + PAUSE - performance.now();
  clearTimeout(state.later);
  if (wait > 0) {
    state.later = setTimeout(() => announce(state), wait);
    return;
  }
  state.heard = performance.now();
  state.announced.textContent = state.line.textContent;
};
const show = (state, text) => {
  if (state.line.textContent === text) return;
  state.line.textContent = text;
  if (state.run) announce(state);
};

export default ({ data, parentElement }) => {
  const line = parentElement.querySelector(".tb-narration");
  const state = (line.tuneboard ??= { line, announced: parentElement.querySelector(".tb-announced") });
  if (!data.live || state.run !== data.live) show(state, data.narration);
  follow(state, data.live, ({ narration }) => narration !== undefined && show(state, narration));
  return () => {
    clearTimeout(state.later);
    follow(state, "");
  };
};
