// Who may not, and what waits for a decision.

import { spans } from './acts.js';
import { api } from './api.js';
import { clock, foreign, h, moment, span } from './dom.js';
import { attempt, repeat } from './say.js';

const every = 4_000;
const kinds = { mute: 'mute', ban: 'ban', shadow: 'shadow' };

export function peoplePage(signal) {
  return h('div', { className: 'page' },
    h('div', { className: 'head' }, h('h1', {}, 'People')),
    h('div', { className: 'split even' },
      h('div', { className: 'stack' }, newSanction(), sanctionsCard('', signal)), heldCard('', signal)));
}

/** Sanctions in force, of one room or of all. */
export function sanctionsCard(room, signal) {
  const list = h('ul', { className: 'entries' });
  const run = repeat(async () => {
    const all = await api.sanctions(room).catch((error) => {
      list.replaceChildren(h('li', { className: 'none' }, error.message));
      throw error;
    });
    fill(list, all, 'none in force', (s) => s.id, (s) => [
      h('div', {},
        h('span', { className: `mark ${s.kind === 'ban' ? 'bad' : ''}` }, kinds[s.kind] ?? 'other'), foreign(s.user || s.address || ''),
        room ? null : h('span', { className: 'dim' }, s.room ? ['in ', foreign(s.room)] : 'everywhere'),
        h('p', {}, s.until ? `until ${moment(s.until)} (${span((Date.parse(s.until) - Date.now()) / 1_000)})` : 'until lifted',
          ' · by ', foreign(s.by), s.reason ? [' · ', foreign(s.reason)] : null)),
      h('button', { type: 'button', onclick: async () => (await attempt(() => api.lift(s.id), 'Lifted')) && run() }, 'Lift'),
    ]);
  }, every, signal);
  addEventListener('sanctioned', run, { signal });
  return h('section', { className: 'card' }, h('h2', {}, 'Sanctions'), list);
}

/** Comments that wait, of one room or of all. */
export function heldCard(room, signal) {
  const list = h('ul', { className: 'entries' });
  const run = repeat(async () => {
    const all = await api.held(room).catch((error) => {
      list.replaceChildren(h('li', { className: 'none' }, error.message));
      throw error;
    });
    const decide = (c, publish) => h('button', {
      type: 'button', className: publish ? 'main' : '',
      onclick: async () => (await attempt(() => api.decide(c.id, publish), publish ? 'Published' : 'Discarded')) && run(),
    }, publish ? 'Publish' : 'Discard');
    fill(list, all, 'nothing waits', (c) => c.id, (c) => [
      h('div', {}, foreign(c.text, 'text'),
        h('p', {}, clock(c.at), ' · ', foreign(c.name || c.user), room ? null : [' in ', foreign(c.room)], c.list ? [' · list ', foreign(c.list)] : null)),
      decide(c, true), decide(c, false),
    ]);
  }, every, signal);
  return h('section', { className: 'card' }, h('h2', {}, 'Held comments'), list);
}

// Entries stay while they are the same, so that a button is not taken from under
// the pointer.
function fill(list, all, none, id, draw) {
  const of = JSON.stringify(all);
  if (list.dataset.of === of) return;
  list.dataset.of = of;
  const old = new Map([...list.children].map((entry) => [entry.dataset.id, entry]));
  const entries = all.map((one) => old.get(id(one)) ?? h('li', { 'data-id': id(one) }, draw(one)));
  list.replaceChildren(...(entries.length ? entries : [h('li', { className: 'none' }, none)]));
}

function newSanction() {
  const kind = h('select', { id: 'new-kind' }, Object.keys(kinds).map((k) => h('option', { value: k }, k)));
  const who = h('input', { id: 'new-who', maxLength: 64, placeholder: 'user, address, network', required: true, autocomplete: 'off', spellcheck: false });
  const room = h('input', { id: 'new-room', maxLength: 64, placeholder: 'all rooms', autocomplete: 'off', spellcheck: false });
  const time = h('select', { id: 'new-span' }, spans.map(([seconds, label]) => h('option', { value: String(seconds) }, label)));
  const reason = h('input', { id: 'new-reason', maxLength: 100, autocomplete: 'off' });
  const address = (text) => /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*)(\/\d+)?$/i.test(text);
  const line = (label, input) => h('label', { for: input.id }, h('span', {}, label), input);
  return h('section', { className: 'card' }, h('h2', {}, 'New sanction'),
    h('form', {
      className: 'fields', id: 'new-sanction',
      onsubmit: async (event) => {
        event.preventDefault();
        const text = who.value.trim();
        const done = await attempt(() => api.sanction({
          kind: kind.value, [address(text) ? 'address' : 'user']: text, room: room.value.trim() || undefined,
          seconds: Number(time.value) || undefined, reason: reason.value.trim() || undefined,
        }), 'In force');
        if (!done) return;
        who.value = '';
        dispatchEvent(new Event('sanctioned'));
      },
    },
    line('Kind', kind), line('Who', who), line('Room', room), line('For', time), line('Reason', reason),
    h('div', { className: 'row end' }, h('button', { type: 'submit', className: 'main' }, 'Put in force'))));
}
