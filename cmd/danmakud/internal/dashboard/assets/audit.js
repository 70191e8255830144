// What was done, by whom, the newest first.

import { api } from './api.js';
import { foreign, h, moment } from './dom.js';
import { repeat } from './say.js';

export function auditPage(signal) {
  const body = h('tbody');
  repeat(async () => {
    const events = await api.audit(200).catch((error) => {
      body.replaceChildren(h('tr', {}, h('td', { colSpan: 6, className: 'none' }, error.message)));
      throw error;
    });
    body.replaceChildren(...(events.length ? events.map((e) => h('tr', {},
      h('td', {}, h('time', {}, moment(e.at))), h('td', {}, foreign(e.by)), h('td', {}, h('span', { className: 'mark' }, e.action)),
      h('td', {}, foreign(e.room ?? '')), h('td', {}, foreign(e.user ?? '')), h('td', { className: 'wrap' }, foreign(e.detail ?? ''))))
      : [h('tr', {}, h('td', { colSpan: 6, className: 'none' }, 'nothing yet'))]));
  }, 5_000, signal);
  return h('div', { className: 'page' }, h('div', { className: 'head' }, h('h1', {}, 'Audit')),
    h('div', { className: 'card scroll' }, h('table', { className: 'audit' },
      h('thead', {}, h('tr', {}, ['when', 'by', 'action', 'room', 'user', 'detail'].map((t) => h('th', { scope: 'col' }, t)))), body)));
}
