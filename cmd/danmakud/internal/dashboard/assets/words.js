// Word lists: what becomes of comments with certain words.

import { api } from './api.js';
import { count, foreign, h } from './dom.js';
import { attempt } from './say.js';

const actions = { reject: 'reject: the sender is told', mask: 'mask the word', hold: 'hold for a decision', shadow: 'show to the sender alone' };
const wordsShown = 20_000; // in the box; longer lists are replaced by the API

export function wordsPage(signal) {
  const list = h('ul', { className: 'entries' });
  const side = h('div', { className: 'stack' });
  const open = (l) => side.replaceChildren(editor(l, refresh));
  const refresh = async () => {
    const lists = await api.wordLists().catch((error) => {
      list.replaceChildren(h('li', { className: 'none' }, error.message));
    });
    if (!lists || signal.aborted) return;
    list.replaceChildren(...(lists.length ? lists.map((l) => h('li', {},
      h('div', {}, foreign(l.name), ' ', h('span', { className: 'mark' }, l.action),
        h('p', {}, `${count(l.count)} words`, l.rooms?.length ? [' · only in ', foreign(l.rooms.join(', '))] : ' · everywhere', l.file ? [' · file ', foreign(l.file)] : null)),
      h('button', { type: 'button', onclick: () => attempt(async () => open(await api.wordList(l.name))) }, l.file ? 'Show' : 'Edit')))
      : [h('li', { className: 'none' }, 'no lists')]));
  };
  refresh();
  open({});
  return h('div', { className: 'page' },
    h('div', { className: 'head' }, h('h1', {}, 'Words'), h('button', { type: 'button', onclick: () => open({}) }, 'New list')),
    h('div', { className: 'split even' }, h('section', { className: 'card' }, h('h2', {}, 'Lists'), list), side));
}

function editor(l, refresh) {
  const fixed = Boolean(l.file); // a file is changed where it lies
  const words = l.words ?? [];
  const name = h('input', { id: 'list-name', maxLength: 64, required: true, value: l.name ?? '', disabled: Boolean(l.name), autocomplete: 'off', spellcheck: false });
  const action = h('select', { id: 'list-action', disabled: fixed }, Object.entries(actions).map(([value, label]) => h('option', { value }, label)));
  action.value = l.action ?? 'reject';
  const rooms = h('input', { id: 'list-rooms', value: (l.rooms ?? []).join(' '), placeholder: 'everywhere', disabled: fixed, autocomplete: 'off', spellcheck: false });
  const text = h('textarea', { id: 'list-words', rows: 14, spellcheck: false, disabled: fixed || words.length > wordsShown, value: words.slice(0, wordsShown).join('\n') });
  const line = (label, input) => h('label', { for: input.id }, h('span', {}, label), input);
  const save = () => api.setWordList(name.value.trim(), {
    action: action.value,
    rooms: rooms.value.split(/[\s,]+/).filter(Boolean),
    words: text.value.split('\n').map((word) => word.trim()).filter(Boolean),
  });
  return h('section', { className: 'card' }, h('h2', {}, l.name ? ['List ', foreign(l.name)] : 'New list'),
    h('form', {
      className: 'fields wide', id: 'list',
      onsubmit: async (event) => {
        event.preventDefault();
        if (await attempt(save, 'In force')) refresh();
      },
    },
    line('Name', name), line('Comments with a word', action), line('Rooms', rooms), line('Words, one a line', text),
    words.length > wordsShown ? h('p', { className: 'dim' }, `The first ${count(wordsShown)} of ${count(words.length)} words; change a list of this length over the API.`) : null,
    fixed ? h('p', { className: 'dim' }, 'This list is read from a file and changes with it.') : h('div', { className: 'row end' },
      l.name ? h('button', { type: 'button', className: 'bad', onclick: async () => (await attempt(() => api.removeWordList(l.name), 'Removed')) && refresh() }, 'Remove') : null,
      h('button', { type: 'submit', className: 'main', disabled: words.length > wordsShown }, 'Save'))));
}
