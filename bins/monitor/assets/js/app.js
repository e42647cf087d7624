// The page: its views, the range of time, the keys, and what every view shares.

import {get, question} from './api.js';
import {charts} from './charts.js';
import {empty, fill, h, icon, toast, typing} from './dom.js';
import {ago, clock, day, show, span, unitOf} from './format.js';
import * as live from './live.js';
import * as series from './series.js';

const RANGES = [['5m', 5 / 60], ['15m', 0.25], ['1h', 1], ['6h', 6], ['24h', 24], ['7d', 168]];
const VIEWS = ['system', 'application', 'business', 'alerts', 'tuning', 'logs'];
const TITLES = {system: 'System', application: 'Application', business: 'Business', alerts: 'Alerts', tuning: 'Tuning', logs: 'Logs'};

const main = document.getElementById('main'), nav = document.getElementById('nav'), bar = document.getElementById('bar');
/** The views that are not made of charts: fetched when they are first opened, so that the first chart need not wait. */
const LISTS = {alerts: () => import('./alerts.js'), tuning: () => import('./tuning.js'), logs: () => import('./logs.js')};

/** What the address says: `#/system?range=1h&target=NAME&from=…&to=…`. */
const place = {view: 'system', range: '1h', target: '', from: 0, to: 0};
let described = [], extra = [], marks = [], shown = null, shownKey = '', names = [];

// — the address

