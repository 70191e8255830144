// Small charts on canvases: lines or stacked areas over the last minutes.
// Colours come from the style sheet, so that light and dark are one matter.

import { h, write } from './dom.js';

const left = 46; // px for the numbers at the side
const below = 18; // for the times
const above = 8;
const right = 10;

export class Chart {
  element;
  #canvas = document.createElement('canvas');
  #legend = h('ul', { className: 'legend' });
  #format;
  #axis;
  #stacked;
  #least;
  #points = []; // {at: ms, values: Map name → number, or null for a gap}
  #names = [];
  #window;
  #pointer = null; // x in px while the mouse is over it

  /**
   * @param {{title: string, note?: string, format: (n: number) => string,
   *   axis?: (n: number) => string, stacked?: boolean, least?: number, window: number}} of
   *   axis: shorter than format; least: the axis reaches at least so far; window: ms
   */
  constructor({ title, note = '', format, axis = format, stacked = false, least = 1, window }) {
    this.#format = format;
    this.#axis = axis;
    this.#stacked = stacked;
    this.#least = least;
    this.#window = window;
    this.#canvas.setAttribute('role', 'img');
    this.element = h('section', { className: 'chart card' },
      h('h2', {}, title, note ? h('span', {}, note) : null),
      h('div', { className: 'plot' }, this.#canvas), this.#legend);
    this.#canvas.setAttribute('aria-label', title);
    this.#canvas.addEventListener('pointermove', (event) => {
      this.#pointer = event.offsetX;
      this.draw();
    });
    this.#canvas.addEventListener('pointerleave', () => {
      this.#pointer = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
  }

  /** points oldest first; names in the order in which they are drawn. */
  set(points, names) {
    this.#points = points;
    this.#names = names;
    this.draw();
  }

  draw() {
    const canvas = this.#canvas;
    const [w, height] = [canvas.clientWidth, canvas.clientHeight];
    if (w === 0 || document.hidden) return;
    const dense = Math.min(3, devicePixelRatio || 1);
    if (canvas.width !== Math.round(w * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(w * dense);
      canvas.height = Math.round(height * dense);
    }
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(name).trim();
    const colors = this.#names.map((_, i) => color(`--series-${1 + (i % 8)}`));
    const pen = canvas.getContext('2d');
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, w, height);
    pen.font = `11px ${style.fontFamily}`;

    const end = this.#points.at(-1)?.at ?? Date.now();
    const box = { x: left, y: above, w: w - left - right, h: height - above - below };
    const top = nice(Math.max(this.#least, this.#highest()));
    const x = (at) => box.x + box.w * (1 - (end - at) / this.#window);
    const y = (n) => box.y + box.h * (1 - n / top);
    this.#grid(pen, box, top, y, color);
    pen.save();
    pen.beginPath();
    pen.rect(box.x, 0, box.w + right, height);
    pen.clip();
    if (this.#stacked) this.#areas(pen, x, y, colors);
    else this.#lines(pen, x, y, colors, box);
    pen.restore();
    const shown = this.#shown(x);
    if (shown && this.#pointer !== null) this.#cross(pen, x(shown.at), y, box, shown, colors, color);
    this.#tell(shown);
  }

  #highest() {
    let most = 0;
    for (const { values } of this.#points) {
      if (!values) continue;
      let sum = 0;
      for (const name of this.#names) {
        const n = values.get(name) ?? 0;
        sum = this.#stacked ? sum + n : Math.max(sum, n);
      }
      most = Math.max(most, sum);
    }
    return most;
  }

  #grid(pen, box, top, y, color) {
    pen.lineWidth = 1;
    pen.strokeStyle = color('--grid');
    pen.fillStyle = color('--faint');
    pen.textBaseline = 'middle';
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(top * share)) + 0.5;
      pen.beginPath();
      pen.moveTo(box.x, at);
      pen.lineTo(box.x + box.w, at);
      pen.stroke();
      pen.textAlign = 'right';
      pen.fillText(this.#axis(top * share), box.x - 7, at);
    }
    pen.textBaseline = 'alphabetic';
    const minutes = this.#window / 60_000;
    for (const [share, align] of [[0, 'left'], [0.5, 'center'], [1, 'right']]) {
      pen.textAlign = align;
      const ago = minutes * (1 - share);
      pen.fillText(ago === 0 ? 'now' : `−${ago} min`, box.x + box.w * share, box.y + box.h + 14);
    }
  }

  // A line for each name, with a wash below it if there is but one.
  #lines(pen, x, y, colors, box) {
    pen.lineWidth = 1.75;
    pen.lineJoin = 'round';
    for (const run of runs(this.#points)) {
      this.#names.forEach((name, i) => {
        pen.beginPath();
        for (const { at, values } of run) pen.lineTo(x(at), y(values.get(name) ?? 0));
        pen.strokeStyle = colors[i];
        pen.stroke();
        if (this.#names.length > 1) return;
        pen.lineTo(x(run.at(-1).at), box.y + box.h);
        pen.lineTo(x(run[0].at), box.y + box.h);
        pen.globalAlpha = 0.13;
        pen.fillStyle = colors[i];
        pen.fill();
        pen.globalAlpha = 1;
      });
    }
  }

  // From the top of the stack down, each over what lies behind it.
  #areas(pen, x, y, colors) {
    for (const run of runs(this.#points)) {
      for (let i = this.#names.length - 1; i >= 0; i--) {
        const sum = ({ values }) => this.#names.slice(0, i + 1).reduce((n, name) => n + (values.get(name) ?? 0), 0);
        pen.beginPath();
        for (const point of run) pen.lineTo(x(point.at), y(sum(point)));
        pen.lineTo(x(run.at(-1).at), y(0));
        pen.lineTo(x(run[0].at), y(0));
        pen.fillStyle = colors[i];
        pen.fill();
      }
    }
  }

  /** The point under the pointer, or the last. */
  #shown(x) {
    const points = this.#points.filter(({ values }) => values);
    if (this.#pointer === null || !points.length) return points.at(-1);
    const distance = (point) => Math.abs(x(point.at) - this.#pointer);
    return points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  }

  #cross(pen, px, y, box, shown, colors, color) {
    pen.strokeStyle = color('--faint');
    pen.beginPath();
    pen.moveTo(px, box.y);
    pen.lineTo(px, box.y + box.h);
    pen.stroke();
    if (this.#stacked) return;
    this.#names.forEach((name, i) => {
      pen.fillStyle = colors[i];
      pen.beginPath();
      pen.arc(px, y(shown.values.get(name) ?? 0), 3.5, 0, 7);
      pen.fill();
    });
  }

  #tell(shown) {
    while (this.#legend.childElementCount > this.#names.length) this.#legend.lastElementChild.remove();
    while (this.#legend.childElementCount < this.#names.length) {
      const i = this.#legend.childElementCount;
      this.#legend.append(h('li', {}, h('i', { className: `series-${1 + (i % 8)}` }), h('span'), h('b')));
    }
    this.#names.forEach((name, i) => {
      const [, label, value] = this.#legend.children[i].children;
      write(label, name);
      write(value, shown ? this.#format(shown.values.get(name) ?? 0) : '–');
    });
  }
}

/** The points between gaps. */
function runs(points) {
  const all = [[]];
  for (const point of points) {
    if (point.values) all.at(-1).push(point);
    else all.push([]);
  }
  return all.filter((run) => run.length > 0);
}

/** The next of 1, 2, 5, 10, 20 … */
function nice(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= n * 0.999);
}
