// Comments in flight.
//
//	show() ─> urgent ──┐
//	      └─> waiting ─┴─ once a frame, a few ─> lanes.place ─> element + animation
//	             └─ too many, too old: dropped and counted
//
// Elements moved by Web Animations rather than a canvas: a flight is handed to
// the browser's compositor once and then costs no script at all, however busy
// the page is; text stays text (shaping, emoji and every script's fonts for
// free, selectable by tools, styled by CSS). What makes that affordable at
// 1,000 comments a second is that the work is bounded before any element
// exists: widths are measured on a canvas that is never drawn, so a comment
// that finds no lane costs no layout.

import { Lanes } from './lanes.js';
import { wordsOf } from './words.js';

const waitingLimit = 96; // comments of others, beyond the lanes
const urgentLimit = 32; // own ones and those that are no chat
const waitingAge = 1_200; // ms; a live comment that comes late is no longer live
const urgentAge = 9_000;
const perFrame = 4;
const heartsLimit = 18;
const pad = 6; // px left and right of the text
const pillPad = 14;

const still = matchMedia('(prefers-reduced-motion: reduce)');

export class Stage {
  /** Shown and dropped since the room was entered. */
  shown = 0;
  dropped = 0;

  #root;
  #layer;
  #lanes = new Lanes();
  #pen = document.createElement('canvas').getContext('2d');
  #flights = new Map(); // element -> {id, mode, end, animation}; end: first row below it
  #urgent = [];
  #waiting = [];
  #grid = { width: 0, rows: 0, height: 0, top: 0 };
  #family;
  #pressure = 0; // 0: every comment finds a lane … 1: most do not
  #scheduled = false;
  #on = true;
  #hearts = 0;

