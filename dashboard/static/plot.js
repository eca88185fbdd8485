const PALETTE = {
  "$accent": "--st-primary-color",
  "$text": "--st-text-color",
  "$muted": "--st-gray-text-color",
  "$faint": "--st-border-color",
  "$good": "--st-green-text-color",
  "$bad": "--st-red-text-color",
  "$warn": "--st-orange-text-color",
  "$blue": "--st-blue-text-color",
  "$background": "--st-background-color",
};
// Named one by one: Plotly's own list has a button that sends the chart to a website.
const TOOLS = [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]];
const coloured = (value, style) => {
  if (typeof value === "string") {
    return PALETTE[value] ? style.getPropertyValue(PALETTE[value]).trim() || "#888" : value;
  }
  if (Array.isArray(value)) return value.map((item) => coloured(item, style));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
  }
  return value;
};
// The chosen prompt gets a ring, drawn here, so that a click shows at once.
const ring = (traces, chosen, style) => {
  for (const trace of traces) {
    const at = (trace.customdata ?? []).findIndex((item) => String(item) === String(chosen));
    if (at >= 0 && trace.visible !== "legendonly") {
      return [...traces, {
        type: "scatter",
        uid: "chosen",
        mode: "markers",
        x: [trace.x[at]],
        y: [trace.y[at]],
        hoverinfo: "skip",
        showlegend: false,
        cliponaxis: false,
        marker: { symbol: "circle-open", size: 20, color: coloured("$text", style), line: { width: 2 } },
      }];
    }
  }
  return traces;
};
// The line from a point through all that it came from, as x and y: drawn while the pointer is on it.
const lineage = (figure, trial) => {
  const places = new Map();
  for (const trace of figure.traces) {
    if (trace.yaxis === "y2") continue;
    (trace.customdata ?? []).forEach((key, at) =>
      places.has(key) || places.set(key, [trace.x[at], trace.y[at]])
    );
  }
  const x = [], y = [], seen = new Set([trial]);
  for (const child of seen) {
    for (const parent of figure.lineage?.[child] ?? []) {
      if (!places.has(child) || !places.has(parent)) continue;
      const [from, to] = [places.get(parent), places.get(child)];
      x.push(from[0], to[0], null);
      y.push(from[1], to[1], null);
      seen.add(parent);
    }
  }
  return { x: x.length ? x : [null], y: y.length ? y : [null] };
};
const lineageTrace = (figure, trial, style) => ({
  type: "scatter",
  uid: "lineage",
  mode: "lines",
  ...lineage(figure, trial),
  hoverinfo: "skip",
  showlegend: false,
  line: { color: coloured("$accent", style), width: 2 },
});
// The points of a chart by keyboard: a slider that is seen by its effect, the ring and the text of the point reached.
const points = (figure) => {
  const found = new Map();
  figure.traces.forEach((trace) => {
    if (trace.yaxis === "y2" || trace.visible === "legendonly") return;
    (trace.customdata ?? []).forEach((key, at) => {
      found.set(String(key), {
        key,
        x: trace.x[at],
        uid: trace.uid,
        at,
        text: String(trace.text?.[at] ?? key),
      });
    });
  });
  return [...found.values()].sort((one, other) => one.x < other.x ? -1 : one.x > other.x ? 1 : 0);
};
const plain = (markup) => new DOMParser().parseFromString(markup, "text/html").body.innerText.trim();
const reachable = (box, own, plotly) => {
  const all = points(own.data.figure), slider = own.slider ??= document.createElement("input");
  if (!slider.isConnected) box.after(slider);
  const say = () => {
    const reached = all[Number(slider.value)];
    slider.setAttribute("aria-valuetext", reached ? plain(reached.text.replaceAll("<br>", ". ")) : "");
    return reached;
  };
  const go = () => {
    const reached = say();
    if (!reached) return;
    own.reached = reached.key;
    draw(box, own).then(() => {
      const curve = box.data.findIndex((trace) => trace.uid === reached.uid);
      if (curve >= 0) plotly.Fx.hover(box, [{ curveNumber: curve, pointNumber: reached.at }]);
    });
  };
  Object.assign(slider, {
    type: "range",
    className: "tb-reach",
    min: 0,
    max: Math.max(0, all.length - 1),
    step: 1,
  });
  slider.hidden = all.length < 1;
  slider.setAttribute("aria-label", "Points of the chart: arrow keys go from one to the next, Enter chooses");
  const now = all.findIndex(({ key }) => String(key) === String(own.reached ?? own.chosen ?? ""));
  slider.value = String(now >= 0 ? now : all.length - 1);
  say();
  slider.oninput = go;
  slider.onfocus = () => slider.matches(":focus-visible") && go();
  slider.onblur = () => {
    own.reached = undefined;
    plotly.Fx.unhover(box);
    draw(box, own);
  };
  slider.onkeydown = (event) => {
    if (event.key === "Enter" && own.reached != null) own.trigger("clicked", first(own.reached));
  };
};
const first = (key) => Array.isArray(key) ? key[0] : key;
// A range that the user has chosen stays while the figure's own range grows; a double click gives it back.
const zoomed = (box, own, name) =>
  own.zoom?.[name] && box.layout ? { range: [...box.layout[name].range] } : {};