function read() {
  const [view, query] = location.hash.replace(/^#\/?/, '').split('?');
  const q = new URLSearchParams(query);
  place.view = [...VIEWS, ...extra].includes(view) ? view : 'system';
  place.range = RANGES.some(([name]) => name === q.get('range')) ? q.get('range') : localStorage.getItem('range') || '1h';
  place.target = q.get('target') || '';
  place.from = Number(q.get('from')) || 0;
  place.to = Number(q.get('to')) || 0;
}

function go(change) {
  Object.assign(place, change);
  context.early = null;
  context.since = Infinity;
  const q = new URLSearchParams();
  if (place.range !== '1h') q.set('range', place.range);
  if (place.target) q.set('target', place.target);
  if (place.from) { q.set('from', place.from); q.set('to', place.to); }
  const query = q.toString();
  const hash = '#/' + place.view + (query ? '?' + query : '');
  if (location.hash !== hash) history[change.view ? 'pushState' : 'replaceState'](null, '', hash);
  render();
}

const hours = () => RANGES.find(([name]) => name === place.range)?.[1] || 1;

/** What the charts ask of the page. */
const context = {
  range() {
    if (place.from) return {from: place.from, to: place.to, live: false};
    const to = live.state.paused ? live.state.pausedAt : Date.now() + live.state.skew;
    return {from: to - hours() * 3600e3, to, live: !live.state.paused};
  },
  /** When the oldest value of the charts was, and what of the range is shown: a monitor that began a minute ago does not show 59 empty ones. */
  since: Infinity,
  began(at) { context.since = Math.min(context.since, at); },
  shown() {
    const r = context.range();
    return r.live && context.since < Infinity ? {...r, from: Math.max(r.from, Math.min(context.since, r.to - 300e3))} : r;
  },
  target: () => place.target,
  marks: () => marks,
  zoom: (from, to) => go({from: Math.round(from), to: Math.round(to)}),
  reset: () => place.from && go({from: 0, to: 0}),
};

/** What came with the views, until the charts have taken it or it is old. */
function early(first) {
  read();
  if (!first || first.view !== place.view || place.range !== '1h' || place.target || place.from) return;
  context.early = new Map(first.answers.map((one) => [question(one), one]));
  setTimeout(() => { context.early = null; }, 3000);
}

// — the frame around the views

const badge = h('span.badge', {hidden: true});
const link = (id) => h('a', {href: '#/' + id, onclick: (event) => { event.preventDefault(); go({view: id}); }},
  icon(id), h('span', TITLES[id] || described.find((view) => view.id === id)?.title || id), id === 'alerts' ? badge : null);
const pulse = h('span.pulse', {role: 'status'}, h('i'), h('span'));
const status = h('button.status', {title: 'How things stand (h)', onclick: () => standing()});
const ranges = h('div.segments', {role: 'group', 'aria-label': 'Range of time'},
  RANGES.map(([name]) => h('button', {onclick: () => range(name)}, name)));
const zoomed = h('button.zoomed', {title: 'Back to now (Escape)', onclick: () => context.reset()});
const targets = h('select', {'aria-label': 'Target', title: 'Target', onchange: (event) => go({target: event.target.value})});
const hold = h('button.plain', {title: 'Hold the charts (space)', 'aria-label': 'Hold the charts', onclick: () => pause()}, icon('pause'));
const shade = h('button.plain', {title: 'Light or dark (t)', 'aria-label': 'Light or dark', onclick: () => theme()});

function frame() {
  fill(nav, h('div.brand', h('img', {src: 'assets/icon.svg', alt: '', width: 26, height: 26}), h('span', 'Tidemill')),
    [...VIEWS.slice(0, 3), ...extra, ...VIEWS.slice(3)].map(link));
  fill(bar, h('h1'), status, h('div.space'), zoomed, ranges, targets, pulse, hold, shade,
    h('button.plain', {title: 'Keys (?)', 'aria-label': 'Keys', onclick: () => help()}, icon('help')));
}

function render() {
  const chartView = !['alerts', 'tuning', 'logs'].includes(place.view);
  document.title = (TITLES[place.view] || place.view) + ' · Tidemill monitor';
  bar.querySelector('h1').textContent = TITLES[place.view] || described.find((view) => view.id === place.view)?.title || place.view;
  for (const a of nav.querySelectorAll('a')) a.setAttribute('aria-current', a.getAttribute('href') === '#/' + place.view ? 'page' : 'false');
  for (const [i, button] of [...ranges.children].entries()) button.setAttribute('aria-pressed', !place.from && RANGES[i][0] === place.range);
  ranges.hidden = !chartView;
  targets.hidden = !chartView || names.length < 2;
  zoomed.hidden = !place.from || !chartView;
  hold.hidden = !chartView;
  if (place.from) fill(zoomed, day(place.from) + ' ' + clock(place.from) + ' – ' + clock(place.to), icon('close'));
  shade.replaceChildren(icon(document.documentElement.dataset.theme === 'dark' ? 'sun' : 'moon'));

  if (shownKey !== place.view) {
    shown?.leave();
    shownKey = place.view;
    main.scrollTop = 0;
    if (chartView) shown = charts(main, described.find((view) => view.id === place.view), context);
    else {
      const wanted = place.view;
      shown = null;
      LISTS[wanted]().then((module) => { if (shownKey === wanted && !shown) shown = module[wanted](main, context); },
        () => { if (shownKey === wanted) { shownKey = ''; fill(main, empty('calm', 'The monitor does not answer.', 'The page tries again by itself.')); } });
    }
  } else shown?.load?.();
  if (chartView) loadMarks();
}

function range(name) {
  localStorage.setItem('range', name);
  go({range: name, from: 0, to: 0});
}

function theme() {
  const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  localStorage.setItem('theme', next);
  document.documentElement.dataset.theme = next;
  shade.replaceChildren(icon(next === 'dark' ? 'sun' : 'moon'));
  shown?.redraw?.();
}

function pause() {
  live.state.paused = !live.state.paused;
  live.state.pausedAt = Date.now();
  hold.replaceChildren(icon(live.state.paused ? 'play' : 'pause'));
  beat();
  if (!live.state.paused) shown?.load?.();
}

function beat() {
  const {up, paused, interval, since} = live.state;
  pulse.className = 'pulse ' + (!up ? 'down' : paused ? 'held' : 'up');
  pulse.lastChild.textContent = !up ? (since ? 'reconnecting' : 'connecting') : paused ? 'held' : 'live · ' + span(interval);
  pulse.title = up ? 'Values arrive every ' + span(interval) + '.' : 'The monitor does not answer; the page tries again by itself.';
}

// — what every view shows: health, marks, alerts

async function loadHealth() {
  try {
    const state = await get('health');
    live.state.health = state;
    status.className = 'status ' + state.status;
    fill(status, h('i'), h('span', state.status));
    const fresh = (state.targets || []).map((target) => target.name);
    if (fresh.join() !== names.join()) {
      names = fresh;
      fill(targets, h('option', {value: ''}, 'All targets'), names.map((name) => h('option', {value: name, selected: name === place.target}, name)));
      targets.hidden = names.length < 2 || ['alerts', 'tuning', 'logs'].includes(place.view);
    }
    live.tell('health', state);
  } catch { status.className = 'status unknown'; fill(status, h('i'), h('span', 'unknown')); }
}

async function loadMarks() {
  try {
    const answer = await get('events', {hours: place.from ? (Date.now() - place.from) / 3600e3 : hours()});
    marks = answer.events || answer || [];
    shown?.redraw && live.tell('marks');
  } catch { marks = []; }
}

async function loadBadge() {
  try {
    const {active} = await get('alerts');
    const open = active.filter((alert) => alert.state !== 'resolved' && !alert.acknowledged && !(alert.silenced_until_ms > Date.now()));
    badge.textContent = open.length;
    badge.hidden = !open.length;
    badge.className = 'badge ' + (open.some((alert) => alert.severity === 'critical') ? 'critical' : 'warning');
  } catch { badge.hidden = true; }
}

function standing() {
  const state = live.state.health;
  if (!state) return;
  const dialog = h('dialog.wide', {onclose: () => dialog.remove()}, h('form', {method: 'dialog'},
    h('h2', 'How things stand: ', h('span.word', {className: 'word ' + state.status}, state.status)),
    h('div.scroll', h('table', h('thead', h('tr', ['What', 'State', 'Value', 'Usually', 'Limit', 'What to do'].map((name) => h('th', name)))),
      h('tbody', (state.verdicts || []).map((v) => h('tr', h('td', v.subject.replace('.', ' ')), h('td', h('span.word', {className: 'word ' + v.status}, v.status)),
        h('td.num', show(v.value, unitOf(v.subject))), h('td.num', v.baseline == null ? '' : show(v.baseline, unitOf(v.subject))), h('td.num', v.threshold == null ? '' : show(v.threshold, unitOf(v.subject))),
        h('td', v.recommendation || ''))))),
    h('h3', 'Targets'),
    h('table', h('tbody', (state.targets || []).map((target) => h('tr', h('td', target.name), h('td', h('span.word', {className: 'word ' + (target.up ? 'good' : 'critical')}, target.up ? 'up' : 'down')),
      h('td', target.error || target.url || ''), h('td', target.at_ms ? ago(target.at_ms) : '')))))),
    h('div.actions', h('small', state.monitor ? `monitor ${state.monitor.version}, up ${span(state.monitor.uptime_s * 1000)}` : ''), h('button.primary', 'Close'))));
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

// — keys

const KEYS = [
  ['1 – 6', 'system, application, business, alerts, tuning, logs'],
  ['[ ]', 'shorter, longer range'],
  ['drag', 'zoom into a chart; all follow'],
  ['double-click Esc', 'back to now'],
  ['space', 'hold the charts, go on'],
  ['f', 'the chart under the pointer, larger'],
  ['h', 'how things stand'],
  ['/', 'search the logs'],
  ['j k', 'next, previous alert or line'],
  ['a s', 'acknowledge, silence the alert'],
  ['t', 'light or dark'],
  ['?', 'these keys'],
];

function help() {
  const dialog = h('dialog', {onclose: () => dialog.remove()}, h('form', {method: 'dialog'}, h('h2', 'Keys'),
    h('dl.keys', KEYS.map(([keys, what]) => [h('dt', keys.split(' ').map((key) => (key === '–' ? key : h('kbd', key)))), h('dd', what)])),
    h('div.actions', h('button.primary', 'Close'))));
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (typing()) { if (event.key === 'Escape') document.activeElement.blur(); return; }
  const at = RANGES.findIndex(([name]) => name === place.range);
  const act = {
    '[': () => range(RANGES[Math.max(0, at - 1)][0]),
    ']': () => range(RANGES[Math.min(RANGES.length - 1, at + 1)][0]),
    ' ': () => !['alerts', 'tuning', 'logs'].includes(place.view) && !/^(BUTTON|A)$/.test(document.activeElement?.tagName) && pause(),
    Escape: () => context.reset(),
    '?': help, h: standing, t: theme,
    f: () => shown?.larger?.(),
    '/': () => { go({view: 'logs'}); setTimeout(() => document.querySelector('#search')?.focus(), 150); },
  }[event.key] || (event.key >= '1' && event.key <= '6' && (() => go({view: VIEWS[event.key - 1]})));
  if (act) { if (act() !== false) event.preventDefault(); } else if (shown?.key?.(event.key)) event.preventDefault();
});

// — the start

async function start() {
  frame();
  read();
  beat();
  live.on('up', ({again}) => { beat(); if (again) { toast('Connected again.', 'good'); if (!shownKey) render(); loadHealth(); loadBadge(); loadMarks(); } });
  live.on('down', () => { beat(); toast('The monitor does not answer. Trying again.', 'warning'); });
  live.on('alert', (alert) => {
    loadBadge();
    if (['fired', 'released', 'escalated'].includes(alert.change)) toast(alert.summary || alert.rule, alert.severity);
  });
  live.on('event', (event) => { marks = [...marks, event].slice(-500); });
  live.connect();
  setInterval(() => !document.hidden && live.state.up && loadHealth(), 10000);
  setInterval(() => !document.hidden && live.state.up && loadBadge(), 30000);
  addEventListener('hashchange', () => { read(); render(); });
  addEventListener('popstate', () => { read(); render(); });
  matchMedia('(prefers-color-scheme: light)').addEventListener('change', ({matches}) => {
    if (!localStorage.getItem('theme')) { document.documentElement.dataset.theme = matches ? 'light' : 'dark'; shown?.redraw?.(); }
  });
  for (let wait = 300; ; wait = Math.min(wait * 2, 5000)) {
    try {
      // With the past of the first view: the page's head has asked for exactly this before any script ran.
      const answer = await get('views', {first: VIEWS[0]});
      described = answer.views;
      series.know(answer.known);
      early(answer.first);
      break;
    } catch (error) {
      fill(main, empty('calm', error.message, error.advice));
      await new Promise((done) => setTimeout(done, wait));
    }
  }
  extra = described.map((view) => view.id).filter((id) => !VIEWS.includes(id));
  frame();
  read();
  render();
  loadHealth();
  loadBadge();
}

start();
