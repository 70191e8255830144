// Superchats that are still running, above the list. Bounded: the dearest stay.

const most = 3; // shown
const kept = 20;

export class Pins {
  #list;
  #pins = []; // {id, comment, until, whole, row}

  /** @param {HTMLElement} list is hidden while there are none */
  constructor(list) {
    this.#list = list;
    setInterval(() => this.#draw(), 1_000);
  }

  /** Those that run already, of welcome: each with the seconds left. */
  reset(superchats) {
    this.#pins = [];
    this.#list.replaceChildren();
    for (const one of superchats) this.add(one, Number(one.left_s));
    this.#draw();
  }

  add(comment, left = Number(comment.duration_s)) {
    if (!(left > 0)) return;
    this.#pins = this.#pins.filter(({ id }) => id !== comment.id);
    const whole = Math.max(left, Number(comment.duration_s) || left) * 1_000;
    this.#pins.push({ id: comment.id, comment, until: performance.now() + left * 1_000, whole });
    this.#pins.sort((a, b) => (b.comment.price ?? 0) - (a.comment.price ?? 0));
    this.#pins.length = Math.min(this.#pins.length, kept);
    this.#draw();
  }

  /** id "*" takes all away. */
  retract(id) {
    this.#pins = this.#pins.filter((pin) => id !== '*' && pin.id !== id);
    this.#draw();
  }

  #draw() {
    const now = performance.now();
    this.#pins = this.#pins.filter(({ until }) => until > now);
    const shown = this.#pins.slice(0, most);
    for (const pin of shown) {
      pin.row ??= rowOf(pin.comment);
      const [, bar, left] = pin.row.children;
      bar.value = (pin.until - now) / pin.whole;
      left.textContent = words((pin.until - now) / 1_000);
    }
    const rows = shown.map(({ row }) => row);
    if (rows.length !== this.#list.childElementCount || rows.some((row, i) => this.#list.children[i] !== row)) this.#list.replaceChildren(...rows);
    this.#list.hidden = rows.length === 0;
  }
}

function rowOf(comment) {
  const row = document.createElement('li');
  const text = document.createElement('p');
  const who = document.createElement('bdi');
  who.textContent = String(comment.name || comment.uid || 'somebody');
  const what = document.createElement('bdi');
  what.textContent = String(comment.text ?? '');
  text.append(who, what);
  if (comment.price > 0) {
    const price = document.createElement('span');
    price.textContent = Number(comment.price).toLocaleString('en');
    who.after(price);
  }
  const bar = document.createElement('progress');
  bar.setAttribute('aria-hidden', 'true');
  const left = document.createElement('time');
  row.append(text, bar, left);
  return row;
}

const words = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`);
