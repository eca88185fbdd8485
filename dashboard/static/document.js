const SIGNS = { right: "✓", wrong: "✗", missing: "–", invented: "+" };
const WORDS = {
  right: "right",
  wrong: "wrong",
  missing: "missing: it is in the right answer only",
  invented: "invented: it is not in the right answer",
};
const make = (name, className, text) => {
  const found = document.createElement(name);
  if (className) found.className = className;
  if (text !== undefined) found.textContent = text;
  return found;
};
// Text from documents and models goes in as text nodes only: nothing of it can be markup.
const pageText = (page, at, rows) => {
  const box = make("div", "text");
  const marks = rows.flatMap((row) =>
    row.places.filter((p) => p.page === at).map((p) => ({ ...p, path: row.path, status: row.status }))
  ).sort((a, b) => a.start - b.start || b.end - a.end);
  let done = 0, last = null;
  for (const mark of marks) {
    if (mark.start < done) {
      if (last) last.dataset.paths += ` ${mark.path}`;
      continue;
    }
    box.append(document.createTextNode(page.text.slice(done, mark.start)));
    last = make("mark", mark.status, page.text.slice(mark.start, mark.end));
    last.dataset.paths = mark.path;
    box.append(last);
    done = mark.end;
  }
  box.append(document.createTextNode(page.text.slice(done)));
  return box;
};
const pagePicture = (page, at, rows) => {
  const box = make("div", "picture");
  const picture = make("img");
  picture.src = page.picture;
  picture.alt = `Page ${at + 1}`;
  box.append(picture);
  for (const row of rows) {
    for (const place of row.places.filter((p) => p.page === at)) {
      for (const [left, top, right, bottom] of place.boxes) {
        const mark = make("mark", row.status);
        mark.dataset.paths = row.path;
        mark.title = row.path;
        Object.assign(mark.style, {
          left: `${100 * left}%`,
          top: `${100 * top}%`,
          width: `${100 * (right - left)}%`,
          height: `${100 * (bottom - top)}%`,
        });
        box.append(mark);
      }
    }
  }
  return box;
};
const select = (own, path, from) => {
  own.path = path;
  for (const row of own.box.querySelectorAll(".row")) {
    const chosen = row.dataset.path === path;
    row.classList.toggle("chosen", chosen);
    if (chosen && from === "page") row.scrollIntoView({ block: "nearest" });
  }
  let first = null;
  for (const mark of own.box.querySelectorAll("mark")) {
    const chosen = mark.dataset.paths.split(" ").includes(path);
    mark.classList.toggle("chosen", chosen);
    if (chosen) first ??= mark;
  }
  if (first && from === "row") {
    const pages = own.box.querySelector(".pages");
    const gap = first.getBoundingClientRect().top - pages.getBoundingClientRect().top;
    pages.scrollTo({ top: pages.scrollTop + gap - pages.clientHeight / 3 });
  }
};
const edit = (own, row, cell) => {
  const input = make("textarea");
  input.value = row.expected_cell;
  input.rows = row.expected_cell.length > 40 ? 3 : 1;
  input.setAttribute("aria-label", `The right answer for ${row.path}`);
  const buttons = make("span", "buttons");
  const save = make("button", "", "Save"), cancel = make("button", "", "Cancel");
  const close = () => cell.replaceChildren(...valueParts(own, row, cell));
  save.onclick = () => {
    own.trigger("corrected", { path: row.path, value: input.value, at: Date.now() });
    save.disabled = true;
  };
  cancel.onclick = close;
  input.onkeydown = (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      save.click();
    }
  };
  buttons.append(save, cancel);
  cell.replaceChildren(input, buttons);
  input.focus();
};
const valueParts = (own, row, cell) => {
  const parts = [];
  if (own.data.judged) {
    const answer = make("span", `answer ${row.status}`, row.answer || "(nothing)");
    parts.push(answer);
    if (row.status && row.status !== "right") {
      parts.push(make("span", "expected", `right: ${row.expected || "(nothing)"}`));
    }
  } else {
    parts.push(make("span", "answer", row.expected || "(empty)"));
    if (row.expected && !row.places.length && own.data.pages.some((p) => p.text)) {
      parts.push(make("span", "nowhere", "not found in the text"));
    }
  }
  if (!own.data.editable) return parts;
  const buttons = make("span", "buttons");
  const pencil = make("button", "", row.expected || own.data.judged ? "Correct" : "Fill in");
  pencil.onclick = (event) => {
    event.stopPropagation();
    edit(own, row, cell);
  };
  buttons.append(pencil);
  if (own.data.judged && row.status && row.status !== "right") {
    const accept = make("button", "", "The answer is right");
    accept.onclick = (event) => {
      event.stopPropagation();
      own.trigger("corrected", { path: row.path, value: row.answer_cell, at: Date.now() });
      accept.disabled = true;
    };
    buttons.append(accept);
  }
  return [...parts, buttons];
};
const line = (own, row) => {
  const box = make("div", `row ${row.kind}`);
  box.dataset.path = row.path;
  box.style.setProperty("--depth", row.depth);
  const head = make(row.kind === "leaf" ? "button" : "div", "name");
  if (row.kind === "leaf") {
    const sign = make("i", row.status, SIGNS[row.status] || (row.places.length ? "•" : " "));
    if (WORDS[row.status]) sign.setAttribute("aria-label", WORDS[row.status]);
    sign.title = WORDS[row.status] || "";
    head.append(sign);
    head.onclick = () => select(own, row.path, "row");
    head.setAttribute("aria-label", `${row.path}${row.status ? `, ${row.status}` : ""}`);
  }
  const title = make("span", "", row.kind === "item" ? `No. ${row.name}` : row.name);
  title.title = row.about || row.path;
  head.append(title);
  box.append(head);
  if (row.kind === "leaf") {
    const cell = make("div", "value");
    cell.append(...valueParts(own, row, cell));
    box.append(cell);
  } else if (own.data.editable && (row.kind === "list" || row.kind === "item")) {
    const act = row.kind === "list" ? "added" : "removed";
    const button = make("button", "act", row.kind === "list" ? "Add" : "Remove");
    button.onclick = () => own.trigger(act, { path: row.path, at: Date.now() });
    box.append(button);
  }
  return box;
};

