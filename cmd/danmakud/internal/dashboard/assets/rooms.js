// All rooms, page by page, in order of their names.

import { api } from './api.js';
import { count, h, write } from './dom.js';
import { repeat } from './say.js';

const perPage = 25;
const every = 2_000;
const roomPattern = '[A-Za-z0-9_.:\\-]{1,64}';

export const roomLink = (name) => `#/rooms/${encodeURIComponent(name)}`;

/** What is not as it is by default, in words. */
export function settingsWords(s = {}) {
  return [
    s.closed && 'closed',
    s.slow_mode_ms > 0 && `slow ${s.slow_mode_ms / 1_000} s`,
    s.min_role && s.min_role !== 'guest' && `${s.min_role} and above`,
    s.max_viewers > 0 && `at most ${count(s.max_viewers)}`,
  ].filter(Boolean);
}

export function roomsPage(signal) {
  const behind = []; // where the pages before this one began
  let after = '';
  let next = '';
  const body = h('tbody');
  const where = h('p', { className: 'where' }, '');
  const back = h('button', { type: 'button', disabled: true, onclick: () => { after = behind.pop() ?? ''; run(); } }, '← Back');
  const on = h('button', { type: 'button', disabled: true, onclick: () => { behind.push(after); after = next; run(); } }, 'More →');
  const name = h('input', { name: 'room', maxLength: 64, spellcheck: false, autocomplete: 'off', placeholder: 'room name', required: true, id: 'room-name' });
  name.pattern = roomPattern;
  const go = h('form', { className: 'row', onsubmit: (event) => { event.preventDefault(); location.hash = roomLink(name.value); } },
    h('label', { for: 'room-name', className: 'hidden' }, 'Room'), name, h('button', { type: 'submit', className: 'main' }, 'Open'));

  const run = repeat(async () => {
    const answer = await api.rooms(after, perPage).catch((error) => {
      body.replaceChildren(h('tr', {}, h('td', { colSpan: 8, className: 'none' }, error.message)));
      throw error;
    });
    if (signal.aborted) return;
    next = answer.next ?? '';
    back.disabled = behind.length === 0;
    on.disabled = !next;
    const from = behind.length * perPage;
    write(where, answer.rooms.length ? `${count(from + 1)} to ${count(from + answer.rooms.length)} of ${count(answer.total)}` : `${count(answer.total)} rooms`);
    draw(body, answer.rooms);
  }, every, signal);

  return h('div', { className: 'page' },
    h('div', { className: 'head' }, h('h1', {}, 'Rooms'), go),
    h('div', { className: 'card scroll' },
      h('table', { className: 'rooms' },
        h('thead', {}, h('tr', {}, ['room', 'viewers', 'watched', 'comments', 'left out', 'merged', 'tick', 'settings'].map((title, i) =>
          h('th', { scope: 'col', className: i > 0 && i < 7 ? 'n' : '' }, title)))), body)),
    h('div', { className: 'row pager' }, back, where, on));
}

// Rows are kept while their room is the same, so that the focus stays.
function draw(body, rooms) {
  const old = new Map([...body.children].map((row) => [row.dataset.room, row]));
  const rows = rooms.map((room) => {
    const row = old.get(room.room) ?? h('tr', { 'data-room': room.room },
      h('th', { scope: 'row' }, h('a', { href: roomLink(room.room) }, room.room)),
      [1, 2, 3, 4, 5, 6].map(() => h('td', { className: 'n' })), h('td', { className: 'marks' }));
    const cells = [...row.children].slice(1);
    [room.online, room.watched ?? 0, room.comments, room.sampled ?? 0, room.merged ?? 0].forEach((n, i) => write(cells[i], count(n)));
    write(cells[5], `${room.tick_ms} ms`);
    const marks = settingsWords(room.settings);
    if (cells[6].dataset.of !== marks.join()) {
      cells[6].dataset.of = marks.join();
      cells[6].replaceChildren(...marks.map((text) => h('span', { className: 'mark' }, text)));
    }
    return row;
  });
  if (!rows.length) {
    body.replaceChildren(h('tr', {}, h('td', { colSpan: 8, className: 'none' }, 'nobody is here')));
    return;
  }
  if (rows.length !== body.childElementCount || rows.some((row, i) => body.children[i] !== row)) body.replaceChildren(...rows);
}
