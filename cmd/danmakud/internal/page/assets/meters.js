// The numbers around the stage: who is online, how much is said, in how many
// frames it came, and what was left out.

const window5 = 5; // seconds over which a rate is averaged
const kept = 60; // seconds in the little curve

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** 51234 → "51,234"; from a hundred thousand on short. */
export function count(n) {
  return n < 100_000 ? whole.format(n) : short.format(n);
}

/** Milliseconds, never in more than six characters. */
export function span(ms) {
  if (ms >= 999.5) return `${ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`;
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function rate(n) {
  if (n === 0) return '0';
  return n < 10 ? n.toFixed(1) : count(n);
}

/** Sums by whole seconds, for the last minute. */
class Seconds {
  #sums = new Float64Array(kept + 1);
  #second = Math.floor(performance.now() / 1000);

  add(n) {
    this.#move();
    this.#sums[kept] += n;
  }

  clear() {
    this.#sums.fill(0);
  }

  /** Average a second over the last full seconds. */
  get rate() {
    this.#move();
    let sum = 0;
    for (let i = kept - window5; i < kept; i++) sum += this.#sums[i];
    return sum / window5;
  }

  /** The last minute, oldest first, without the second under way. */
  get series() {
    this.#move();
    return this.#sums.subarray(0, kept);
  }

  #move() {
    const second = Math.floor(performance.now() / 1000);
    const by = Math.min(second - this.#second, kept + 1);
    if (by <= 0) return;
    this.#second = second;
    this.#sums.copyWithin(0, by);
    this.#sums.fill(0, kept + 1 - by);
  }
}

export class Meters {
  #at;
  #stage;
  #comments = new Seconds();
  #batches = new Seconds();
  #online = 0;
  #likes = 0;
  #skipped = 0;
  #sampled = 0;

  /** @param {Record<string, HTMLElement>} at where each number is shown */
  constructor(at, stage) {
    this.#at = at;
    this.#stage = stage;
    setInterval(() => this.draw(), 500);
  }

  get commentRate() {
    return this.#comments.rate;
  }

  welcome({ online, tick_ms: tick }) {
    this.#likes = this.#skipped = this.#sampled = 0;
    this.#comments.clear();
    this.#batches.clear();
    this.#online = Number(online) || 0;
    write(this.#at.tick, tick > 0 ? `${tick} ms` : '–');
    this.draw();
  }

  batch({ online, likes = 0, sampled = 0, comments = [] }) {
    this.#comments.add(comments.length + sampled);
    this.#batches.add(1);
    this.#likes += likes;
    this.#sampled += sampled;
    // Left out when unchanged.
    if (online !== undefined) this.#online = Number(online) || 0;
  }

  skipped({ comments = 0 }) {
    this.#skipped += Number(comments) || 0;
  }

  rtt(ms) {
    write(this.#at.rtt, span(ms));
  }

  offline() {
    write(this.#at.rtt, '–');
  }

  draw() {
    const at = this.#at;
    const comments = this.#comments.rate;
    const batches = this.#batches.rate;
    write(at.online, count(this.#online));
    write(at.comments, rate(comments));
    write(at.batches, rate(batches));
    write(at.merged, batches > 0 ? rate(comments / batches) : '–');
    write(at.likes, count(this.#likes));
    note(at.flying, this.#stage.flying, 'in flight');
    note(at.dropped, this.#stage.dropped, 'had no lane');
    note(at.skipped, this.#skipped, 'skipped');
    note(at.sampled, this.#sampled, 'sampled out');
    this.#curve(at.curve);
  }

  #curve(canvas) {
    const w = canvas.clientWidth;
    const h = canvas.clientHeight;
    if (document.hidden || w === 0) return;
    const dense = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(w * dense)) {
      canvas.width = Math.round(w * dense);
      canvas.height = Math.round(h * dense);
    }
    const pen = canvas.getContext('2d');
    const series = this.#comments.series;
    const top = Math.max(4, ...series);
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, w, h);
    const x = (i) => (i / (kept - 1)) * w;
    const y = (n) => h - 2 - (n / top) * (h - 6);
    pen.beginPath();
    for (let i = 0; i < kept; i++) pen.lineTo(x(i), y(series[i]));
    pen.lineWidth = 1.5;
    pen.lineJoin = 'round';
    pen.strokeStyle = '#ffb765';
    pen.stroke();
    pen.lineTo(w, h);
    pen.lineTo(0, h);
    const fill = pen.createLinearGradient(0, 0, 0, h);
    fill.addColorStop(0, 'rgba(255,183,101,0.28)');
    fill.addColorStop(1, 'rgba(255,183,101,0)');
    pen.fillStyle = fill;
    pen.fill();
  }
}

/** Writes only what changed: a text that stays the same costs no layout. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A discreet note, there only while it has something to say.
function note(element, n, words) {
  element.hidden = n === 0;
  write(element, n === 0 ? '' : `${count(n)} ${words}`);
}
