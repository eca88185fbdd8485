"""The browser's end of a run's event stream, put before the script of every element that follows a run.

All elements of a page share one websocket a run. It is opened again when it was lost; the server then tells everything.
"""

STREAM_JS = """
const streams = (globalThis.tuneboardStreams ??= new Map());
const connect = (stream) => {
  const address = new URL(`live/${stream.run}`, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = (stream.socket = new WebSocket(address));
  socket.onmessage = (event) => {
    const news = JSON.parse(event.data);
    stream.tries = 0;
    Object.assign(stream.parts, news);
    for (const heard of [...stream.listeners]) heard(news);
  };
  socket.onclose = () => {
    if (stream.ended) return;
    stream.tries += 1;
    for (const heard of [...stream.listeners]) heard({ lost: stream.tries });
    setTimeout(() => stream.ended || connect(stream), Math.min(5000, 250 * 2 ** stream.tries));
  };
};
const listen = (run, heard) => {
  let stream = streams.get(run);
  if (!stream) {
    stream = { run, parts: {}, listeners: new Set(), tries: 0, ended: false };
    streams.set(run, stream);
    connect(stream);
  }
  stream.listeners.add(heard);
  if (Object.keys(stream.parts).length) heard(stream.parts);
  return () => {
    stream.listeners.delete(heard);
    // A page that is drawn anew leaves and comes back at once: the stream waits a moment for it.
    setTimeout(() => {
      if (stream.listeners.size || stream.ended) return;
      stream.ended = true;
      streams.delete(run);
      stream.socket.close();
    }, 1000);
  };
};
"""
