// The tuning: each target's knobs, what is being tried, and what was changed and why.

import {get, put} from './api.js';
import {ask, empty, fill, h, icon, toast} from './dom.js';
import {ago, show, when} from './format.js';
import * as live from './live.js';

const UNITS = {percent: 'percent', '%': 'percent', bytes: 'bytes', s: 's', seconds: 's', ms: 'ms'};
const amount = (v, unit) => (typeof v === 'number' ? (UNITS[unit] ? show(v, UNITS[unit]) : show(v) + (unit ? ' ' + unit : '')) : String(v ?? '–'));

export function tuning(main) {
  let state = null;
  const body = h('div.column', h('div.loading'));
  fill(main, body);

  async function load() {
    try {
      state = await get('tuning');
      if (!body.contains(document.activeElement) || !/INPUT/.test(document.activeElement.tagName)) draw();
    } catch (error) {
      if (!state) fill(body, empty('tuning', error.message, error.advice, h('button', {onclick: load}, 'Try again')));
    }
  }

  async function turn(target, knob) {
    const low = knob.low, high = knob.high;
    const number = h('input', {name: 'value', type: 'number', min: low, max: high, step: knob.step || 'any', value: knob.value, required: true, autofocus: true,
      oninput: () => { slide.value = number.value; tell(); }});
    const slide = h('input', {type: 'range', min: low, max: high, step: knob.step || 'any', value: knob.value, 'aria-label': knob.name, oninput: () => { number.value = slide.value; tell(); }});
    const change = h('p.change');
    const tell = () => fill(change, h('b', amount(knob.value, knob.unit)), icon('arrow'), h('b', amount(Number(number.value), knob.unit)));
    tell();
    const fields = await ask(knob.name + ' on ' + target, [knob.help || knob.description ? h('p.note', knob.help || knob.description) : null, change, slide,
      h('label', `From ${amount(low, knob.unit)} to ${amount(high, knob.unit)}`, number),
      state.enabled ? h('p.note', 'Automatic tuning is on: a rule may turn it again after its cooldown.') : null], {ok: 'Change it', danger: true});
    if (!fields) return;
    try {
      await put('tuning/' + encodeURIComponent(target) + '/knobs', {[knob.name]: Number(fields.value)});
      toast(`${knob.name} is ${amount(Number(fields.value), knob.unit)} now.`, 'good');
    } catch (error) {
      toast(error.message + ' ' + (error.advice || ''), 'critical');
    }
    load();
  }

  const meter = (knob) => {
    const low = knob.low, high = knob.high;
    const share = low == null || !(high > low) ? null : Math.max(0, Math.min(1, (knob.value - low) / (high - low)));
    return share == null ? null : h('span.meter', {title: amount(low, knob.unit) + ' – ' + amount(high, knob.unit)}, h('i', {style: {width: 100 * share + '%'}}));
  };

  const effect = ({effect: e}) => {
    if (!e || e.pairs === 0) return 'too early';
    const of = (v) => (v == null ? '?' : (v > 0 ? '+' : '') + show(v));
    return `${of(e.estimate)} (${of(e.low)} to ${of(e.high)})`;
  };

  const OUTCOMES = {kept: 'good', undone: 'warning', aborted: 'warning', inconclusive: ''};
  const WORDS = {changed: 'changed', ran: 'done', trial_began: 'trial began', trial_ended: 'trial ended', undone: 'undone', restored: 'restored',
    emergency_began: 'emergency', emergency_ended: 'emergency over', over_budget: 'not tried'};
  function draw() {
    const targets = state.targets || [];
    fill(body,
      h('section.switch', h('span.word', {className: 'word ' + (state.enabled ? 'good' : 'unknown')}, state.enabled ? 'automatic' : 'by hand'),
        h('span', state.enabled ? 'Rules change knobs on evidence, and take back what harms.' : 'Nothing is changed by itself (--no-auto-tuning); knobs can be turned here.')),
      targets.length ? targets.map((target) => h('section',
        h('h2', target.name, target.error ? h('span.word.critical', target.error) : null, target.emergency ? h('span.word.critical', 'emergency: every safe measure is on') : null,
          h('small', target.steered ? 'tuned from here' : target.tunes_itself ? 'tunes itself' : 'turned by hand')),
        (target.knobs || []).length ? h('div.knobs', target.knobs.map((knob) => h('article.knob', h('header', h('h3', knob.name), h('b', amount(knob.value, knob.unit))), meter(knob),
          h('footer', h('small', knob.trial != null ? 'in trial ' + knob.trial : amount(knob.low, knob.unit) + ' – ' + amount(knob.high, knob.unit)),
            knob.read_only ? null : h('button', {onclick: () => turn(target.name, knob)}, 'Change'))))) : h('p.note', 'This target offers no knobs.'),
        (target.trials || []).length ? [h('h3', 'Trials'), h('div.scroll', h('table', h('thead', h('tr', ['Rule', 'What', 'Better is', 'Since', 'Pairs', 'Effect'].map((name) => h('th', name)))),
          h('tbody', target.trials.map((trial) => h('tr', h('td', trial.rule), h('td', (trial.turns || []).map((t) => h('code', `${t.knob} ${amount(t.from ?? t.before)} → ${amount(t.to ?? t.after)}`))),
            h('td', trial.objective ? (trial.objective.higher ? 'more ' : 'less ') + trial.objective.signal : ''), h('td', trial.began_ms ? ago(trial.began_ms) : ''),
            h('td.num', (trial.effect?.pairs ?? 0) + ' of ' + (trial.max_pairs ?? '?')), h('td.num', effect(trial)))))))] : null,
        (target.journal || []).length ? [h('h3', 'Journal'), h('ol.journal', target.journal.slice(0, 100).map((record) => h('li', h('time', when(record.at_ms)),
          h('span', h('span.word', {className: 'word ' + (record.what === 'undone' ? 'warning' : OUTCOMES[record.outcome] ?? 'info')}, record.outcome || WORDS[record.what] || record.what),
            h('strong', record.rule || record.by || ''),
            (record.turns || []).map((t) => h('code', `${t.knob} ${amount(t.from)} → ${amount(t.to)}`)), h('span', record.why || record.evidence || '')))))] : h('p.note', 'Nothing has been changed yet.'))) :
        empty('tuning', 'Nothing to tune', 'Name a collector under [[tuning.target]] in the configuration: its knobs, trials and journal are shown here.'));
  }

  load();
  const ends = [live.on('event', load), live.on('up', load)];
  const timer = setInterval(() => !document.hidden && !document.querySelector('dialog[open]') && load(), 5000);
  return {leave: () => { ends.forEach((end) => end()); clearInterval(timer); }, load};
}
