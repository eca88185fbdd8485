const NS = "http://www.w3.org/2000/svg";
const make = (name, attributes, text) => {
  const found = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  if (text !== undefined) found.textContent = text;
  return found;
};
const cut = (text, most) => text.length > most ? text.slice(0, Math.floor(most) - 1) + "…" : text;
export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".pipeline");
  const { boxes, lines, width, height, bottom, lane } = data.picture;
  const svg = make("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "group",
    "aria-label": data.words,
  });
  const defs = make("defs", {});
  const marker = make("marker", {
    id: "arrow",
    viewBox: "0 0 8 8",
    refX: 7,
    refY: 4,
    markerWidth: 7,
    markerHeight: 7,
    orient: "auto",
  });
  marker.append(make("path", { d: "M0 0L8 4L0 8z" }));
  defs.append(marker);
  svg.append(defs);
  const byId = Object.fromEntries(boxes.map((b) => [b.id, b]));
  const labels = [];
  for (const line of lines) {
    const from = byId[line.source], to = byId[line.target];
    let d, x, y;
    if (line.dashed) {
      x = from.x + from.width / 2;
      const down = from.y < to.y;
      d = down ? `M${x} ${from.y + from.height}L${x} ${to.y}` : `M${x} ${from.y}L${x} ${to.y + to.height}`;
    } else if (line.lane) {
      const x1 = from.x + from.width - 8 - 12 * line.lane, y1 = from.y + from.height;
      const x2 = to.x + 8 + 12 * line.lane, y2 = to.y + to.height, low = bottom + lane * line.lane;
      d = `M${x1} ${y1}L${x1} ${low - 8}Q${x1} ${low} ${x1 + 8} ${low}L${x2 - 8} ${low}Q${x2} ${low} ${x2} ${
        low - 8
      }L${x2} ${y2 + 1}`;
      x = (x1 + x2) / 2;
      y = low + 4;
    } else {
      const x1 = from.x + from.width, y1 = from.y + from.height / 2, x2 = to.x, y2 = to.y + to.height / 2;
      const bend = (x2 - x1) / 2;
      d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
      x = x1 + bend;
      y = (y1 + y2) / 2 - 6;
    }
    svg.append(
      make("path", {
        d,
        class: line.dashed ? "line dashed" : "line",
        "marker-end": line.dashed ? "" : "url(#arrow)",
      }),
    );
    if (line.label) {
      labels.push(
        make(
          "text",
          { x, y, class: "field", "text-anchor": "middle" },
          line.lane ? line.label : cut(line.label, (to.x - from.x - from.width) / 6),
        ),
      );
    }
  }
  for (const b of boxes) {
    const opens = b.step >= 0;
    const group = make("g", {
      class: `${b.kind}${opens ? " opens" : ""}${
        opens && b.step === data.chosen && b.kind !== "side" ? " chosen" : ""
      }`,
    });
    if (opens) {
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.setAttribute("aria-label", `Open the step ${b.title}`);
      const open = () => setTriggerValue("picked", b.step);
      group.addEventListener("click", open);
      group.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          open();
        }
      });
    }
    group.append(make("rect", { x: b.x, y: b.y, width: b.width, height: b.height, rx: 9, class: "box" }));
    group.append(
      make("text", { x: b.x + 12, y: b.y + 21, class: "title" }, cut(b.title, (b.width - 22) / 7.6)),
    );
    b.lines.forEach((text, at) =>
      group.append(make("text", { x: b.x + 12, y: b.y + 40 + 17 * at }, cut(text, (b.width - 18) / 6.3)))
    );
    svg.append(group);
  }
  svg.append(...labels);
  svg.style.minWidth = `${Math.round(width * 0.82)}px`;
  box.replaceChildren(svg);
};
