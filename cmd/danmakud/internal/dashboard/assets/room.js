// One room: what is said as it is said, its settings, and what can be done.

import { acts } from './acts.js';
import { api } from './api.js';
import { clock, count, foreign, h, rate, write } from './dom.js';
import { heldCard, sanctionsCard } from './people.js';
import { attempt, repeat, say } from './say.js';
import { watch } from './stream.js';

const rowsMost = 300;
const drawEvery = 250; // ms
const drawMost = 25; // rows at one time; a flood shows some and says how many more
const historyWanted = 50;
const roles = ['guest', 'viewer', 'vip', 'moderator', 'anchor', 'admin'];

export function roomPage(signal, name) {
  const numbers = numbersOf();
  const live = new Live(name, signal, numbers);
  repeat(async () => numbers.room(await api.room(name)), 2_000, signal);
  return h('div', { className: 'page' },
    h('div', { className: 'head' },
      h('h1', {}, h('a', { href: '#/rooms', className: 'up', 'aria-label': 'All rooms' }, 'Rooms'), foreign(name)),
      numbers.element),
    h('div', { className: 'split' },
      live.element,
      h('div', { className: 'stack' }, settingsCard(name), actionsCard(name, live), heldCard(name, signal), sanctionsCard(name, signal))));
}

function numbersOf() {
  const at = {};
  const one = (key, label) => h('div', {}, h('dt', {}, label), (at[key] = h('dd', {}, '–')));
  const recent = []; // [ms, comments] of the last seconds
  return {
    element: h('dl', { className: 'numbers' }, one('online', 'viewers'), one('watched', 'have watched'), one('rate', 'comments / s'), one('comments', 'comments'), one('likes', 'likes'), one('sampled', 'left out'), one('tick', 'tick')),
    room(info) {
      write(at.online, count(info.online));
      write(at.watched, count(info.watched ?? 0));
      write(at.comments, count(info.comments));
      write(at.likes, count(info.likes ?? 0));
      write(at.sampled, count(info.sampled ?? 0));
      write(at.tick, `${info.tick_ms} ms`);
      this.batch(0);
    },
    batch(comments, online) {
      const now = performance.now();
      recent.push([now, comments]);
      while (recent[0][0] < now - 5_000) recent.shift();
      write(at.rate, rate(recent.reduce((n, [, c]) => n + c, 0) / 5));
      if (online !== undefined) write(at.online, count(online));
    },
  };
}

/** The comments of a room as they come. */
class Live {
  element;
  #name;
  #numbers;
  #list = h('ol', { className: 'live', tabIndex: 0, role: 'log', 'aria-live': 'off', 'aria-label': 'Comments' });
  #state = h('span', { className: 'health', 'data-state': 'wait' }, h('i'), h('span', {}, 'Connecting'));
  #more = h('button', { type: 'button', className: 'more main', hidden: true, onclick: () => this.#toEnd() });
  #pause = h('button', { type: 'button', className: 'quiet', 'aria-pressed': 'false', onclick: () => this.#hold() }, 'Pause');
  #rows = new Map(); // id → row
  #waiting = [];
  #left = 0; // comments that were not listed
  #unread = 0;
  #paused = false;

