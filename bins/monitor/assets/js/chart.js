// One chart: its history as band and line, its thresholds and marks, and the values that arrive.

import {get, question} from './api.js';
import {fill, h, icon} from './dom.js';
import {clock, day, parts, show, when} from './format.js';
import * as series from './series.js';
import {state as live} from './live.js';

const MAX_CURVES = 12;
/** Units that an axis must name; of others the title says enough. */
const MEASURES = new Set(['percent', 'bytes', 'bytes/s', 's', 'ms']);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colors = () => Array.from({length: 8}, (_, i) => css('--c' + i));
const alpha = (color, a) => color + Math.round(a * 255).toString(16).padStart(2, '0');

/** Times of an axis: seconds where they matter, the day where it changes. */
function times(_, splits, __, ___, step) {
  let last = '';
  return splits.map((s) => {
    const d = day(s * 1000), fresh = d !== last;
    last = d;
    const midnight = clock(s * 1000) === '00:00:00';
    return step >= 86400 || midnight ? d : fresh && step >= 10800 ? d + '\n' + clock(s * 1000, false) : clock(s * 1000, step < 60);
  });
}

/** A task of its own for each chart, so that the first is seen while the others are drawn. */
let before = Promise.resolve();
const turn = () => (before = before.then(() => new Promise((done) => setTimeout(done))));

export class Chart {
  /** `context`: {range(), shown() → {from, to, live}, began(), target(), marks(), zoom(from, to), reset()}. */
  constructor(spec, context) {
    this.spec = spec;
    this.context = context;
    this.curves = [];
    this.x = [];
    this.hidden = new Set();
    this.state = 'loading';
    this.big = h('output.big');
    this.plot = h('div.plot', h('div.loading', {'aria-label': 'loading'}));
    this.legend = h('div.legend');
    this.node = h('section.card.chart', {id: 'chart-' + spec.id, tabIndex: 0, 'aria-label': spec.title},
      h('header', h('h3', spec.title, spec.help ? h('span.hint', {title: spec.help}, '?') : null),
        h('button.plain', {title: 'Larger (f)', 'aria-label': 'Larger', onclick: () => this.grow()}, icon('grow')), this.big),
      this.plot, this.legend);
    new ResizeObserver(() => this.size()).observe(this.plot);
  }

  grow() {
    this.node.classList.toggle('large');
    this.node.scrollIntoView({block: 'nearest'});
  }

  size() {
    const {clientWidth: width, clientHeight: height} = this.plot;
    if (this.u && width > 40 && (this.u.width !== width || this.u.height !== height)) this.u.setSize({width, height});
  }

  /** Fetches what stands in the range and draws it. */
  async load() {
    this.abort?.abort();
    const {signal} = (this.abort = new AbortController());
    const {from, to} = this.context.range();
    const target = this.context.target();
    const points = Math.max(120, Math.min(1200, Math.round((this.plot.clientWidth || 480) * 0.8)));
    const ask = async (line) => {
      if (!series.exists(line.metric)) return false;
      const labels = Object.entries(line.labels || {}).filter(([, v]) => !Array.isArray(v));
      const one = {metric: line.metric, target: target || line.target, labels};
      return this.context.early?.get(question(one)) || get('metrics/history', {
        metric: one.metric, hours: (to - from) / 3600e3, from_ms: Math.round(from), to_ms: Math.round(to), points, target: one.target,
        ...Object.fromEntries(labels.map(([k, v]) => ['label.' + k, v])),
      }, signal);
    };
    // Several metrics that are added are asked for one by one.
    const below = async (line) => {
      const all = await Promise.all([line.over.metric].flat().map((metric) => ask({target: line.target, ...line.over, metric})));
      const told = all.filter(Boolean);
      return told.length && {...told[0], series: told.flatMap((answer) => answer.series)};
    };
    try {
      const answers = await Promise.all(this.spec.lines.map((line) =>
        Promise.all([ask(line), line.over ? below(line) : null])));
      await turn();
      if (signal.aborted) return this.state;
      this.take(answers, target);
      this.state = this.curves.length ? 'drawn' : 'empty';
    } catch (error) {
      if (error.name === 'AbortError') return this.state;
      this.state = 'failed';
      if (!this.u) fill(this.plot, h('p.failed', error.message, ' ', error.advice || '',
        h('button', {onclick: () => this.load()}, 'Try again')));
    }
    this.live();
    return this.state;
  }

