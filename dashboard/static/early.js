// In the head of every page. Plotly's script is large: it is loaded while the user looks at the first page,
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
