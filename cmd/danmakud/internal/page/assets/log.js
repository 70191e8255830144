// The scroll-back list: what was said, in order, readable at any rate. Bounded:
// a flood shows a few of its comments and says how many more there were.

import { wordsOf } from './words.js';

const rowsLimit = 240;
const flushEvery = 200; // ms
const perFlush = 3; // rows under flood
const bufferLimit = 40;

export class Log {
  #list;
  #more;
  #rows = new Map(); // comment id -> row, for retract and for seeing a comment twice
  #buffer = [];
  #left = 0; // comments not listed since the last row
  #timer = 0;
  #unread = 0;

  /**
   * @param {HTMLElement} list scrolls by itself
   * @param {HTMLElement} more button shown while the reader is further up
   */
  constructor(list, more) {
    this.#list = list;
    this.#more = more;
    more.addEventListener('click', () => this.#toEnd());
    list.addEventListener('scroll', () => this.#atEnd() && this.#seen(), { passive: true });
    new ResizeObserver(() => this.#unread || this.#toEnd()).observe(list);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#buffer.length = 0;
    this.#left = 0;
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#seen();
  }

  /** The server began anew: its ids may be those of other comments now. */
  forgetIds() {
    this.#flush();
    this.#rows.clear();
  }

  /**
   * What was said before we came, closed by a line with the words of end.
   * Comments already listed are not repeated.
   */
  history(comments, uid, end) {
    const rows = [];
    for (const comment of comments.slice(-rowsLimit / 2)) {
      if (!this.#rows.has(comment.id)) rows.push(this.#row(comment, uid, true));
    }
    if (rows.length || this.#list.childElementCount) rows.push(divider(end));
    this.#append(rows);
  }

  add(comment, uid) {
    this.#buffer.push({ comment, uid });
    if (this.#buffer.length > bufferLimit) {
      this.#buffer.shift();
      this.#left++;
    }
    this.#timer ||= setTimeout(() => this.#flush(), flushEvery);
  }

  /** A line of the page's own. */
  note(text) {
    this.#flush();
    this.#append([divider(text)]);
  }

  /** "*" is all that is listed. */
  retract(id) {
    if (id === '*') {
      this.clear();
      this.note('the room was cleared · 已清屏');
      return;
    }
    this.#buffer = this.#buffer.filter(({ comment }) => comment.id !== id);
    const row = this.#rows.get(id);
    if (!row) return;
    this.#rows.delete(id);
    row.className = 'gone';
    row.replaceChildren('removed');
  }

  #flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const flood = this.#buffer.length > perFlush + 2;
    // One's own comment is always in the list.
    const last = this.#buffer.length - perFlush;
    const chosen = this.#buffer.filter(
      ({ comment, uid }, i) => !flood || i >= last || comment.uid === uid || isSpecial(comment),
    );
    this.#left += this.#buffer.length - chosen.length;
    this.#buffer.length = 0;
    const rows = chosen
      .filter(({ comment }) => !this.#rows.has(comment.id))
      .map(({ comment, uid }) => this.#row(comment, uid, false));
    if (this.#left > 0 && rows.length) {
      this.#tellLeft(rows);
      this.#left = 0;
    }
    this.#append(rows);
  }

  // "… 31 more" stands once, and counts on, while a flood lasts.
  #tellLeft(rows) {
    const text = `${this.#left.toLocaleString('en')} more flew by`;
    const row = document.createElement('li');
    row.className = 'more';
    row.textContent = text;
    rows.unshift(row);
  }

  #row(comment, uid, past) {
    const row = document.createElement('li');
    const own = comment.uid !== undefined && comment.uid === uid;
    row.className = [past && 'past', own && 'own', isSpecial(comment) && 'special'].filter(Boolean).join(' ');
    const who = document.createElement('span');
    who.className = `who hue-${hue(String(comment.uid ?? ''))}`;
    who.textContent = own ? 'you' : String(comment.name || comment.uid || 'room');
    const text = document.createElement('bdi');
    text.textContent = wordsOf(comment);
    if (Number.isInteger(comment.color) && comment.color !== 0xffffff) {
      const dot = document.createElement('i');
      dot.style.backgroundColor = `#${(comment.color & 0xffffff).toString(16).padStart(6, '0')}`;
      who.prepend(dot);
    }
    if (marked.has(comment.role)) {
      const mark = document.createElement('span');
      mark.className = 'mark';
      mark.textContent = comment.role;
      who.append(mark);
    }
    row.append(who, text);
    if (Number.isFinite(comment.ts)) row.title = new Date(comment.ts).toLocaleTimeString();
    if (comment.id !== undefined) this.#rows.set(comment.id, row);
    row.dataset.id = comment.id ?? '';
    return row;
  }

  #append(rows) {
    if (!rows.length) return;
    const follow = this.#atEnd();
    this.#list.append(...rows);
    while (this.#list.childElementCount > rowsLimit) {
      const first = this.#list.firstElementChild;
      if (this.#rows.get(first.dataset.id) === first) this.#rows.delete(first.dataset.id);
      first.remove();
    }
    if (follow) {
      this.#toEnd();
      return;
    }
    this.#unread += rows.length;
    this.#more.hidden = false;
    this.#more.textContent = `${this.#unread > 99 ? '99+' : this.#unread} new ↓`;
  }

  #atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < 32;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#seen();
  }

  #seen() {
    this.#unread = 0;
    this.#more.hidden = true;
  }
}

function divider(text) {
  const row = document.createElement('li');
  row.className = 'divider';
  row.textContent = text;
  return row;
}

const marked = new Set(['vip', 'moderator', 'anchor', 'admin']);

const isSpecial = (comment) => (comment.kind ?? 'chat') !== 'chat';

/** One of eight colours for a viewer, always the same. */
function hue(uid) {
  let sum = 7;
  for (const c of uid) sum = (sum * 31 + c.codePointAt(0)) >>> 0;
  return sum % 8;
}