const draw = (box, own) => {
  const data = own.data;
  if (!data.figure) {
    own.empty = true;
    box.textContent = data.empty;
    return Promise.resolve();
  }
  if (own.empty) box.replaceChildren();
  own.empty = false;
  const style = getComputedStyle(box);
  const font = {
    family: style.getPropertyValue("--st-font") || "sans-serif",
    color: style.getPropertyValue("--st-text-color"),
    size: 13,
  };
  const { traces: drawn, layout } = coloured(data.figure, style);
  const chosen = own.reached ?? own.chosen;
  const marked = chosen != null ? ring(drawn, chosen, style) : drawn;
  const traces = data.figure.lineage
    ? [...marked, lineageTrace(data.figure, own.pointed ?? chosen, style)]
    : marked;
  const axis = (own) => ({
    gridcolor: coloured("$faint", style),
    zeroline: false,
    automargin: true,
    ...own,
    title: { font, ...own?.title },
  });
  box.style.height = `${data.height}px`;
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", data.label);
  return globalThis.tuneboardPlotly().then((plotly) =>
    plotly.react(box, traces, {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      uirevision: "keep",
      autosize: true,
      margin: { l: 56, r: 36, t: 16, b: 44 },
      hovermode: "closest",
      font,
      height: data.height,
      ...layout,
      xaxis: axis({ ...layout.xaxis, ...zoomed(box, own, "xaxis") }),
      yaxis: axis({ ...layout.yaxis, ...zoomed(box, own, "yaxis") }),
      legend: {
        orientation: "h",
        y: 1.02,
        yanchor: "bottom",
        x: 0,
        font: { ...font, size: 12 },
        ...layout.legend,
      },
      hoverlabel: {
        bgcolor: style.getPropertyValue("--st-secondary-background-color"),
        bordercolor: coloured("$faint", style),
        font,
        align: "left",
      },
      // Down the right margin, where it hides neither the legend nor a point.
      modebar: {
        orientation: "v",
        bgcolor: "rgba(0,0,0,0)",
        color: coloured("$muted", style),
        activecolor: coloured("$text", style),
      },
    }, { displaylogo: false, responsive: true, plotlyServerURL: "", modeBarButtons: TOOLS }).then(() =>
      plotly
    )
  )
    .then((plotly) => {
      box.dataset.points = String(
        drawn.reduce((count, trace) => count + (trace.x ?? []).filter((at) => at !== null).length, 0),
      );
      box.dataset.stamp = String(data.stamp ?? "");
      reachable(box, own, plotly);
      if (box.dataset.listening) return;
      box.dataset.listening = "yes";
      // After a change of width the legend stays where it was, over the plot, until everything is drawn again.
      let width = box.clientWidth, pause;
      new ResizeObserver(() => {
        if (box.clientWidth === width || !box.clientWidth) return;
        width = box.clientWidth;
        clearTimeout(pause);
        pause = setTimeout(
          () => plotly.Plots.resize(box).then(() => plotly.redraw(box)).catch(() => {}),
          150,
        );
      }).observe(box);
      box.on("plotly_relayout", (change) => {
        for (const name of ["xaxis", "yaxis"]) {
          if (`${name}.range[0]` in change || `${name}.range` in change) {
            own.zoom = { ...own.zoom, [name]: true };
          }
          if (change[`${name}.autorange`]) own.zoom = { ...own.zoom, [name]: false };
        }
      });
      box.on("plotly_doubleclick", () =>
        setTimeout(() => {
          own.zoom = {};
          draw(box, own);
        }));
      const point = (trial) => {
        if (!own.data.figure?.lineage || own.pointed === trial) return;
        own.pointed = trial;
        const at = box.data.findIndex((trace) => trace.uid === "lineage");
        const { x, y } = lineage(own.data.figure, trial ?? own.chosen);
        if (at >= 0) plotly.restyle(box, { x: [x], y: [y] }, [at]);
      };
      box.on("plotly_hover", (event) => point(event.points?.[0]?.customdata));
      box.on("plotly_unhover", () => point(undefined));
      box.on("plotly_click", (event) => {
        const chosen = event.points?.[0]?.customdata;
        if (chosen === undefined) return;
        own.chosen = own.marks ? chosen : undefined;
        if (own.chosen != null) draw(box, own);
        own.trigger("clicked", first(chosen));
      });
    })
    .catch(() => {
      box.textContent = "The chart could not be drawn: Plotly's script did not load.";
    });
};
// Drawing again takes a while: what comes meanwhile waits, and a hidden tab draws when it is looked at.
const soon = (box, own) => {
  own.wanted = true;
  if (own.drawing || document.hidden) return;
  own.wanted = false;
  own.drawing = true;
  const started = performance.now();
  draw(box, own).finally(() =>
    setTimeout(() => {
      own.drawing = false;
      if (own.wanted) soon(box, own);
    }, 1.5 * (performance.now() - started))
  );
};

export default ({ data, parentElement, setTriggerValue }) => {
  const box = parentElement.querySelector(".plot");
  const own = (box.tuneboard ??= {});
  Object.assign(own, {
    trigger: setTriggerValue,
    marks: data.marks,
    chosen: data.chosen ?? (data.marks ? own.chosen : undefined),
  });
  const following = data.live && own.run === data.live && own.data;
  own.data = following ? { ...own.data, height: data.height } : data;
  soon(box, own);
  follow(own, data.live, (parts) => {
    const news = parts[data.figure?.part ?? "chart"];
    if (!news?.figure) return;
    own.data = { ...own.data, ...news };
    soon(box, own);
  });
  own.look ??= () => own.wanted && soon(box, own);
  document.addEventListener("visibilitychange", own.look);
  return () => {
    document.removeEventListener("visibilitychange", own.look);
    follow(own, "");
  };
};
