// The views made of charts: system, application, business. Tiles above, charts below, each as the server describes it.

import {get} from './api.js';
import {Chart} from './chart.js';
import {empty, fill, h, icon} from './dom.js';
import {ago, parts, show as shown, unitOf} from './format.js';
import * as live from './live.js';
import * as series from './series.js';

const show = (value, of) => shown(value, of.unit || unitOf(of.subject));
const WAIT = {
  system: ['No host is watched yet', 'The first values arrive within one interval. A node_exporter is shown here too: name it under [[target]] in the configuration.'],
  application: ['No application is watched yet', 'Name whatever exposes metrics under [[target]] in the configuration, with its url: a collector, an exporter, your own program.'],
  business: ['No business metric yet', 'Name one under [[business]] in the configuration: any series of a target can be one.'],
};

/** The first chart is on the screen: how long that took since the address was entered is measured, once. */
let seen = () => {
  seen = () => {};
  requestAnimationFrame(() => setTimeout(() => performance.measure?.('first-chart', {start: 0, end: performance.now()})));
};

/** A view into `main`; returns {leave, load, redraw}. */
export function charts(main, view, context) {
  const ends = [];
  const shown = new Set();
  const tiles = h('div.tiles'), attention = h('div.attention'), grid = h('div.grid'), waiting = h('p.waiting');
  const all = (view?.charts || []).map((spec) => new Chart(spec, context));
  fill(main, tiles, attention, grid, waiting);
  if (!all.length) {
    fill(main, empty(view?.id || 'system', ...(WAIT[view?.id] || ['Nothing to show', 'This view has no chart.'])));
    return {leave() {}, load() {}, redraw() {}};
  }

  const lead = all.filter((chart) => chart.spec.tile).map((chart) => new Tile(chart));
  fill(tiles, lead.map((tile) => tile.node));
  fill(grid, all.map((chart) => chart.node));

  const settle = () => {
    for (const chart of all) chart.node.hidden = chart.state === 'empty';
    for (const tile of lead) tile.node.hidden = tile.chart.state === 'empty';
    const without = all.filter((chart) => chart.state === 'empty');
    fill(waiting, without.length && without.length < all.length ? 'Waiting for data: ' + without.map((chart) => chart.spec.title).join(', ') + '.' : '');
    const nothing = without.length === all.length;
    grid.hidden = nothing;
    main.querySelector('.nothing')?.remove();
    if (nothing) main.append(h('div.nothing', empty(view.id, ...(WAIT[view.id] || ['No data yet', '']))));
  };

  const see = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries) {
      const chart = all.find((chart) => chart.node === target);
      shown[isIntersecting ? 'add' : 'delete'](chart);
      if (isIntersecting && chart.dirty) { chart.dirty = false; chart.draw(); }
      if (isIntersecting && chart.state === 'loading' && !chart.asked) load(chart);
    }
  }, {rootMargin: '300px'});
  for (const chart of all) see.observe(chart.node);
  ends.push(() => see.disconnect());

  async function load(chart) {
    chart.asked = true;
    if (chart.state === 'empty') chart.state = 'asked';
    const state = await chart.load();
    lead.find((tile) => tile.chart === chart)?.draw();
    if (state === 'drawn') {
      performance.measure?.('chart-' + chart.spec.id, {start: 0, end: performance.now()});
      seen();
    }
    settle();
  }
  // Those above the fold at once and without waiting for the observer.
  all.slice(0, 6).forEach(load);
  for (const tile of lead) if (!tile.chart.asked) load(tile.chart);

  let asked = false;
  const frame = () => {
    asked = false;
    for (const chart of all) {
      if (chart.state !== 'drawn') continue;
      if (shown.has(chart) && !document.hidden) { chart.live(); chart.draw(); } else chart.dirty = true;
    }
    for (const tile of lead) tile.draw();
  };
  ends.push(live.on('round', (round) => {
    for (const chart of all) {
      chart.round(round);
      // The first values of a metric that had none.
      if (chart.state === 'empty' && chart.spec.lines.some((line) => series.now(line, context.target()).size)) load(chart);
    }
    if (!asked && !live.state.paused) { asked = true; requestAnimationFrame(frame); }
  }));
  ends.push(live.on('up', ({again}) => again && loadAll()));
  // What had nothing, or has new curves, is asked for again: seldom.
  const timer = setInterval(() => {
    for (const chart of all) {
      if (chart.stale || chart.state === 'failed') {
        chart.stale = false;
        load(chart);
      }
    }
  }, 2000);
  ends.push(() => clearInterval(timer));
  document.addEventListener('visibilitychange', frame);
  ends.push(() => document.removeEventListener('visibilitychange', frame));
  if (view.id === 'system') ends.push(health(attention));

  const loadAll = () => all.forEach((chart) => chart.asked && load(chart));
  return {
    leave: () => ends.forEach((end) => end()),
    load: loadAll,
    redraw: () => { all.forEach((chart) => { if (chart.u) { chart.build(); chart.draw(); } }); lead.forEach((tile) => tile.draw()); },
    larger: () => all.find((chart) => chart.node.contains(document.activeElement) || chart.node.matches(':hover'))?.grow(),
  };
}

