// A finished run plays again: dots by number, the best line with its interval, captions. A page and a saved file play it.
const LEFT = 52, RIGHT = 18, TOP = 14, BOTTOM = 40;
const FRAME = 1000 / 60;
const shape = (parent, name, attributes = {}, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
};
const element = (parent, name, attributes = {}, text = "") => {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(text);
  parent.append(made);
  return made;
};
// What does not move: the scale, the numbers, the start.
const scale = (svg, story, x, y, wide, tall) => {
  for (let score = 0; score <= 100; score += 20) {
    shape(svg, "line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(score), y2: y(score) });
    shape(svg, "text", { x: LEFT - 8, y: y(score) + 4, "text-anchor": "end" }, `${score} %`);
  }
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((each) => story.last / each <= 12) ?? 1000;
  for (let number = 0; number <= story.last; number += step) {
    shape(svg, "text", { x: x(number), y: tall - 22, "text-anchor": "middle" }, String(number));
  }
  const middle = (LEFT + wide - RIGHT) / 2;
  shape(
    svg,
    "text",
    { x: middle, y: tall - 4, "text-anchor": "middle" },
    "Number of the prompt (0 is the start)",
  );
  if (story.start !== null) {
    shape(svg, "line", {
      class: "start",
      x1: LEFT,
      x2: wide - RIGHT,
      y1: y(story.start),
      y2: y(story.start),
    });
  }
};
const picture = (frame, story, tall) => {
  const wide = Math.max(300, frame.clientWidth);
  const x = (number) => LEFT + (wide - LEFT - RIGHT) * (number + 0.6) / (story.last + 1.2);
  const y = (score) => TOP + (tall - TOP - BOTTOM) * (1 - score / 100);
  const svg = shape(frame, "svg", { viewBox: `0 0 ${wide} ${tall}`, height: tall, role: "img" });
  scale(svg, story, x, y, wide, tall);
  const band = shape(svg, "polygon", { class: "band" }), line = shape(svg, "polyline", { class: "best" });
  const dots = new Map();
  for (const [, number] of story.dots) {
    if (!dots.has(number)) dots.set(number, shape(svg, "circle", { class: "dot", cx: x(number), r: 0 }));
  }
  const star = shape(svg, "path", {
    class: "star",
    d: "M0-10 2.6-3.4 9.5-3 4.2 1.4 6 8 0 4.2-6 8-4.2 1.4-9.5-3-2.6-3.4Z",
  });
  const path = (corners) =>
    corners.map(([at, score]) => `${x(at).toFixed(1)},${y(score).toFixed(1)}`).join(" ");
  return {
    svg,
    dot: ([, number, score, share]) => {
      const circle = dots.get(number);
      circle.setAttribute("cy", y(score));
      circle.setAttribute("r", (3.5 + 3 * Math.sqrt(share)).toFixed(1));
      circle.setAttribute("opacity", (0.35 + 0.65 * share).toFixed(2));
    },
    clear: () => dots.forEach((circle) => circle.setAttribute("r", 0)),
    leads: (leads, end) => {
      const spans = leads.map((lead, at) => [lead, leads[at + 1]?.[1] ?? Math.max(end, lead[1]) + 0.4]);
      const along = (value) =>
        spans.flatMap(([lead, until]) => [[lead[1], lead[value]], [until, lead[value]]]);
      line.setAttribute("points", path(along(2)));
      band.setAttribute("points", path([...along(4), ...along(3).reverse()]));
      const lead = leads.at(-1);
      star.setAttribute("visibility", lead ? "visible" : "hidden");
      if (lead) star.setAttribute("transform", `translate(${x(lead[5])} ${y(lead[2])})`);
    },
  };
};
const clock = (seconds) => `0:${String(Math.floor(seconds)).padStart(2, "0")}`;
export const play = (box, story, tall) => {
  box.replaceChildren();
  const score = element(box, "output", { className: "score" });
  const frame = element(box, "div", { className: "frame" });
  const caption = element(box, "p", { className: "caption" });
  const row = element(box, "div", { className: "row" });
  const button = element(row, "button", { type: "button" });
  const slider = element(row, "input", { type: "range", min: 0, max: story.seconds, step: 0.05 });
  const time = element(row, "span");
  slider.setAttribute("aria-label", "Time of the replay");
  let drawn, at = 0, dots = 0, leads = 0, playing, last;
  const show = (second) => {
    if (second < at) {
      dots = leads = 0;
      drawn.clear();
    }
    at = Math.min(second, story.seconds);
    while (dots < story.dots.length && story.dots[dots][0] <= at) drawn.dot(story.dots[dots++]);
    while (leads < story.leads.length && story.leads[leads][0] <= at) leads++;
    const reached = story.dots.slice(0, dots).reduce((most, dot) => Math.max(most, dot[1]), 0);
    drawn.leads(story.leads.slice(0, leads), reached);
    const lead = story.leads[leads - 1];
    const tested = story.result.length && story.result[0] <= at;
    score.textContent = tested ? story.result[1] : lead ? `Best so far ${lead[6]}` : "";
    caption.textContent = story.captions.findLast(([begin]) => begin <= at)?.[1] ?? "";
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${clock(at)}. ${caption.textContent}`);
    time.textContent = `${clock(at)} / ${clock(story.seconds)}`;
    drawn.svg.setAttribute(
      "aria-label",
      `Scores of the prompts up to prompt ${reached}. ${score.textContent}`,
    );
  };
  const pause = (stop) => {
    cancelAnimationFrame(playing);
    playing = undefined;
    button.textContent = stop && at >= story.seconds ? "Play again" : "Play";
  };
  const go = () => {
    if (at >= story.seconds) show(0);
    button.textContent = "Pause";
    last = performance.now();
    const tick = (now) => {
      if (!box.isConnected) return;
      if (now - last >= FRAME - 1) {
        show(at + (now - last) / 1000);
        last = now;
      }
      if (at >= story.seconds) pause(true);
      else playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  };
  const lay = () => {
    const kept = at;
    frame.replaceChildren();
    drawn = picture(frame, story, tall);
    at = dots = leads = 0;
    show(kept);
  };
  button.onclick = () => playing ? pause(true) : go();
  slider.oninput = () => {
    pause(false);
    show(Number(slider.value));
  };
  let wide = frame.clientWidth;
  new ResizeObserver(() => {
    if (frame.clientWidth !== wide && frame.clientWidth) {
      wide = frame.clientWidth;
      lay();
    }
  }).observe(frame);
  lay();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    show(story.seconds);
    pause(true);
  } else go();
};
