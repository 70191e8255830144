// What the pages share: the client, a line that says how it is, a box to speak.
import { connect } from '../../js/client.js';

const parameters = new URLSearchParams(location.search);
const $ = (id) => document.getElementById(id);

/** The room of the page, ?room=… */
export const room = parameters.get('room') ?? 'lobby';

/** The server, ?server=… */
export const server = new URL(parameters.get('server') ?? 'http://127.0.0.1:8080');

/** When the recording began, in Unix ms, ?from=… */
export const from = parameters.get('from');

/** A client of the room, told of in the page. */
export function open() {
  const client = connect({ url: server.href, room, render: { maxRate: 40 } });
  client.on('state', (state, { why }) => {
    document.body.dataset.state = state;
    $('state').textContent = why ?? state;
  });
  client.on('online', (online) => { $('online').textContent = `${online} online`; });
  client.on('likes', (added, total) => { $('likes').textContent = `${total} likes`; });
  $('room').textContent = room;
  $('say').addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      await client.send($('text').value, { mode: $('mode').value, color: Number.parseInt($('color').value.slice(1), 16) });
      $('text').value = '';
      $('trouble').textContent = '';
    } catch (error) {
      $('trouble').textContent = error.message;
    }
  });
  for (const link of document.querySelectorAll('nav a')) link.search = location.search;
  return client;
}
