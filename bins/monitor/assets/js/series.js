// The series the monitor reads now, and how a chart's lines are made of them.

/** By the index the server gave: {target, name, labels, kind, value, at}. */
const known = new Map();
/** The same by metric name, as a chart looks for them. */
const named = new Map();
/** When each target answered last. */
export const heard = new Map();

/** Metrics that have a past, as the server said at first. */
const past = new Set();
export const know = (names) => (names || []).forEach((name) => past.add(name));
/** Whether to ask for a metric: it has a past, or a value came since. */
export const exists = (name) => past.has(name) || named.has(name);

export function forget() {
  known.clear();
  named.clear();
}

export function add(list) {
  for (const one of list) {
    const series = {...one, labels: one.labels || {}, value: null, at: 0};
    known.set(one.i, series);
    if (!named.has(one.name)) named.set(one.name, new Set());
    named.get(one.name).add(series);
  }
}

export function remove(list) {
  for (const i of list) {
    const series = known.get(i);
    known.delete(i);
    named.get(series?.name)?.delete(series);
  }
}

export function round({at_ms, target, v}) {
  heard.set(target, at_ms);
  for (const [i, value] of v) {
    const series = known.get(i);
    if (series) { series.value = value; series.at = at_ms; }
  }
}

export const count = () => known.size;

const fits = (want, labels) =>
  Object.entries(want || {}).every(([key, value]) => (Array.isArray(value) ? value : [value]).includes(labels[key]));

/** Whether a target is the one that is meant, or with a `!` any other. */
const meant = (want, target) => !want || (want[0] === '!' ? want.slice(1) !== target : want === target);

/** Whether a line of a chart takes this series. */
export const takes = (line, series, target) =>
  (!target || series.target === target) && meant(line.target, series.target) &&
  fits(line.labels, series.labels) &&
  !Object.entries(line.not || {}).some(([key, value]) => (Array.isArray(value) ? value : [value]).includes(series.labels[key]));

/** Which curve of a line a series belongs to: its target, and the labels it is told apart by. */
export function curve(line, series) {
  const labels = line.by ? line.by.map((key) => [key, series.labels[key] ?? '']) :
    Object.entries(series.labels).filter(([key]) => !(line.labels && key in line.labels && !Array.isArray(line.labels[key])));
  return {key: series.target + '\n' + labels.map((pair) => pair.join('=')).join('\n'), target: series.target,
    text: labels.map(([, value]) => value).filter(Boolean).join(' ')};
}

/** Several values of one curve become one. */
export const join = (line, values) => {
  if (!values.length) return null;
  if (line.join === 'max') return Math.max(...values);
  const sum = values.reduce((a, b) => a + b, 0);
  return line.join === 'mean' ? sum / values.length : sum;
};

/** What a line makes of the value and of what it is divided by. */
export function made(line, value, over) {
  if (value == null) return null;
  if (line.over) {
    if (over == null || over === 0) return null;
    value /= over;
  }
  if (line.rest) value = 1 - value;
  return value * (line.scale ?? 1);
}

/** The curves of a line now: Map of key to {target, text, value, at}. */
export function now(line, target) {
  const gather = (of) => {
    const found = new Map();
    for (const series of [of.metric].flat().flatMap((metric) => [...(named.get(metric) || [])])) {
      if (series.value == null || !takes(of, series, target)) continue;
      const {key, text} = curve({...of, by: line.by, join: line.join}, series);
      const at = found.get(key) || found.set(key, {target: series.target, text, values: [], at: 0}).get(key);
      at.values.push(series.value);
      at.at = Math.max(at.at, series.at);
    }
    return found;
  };
  const values = gather(line), over = line.over && gather(line.over), curves = new Map();
  for (const [key, {target, text, values: list, at}] of values) {
    const divisor = over && over.get(key);
    curves.set(key, {target, text, at, value: made(line, join(line, list), divisor && join({}, divisor.values))});
  }
  return curves;
}
