// The live updates of a run: one websocket for each run, shared by all elements of a page that follow it.
// This file comes before the script of each of those elements.
const streams = (globalThis.tuneboardStreams ??= new Map());
const connect = (stream) => {
  const address = new URL(`live/${stream.run}`, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = (stream.socket = new WebSocket(address));
  socket.onmessage = (event) => {
    const changes = JSON.parse(event.data);
    stream.tries = 0;
    Object.assign(stream.parts, changes);
    for (const listener of [...stream.listeners]) listener(changes);
  };
  socket.onclose = () => {
    if (stream.ended) return;
    stream.tries += 1;
    for (const listener of [...stream.listeners]) listener({ lost: stream.tries });
    setTimeout(() => stream.ended || connect(stream), Math.min(5000, 250 * 2 ** stream.tries));
  };
};
const listen = (run, listener) => {
  let stream = streams.get(run);
  if (!stream) {
    stream = { run, parts: {}, listeners: new Set(), tries: 0, ended: false };
    streams.set(run, stream);
    connect(stream);
  }
  stream.listeners.add(listener);
  if (Object.keys(stream.parts).length) listener(stream.parts);
  return () => {
    stream.listeners.delete(listener);
    // A page that is drawn again leaves and comes back at once: the stream waits briefly for it.
    setTimeout(() => {
      if (stream.listeners.size || stream.ended) return;
      stream.ended = true;
      streams.delete(run);
      stream.socket.close();
    }, 1000);
  };
};
// Let an element's `state` follow a run, or none (""); it follows one at a time.
export const follow = (state, run, listener) => {
  if (state.run === run) return;
  state.stop?.();
  state.stop = undefined;
  state.run = run;
  if (run) state.stop = listen(run, listener);
};
