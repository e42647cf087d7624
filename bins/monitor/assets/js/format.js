// Numbers, times and durations as people read them.

const SHORT = ['', 'k', 'M', 'G', 'T', 'P'];
const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

const digits = (v) => {
  const a = Math.abs(v);
  return a >= 100 ? v.toFixed(0) : a >= 10 ? v.toFixed(1).replace(/\.0$/, '') : v.toFixed(2).replace(/\.?0+$/, '');
};

function stepped(v, base, names) {
  let at = 0;
  for (; Math.abs(v) >= base * 0.9995 && at < names.length - 1; at++) v /= base;
  return [digits(v), names[at]];
}

/** A value and its unit apart: `[number, unit]`. */
export function parts(v, unit) {
  if (v == null || !Number.isFinite(v)) return ['–', ''];
  switch (unit) {
    case 'percent': return [digits(v), '%'];
    case 'bytes': return stepped(v, 1024, BYTES);
    case 'bytes/s': { const [n, u] = stepped(v, 1024, BYTES); return [n, u + '/s']; }
    case 'ms': return parts(v / 1000, 's');
    case 's': {
      const a = Math.abs(v);
      if (a === 0) return ['0', 's'];
      if (a < 0.001) return [digits(v * 1e6), 'µs'];
      if (a < 1) return [digits(v * 1e3), 'ms'];
      if (a < 120) return [digits(v), 's'];
      return [span(v * 1000), ''];
    }
    case 'bool': return [v ? 'yes' : 'no', ''];
    default: {
      const [n, u] = stepped(v, 1000, SHORT);
      return [n + u, !unit || unit === 'count' ? '' : unit.replace(/^1\//, '/')];
    }
  }
}

/** A value with its unit. */
export const show = (v, unit) => parts(v, unit).join('\u202f').trim();

const two = (n) => String(n).padStart(2, '0');
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

export const clock = (ms, seconds = true) => {
  const d = new Date(ms);
  return two(d.getHours()) + ':' + two(d.getMinutes()) + (seconds ? ':' + two(d.getSeconds()) : '');
};
export const day = (ms) => { const d = new Date(ms); return d.getDate() + ' ' + MONTHS[d.getMonth()]; };

/** The time, with the day where it is not today. */
export const when = (ms) =>
  (new Date(ms).toDateString() === new Date().toDateString() ? '' : day(ms) + ' ') + clock(ms);

/** A length of time in two steps: `2 h 5 min`. */
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  const of = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = of.findIndex(([size]) => s >= size);
  if (at < 0) return '0 s';
  const [size, name] = of[at];
  const rest = at < 3 ? Math.floor((s % size) / of[at + 1][0]) : 0;
  return Math.floor(s / size) + ' ' + name + (rest ? ' ' + rest + ' ' + of[at + 1][1] : '');
}
export const ago = (ms) => { const d = Date.now() - ms; return d < 5000 ? 'just now' : span(d) + ' ago'; };

/** The unit that a metric's name tells. */
export const unitOf = (metric) =>
  [[/percent$/, 'percent'], [/bytes_per_second$/, 'bytes/s'], [/per_second$/, '1/s'], [/bytes$/, 'bytes'], [/(_ms|milliseconds|\.response)$/, 'ms'],
    [/seconds(_mean|_sum)?$/, 's'], [/\.up$/, 'bool'], [/\.(memory|cpu|hits|errors)$/, 'percent']].find(([name]) => name.test(metric || ''))?.[1];