  /** @param {HTMLElement} root the stage; layer is its child for comments */
  constructor(root, layer) {
    this.#root = root;
    this.#layer = layer;
    this.#family = getComputedStyle(layer).fontFamily;
    new ResizeObserver(() => this.#measure()).observe(root);
    still.addEventListener('change', () => this.#measure(true));
    this.#measure();
  }

  get flying() {
    return this.#flights.size;
  }

  /** Comments on or off; off clears the stage. */
  set on(on) {
    this.#on = on;
    if (!on) this.clear();
  }

  /**
   * A comment for the stage. It may fly now, within a moment, or never.
   * @param {object} comment as in a batch
   * @param {{own?: boolean, spread?: number}} how spread: ms over which the
   *   comments of one batch enter, so that they do not come as a wall
   */
  show(comment, { own = false, spread = 0 } = {}) {
    if (!this.#on || document.hidden) return;
    const now = performance.now();
    const urgent = own || (comment.kind ?? 'chat') !== 'chat';
    const entry = { ...draft(comment, own), since: now, from: now + Math.random() * spread };
    if (urgent) entry.from = now;
    const queue = urgent ? this.#urgent : this.#waiting;
    queue.push(entry);
    // The oldest goes: what is newest is most alive.
    if (queue.length > (urgent ? urgentLimit : waitingLimit)) {
      queue.shift();
      this.#drop();
    }
    this.#schedule();
  }

  /** Takes the comment of that id away wherever it is; "*" is all of them. */
  retract(id) {
    if (id === '*') return this.clear();
    const other = (entry) => entry.id !== id;
    this.#urgent = this.#urgent.filter(other);
    this.#waiting = this.#waiting.filter(other);
    for (const [element, flight] of this.#flights) if (flight.id === id) this.#land(element);
  }

  clear() {
    this.#urgent.length = 0;
    this.#waiting.length = 0;
    for (const element of [...this.#flights.keys()]) this.#land(element);
    this.#lanes.reset(this.#grid.width, this.#grid.rows, still.matches);
  }

  /** Counts from nothing again: another room. */
  restart() {
    this.clear();
    this.shown = 0;
    this.dropped = 0;
    this.#pressure = 0;
  }

  /** Likes rise as hearts, a bounded number of them. */
  hearts(count) {
    if (!this.#on || document.hidden || still.matches) return;
    const room = Math.min(count, 6, heartsLimit - this.#hearts);
    for (let i = 0; i < room; i++) this.#heart(i * 90);
  }

  #drop() {
    this.dropped++;
    this.#pressure = Math.min(1, this.#pressure + 0.02);
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#frame();
      if (this.#urgent.length || this.#waiting.length) this.#schedule();
    });
  }

  #frame() {
    const now = performance.now();
    this.#pressure *= 0.995;
    let places = perFrame;
    places -= this.#admit(this.#urgent, now, urgentAge, places, Infinity);
    this.#admit(this.#waiting, now, waitingAge, places, this.#limit());
  }

  // Comments on stage at one time, at most.
  #limit() {
    return Math.min(140, this.#grid.rows * 8);
  }

  // Moves what fits from the queue to the stage; the queue keeps its order.
  #admit(queue, now, age, places, limit) {
    let placed = 0;
    let kept = 0;
    for (const entry of queue) {
      const open = placed < places && this.#flights.size < limit && entry.from <= now;
      if (open && this.#fly(entry)) {
        placed++;
      } else if (now - entry.since > age) {
        this.#drop();
      } else {
        queue[kept++] = entry;
      }
    }
    queue.length = kept;
    return placed;
  }

  #fly(entry) {
    if (this.#grid.rows === 0) return false;
    const { mode, span, size, width } = this.#fitted(entry);
    // The clock of the animations themselves: the lanes count with exactly the
    // positions that will be drawn.
    const now = document.timeline.currentTime;
    const place = this.#lanes.place({ mode, width, span }, now, this.#cross());
    if (!place) return false;
    const element = this.#element(entry, size, span);
    const y = this.#grid.top + place.row * this.#grid.height;
    const stands = mode === 'top' || mode === 'bottom';
    const animation = element.animate(stands ? standing(place.from, y) : moving(place, y), {
      duration: place.until - place.at,
      easing: 'linear',
      fill: 'both',
    });
    animation.startTime = place.at;
    animation.onfinish = () => this.#land(element);
    this.#flights.set(element, { id: entry.id, mode, end: place.row + span, animation });
    this.#layer.append(element);
    this.shown++;
    return true;
  }

  // How the comment is shown on this stage: a text too wide to stand scrolls,
  // and one too long to be large is medium.
  #fitted(entry) {
    const stage = this.#grid.width;
    const wants = still.matches ? stillMode(entry.mode) : entry.mode;
    let size = entry.size;
    let width = this.#width(entry, size);
    if (size === 'large' && width > stage * 1.6) {
      size = 'medium';
      width = this.#width(entry, size);
    }
    if (still.matches) width = Math.min(width, stage);
    const stands = wants === 'top' || wants === 'bottom';
    const mode = stands && width > stage ? 'scroll' : wants;
    const span = this.#lanes.span(mode, size === 'large' ? 2 : 1);
    if (size === 'large' && span === 1) {
      size = 'medium';
      width = this.#width(entry, size);
    }
    return { mode, span, size, width };
  }

  #width(entry, size) {
    entry.widths ??= {};
    const known = entry.widths[size];
    if (known !== undefined && entry.measuredAt === this.#grid.height) return known;
    if (entry.measuredAt !== this.#grid.height) entry.widths = {};
    entry.measuredAt = this.#grid.height;
    this.#pen.font = this.#font(size);
    const width = Math.ceil(this.#pen.measureText(entry.text).width) + 2 * (entry.pill ? pillPad : pad);
    entry.widths[size] = width;
    return width;
  }

  #font(size) {
    const share = { small: 0.46, medium: 0.62, large: 1.1 }[size];
    return `600 ${Math.round(this.#grid.height * share)}px ${this.#family}`;
  }

  // Time over the stage: wider stages take longer, a full one a little less.
  #cross() {
    return (4_700 + this.#grid.width * 2.6) * (1 - 0.25 * this.#pressure);
  }

  #element(entry, size, span) {
    const element = document.createElement('div');
    element.className = `fly ${entry.look}`;
    element.dataset.mode = entry.mode;
    // Only ever a text node: what looks like markup flies as it was typed.
    element.textContent = entry.text;
    element.style.font = this.#font(size);
    element.style.lineHeight = `${this.#grid.height * span - 4}px`;
    element.style.height = `${this.#grid.height * span - 4}px`;
    element.style.color = entry.color;
    element.style.paddingInline = `${entry.pill ? pillPad : pad}px`;
    element.style.maxWidth = still.matches ? `${this.#grid.width}px` : '';
    return element;
  }

  #land(element) {
    const flight = this.#flights.get(element);
    if (!flight) return;
    this.#flights.delete(element);
    flight.animation.onfinish = null;
    flight.animation.cancel();
    element.remove();
  }

  #measure(force = false) {
    const width = this.#root.clientWidth;
    const total = this.#root.clientHeight;
    const narrow = width < 620;
    const height = narrow ? 30 : 37;
    const top = narrow ? 44 : 58;
    const rows = Math.max(0, Math.floor((total - top - (narrow ? 30 : 40)) / height));
    const old = this.#grid;
    this.#grid = { width, rows, height, top };
    if (force || height !== old.height) {
      this.clear();
      return;
    }
    if (width === old.width && rows === old.rows) return;
    this.#lanes.resize(width, rows);
    for (const [element, { mode, end }] of this.#flights) {
      if (end > rows || (width !== old.width && mode !== 'scroll')) this.#land(element);
    }
  }

  #heart(delay) {
    const heart = document.createElement('div');
    heart.className = `heart heart-${1 + Math.floor(Math.random() * 4)}`;
    heart.textContent = '\u2665\uFE0E';
    const x = this.#grid.width - 34 - Math.random() * 70;
    const y = this.#root.clientHeight - 40;
    const sway = () => (Math.random() - 0.5) * 70;
    const at = (dx, dy, scale, opacity) => ({
      transform: `translate(${x + dx}px, ${y - dy}px) scale(${scale})`,
      opacity,
    });
    const rise = this.#root.clientHeight * (0.4 + Math.random() * 0.25);
    const animation = heart.animate(
      [at(0, 0, 0.3, 0), at(sway(), rise * 0.3, 1.1, 0.95), at(sway(), rise * 0.7, 1, 0.7), at(sway(), rise, 0.8, 0)],
      { duration: 1_900 + Math.random() * 900, delay, easing: 'ease-out', fill: 'both' },
    );
    this.#hearts++;
    animation.onfinish = () => {
      this.#hearts--;
      heart.remove();
    };
    this.#layer.append(heart);
  }
}