  constructor(name, signal, numbers) {
    this.#name = name;
    this.#numbers = numbers;
    this.element = h('section', { className: 'card flow' },
      h('div', { className: 'row' }, h('h2', {}, 'Comments'), this.#state, this.#pause), this.#list, this.#more);
    this.#list.addEventListener('scroll', () => this.#atEnd() && this.#seen(), { passive: true });
    const timer = setInterval(() => this.#draw(), drawEvery);
    signal.addEventListener('abort', () => clearInterval(timer));
    this.#begin(signal);
  }

  async #begin(signal) {
    await api.history(this.#name, historyWanted).then(({ comments }) => this.#take(comments)).catch(() => {});
    if (signal.aborted) return;
    watch(this.#name, signal, {
      batch: (message) => this.#batch(message),
      dropped: ({ batches }) => this.#note(`${count(batches)} batches were too fast for this view`),
      state: (text) => {
        this.#state.dataset.state = text === 'live' ? 'ok' : 'bad';
        write(this.#state.lastElementChild, text === 'live' ? 'Live' : text);
      },
    });
  }

  #batch({ comments = [], online, sampled = 0 }) {
    this.#numbers.batch(comments.length + sampled, online);
    this.#take(comments);
  }

  #take(comments) {
    for (const comment of comments) {
      if (comment.kind === 'retract') this.gone(String(comment.id));
      else this.#waiting.push(comment);
    }
    const over = this.#waiting.length - rowsMost;
    if (over > 0) {
      this.#waiting.splice(0, over);
      this.#left += over;
    }
  }

  /** A comment was taken back; "*" is all of them. */
  gone(id) {
    this.#waiting = this.#waiting.filter((comment) => id !== '*' && comment.id !== id);
    const rows = id === '*' ? [...this.#rows.values()] : [this.#rows.get(id)].filter(Boolean);
    for (const row of rows) {
      row.classList.add('gone');
      row.querySelectorAll('button').forEach((button) => button.remove());
    }
    if (id === '*') this.#note('the room was cleared');
  }

  #note(text) {
    this.#append([h('li', { className: 'note' }, text)]);
  }

  #draw() {
    if (this.#paused || !this.#waiting.length || document.hidden) return;
    const special = (comment) => (comment.kind ?? 'chat') !== 'chat';
    const from = this.#waiting.length - drawMost;
    const chosen = this.#waiting.filter((comment, i) => i >= from || special(comment));
    this.#left += this.#waiting.length - chosen.length;
    this.#waiting = [];
    const rows = chosen.filter(({ id }) => !this.#rows.has(id)).map((comment) => this.#row(comment));
    if (this.#left > 0) rows.unshift(h('li', { className: 'note' }, `${count(this.#left)} more`));
    this.#left = 0;
    this.#append(rows);
  }

  #row(comment) {
    const { id, uid, name, role, kind = 'chat', text, ts, count: times } = comment;
    const paid = kind === 'gift' ? `${comment.gift ?? 'gift'} × ${comment.num ?? 1}` : kind === 'superchat' ? `superchat ${comment.price ?? ''}` : kind;
    const row = h('li', { className: kind === 'chat' ? '' : 'special', 'data-id': String(id) },
      h('time', {}, Number.isFinite(ts) ? clock(ts) : ''),
      h('span', { className: 'who', title: String(uid ?? '') }, foreign(String(name || uid || 'room'))),
      role ? h('span', { className: 'mark' }, role) : null,
      kind === 'chat' ? null : h('span', { className: 'mark kind' }, foreign(paid)),
      foreign(String(text ?? ''), 'text'),
      times > 1 ? h('span', { className: 'mark' }, `×${count(times)}`) : null,
      h('button', { type: 'button', className: 'act', 'aria-label': 'Act on this comment', onclick: () => acts(this.#name, comment, this) }, '⋯'));
    this.#rows.set(id, row);
    return row;
  }

  #append(rows) {
    const follow = this.#atEnd();
    this.#list.append(...rows);
    while (this.#list.childElementCount > rowsMost) {
      const first = this.#list.firstElementChild;
      if (this.#rows.get(first.dataset.id) === first) this.#rows.delete(first.dataset.id);
      first.remove();
    }
    if (follow) return this.#toEnd();
    this.#unread += rows.length;
    this.#more.hidden = false;
    write(this.#more, `${this.#unread > 99 ? '99+' : this.#unread} new ↓`);
  }

  #hold() {
    this.#paused = !this.#paused;
    this.#pause.setAttribute('aria-pressed', String(this.#paused));
    write(this.#pause, this.#paused ? 'Go on' : 'Pause');
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

function settingsCard(name) {
  const closed = h('input', { type: 'checkbox', id: 'set-closed' });
  const slow = h('input', { type: 'number', id: 'set-slow', min: 0, max: 86_400, step: 0.5, value: '0' });
  const role = h('select', { id: 'set-role' }, roles.map((r) => h('option', { value: r }, r === 'guest' ? 'everybody' : `${r} and above`)));
  const most = h('input', { type: 'number', id: 'set-most', min: 0, max: 16_777_216, step: 1, value: '0' });
  const save = h('button', { type: 'submit', className: 'main', disabled: true }, 'Save');
  const show = (s) => {
    closed.checked = s.closed;
    slow.value = s.slow_mode_ms / 1_000;
    role.value = s.min_role;
    most.value = s.max_viewers;
    save.disabled = true;
  };
  api.settings(name).then(show).catch((error) => say(error.message, 'bad'));
  const line = (input, label) => h('label', { for: input.id }, h('span', {}, label), input);
  return h('section', { className: 'card' }, h('h2', {}, 'Settings'),
    h('form', {
      className: 'settings', id: 'settings',
      oninput: () => (save.disabled = false),
      onsubmit: (event) => {
        event.preventDefault();
        attempt(async () => show(await api.setSettings(name, {
          closed: closed.checked, slow_mode_ms: Math.round(Number(slow.value) * 1_000), min_role: role.value, max_viewers: Number(most.value),
        })), 'Settings saved');
      },
    },
    line(closed, 'Closed: only moderators speak'), line(slow, 'Slow mode, seconds'), line(role, 'Who may speak'), line(most, 'Most viewers, 0 = no bound'),
    h('div', { className: 'row end' }, save)));
}

function actionsCard(name, live) {
  const text = h('input', { id: 'announce', maxLength: 200, placeholder: 'an announcement', autocomplete: 'off' });
  const clear = h('button', { type: 'button', className: 'bad' }, 'Clear the room');
  let sure = 0;
  clear.addEventListener('click', () => { // twice, as it cannot be undone
    if (performance.now() - sure > 4_000) {
      sure = performance.now();
      write(clear, 'Remove all comments?');
      setTimeout(() => write(clear, 'Clear the room'), 4_000);
      return;
    }
    sure = 0;
    write(clear, 'Clear the room');
    attempt(async () => {
      await api.clear(name);
      live.gone('*');
    }, 'Cleared');
  });
  const save = (format) => h('button', { type: 'button', className: 'quiet', onclick: () => attempt(() => download(name, format)) }, format.toUpperCase());
  return h('section', { className: 'card' }, h('h2', {}, 'Room'),
    h('form', {
      className: 'row',
      onsubmit: (event) => {
        event.preventDefault();
        if (text.value.trim()) attempt(async () => {
          await api.announce(name, text.value.trim());
          text.value = '';
        }, 'Announced');
      },
    }, h('label', { for: 'announce', className: 'hidden' }, 'Announcement'), text, h('button', { type: 'submit' }, 'Announce')),
    h('div', { className: 'row' }, h('span', { className: 'dim' }, 'Archive'), save('xml'), save('ass'), save('ndjson')),
    clear);
}

// By way of a blob, since a link cannot take the key along.
async function download(name, format) {
  const blob = await (await api.archive(name, format)).blob();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${name.replaceAll(':', '_')}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
