// What can be done about one comment and who said it.

import { api } from './api.js';
import { foreign, h } from './dom.js';
import { attempt } from './say.js';

export const spans = [[60, '1 minute'], [600, '10 minutes'], [3_600, '1 hour'], [86_400, '1 day'], [604_800, '7 days'], [0, 'until lifted']];
const guestMark = '~';

/** Opens the dialog for a comment of a room; list forgets what is taken back. */
export function acts(room, comment, list) {
  const user = String(comment.uid ?? '');
  const span = h('select', { id: 'act-span' }, spans.map(([seconds, label]) => h('option', { value: String(seconds) }, label)));
  span.value = '600';
  const reason = h('input', { id: 'act-reason', maxLength: 100, placeholder: 'they see it, too', autocomplete: 'off' });
  const everywhere = h('input', { type: 'checkbox', id: 'act-all' });
  const act = (label, work, done, className = '') => h('button', {
    type: 'button', className, onclick: async () => {
      if (await attempt(work, done)) dialog.close();
    },
  }, label);
  const sanction = (kind) => () => api.sanction({
    kind, user, room: everywhere.checked ? undefined : room,
    seconds: Number(span.value) || undefined, reason: reason.value.trim() || undefined,
  });
  const dialog = h('dialog', { className: 'acts', 'aria-label': 'Act on a comment', onclose: () => dialog.remove() },
    h('blockquote', {}, foreign(String(comment.text || comment.gift || '')),
      h('footer', {}, foreign(String(comment.name || user || 'room')), comment.name && user ? [' · ', foreign(user)] : null,
        user.startsWith(guestMark) ? ' · a guest: keeps this name for as long as the connection lasts' : null)),
    h('div', { className: 'row' },
      act('Retract', async () => {
        await api.retract(room, comment.id);
        list.gone(comment.id);
      }, 'Retracted', 'main'),
      act('Kick', () => api.kick(room, user, reason.value.trim()), 'Kicked')),
    h('div', { className: 'fields' },
      h('label', { for: 'act-span' }, h('span', {}, 'For'), span),
      h('label', { for: 'act-reason' }, h('span', {}, 'Reason'), reason),
      h('label', { for: 'act-all' }, everywhere, h('span', {}, 'In all rooms'))),
    h('div', { className: 'row' },
      act('Mute', sanction('mute'), 'Muted'), act('Shadow', sanction('shadow'), 'Only they see what they say now'), act('Ban', sanction('ban'), 'Banned', 'bad'),
      h('button', { type: 'button', className: 'quiet push', onclick: () => dialog.close() }, 'Close')));
  document.body.append(dialog);
  dialog.showModal();
}
