const show = (box, bar, meters) => {
  meters.cards.forEach((meter, at) => {
    let card = box.children[at];
    if (!card) {
      card = document.createElement("div");
      card.append(
        document.createElement("span"),
        document.createElement("b"),
        document.createElement("i"),
      );
      box.append(card);
    }
    card.dataset.meter = meter.name.toLowerCase();
    card.title = meter.help;
    card.children[0].textContent = meter.name;
    card.children[1].textContent = meter.text;
    card.children[2].style.setProperty("--share", `${100 * (meter.share ?? 0)}%`);
    card.children[2].hidden = meter.share === null;
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
  const state = (box.tuneboard ??= {});
  if (!data.live || state.run !== data.live) show(box, bar, data.meters);
  follow(state, data.live, ({ meters }) => meters && show(box, bar, meters));
  return () => follow(state, "");
};
