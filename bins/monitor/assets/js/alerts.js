// The alerts: what needs somebody now, what is silenced, what was.

import {del, get, post} from './api.js';
import {ask, empty, fill, h, icon, toast} from './dom.js';
import {ago, show as shown, span, unitOf, when} from './format.js';
import * as live from './live.js';

// A rule may compare a share of what its metric counts; its summary says so.
const show = (value, alert) => shown(value, alert.unit || (/\d\s?%/.test(alert.summary) ? 'percent' : unitOf(alert.metric)));
const SPANS = [['30 min', 30], ['2 h', 120], ['8 h', 480], ['24 h', 1440], ['7 d', 10080]];

export function alerts(main) {
  let state = null, chosen = 0, cards = [];
  const body = h('div.column', h('div.loading'));
  fill(main, body);

  async function load() {
    try {
      state = await get('alerts');
      draw();
    } catch (error) {
      if (!state) fill(body, empty('alerts', error.message, error.advice, h('button', {onclick: load}, 'Try again')));
    }
  }

  const failed = (error) => toast(error.message + (error.advice ? ' ' + error.advice : ''), 'critical');

  async function acknowledge(alert) {
    const fields = await ask('Acknowledge this alert?', [h('p', alert.summary || alert.rule), h('p.note', 'It stays here until it is resolved, and is not escalated any further.'),
      h('label', 'Your name', h('input', {name: 'by', value: localStorage.getItem('name') || '', maxLength: 64, required: true, autofocus: true}))], {ok: 'Acknowledge'});
    if (!fields) return;
    localStorage.setItem('name', fields.by);
    await post('alerts/' + encodeURIComponent(alert.id) + '/acknowledge', {by: fields.by}).then(() => toast('Acknowledged.', 'good'), failed);
    load();
  }

  async function silence(alert) {
    const labels = Object.entries(alert.labels || {}).filter(([name]) => name !== 'severity');
    const fields = await ask('Silence', [h('p', alert ? alert.summary || alert.rule : ''),
      h('label', 'For', h('select', {name: 'minutes'}, SPANS.map(([name, minutes]) => h('option', {value: minutes, selected: minutes === 120}, name)))),
      h('label', 'What', h('select', {name: 'scope'}, h('option', {value: 'alert'}, 'this rule on ' + (alert.target || 'this target')),
        h('option', {value: 'rule'}, 'this rule everywhere'), alert.target ? h('option', {value: 'target'}, 'everything on ' + alert.target) : null)),
      h('label', 'Why', h('input', {name: 'comment', maxLength: 200, required: true, placeholder: 'maintenance of the disk array', autofocus: true})),
      h('label', 'Your name', h('input', {name: 'by', value: localStorage.getItem('name') || '', maxLength: 64, required: true}))], {ok: 'Silence'});
    if (!fields) return;
    localStorage.setItem('name', fields.by);
    const all = Object.entries({alertname: alert.rule, target: alert.target, ...Object.fromEntries(labels)});
    const wanted = {alert: () => true, rule: ([name]) => name === 'alertname', target: ([name]) => name === 'target'}[fields.scope];
    const matchers = all.filter(wanted).map(([name, value]) => ({name, value}));
    await post('silences', {matchers, until_ms: Date.now() + fields.minutes * 60e3, by: fields.by, comment: fields.comment}).then(() => toast('Silenced.', 'good'), failed);
    load();
  }

  const card = (alert, i) => h('article.alert', {className: `alert ${alert.severity} ${alert.acknowledged ? 'seen' : ''}`, tabIndex: 0, onfocus: () => { chosen = i; }},
    h('header', h('span.word', {className: 'word ' + alert.severity}, alert.severity), h('h3', alert.summary || alert.rule),
      h('small', {title: when(alert.since_ms)}, (alert.state === 'inhibited' ? 'held back by another, for ' : 'for ') + span(Date.now() - alert.since_ms))),
    h('div.facts',
      h('span', h('small', 'value'), h('b', show(alert.value, alert))),
      alert.threshold == null ? null : h('span', h('small', 'threshold'), h('b', show(alert.threshold, alert))),
      h('span', h('small', 'rule'), alert.rule), alert.target ? h('span', h('small', 'target'), alert.target) : null,
      alert.baseline == null ? null : h('span', h('small', 'usually'), show(alert.baseline, alert)),
      Object.entries(alert.labels || {}).filter(([key]) => !['alertname', 'severity', 'target'].includes(key)).map(([key, value]) => h('span', h('small', key), value))),
    alert.recommendation ? h('p.advice', icon('arrow'), alert.recommendation) : null,
    h('footer',
      alert.acknowledged ? h('span.note', icon('check'), 'acknowledged by ' + (alert.acknowledged.by || 'somebody') + ', ' + ago(alert.acknowledged.at_ms)) :
        h('button.primary', {onclick: () => acknowledge(alert)}, icon('check'), 'Acknowledge'),
      alert.silenced_until_ms > Date.now() ? h('span.note', icon('mute'), 'silent for ' + span(alert.silenced_until_ms - Date.now())) :
        h('button', {onclick: () => silence(alert)}, icon('mute'), 'Silence')));

  function draw() {
    const rank = {critical: 0, error: 1, warning: 2, info: 3};
    const active = [...(state.active || [])].sort((a, b) => !!a.acknowledged - !!b.acknowledged || (rank[a.severity] ?? 4) - (rank[b.severity] ?? 4) || b.since_ms - a.since_ms);
    const held = document.activeElement?.closest?.('.alert') && body.contains(document.activeElement);
    cards = active.map(card);
    const silences = state.silences || [], past = state.history || [];
    fill(body,
      h('section', h('h2', 'Active', h('span.count', active.length)),
        active.length ? cards : empty('calm', 'All quiet', 'No rule is broken. What was is listed below.')),
      silences.length ? h('section', h('h2', 'Silences', h('span.count', silences.length)), h('div.scroll', h('table', h('thead', h('tr', ['What', 'Until', 'Who', 'Why', ''].map((name) => h('th', name)))),
        h('tbody', silences.map((one) => h('tr', h('td', (one.matchers || []).map((m) => h('code', m.name + (m.isEqual === false ? '≠' : '=') + m.value))), h('td', when(one.until_ms)), h('td', one.by || ''), h('td', one.comment || ''),
          h('td.end', h('button.plain', {title: 'End this silence', 'aria-label': 'End this silence', onclick: () => del('silences/' + encodeURIComponent(one.id)).then(load, failed)}, icon('close'))))))))) : null,
      h('section', h('h2', 'History', h('span.count', past.length)),
        past.length ? h('div.scroll', h('table.past', h('thead', h('tr', ['When', 'State', 'What', 'Target', 'Value', 'Lasted'].map((name) => h('th', name)))),
          h('tbody', past.slice(0, 200).map((one) => h('tr', h('td', when(one.at_ms ?? one.since_ms)), h('td', h('span.word', {className: 'word ' + (one.state === 'resolved' ? 'good' : one.severity)}, one.change || one.state || one.severity)),
            h('td', one.summary || one.rule), h('td', one.target || ''), h('td.num', one.value == null ? '' : show(one.value, one)),
            h('td.num', one.resolved_ms ? span(one.resolved_ms - one.since_ms) : one.state === 'resolved' && one.at_ms ? span(one.at_ms - one.since_ms) : '')))))) :
          h('p.note', 'Nothing has fired yet.')));
    if (held) cards[Math.min(chosen, cards.length - 1)]?.focus();
  }

  load();
  const end = live.on('alert', load);
  const timer = setInterval(() => !document.hidden && !document.querySelector('dialog[open]') && load(), 5000);
  return {
    leave: () => { end(); clearInterval(timer); },
    key(key) {
      const active = cards.length;
      if (key === 'j' || key === 'k') {
        const at = cards.indexOf(document.activeElement);
        chosen = at < 0 ? 0 : Math.max(0, Math.min(active - 1, at + (key === 'j' ? 1 : -1)));
        cards[chosen]?.focus();
      } else if (key === 'a' || key === 's') {
        const buttons = [...(cards[chosen]?.querySelectorAll('footer button') || [])];
        buttons.find((button) => button.textContent.startsWith(key === 'a' ? 'Ack' : 'Sil'))?.click();
      } else return false;
      return true;
    },
  };
}