const modes = new Set(['scroll', 'reverse', 'top', 'bottom']);
const sizes = new Set(['small', 'medium', 'large']);

// What the stage needs of a comment, each field within what it knows.
function draft(comment, own) {
  const kind = comment.kind ?? 'chat';
  const notice = kind === 'system' || kind === 'announcement';
  const pill = own || kind !== 'chat';
  const rgb = Number.isInteger(comment.color) ? comment.color & 0xffffff : 0xffffff;
  const text = wordsOf(comment).replace(/\s+/gu, ' ');
  const paid = kind === 'superchat' || kind === 'gift';
  return {
    id: comment.id,
    text: paid && comment.name ? `${comment.name}: ${text}` : text,
    mode: notice ? 'top' : modes.has(comment.mode) ? comment.mode : 'scroll',
    size: sizes.has(comment.size) ? comment.size : 'medium',
    color: `#${rgb.toString(16).padStart(6, '0')}`,
    pill,
    look: [own ? 'own' : '', kind !== 'chat' ? `kind-${cssWord(kind)}` : '', dark(rgb) ? 'dark' : '']
      .filter(Boolean)
      .join(' '),
  };
}

/** A kind that the page does not know must not become a class of its own making. */
function cssWord(kind) {
  return ['system', 'announcement', 'gift', 'superchat'].includes(kind) ? kind : 'other';
}

/** Too dark to be read with a dark edge: it gets a light one. */
export function dark(rgb) {
  return 0.299 * (rgb >> 16) + 0.587 * ((rgb >> 8) & 255) + 0.114 * (rgb & 255) < 70;
}

// Without motion everything stands: spread over top and bottom.
function stillMode(mode) {
  return mode === 'bottom' || mode === 'reverse' ? 'bottom' : 'top';
}

function moving({ from, to }, y) {
  return [{ transform: `translate(${from}px, ${y}px)` }, { transform: `translate(${to}px, ${y}px)` }];
}

function standing(x, y) {
  const transform = `translate(${x}px, ${y}px)`;
  return [
    { transform, opacity: 0 },
    { transform, opacity: 1, offset: 0.05 },
    { transform, opacity: 1, offset: 0.9 },
    { transform, opacity: 0 },
  ];
}
