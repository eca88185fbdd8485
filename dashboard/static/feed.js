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
  const state = (box.tuneboard ??= {});
  box.style.height = `${data.height}px`;
  if (!data.live || state.run !== data.live) {
    box.replaceChildren(Object.assign(document.createElement("p"), { textContent: data.empty }));
    show(box, data.feed.lines);
  }
  follow(state, data.live, ({ feed }) => feed && show(box, feed.lines));
  return () => follow(state, "");
};
