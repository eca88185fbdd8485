// In the head of every page.
// Plotly's script is large: it is loaded while the user looks at the first page,
// not when the first chart is drawn.
globalThis.tuneboardPlotly = () =>
  globalThis.tuneboardPlotlyLoading ??= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = new URL("vendor/plotly.min.js", document.baseURI).href;
    script.onload = () => done(globalThis.Plotly);
    script.onerror = fail;
    document.head.append(script);
  });
addEventListener("load", () => setTimeout(() => requestIdleCallback(globalThis.tuneboardPlotly), 2500));

// A link to a tab of the rows also brings it into sight: what is above it comes later, so it is looked for a while.
addEventListener("click", (event) => {
  if (!event.target.closest?.("a[href*='example_tabs=']")) return;
  const stop = new AbortController();
  for (const own of ["wheel", "touchmove", "pointerdown", "keydown"]) {
    addEventListener(own, () => stop.abort(), { signal: stop.signal });
  }
  const timer = setInterval(
    () => document.querySelector(".st-key-example_tabs")?.scrollIntoView({ block: "start" }),
    100,
  );
  stop.signal.addEventListener("abort", () => clearInterval(timer));
  setTimeout(() => stop.abort(), 4000);
}, true);
