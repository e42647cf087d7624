// The logs: searched by text, level and time; how many of which level; what is new and what repeats.

import {get} from './api.js';
import {empty, fill, h, icon} from './dom.js';
import {ago, clock, show, when} from './format.js';

const LEVELS = ['error', 'warn', 'info', 'debug'];
const SINCE = [['15 min', 0.25], ['1 h', 1], ['6 h', 6], ['24 h', 24], ['all', 0]];
const level = (name) => ({warning: 'warn', critical: 'error', fatal: 'error', trace: 'debug', unknown: ''}[String(name).toLowerCase()] ?? String(name).toLowerCase());

export function logs(main) {
  let wanted = '', since = 1, follow = true, abort, timer, lines = [];
  const search = h('input', {id: 'search', type: 'search', placeholder: 'Search the messages', 'aria-label': 'Search the messages', maxLength: 200,
    oninput: () => { clearTimeout(timer); timer = setTimeout(load, 200); }});
  const levels = h('div.segments', {role: 'group', 'aria-label': 'Level'}, ['', ...LEVELS].map((name) =>
    h('button', {'aria-pressed': name === wanted, onclick: (event) => { wanted = name; press(levels, event.currentTarget); load(); }}, name || 'all')));
  const spans = h('div.segments', {role: 'group', 'aria-label': 'Since'}, SINCE.map(([name, hours]) =>
    h('button', {'aria-pressed': hours === since, onclick: (event) => { since = hours; press(spans, event.currentTarget); load(); digest(); }}, name)));
  const rows = h('div.lines', {role: 'log'}, h('div.loading')), side = h('aside'), rate = h('div.rate');
  fill(main, h('div.logs', h('div.tools', h('label.search', icon('search'), search), levels, spans), rate, h('div.split', rows, side)));

  function press(group, button) {
    for (const other of group.children) other.setAttribute('aria-pressed', other === button);
  }

  async function load() {
    abort?.abort();
    abort = new AbortController();
    const text = search.value.trim();
    try {
      const answer = await get('logs', {text, level: wanted, limit: 300, from_ms: since ? Math.round(Date.now() - since * 3600e3) : ''}, abort.signal);
      lines = answer.lines || [];
      fill(rows, lines.length ? lines.map((line) => row(line, text)) :
        empty('logs', text || wanted ? 'No line fits' : 'No line yet', text || wanted ? 'Try fewer words, another level or a longer time.' : 'Name files under [logs] in the configuration.'),
      answer.more ? h('p.note', 'Only the newest are shown: search for fewer.') : null);
    } catch (error) {
      if (error.name !== 'AbortError') fill(rows, empty('logs', error.message, error.advice, h('button', {onclick: load}, 'Try again')));
    }
  }

  function marked(message, text) {
    if (!text) return [message];
    const out = [], low = message.toLowerCase(), want = text.toLowerCase();
    let at = 0;
    for (let next; (next = low.indexOf(want, at)) >= 0; at = next + want.length) out.push(message.slice(at, next), h('mark', message.slice(next, next + want.length)));
    return [...out, message.slice(at)];
  }

  /** What a line of JSON holds, by name. */
  function inside(text) {
    if (!text.startsWith('{')) return [];
    try { return Object.entries(JSON.parse(text)); } catch { return []; }
  }

  const row = (line, text) => {
    const fields = inside(line.text);
    const node = h('div.line', {className: 'line ' + level(line.level), tabIndex: 0, role: 'row', onclick: () => !getSelection().toString() && open(), onkeydown: (event) => event.key === 'Enter' && open()},
      h('time', {title: when(line.at_ms)}, clock(line.at_ms)), h('span.level', level(line.level)), h('span.text', marked(line.text, text)),
      h('small', line.source));
    function open() {
      if (node.lastChild.className === 'fields') node.lastChild.remove();
      else node.append(h('dl.fields', [['time', when(line.at_ms)], ['source', line.source], ...fields].map(([k, v]) => [h('dt', k), h('dd', typeof v === 'object' ? JSON.stringify(v) : String(v))])));
    }
    return node;
  };

  async function digest() {
    let state;
    try { state = await get('logs/summary'); } catch { return; }
    const hunt = (text) => () => { search.value = text; load(); };
    const list = (title, items, note) => h('section', h('h3', title), items?.length ? h('ul', items.slice(0, 8).map((one) => h('li', h('button', {title: 'Search for it', onclick: hunt(longest(one.template || ''))},
      h('b', {className: level(one.level)}, show(one.count ?? 1)), h('span', one.template, one.first_ms ? h('small', 'first ' + ago(one.first_ms)) : null))))) : h('p.note', note));
    fill(side, state.patterns?.length ? h('section', h('h3', 'Watched for'), h('ul.watched', state.patterns.map((one) => h('li', h('b', show(one.count)), h('span', one.name))))) : null,
      list('Top errors', state.top_errors, 'No error yet.'), list('New patterns', state.new, 'Nothing that was not seen before.'),
      list('Most frequent', state.clusters, 'Nothing repeats.'),
      (state.sources || []).filter((source) => source.error).map((source) => h('p.note', source.name + ': ' + source.error)));
    bars(state.rates);
  }

  /** The longest run of words of a pattern that has no placeholder. */
  const longest = (pattern) => pattern.split(/<[^>]*>|\*|…/).map((part) => part.trim()).sort((a, b) => b.length - a.length)[0] || '';

  /** Lines over time, one bar a step, stacked by level. */
  function bars(given) {
    const buckets = Array.isArray(given) ? given : [];
    if (!buckets.length) { fill(rate); return; }
    const SAME = {error: ['error', 'critical'], warn: ['warning', 'warn'], info: ['info'], debug: ['debug', 'trace', 'unknown']};
    const of = (bucket, name) => SAME[name].reduce((sum, one) => sum + (bucket[one] || 0), 0);
    const total = (bucket) => LEVELS.reduce((sum, name) => sum + of(bucket, name), 0);
    const top = Math.max(1, ...buckets.map(total));
    fill(rate, buckets.map((bucket) => h('div.bar', {title: when(bucket.at_ms) + ' · ' + LEVELS.map((name) => of(bucket, name) && show(of(bucket, name)) + ' ' + name).filter(Boolean).join(', ')},
      [...LEVELS].reverse().map((name) => (of(bucket, name) ? h('i.' + name, {style: {height: 100 * of(bucket, name) / top + '%'}}) : null)))));
  }

  load();
  digest();
  const poll = setInterval(() => {
    if (document.hidden || getSelection().toString() || rows.querySelector('.fields') || rows.scrollTop > 20 || !follow) return;
    load();
  }, 3000);
  const slow = setInterval(() => !document.hidden && digest(), 5000);
  return {
    leave: () => { clearInterval(poll); clearInterval(slow); abort?.abort(); },
    key(key) {
      if (key !== 'j' && key !== 'k') return false;
      const all = [...rows.querySelectorAll('.line')], at = all.indexOf(document.activeElement);
      all[Math.max(0, Math.min(all.length - 1, at + (key === 'j' ? 1 : -1)))]?.focus();
      return true;
    },
  };
}