/** The newest value of a chart, large, over the shape of its range. */
class Tile {
  constructor(chart) {
    this.chart = chart;
    this.value = h('b');
    this.unit = h('small');
    this.sub = h('span.sub');
    this.line = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    this.line.setAttribute('viewBox', '0 0 100 28');
    this.line.setAttribute('preserveAspectRatio', 'none');
    this.line.setAttribute('aria-hidden', 'true');
    this.area = this.line.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'path'));
    this.path = this.line.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'path'));
    this.area.setAttribute('class', 'area');
    this.node = h('button.tile', {onclick: () => chart.node.scrollIntoView({block: 'center', behavior: 'smooth'})},
      h('span.name', chart.spec.tile), h('output', this.value, this.unit), this.sub, this.line);
  }

  draw() {
    const {chart} = this, curve = chart.curves[0];
    if (!curve) return;
    // Of several curves of the first line the worst counts: the fullest disk, not the first.
    const same = chart.curves.filter((other) => other.line === curve.line);
    const latest = (c) => c.now ?? c.mean.findLast((v) => v != null);
    const worst = same.reduce((a, b) => ((latest(b) ?? -1) > (latest(a) ?? -1) ? b : a), curve);
    const now = latest(worst);
    const [number, unit] = parts(now, chart.spec.unit);
    this.value.textContent = number;
    this.unit.textContent = unit;
    this.node.className = 'tile ' + chart.grade(now);
    const {mean, high} = worst;
    const peak = high.reduce((a, b) => (b > a ? b : a), 0);
    this.sub.textContent = same.length > 1 ? worst.name : 'peak ' + shown(peak, chart.spec.unit);
    const top = Math.max(peak, chart.spec.unit === 'percent' ? 10 : 0) || 1, n = mean.length;
    const stride = Math.max(1, Math.floor(n / 80));
    let path = '', first = 0, last = 0;
    for (let i = 0; i < n; i += stride) {
      let v = null;
      for (let j = i; j < Math.min(n, i + stride); j++) if (high[j] != null && (v == null || high[j] > v)) v = high[j];
      if (v == null) continue;
      last = 100 * i / Math.max(1, n - 1);
      if (!path) first = last;
      path += (path ? 'L' : 'M') + last.toFixed(1) + ' ' + (27 - 25 * v / top).toFixed(1);
    }
    this.path.setAttribute('d', path);
    this.area.setAttribute('d', path && path + 'L' + last.toFixed(1) + ' 28L' + first.toFixed(1) + ' 28Z');
  }
}

/** What needs attention, as /api/health judges it; nothing while all is well. */
function health(node) {
  const draw = (state) => {
    const bad = (state?.verdicts || []).filter((v) => /fair|poor|critical/.test(v.status) && !v.subject.endsWith('.up')).slice(0, 6);
    const down = (state?.targets || []).filter((target) => target.up === false);
    fill(node, down.map((target) => h('article.verdict.critical', h('strong', target.name + ' does not answer'),
      h('span', target.error || ''), target.at_ms ? h('small', 'last heard ' + ago(target.at_ms)) : null)),
    bad.map((v) => h('article.verdict.' + ({fair: 'warning', poor: 'warning', critical: 'critical'}[v.status]),
      h('strong', v.subject.replace('.', ' '), h('em', v.status)),
      v.recommendation ? h('span', v.recommendation) : null,
      h('small', [v.baseline != null && 'usually ' + show(v.baseline, v), v.threshold != null && 'limit ' + show(v.threshold, v), v.consecutive > 1 && v.consecutive + ' times in a row', /rising|falling/.test(v.trend) && v.trend].filter(Boolean).join(' · ')))));
  };
  draw(live.state.health);
  return live.on('health', draw);
}