export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".tb-document");
  const own = (box.tuneboard ??= { box });
  Object.assign(own, { data, trigger: setTriggerValue });
  const drawn = JSON.stringify(data);
  if (own.drawn === drawn) return;
  const kept = own.key === data.key ? [...box.children].map((part) => part.scrollTop) : [0, 0];
  Object.assign(own, { drawn, key: data.key });
  const pages = make("div", "pages"), record = make("div", "record");
  pages.tabIndex = 0;
  pages.setAttribute("role", "region");
  pages.setAttribute("aria-label", "The document");
  data.pages.forEach((page, at) => {
    const sheet = make("section", "page");
    if (data.pages.length > 1) sheet.append(make("header", "", `Page ${at + 1} of ${data.pages.length}`));
    sheet.append(page.picture ? pagePicture(page, at, data.rows) : pageText(page, at, data.rows));
    pages.append(sheet);
  });
  pages.onclick = (event) => {
    const mark = event.target.closest?.("mark");
    if (mark) select(own, mark.dataset.paths.split(" ")[0], "page");
  };
  record.append(...data.rows.map((row) => line(own, row)));
  box.replaceChildren(pages, record);
  pages.scrollTop = kept[0];
  record.scrollTop = kept[1];
  const focus = `${data.key} ${data.focus || ""}`;
  if (data.focus && own.focus !== focus) select(own, data.focus, "row");
  else if (own.path) select(own, own.path, "");
  own.focus = focus;
};