  /** Puts the answers of all lines on one grid of times. */
  take(answers, target) {
    const step = Math.max(live.interval, ...answers.flat().filter(Boolean).map((a) => a.step_ms || 0));
    this.step = step;
    const curves = new Map(), slots = new Set();
    const gather = (line, answer, at) => {
      const found = new Map();
      for (const [nth, one] of (answer?.series || []).entries()) {
        const s = {target: one.target, labels: one.labels || {}};
        if (!series.takes(line, s, target)) continue;
        const {key, text} = series.curve(line, s);
        if (!found.has(key)) found.set(key, {key: at + '\n' + key, target: s.target, text, slots: new Map()});
        const into = found.get(key).slots;
        one.t.forEach((t, i) => {
          if (one.mean[i] == null) return;
          const slot = Math.floor(t / step);
          if (!into.has(slot)) into.set(slot, new Map());
          const mean = one.mean[i], low = one.min?.[i] ?? mean, high = one.max?.[i] ?? mean;
          // Two values of one series in a slot are one after the other; those of several series are side by side.
          const before = into.get(slot).get(nth);
          into.get(slot).set(nth, before ? [(before[0] + mean) / 2, Math.min(before[1], low), Math.max(before[2], high)] : [mean, low, high]);
        });
      }
      return found;
    };
    this.spec.lines.forEach((line, at) => {
      const [values, over] = answers[at];
      const found = gather(line, values, at);
      const below = line.over && gather({...line.over, by: line.by}, over, at);
      for (const [key, curve] of found) {
        if (curves.size >= MAX_CURVES) { this.more = true; break; }
        const divisors = below && below.get(key)?.slots;
        const out = {...curve, line, slots: new Map()};
        for (const [slot, list] of curve.slots) {
          const joined = [0, 1, 2].map((which) => series.join(line, [...list.values()].map((v) => v[which])));
          const d = divisors?.get(slot) && [...divisors.get(slot).values()].reduce((sum, v) => sum + v[0], 0);
          const triple = line.over ? Array(3).fill(series.made(line, joined[0], d)) : joined.map((v) => series.made(line, v));
          if (triple[0] == null) continue;
          if (triple[1] > triple[2]) [triple[1], triple[2]] = [triple[2], triple[1]];
          out.slots.set(slot, triple);
          slots.add(slot);
        }
        curves.set(out.key, out);
      }
    });
    const order = [...slots].sort((a, b) => a - b);
    this.x = order.map((slot) => slot * step / 1000);
    this.curves = [...curves.values()].sort((a, b) => this.spec.lines.indexOf(a.line) - this.spec.lines.indexOf(b.line) || a.key.localeCompare(b.key));
    for (const curve of this.curves) {
      curve.mean = []; curve.low = []; curve.high = [];
      for (const slot of order) {
        const triple = curve.slots.get(slot);
        curve.mean.push(triple ? triple[0] : null);
        curve.low.push(triple ? triple[1] : null);
        curve.high.push(triple ? triple[2] : null);
      }
      curve.slots = null;
      curve.count = 1;
    }
    this.names();
    if (this.x.length) this.context.began(this.x[0] * 1000);
    if (this.curves.length) this.build();
  }

  names() {
    const targets = new Set(this.curves.map((curve) => curve.target)).size > 1;
    const lines = this.spec.lines.length > 1;
    for (const curve of this.curves) {
      curve.name = [lines || !curve.text ? curve.line.name : '', curve.text].filter(Boolean).join(' ');
      curve.name = [curve.name, targets ? curve.target : ''].filter(Boolean).join(' · ') || this.spec.title;
    }
  }

