// The whole server: numbers now, and curves of the last minutes.

import { Chart } from './charts.js';
import { bytes, compact, count, delay, h, percent, rate, write } from './dom.js';

const kept = 300; // seconds
const window = kept * 1_000;
const gapFrom = 5_000; // ms without an answer are shown as a gap
const ownSeries = 6; // reasons with a colour of their own; the others are added up

/** The counts of the last minutes, as they were told, and their changes. */
export class Past {
  #points = []; // {at, stats, rates}
  #listeners = new Set();

  add(stats) {
    const at = Date.parse(stats.at);
    const last = this.#points.at(-1);
    if (last && last.stats.started !== stats.started) this.#points = []; // another process: counts began anew
    const before = this.#points.at(-1);
    if (before && at <= before.at) return; // the server keeps an answer for a moment
    if (before && at - before.at > gapFrom) this.#points.push({ at: at - 1, stats: null, rates: null });
    const from = this.#points.findLast((point) => point.stats && at - point.at <= gapFrom);
    this.#points.push({ at, stats, rates: from ? ratesOf(from.stats, stats, (at - from.at) / 1_000) : null });
    while (this.#points[0].at < at - window - gapFrom) this.#points.shift();
    for (const f of this.#listeners) f();
  }

  get now() {
    return this.#points.at(-1);
  }

  /** Points for a chart; f gets the counts and their rates, and gives [name, number] pairs. */
  series(f) {
    return this.#points.map(({ at, stats, rates }) => ({ at, values: rates ? new Map(f(stats, rates)) : null }));
  }

  onchange(f, signal) {
    this.#listeners.add(f);
    signal.addEventListener('abort', () => this.#listeners.delete(f));
  }
}

// What happened between two answers, a second.
function ratesOf(a, b, seconds) {
  const per = (n, m) => Math.max(0, (m - n) / seconds);
  const mean = ([sum0, n0], [sum1, n1]) => (n1 > n0 ? (sum1 - sum0) / (n1 - n0) : 0);
  const each = (n, m) => {
    const all = {};
    for (const [name, value] of Object.entries(m ?? {})) all[name] = per(n?.[name] ?? 0, value);
    return all;
  };
  return {
    delivered: per(a.comments_delivered, b.comments_delivered),
    received: per(a.comments_received, b.comments_received),
    frames: per(a.frames_written, b.frames_written),
    skipped: per(a.batches_skipped, b.batches_skipped),
    sampled: per(a.comments_sampled, b.comments_sampled),
    bytes: per(a.bytes_written, b.bytes_written),
    cpu: per(a.cpu_seconds, b.cpu_seconds),
    lag: mean(a.tick_lag, b.tick_lag),
    pass: mean(a.pass, b.pass),
    closes: each(a.closes, b.closes),
    rejected: each(a.rejected, b.rejected),
    errors: each(a.errors, b.errors),
    busy: (b.loops ?? []).map((loop, i) => Math.min(1, per(a.loops?.[i]?.busy_seconds ?? 0, loop.busy_seconds))),
  };
}

const words = (reason) => reason.replaceAll('_', ' ');

export class Overview {
  element;
  #past;
  #tiles = {};
  #charts;
  #tables;

  constructor(past, signal) {
    this.#past = past;
    const tile = (name, label) => {
      this.#tiles[name] = h('dd', {}, '–');
      return h('div', { className: 'card' }, h('dt', {}, label), this.#tiles[name], (this.#tiles[`${name}-note`] = h('p', {}, '')));
    };
    const chart = (of) => new Chart({ window, ...of });
    this.#charts = {
      viewers: chart({ title: 'Viewers', format: count, axis: compact, least: 10 }),
      delivered: chart({ title: 'Deliveries', note: 'comments to viewers, a second', format: rate, axis: compact, least: 10 }),
      lag: chart({ title: 'Tick lag and pass', note: 'mean', format: delay, least: 0.001 }),
      dropped: chart({ title: 'Drops', note: 'a second', format: rate, least: 1, stacked: true }),
      closes: chart({ title: 'Closes by reason', note: 'a second', format: rate, least: 1, stacked: true }),
      busy: chart({ title: 'Loops', note: 'share of the time they do not sleep', format: percent, least: 1 }),
    };
    this.#tables = { closes: tally('Closed'), rejected: tally('Rejected'), errors: tally('Told no') };
    this.element = h('div', { className: 'page' },
      h('h1', { className: 'hidden' }, 'Overview'),
      h('dl', { className: 'tiles' },
        tile('viewers', 'Viewers'), tile('rooms', 'Rooms'), tile('received', 'Comments in'), tile('delivered', 'Deliveries'),
        tile('lag', 'Tick lag'), tile('out', 'Sent'), tile('cpu', 'Processors'), tile('memory', 'Memory')),
      h('div', { className: 'charts' }, Object.values(this.#charts).map((c) => c.element)),
      h('div', { className: 'tallies' }, Object.values(this.#tables).map((t) => t.element)));
    past.onchange(() => this.#draw(), signal);
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const { stats, rates } = this.#past.now ?? {};
    if (!stats) return;
    this.#numbers(stats, rates);
    const past = this.#past;
    const c = this.#charts;
    c.viewers.set(past.series((s) => [['connections', s.connections], ['in rooms', s.members]]), ['connections', 'in rooms']);
    c.delivered.set(past.series((_, r) => [['delivered', r.delivered]]), ['delivered']);
    c.lag.set(past.series((_, r) => [['tick lag', r.lag], ['pass', r.pass]]), ['tick lag', 'pass']);
    this.#stack(c.dropped, (r) => ({ 'batches skipped': r.skipped, 'comments left out': r.sampled, ...r.errors }), ['batches skipped', 'comments left out']);
    this.#stack(c.closes, (r) => r.closes, []);
    const loops = (stats.loops ?? []).map((_, i) => `loop ${i}`);
    c.busy.set(past.series((_, r) => r.busy.map((n, i) => [`loop ${i}`, n])), loops);
    this.#tables.closes.set(stats.closes, rates?.closes);
    this.#tables.rejected.set(stats.rejected, rates?.rejected);
    this.#tables.errors.set(stats.errors, rates?.errors);
  }

  // A stack of whatever names there are: the most frequent have colours.
  #stack(chart, of, always) {
    const sums = new Map(always.map((name) => [name, Infinity]));
    const points = this.#past.series((_, r) => Object.entries(of(r)));
    for (const { values } of points) for (const [name, n] of values ?? []) sums.set(name, (sums.get(name) ?? 0) + n);
    const names = [...sums].filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a).map(([name]) => name);
    const own = names.slice(0, ownSeries);
    const rest = names.slice(ownSeries);
    for (const { values } of points) if (values && rest.length) values.set('others', rest.reduce((n, name) => n + (values.get(name) ?? 0), 0));
    const shown = rest.length ? [...own, 'others'] : own;
    const label = new Map(points.map((p) => [p, p.values && new Map([...p.values].map(([name, n]) => [words(name), n]))]));
    chart.set(points.map((p) => ({ at: p.at, values: label.get(p) })), shown.map(words));
  }

  #numbers(stats, rates) {
    const tell = (name, value, note = '') => {
      write(this.#tiles[name], value);
      write(this.#tiles[`${name}-note`], note);
    };
    tell('viewers', count(stats.members), `${count(stats.connections)} connections`);
    tell('rooms', count(stats.rooms), stats.blocked ? `${count(stats.blocked)} viewers blocked` : `${count(stats.batches_sealed)} batches so far`);
    tell('memory', bytes(stats.rss_bytes), `${count(stats.open_files)} of ${count(stats.open_files_max)} files`);
    if (!rates) return;
    tell('received', `${rate(rates.received)}/s`, `${count(stats.comments_received)} so far`);
    tell('delivered', `${rate(rates.delivered)}/s`, `${count(stats.comments_delivered)} so far`);
    tell('lag', delay(rates.lag), `longest tick ${delay(stats.tick_max_seconds)}`);
    const gain = stats.deflate_bytes_out ? `compressed ${(stats.deflate_bytes_in / stats.deflate_bytes_out).toFixed(1)} : 1` : 'not compressed';
    tell('out', `${bytes(rates.bytes)}/s`, gain);
    tell('cpu', rates.cpu.toFixed(2), `${stats.goroutines} goroutines`);
  }
}

// A short table: how often for each reason, and how often just now.
function tally(title) {
  const body = h('tbody');
  const element = h('section', { className: 'card tally' }, h('h2', {}, title),
    h('table', {}, h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'reason'), h('th', { scope: 'col', className: 'n' }, 'a second'), h('th', { scope: 'col', className: 'n' }, 'so far'))), body));
  return {
    element,
    set(totals, rates) {
      const rows = Object.entries(totals ?? {}).sort(([, a], [, b]) => b - a);
      body.replaceChildren(...(rows.length
        ? rows.map(([name, n]) => h('tr', {}, h('td', {}, words(name)), h('td', { className: 'n' }, rate(rates?.[name] ?? 0)), h('td', { className: 'n' }, count(n))))
        : [h('tr', {}, h('td', { colSpan: 3, className: 'none' }, 'none so far'))]));
    },
  };
}
