// Never run: tsc reads it (make js). What must be right compiles, what must be
// wrong is marked, and tsc objects to a mark without a fault.
import { Client, DanmakuError, connect, type Comment, type Welcome } from '../client.js';

const client: Client = connect({ url: '/', room: 'r', token: async () => 't', render: { maxRate: 40 } });
const off: () => void = client.on('comment', (comment: Comment, { past, own }) => {
  const text: string | undefined = comment.text;
  const flags: boolean = past && own;
  void [text, flags];
});
off();
client.on('render', (comments, { dropped }) => void (comments.length + dropped));
client.on('state', (state, detail) => void (state === 'waiting' && detail.until));
client.on('gap', ({ why, from }) => void [why === 'skipped', from]);
const welcome: Promise<Welcome> = client.join();
const id: Promise<string | undefined> = client.send('x', { mode: 'top', size: 'small', color: 1 }).then((ack) => ack.id);
void [welcome, id, client.like(2), client.switch('s'), client.renew('t')];
client.send('x').catch((error: DanmakuError) => error.retryAfterMs);
client.maxRate = 20;
client.close();

// @ts-expect-error there is no such event
client.on('commemt', () => {});
// @ts-expect-error there is no such mode
client.send('x', { mode: 'diagonal' });
// @ts-expect-error a room is needed
new Client({ url: '/' });
// @ts-expect-error nobody sets it
client.room = 'x';