  data() {
    const data = [this.x];
    for (const curve of this.curves) data.push(curve.mean, curve.low, curve.high);
    return data;
  }

  /** A value arrived: the newest slot takes it, and keeps its peaks. */
  round(frame) {
    if (this.state !== 'drawn') return false;
    const slot = Math.floor(frame.at_ms / this.step) * this.step / 1000;
    const {from, live: moving} = this.context.range();
    let touched = false;
    for (const [at, line] of this.spec.lines.entries()) {
      const now = series.now(line, this.context.target());
      for (const [key, {target, value}] of now) {
        if (target !== frame.target) continue;
        const curve = this.curves.find((curve) => curve.key === at + '\n' + key);
        if (!curve) { this.stale ||= this.curves.length < MAX_CURVES; continue; }
        curve.now = value;
        if (value == null || !moving) continue;
        touched = true;
        let last = this.x.length - 1;
        if (last < 0 || slot > this.x[last]) {
          this.x.push(slot);
          for (const other of this.curves) { other.mean.push(null); other.low.push(null); other.high.push(null); other.count = 0; }
          last++;
        }
        if (slot < this.x[last]) last = this.x.indexOf(slot);
        if (last < 0) continue;
        if (curve.mean[last] == null) {
          curve.mean[last] = curve.low[last] = curve.high[last] = value;
          curve.count = 1;
        } else {
          curve.count++;
          curve.mean[last] += (value - curve.mean[last]) / curve.count;
          curve.low[last] = Math.min(curve.low[last], value);
          curve.high[last] = Math.max(curve.high[last], value);
        }
      }
    }
    let old = 0;
    while (moving && old < this.x.length - 2 && this.x[old + 1] * 1000 < from) old++;
    if (old) {
      this.x.splice(0, old);
      for (const curve of this.curves) for (const part of [curve.mean, curve.low, curve.high]) part.splice(0, old);
    }
    return touched;
  }

  /** Shows the values of now. */
  live() {
    const single = this.curves.length === 1 && this.curves[0];
    const latest = (curve) => curve.now ?? curve.mean.findLast((v) => v != null);
    if (single || this.spec.lead) {
      const value = latest(single || this.curves[0] || {mean: []});
      const [number, unit] = parts(value, this.spec.unit);
      fill(this.big, h('b', {className: this.grade(value)}, number), unit ? h('small', unit) : null);
    } else fill(this.big);
    if (single) return fill(this.legend);
    if (this.legend.children.length !== this.curves.length) {
      fill(this.legend, this.curves.map((curve, i) => h('button.chip', {
        'aria-pressed': true,
        onclick: (event) => this.toggle(i, event.currentTarget),
        onmouseenter: () => this.u?.setSeries(1 + 3 * i, {focus: true}),
        onmouseleave: () => this.u?.setSeries(null, {focus: true}),
      }, h('i', {style: {background: `var(--c${i % 8})`}}), h('span', curve.name), h('b'))));
    }
    this.curves.forEach((curve, i) => {
      const at = this.legend.children[i];
      at.children[1].textContent = curve.name;
      at.lastChild.textContent = show(latest(curve), this.spec.unit);
    });
  }

  toggle(i, button) {
    const shown = this.hidden.has(i);
    this.hidden[shown ? 'delete' : 'add'](i);
    button.setAttribute('aria-pressed', shown);
    this.u?.batch(() => [1, 2, 3].forEach((part) => this.u.setSeries(3 * i + part, {show: shown})));
  }

  /** The worst threshold that a value has passed. */
  grade(value) {
    let worst = '';
    for (const {value: limit, severity, below} of this.spec.thresholds || []) {
      if (value != null && (below ? value < limit : value > limit) && worst !== 'critical') worst = severity;
    }
    return worst;
  }

  draw() {
    if (!this.u) return;
    this.size();
    const {from, to} = this.context.shown();
    this.u.batch(() => {
      this.u.setData(this.data(), false);
      this.u.setScale('x', {min: from / 1000, max: to / 1000});
    });
  }

