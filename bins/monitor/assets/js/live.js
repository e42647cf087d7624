// The socket: values as they come, and again after the server was away.

import * as series from './series.js';

const listeners = new Map();
export const state = {up: false, since: 0, interval: 1000, paused: false, skew: 0};
let socket, wait = 250, heardAt = 0, timer;

/** Calls `f` on frames of this type, and on `up`, `down`. Returns what ends that. */
export function on(type, f) {
  if (!listeners.has(type)) listeners.set(type, new Set());
  listeners.get(type).add(f);
  return () => listeners.get(type).delete(f);
}

export const tell = (type, frame) => {
  for (const f of listeners.get(type) || []) {
    try { f(frame); } catch (error) { console.error(error); }
  }
};

export function connect() {
  clearTimeout(timer);
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  socket = new WebSocket(url);
  socket.onmessage = ({data}) => {
    heardAt = Date.now();
    for (const line of data.split('\n')) if (line) take(JSON.parse(line));
  };
  socket.onclose = () => {
    if (state.up) { state.up = false; state.since = Date.now(); tell('down'); }
    // Spread, so that a thousand pages do not come back in one instant.
    timer = setTimeout(connect, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, 8000);
  };
}

function take(frame) {
  switch (frame.type) {
    case 'hello': {
      const again = state.since > 0;
      wait = 250;
      Object.assign(state, {up: true, since: Date.now(), interval: frame.interval_ms || 1000});
      series.forget();
      tell('up', {again});
      break;
    }
    case 'series':
      if (frame.add) series.add(frame.add);
      if (frame.remove) series.remove(frame.remove);
      tell('series');
      break;
    case 'round':
      series.round(frame);
      // The server's clock is the one that counts, where it differs from this machine's.
      state.skew = Math.abs(frame.at_ms - Date.now()) > 3000 ? frame.at_ms - Date.now() : 0;
      tell('round', frame);
      break;
    default:
      tell(frame.type, frame);
  }
}

/** A network that vanished says nothing: silence of three intervals and more is taken for an end. */
setInterval(() => {
  if (state.up && Date.now() - heardAt > Math.max(15000, 4 * state.interval)) socket.close();
}, 2000);
addEventListener('online', () => { if (!state.up) { wait = 250; connect(); } });
