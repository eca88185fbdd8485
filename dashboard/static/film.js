// A finished run that plays: its dots and best line by number, then its test rows, then the prompt that it found.
// All movement is CSS with delays, so nothing is built again while it plays, and reduced motion shows the end.
const WIDE = 460, TALL = 170, LEFT = 42, BOTTOM = 20;
const FIRST = 0.6, SEARCH = 6, TEST = 7.2, END = 10;
const node = (parent, name, attributes = {}, text = "") => {
  const svg = parent.namespaceURI.endsWith("svg") || name === "svg";
  const made = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
};
const after = (seconds, more = {}) => ({ ...more, style: `--at:${seconds.toFixed(2)}s` });
const chart = (frame, film) => {
  const last = film.dots.at(-1)[0];
  const x = (place) => (LEFT + 8 + place / last * (WIDE - LEFT - 18)).toFixed(1);
  const y = (score) => (8 + (100 - score) / 100 * (TALL - BOTTOM - 8)).toFixed(1);
  const path = (corners) => corners.map(([place, score]) => `${x(place)},${y(score)}`).join(" ");
  const svg = node(frame, "svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": film.label });
  for (const score of [0, 50, 100]) {
    node(svg, "line", { class: "grid", x1: LEFT, x2: WIDE, y1: y(score), y2: y(score) });
    node(svg, "text", { x: LEFT - 6, y: Number(y(score)) + 4, "text-anchor": "end" }, `${score} %`);
  }
  node(svg, "text", { x: LEFT, y: TALL - 3 }, "start");
  node(svg, "text", { x: WIDE, y: TALL - 3, "text-anchor": "end" }, `prompt ${last}`);
  const start = film.dots[0][1];
  node(svg, "line", { class: "start", x1: LEFT, x2: WIDE, y1: y(start), y2: y(start) });
  const grown = node(svg, "g", { class: "grown", style: `--from:${FIRST}s;--for:${SEARCH - FIRST}s` });
  node(grown, "polygon", { class: "band", points: path(film.band) });
  node(grown, "polyline", { class: "best", points: path(film.line) });
  for (const [place, score, rows] of film.dots) {
    const radius = (2.6 + 2.4 * Math.sqrt(rows / film.dots[0][2])).toFixed(1);
    const at = FIRST + place / last * (SEARCH - FIRST);
    node(svg, "circle", after(at, { class: "dot in", cx: x(place), cy: y(score), r: radius }));
  }
};
// A test row is filled where it is right, hollow where it is wrong; one that turned has a mark.
const testRows = (frame, film) => {
  const strip = node(frame, "div", { class: "rows", "aria-hidden": "true" });
  film.rows.forEach(([before, now], at) => {
    const kind = now > before ? "fixed" : now < before ? "broken" : now >= 1 ? "right" : "";
    const seconds = TEST + at / film.rows.length * (END - TEST - 0.8);
    node(strip, "i", after(seconds, { class: kind }), { fixed: "✓", broken: "✕" }[kind] ?? "");
  });
};
const stack = (frame, name, texts) => {
  const box = node(frame, "div", { class: name });
  texts.forEach(([from, until, text], at) => {
    const last = at === texts.length - 1;
    const style = `--at:${from}s;--until:${until - from}s`;
    node(box, "p", { class: last ? "in" : "passes", style, ...last ? {} : { "aria-hidden": "true" } }, text);
  });
};
const build = (box, film) => {
  box.replaceChildren();
  const frame = node(box, "figure", { class: "playing" });
  const head = node(frame, "div", { class: "head" });
  node(head, "span", {}, film.of);
  const again = node(head, "button", { type: "button" }, "↻ Play again");
  again.onclick = () => {
    frame.classList.remove("playing");
    frame.classList.add("asked");
    void frame.offsetWidth; // the styles are read once, so that the animations begin again
    frame.classList.add("playing");
  };
  const change = node(head, "div");
  node(change, "b", {}, film.before);
  node(change, "b", after(END - 0.6, { class: "in good" }), ` → ${film.after}`);
  testRows(frame, film);
  chart(frame, film);
  stack(frame, "words", [[0, TEST - 0.3, film.words[0]], [TEST - 0.3, END, film.words[1]], [
    END,
    0,
    film.words[2],
  ]]);
  const prompt = node(frame, "div", {
    class: "prompt",
    tabindex: "0",
    role: "group",
    "aria-label": film.winner,
  });
  node(prompt, "small", {}, film.winner);
  const [old, found] = film.prompts;
  node(prompt, "div", {}, old);
  const rules = found.startsWith(old) ? found.slice(old.length).trim().split("\n") : found.split("\n");
  rules.forEach((line, at) =>
    node(prompt, "div", after(FIRST + 1 + at / rules.length * (SEARCH - 2), { class: "in" }), line)
  );
};

export default ({ data, parentElement }) => {
  const box = parentElement.querySelector(".tb-film");
  // A page that is drawn again goes on playing.
  if (box.film === data.sentence) return;
  box.film = data.sentence;
  build(box, data);
};