  build() {
    this.u?.destroy();
    const palette = colors(), text = css('--muted'), grid = css('--grid'), unit = this.spec.unit;
    const font = '11px ' + css('--font');
    const {from, to} = this.context.shown();
    const single = this.curves.length === 1;
    const all = [{}];
    const bands = [];
    this.curves.forEach((curve, i) => {
      const color = palette[i % 8], shown = !this.hidden.has(i);
      const gaps = (u, _, __, ___, found) => found.filter(([a, b]) =>
        u.posToVal(b, 'x', true) - u.posToVal(a, 'x', true) > Math.max(3 * this.step, 3 * live.interval) / 1000);
      const edge = {stroke: alpha(color, 0), width: 0, points: {show: false}, show: shown, gaps};
      all.push({
        label: curve.name, stroke: color, width: 1.6, show: shown, points: {show: () => this.x.length < 3, size: 4, fill: color}, gaps,
        fill: single ? (u) => {
          const shade = u.ctx.createLinearGradient(0, u.bbox.top, 0, u.bbox.top + u.bbox.height);
          shade.addColorStop(0, alpha(color, 0.22));
          shade.addColorStop(1, alpha(color, 0.01));
          return shade;
        } : undefined,
      }, edge, {...edge});
      bands.push({series: [3 * i + 3, 3 * i + 2], fill: alpha(color, single ? 0.22 : 0.14)});
    });
    const context = this.context;
    const options = {
      width: this.plot.clientWidth || 400, height: this.plot.clientHeight || 180,
      padding: [10, 6, 0, 0], series: all, bands,
      legend: {show: false},
      focus: {alpha: 0.25},
      cursor: {
        sync: {key: 'tidemill', setSeries: false}, points: {size: 7, show: (u, i) => i % 3 === 1 && h('div.u-cursor-pt')},
        focus: {prox: -1},
        drag: {x: true, y: false, setScale: false, dist: 6},
        bind: {dblclick: () => () => { context.reset(); return null; }},
      },
      scales: {
        x: {time: true, min: from / 1000, max: to / 1000, auto: false},
        y: {range: (_, low, high) => this.span(low, high)},
      },
      axes: [
        {stroke: text, font, grid: {stroke: grid, width: 1}, ticks: {show: false}, values: times, gap: 4, size: 26, space: (_, __, low, high) => (high - low < 300 ? 64 : 48)},
        {stroke: text, font, grid: {stroke: grid, width: 1}, ticks: {show: false}, gap: 6, space: 36, size: (_, v) => 14 + 6.2 * Math.max(3, ...(v || ['']).map((s) => s.length)),
          values: (_, splits) => splits.map((v) => show(v, MEASURES.has(unit) ? unit : 'count')),
          ...(/^bytes/.test(unit || '') ? {incrs: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].flatMap((n) => [0, 10, 20, 30, 40].map((p) => n * 2 ** p)).sort((a, b) => a - b)} : {})},
      ],
      hooks: {
        drawAxes: [(u) => this.thresholds(u)],
        draw: [(u) => this.marks(u)],
        setSelect: [(u) => {
          const {left, width} = u.select;
          if (width < 6) return;
          const a = u.posToVal(left, 'x') * 1000, b = u.posToVal(left + width, 'x') * 1000;
          u.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
          context.zoom(a, Math.max(b, a + 10 * live.interval));
        }],
        setCursor: [(u) => this.tip(u)],
      },
    };
    this.tipNode = h('div.tip', {hidden: true});
    fill(this.plot);
    this.u = new uPlot(options, this.data(), this.plot);
    this.u.over.append(this.tipNode);
    this.u.over.addEventListener('mouseenter', () => { this.over = true; });
    this.u.over.addEventListener('mouseleave', () => { this.over = false; this.tipNode.hidden = true; });
  }

  /** From zero where that leaves the shape to be seen; a threshold that is near is in sight. */
  span(low, high) {
    if (low == null) return [0, 1];
    let top = high, bottom = low >= 0 ? 0 : low;
    for (const {value, below} of this.spec.thresholds || []) {
      if (!below && value <= high * 1.7) top = Math.max(top, value);
    }
    if (this.spec.narrow && low > 0 && (high - low) < 0.25 * high) {
      bottom = low - (high - low) * 0.3 - high * 0.001;
    }
    const limit = this.spec.max;
    top += (top - bottom) * 0.12 || 1;
    if (limit != null && high <= limit) top = Math.min(top, limit);
    return [bottom, top];
  }

  thresholds(u) {
    const {ctx, bbox} = u;
    for (const {value, severity, below} of this.spec.thresholds || []) {
      const y = u.valToPos(value, 'y', true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      const color = css(severity === 'critical' ? '--critical' : '--warning');
      ctx.save();
      ctx.fillStyle = alpha(color, 0.06);
      if (below) ctx.fillRect(bbox.left, y, bbox.width, bbox.top + bbox.height - y);
      else ctx.fillRect(bbox.left, bbox.top, bbox.width, y - bbox.top);
      ctx.strokeStyle = alpha(color, 0.8);
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.fillStyle = color;
      ctx.font = 10 * devicePixelRatio + 'px ' + css('--font');
      // Apart, as two limits often stand close to each other.
      const right = severity === 'critical';
      ctx.textAlign = right ? 'right' : 'left';
      ctx.fillText(severity + ' ' + show(value, this.spec.unit), right ? bbox.left + bbox.width - 4 * devicePixelRatio : bbox.left + 6 * devicePixelRatio, y + (y - bbox.top < 14 * devicePixelRatio ? 12 : -4) * devicePixelRatio);
      ctx.restore();
    }
  }

  marks(u) {
    const {ctx, bbox} = u;
    this.seen = [];
    for (const mark of this.context.marks()) {
      const x = u.valToPos(mark.at_ms / 1000, 'x', true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      this.seen.push([x, mark]);
      const color = css('--' + ({critical: 'critical', warning: 'warning', error: 'critical'}[mark.severity] || (/resolv/.test(mark.kind) ? 'good' : 'accent')));
      const size = 4.5 * devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = alpha(color, 0.55);
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillStyle = color;
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top - size);
      ctx.lineTo(x + size, bbox.top - size);
      ctx.lineTo(x, bbox.top + size * 0.7);
      ctx.fill();
      ctx.restore();
    }
  }

  tip(u) {
    const {idx, left, top} = u.cursor;
    if (!this.over || idx == null || left < 0) { this.tipNode.hidden = true; return; }
    const at = left * devicePixelRatio + u.bbox.left;
    const marks = (this.seen || []).filter(([x]) => Math.abs(x - at) < 7 * devicePixelRatio).slice(0, 4);
    const rows = this.curves.map((curve, i) => [curve, i]).filter(([curve, i]) => !this.hidden.has(i) && curve.mean[idx] != null);
    fill(this.tipNode, h('time', when(this.x[idx] * 1000)),
      rows.map(([curve, i]) => h('p', h('i', {style: {background: `var(--c${i % 8})`}}), h('span', curve.name), h('b', show(curve.mean[idx], this.spec.unit)),
        curve.high[idx] > curve.low[idx] ? h('small', show(curve.low[idx], this.spec.unit) + ' – ' + show(curve.high[idx], this.spec.unit)) : null)),
      marks.map(([, mark]) => h('p.mark', {className: 'mark ' + (mark.severity || '')}, '▾ ' + mark.title)));
    this.tipNode.hidden = false;
    const width = this.tipNode.offsetWidth, height = this.tipNode.offsetHeight;
    const room = u.over.clientWidth, right = left + 14 + width < room + 40;
    this.tipNode.style.left = (right ? left + 14 : left - width - 14) + 'px';
    this.tipNode.style.top = Math.max(-30, Math.min(top - height / 2, u.over.clientHeight - height + 20)) + 'px';
  }
}
