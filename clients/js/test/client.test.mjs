// The client against a socket that says what it is told, on a clock turned by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, DanmakuError, connect } from '../client.js';
import { FakeClock, FakePage, fakeSockets, seeded } from './fakes.mjs';

/** A client with everything it was given and everything it told. */
function start(options = {}) {
  const clock = new FakeClock();
  const page = new FakePage();
  const { made, FakeSocket } = fakeSockets();
  const client = new Client({ url: 'http://h:1/below', room: 'r', WebSocket: FakeSocket, clock, page, random: () => 0.5, ...options });
  const told = [];
  for (const name of ['state', 'welcome', 'comment', 'retract', 'batch', 'render', 'online', 'likes', 'settings', 'skipped', 'gap', 'goodbye', 'error', 'rtt']) {
    client.on(name, (...args) => told.push([name, ...args]));
  }
  const of = (name) => told.filter(([n]) => n === name).map(([, ...args]) => args);
  const ids = (name = 'comment') => of(name).map(([one]) => one.id ?? one);
  /** Waits for the next try, and no longer. */
  const again = () => clock.pass(of('state').at(-1)[1].delay);
  return { client, clock, page, made, told, of, ids, again, get socket() { return made.at(-1); } };
}

/** One that is live. */
async function live(options) {
  const t = start(options);
  const welcome = t.client.join();
  t.socket.welcome();
  await welcome;
  return t;
}

const c = (id, more = {}) => ({ id, uid: '~2', text: id, ts: 1, ...more });
const tick = () => new Promise((done) => setImmediate(done)); // all that is promised
const code = (wanted) => (error) => error instanceof DanmakuError && error.code === wanted;

test('the address: below the path, room, history, token; ws for http', async () => {
  const t = await live({ room: 'a:b', token: 'x y', history: 7 });
  const { url, protocols } = t.made[0];
  assert.equal(url.href, 'ws://h:1/below/ws/a%3Ab?history=7&token=x+y');
  assert.equal(protocols, 'danmaku.v1.json');
  assert.throws(() => new Client({ url: 'ftp://h', room: 'r', WebSocket: Object }), TypeError);
  assert.throws(() => new Client({ url: 'ws://h', room: 'no room', WebSocket: Object }), code('bad_field'));
});

test('join gives the welcome; history comes as comments of the past', async () => {
  const t = start();
  const welcome = t.client.join();
  t.socket.welcome({ online: 5, uid: '~9', history: [c('a'), c('b', { uid: '~9' })] });
  assert.equal((await welcome).uid, '~9');
  assert.equal(t.client.state, 'live');
  assert.deepEqual(t.of('comment').map(([one, about]) => [one.id, about]), [['a', { past: true, own: false }], ['b', { past: true, own: true }]]);
  assert.deepEqual(t.of('online'), [[5]]);
  assert.deepEqual(t.of('gap'), []);
});

test('send: acked, refused with the wait, timed out, cut off, no connection', async () => {
  const t = start();
  await assert.rejects(t.client.send('early'), (e) => code('disconnected')(e) && !e.sent);
  t.client.join();
  t.socket.welcome();
  const good = t.client.send('hello', { color: 255, mode: 'top', size: 'large' });
  const { ref, ...rest } = t.socket.sent.at(-1);
  assert.deepEqual(rest, { type: 'comment', text: 'hello', color: 255, mode: 'top', size: 'large' });
  t.socket.say({ type: 'ack', ref, id: 'x' });
  assert.equal((await good).id, 'x');

  const bad = t.client.send('again');
  t.socket.say({ type: 'error', ref: t.socket.sent.at(-1).ref, code: 'rate_limited', message: 'slow', retry_after_ms: 400 });
  await assert.rejects(bad, (e) => code('rate_limited')(e) && e.retryAfterMs === 400 && e.message === 'slow');

  const late = assert.rejects(t.client.send('late'), (e) => code('timeout')(e) && e.sent);
  t.socket.batch(1);
  for (let i = 0; i < 25; i++) { // the connection itself is fine
    t.clock.pass(1_000);
    t.socket.say({ type: 'pong', ref: 'ping' });
  }
  await late;

  const cut = assert.rejects(t.client.send('cut'), (e) => code('disconnected')(e) && e.sent);
  t.socket.end(1006);
  await cut;
});

test('send is bounded: a socket that does not drain, and answers that do not come', async () => {
  const t = await live();
  t.socket.bufferedAmount = 1e6;
  await assert.rejects(t.client.send('x'), code('busy'));
  t.socket.bufferedAmount = 0;
  const open = Array.from({ length: 64 }, () => assert.rejects(t.client.send('x'), code('closed')));
  await assert.rejects(t.client.send('x'), code('busy'));
  t.client.close();
  await Promise.all(open);
});

test('like and renew; errors that belong to nothing are events', async () => {
  const t = await live();
  assert.equal(t.client.like(3), true);
  assert.deepEqual(t.socket.sent.at(-1), { type: 'like', count: 3 });
  const renewed = t.client.renew('t2');
  t.socket.say({ type: 'ack', ref: t.socket.sent.at(-1).ref });
  await renewed;
  t.socket.say({ type: 'error', code: 'rate_limited', message: 'no', retry_after_ms: 5 });
  assert.equal(t.of('error')[0][0].retryAfterMs, 5);
  t.socket.batch(1, [], { likes: 4, online: 9 });
  assert.deepEqual(t.of('likes'), [[4, 4]]);
  assert.equal(t.client.online, 9);
  t.socket.end(1006);
  assert.equal(t.client.like(), false);
});

test('comes back with since and epoch; what was seen is not told again', async () => {
  const t = await live();
  t.socket.batch(1, [c('a'), c('b')]);
  t.socket.batch(2, [c('c')]);
  t.socket.end(1006);
  t.again();
  assert.equal(t.made.length, 2);
  assert.equal(t.socket.url.searchParams.get('since'), '2');
  assert.equal(t.socket.url.searchParams.get('epoch'), 'e1');
  t.socket.welcome({ seq: 2, resumed: true });
  t.socket.batch(3, [c('d')]);
  assert.deepEqual(t.of('gap'), []);
  // Gone too long: what overlaps with the history comes once.
  t.socket.end(1006);
  t.again();
  t.socket.welcome({ seq: 9, resumed: false, history: [c('c'), c('d'), c('e')] });
  assert.deepEqual(t.of('gap'), [[{ why: 'gone_too_long', from: 4, to: 9 }]]);
  assert.deepEqual(t.ids(), ['a', 'b', 'c', 'd', 'e']);
  // Another run of the server: ids may be those of others.
  t.socket.end(1012);
  t.again();
  t.socket.welcome({ epoch: 'e2', seq: 0, resumed: false, history: [c('a')] });
  assert.deepEqual(t.of('gap').at(-1), [{ why: 'new_epoch' }]);
  assert.deepEqual(t.ids(), ['a', 'b', 'c', 'd', 'e', 'a']);
});

test('cut before the welcome, or between welcome and batches: since stays where it was', async () => {
  const t = await live();
  t.socket.batch(5, [c('a')]);
  t.socket.end(1006);
  t.again();
  t.socket.end(1006); // no welcome
  t.again();
  assert.equal(t.socket.url.searchParams.get('since'), '5');
  t.socket.welcome({ seq: 5, resumed: true });
  t.socket.end(1006); // no batch
  t.again();
  assert.equal(t.socket.url.searchParams.get('since'), '5');
});

test('changed settings are told, by a batch or by what stands for those that were skipped', async () => {
  const t = await live();
  t.socket.say({ type: 'batch', room: 'r', seq: 1, comments: [], settings: { closed: true } });
  assert.deepEqual(t.of('settings'), [[{ closed: true }]]);
  t.socket.batch(2);
  t.socket.say({ type: 'batch', room: 'r', seq: 3, comments: [], settings: null });
  t.socket.say({ type: 'batch', room: 'elsewhere', seq: 3, comments: [], settings: { closed: false } });
  assert.equal(t.of('settings').length, 1);
  t.socket.say({ type: 'skipped', from: 4, to: 6, batches: 3, comments: 30, settings: {} });
  assert.deepEqual(t.of('settings').at(-1), [{}]);
});

test('skipped batches are told, and not asked for again; one that is missing is a gap', async () => {
  const t = await live();
  t.socket.batch(1);
  t.socket.say({ type: 'skipped', from: 2, to: 4, batches: 3, comments: 30 });
  t.socket.batch(5);
  assert.deepEqual(t.of('gap'), [[{ why: 'skipped', from: 2, to: 4 }]]);
  t.socket.batch(8);
  assert.deepEqual(t.of('gap').at(-1), [{ why: 'missing', from: 6, to: 7 }]);
  // A comment of one's own that others do not see, with a seq of before.
  t.socket.batch(8, [c('mine')]);
  t.socket.batch(8, [c('mine')]);
  assert.deepEqual(t.ids(), ['mine']);
});

test('the back-off: grows, waits as asked, and forgets only after a stable time', async () => {
  const t = await live({ random: () => 0.999999 });
  const delay = () => t.of('state').filter(([state]) => state === 'waiting').at(-1)[1].delay;
  for (const ceiling of [600, 1_200, 2_400, 4_800]) {
    t.socket.end(1006);
    assert.ok(delay() > ceiling * 0.99 && delay() <= ceiling, `${delay()} of ${ceiling}`);
    t.clock.pass(delay());
    t.socket.welcome({ resumed: true }); // dies young each time
  }
  t.socket.say({ type: 'goodbye', reason: 'draining', retry_after_ms: 7_777 });
  t.socket.end(1012);
  assert.ok(delay() >= 7_777 && delay() <= 8_377);
  assert.equal(t.of('goodbye').length, 1);
  const tries = t.made.length;
  t.clock.pass(7_776);
  assert.equal(t.made.length, tries);
  t.clock.pass(601);
  t.socket.welcome({ resumed: true });
  for (let i = 0; i < 40; i++) {
    t.clock.pass(1_000);
    t.socket.say({ type: 'pong' });
  }
  t.socket.end(1006);
  assert.ok(delay() <= 600);
});

test('1,000 clients that lose a server come back spread over the ceiling', () => {
  const random = seeded(42);
  const tenths = new Array(10).fill(0);
  for (let i = 0; i < 1_000; i++) {
    const t = start({ random });
    t.client.join();
    for (let n = 0; n < 4; n++) {
      t.socket.end(1006);
      if (n < 3) t.again();
    }
    const [, { delay }] = t.of('state').filter(([state]) => state === 'waiting').at(-1);
    tenths[Math.floor((delay / 4_800) * 10)]++;
    t.client.close();
  }
  for (const n of tenths) assert.ok(n > 60 && n < 140, String(tenths));
});

test('the network is back: sooner, but never before the server asked', async () => {
  const network = new EventTarget();
  const t = await live({ network, random: () => 0.5 });
  for (let i = 0; i < 12; i++) {
    t.socket.end(1006);
    if (i < 11) t.again();
  }
  assert.equal(t.client.state, 'waiting');
  network.dispatchEvent(new Event('online'));
  t.clock.pass(500);
  assert.equal(t.client.state, 'connecting');
  t.socket.end(1012, '{"retry_after_ms":9000}');
  network.dispatchEvent(new Event('online'));
  t.clock.pass(8_999);
  assert.equal(t.client.state, 'waiting');
  t.clock.pass(501);
  assert.equal(t.client.state, 'connecting');
});

test('half-open: a ping that nothing answers ends the connection, a batch is answer enough', async () => {
  const t = await live();
  t.clock.pass(1_500);
  assert.equal(t.socket.sent.at(-1).type, 'ping');
  t.clock.pass(42);
  t.socket.say({ type: 'pong' });
  assert.deepEqual(t.of('rtt'), [[42]]);
  t.clock.pass(15_000);
  t.clock.pass(1);
  t.socket.batch(1);
  t.clock.pass(10_000);
  assert.equal(t.client.state, 'live');
  const old = t.socket;
  t.clock.pass(10_000);
  assert.equal(t.client.state, 'waiting');
  assert.equal(old.closedWith, 1000);
  // A last word of the old socket is nobody's.
  old.batch(2, [c('ghost')]);
  old.end(1006);
  assert.deepEqual(t.ids(), []);
});

test('a socket that never says welcome is given up', () => {
  const t = start();
  t.client.join();
  t.clock.pass(10_000);
  assert.equal(t.client.state, 'waiting');
  t.client.close();
});

test('a ban is final, join tries all the same; a token of a function is asked for each time', async () => {
  const t = start();
  const joined = t.client.join();
  t.socket.end(4003);
  await assert.rejects(joined, code('stopped'));
  assert.equal(t.client.state, 'stopped');
  assert.equal(t.clock.pending, 0);
  const again = t.client.join();
  t.socket.welcome();
  await again;

  let asked = 0;
  const f = start({ token: async () => `t${++asked}` });
  f.client.join();
  await tick();
  assert.equal(f.socket.url.searchParams.get('token'), 't1');
  f.socket.end(4001);
  assert.equal(f.client.state, 'waiting');
  f.again();
  await tick();
  assert.equal(f.made[1].url.searchParams.get('token'), 't2');
});

test('no token to be had counts as a loss; a close meanwhile ends it', async () => {
  let fail;
  const t = start({ token: () => new Promise((_, reject) => { fail = reject; }) });
  t.client.join();
  await tick();
  fail(new Error('the site is down'));
  await tick();
  assert.equal(t.client.state, 'waiting');
  assert.match(t.of('state').at(-1)[1].reason, /the site is down/);
  t.clock.pass(10_000);
  const open = t.client.join().catch((e) => e.code);
  t.client.close();
  fail(new Error('late'));
  assert.equal(await open, 'closed');
  assert.equal(t.made.length, 0);
  assert.equal(t.clock.pending, 0);
});

test('switch: over the same connection, refused, superseded, never answered, while away', async () => {
  const t = await live();
  t.socket.batch(1, [c('a')]);
  const moved = t.client.switch('s');
  await assert.rejects(t.client.send('where?'), code('switching'));
  t.socket.batch(2, [c('last of the old room')]);
  t.socket.welcome({ room: 's', seq: 7 });
  assert.equal((await moved).again, false);
  assert.equal(t.made.length, 1);
  assert.equal(t.client.room, 's');
  assert.equal(t.ids().length, 2);

  const refused = t.client.switch('x');
  t.socket.say({ type: 'error', ref: t.socket.sent.at(-1).ref, code: 'forbidden', message: 'no' });
  await assert.rejects(refused, code('forbidden'));
  assert.equal(t.client.room, 's');

  const first = assert.rejects(t.client.switch('one'), code('superseded'));
  const second = t.client.switch('two');
  t.socket.welcome({ room: 'one' });
  t.socket.welcome({ room: 'two' });
  await first;
  assert.equal((await second).room, 'two');

  const slow = t.client.switch('three');
  t.clock.pass(4_000);
  assert.equal(t.made.length, 2);
  assert.equal(t.socket.url.pathname, '/below/ws/three');
  assert.equal(t.socket.url.searchParams.get('since'), null);
  t.socket.welcome({ room: 'three' });
  await slow;

  const cut = t.client.switch('four');
  t.socket.end(1006);
  t.again();
  assert.equal(t.socket.url.pathname, '/below/ws/four');
  t.socket.welcome({ room: 'four' });
  await cut;
});

test('hidden: everything is received, nothing drawn, what waits is bounded; then the fresh is drawn', async () => {
  const t = await live({ render: { limit: 20 } });
  t.page.show(false);
  for (let i = 1; i <= 500; i++) t.socket.batch(i, [c(`m${i}`), ...(i === 100 ? [c('gift', { kind: 'gift' }), c('mine', { uid: '~1' })] : [])]);
  assert.equal(t.of('comment').length, 502);
  assert.equal(t.of('render').length, 0);
  assert.equal(t.client.queued, 20);
  assert.equal(t.client.dropped, 482);
  t.page.show(true);
  const [[drawn, { dropped }]] = t.of('render');
  assert.deepEqual(drawn.map(({ id }) => id), ['gift', 'mine', ...Array.from({ length: 18 }, (_, i) => `m${483 + i}`)]);
  assert.equal(dropped, 482);
  // Gone for long: chat that waited is not live any more.
  t.page.show(false);
  t.socket.batch(501, [c('old')]);
  t.clock.pass(2_001);
  t.page.show(true);
  assert.equal(t.of('render').length, 1);
});

test('maxRate: drawn at the rate, retracts and a cleared room reach what waits', async () => {
  const t = await live({ render: { maxRate: 4, maxAge: Infinity } });
  t.socket.batch(1, Array.from({ length: 10 }, (_, i) => c(`m${i}`)));
  const drawn = () => t.of('render').flatMap(([comments]) => comments.map(({ id }) => id));
  assert.deepEqual(drawn(), ['m0']);
  t.socket.batch(2, [{ id: 'm1', ts: 1, kind: 'retract' }]);
  assert.deepEqual(t.ids('retract'), ['m1']);
  t.clock.pass(500);
  assert.deepEqual(drawn(), ['m0', 'm2', 'm3']);
  t.socket.batch(3, [{ id: '*', ts: 1, kind: 'retract' }]);
  assert.equal(t.client.queued, 0);
  t.client.maxRate = 0;
  t.socket.batch(4, [c('x'), c('y')]);
  assert.deepEqual(drawn().slice(-2), ['x', 'y']);
});

test('frames that are none of ours change nothing', async () => {
  const t = await live();
  const before = t.told.length;
  for (const text of ['', '{', 'null', '7', '"x"', '[]', '{"type":"newer"}', '{"type":"ack"}', '{"type":"batch","room":"other","seq":1}']) t.socket.say(text);
  t.socket.say({ type: 'batch', room: 'r', seq: 'x', comments: [null, 5, 'a'] });
  assert.deepEqual(t.told.slice(before).map(([name]) => name), ['batch']);
  assert.equal(t.client.state, 'live');
});

test('after close no timer, listener, promise or word is left, whatever the state', async () => {
  const states = {
    idle: () => start(),
    connecting: () => { const t = start(); t.open = t.client.join(); return t; },
    live: () => live(),
    waiting: async () => { const t = await live(); t.socket.end(1006); return t; },
    switching: async () => { const t = await live(); t.open = t.client.switch('s'); return t; },
    sending: async () => { const t = await live(); t.open = t.client.send('x'); return t; },
    drawing: async () => {
      const t = await live({ render: { maxRate: 1, maxAge: Infinity } });
      t.socket.batch(1, [c('a'), c('b')]);
      return t;
    },
  };
  for (const [name, make] of Object.entries(states)) {
    const t = await make();
    t.client.close();
    assert.equal(t.clock.pending, 0, name);
    assert.equal(t.page.listeners, 0, name);
    if (t.open) await assert.rejects(t.open, code('closed'), name);
    const said = t.told.length;
    t.socket?.welcome();
    t.socket?.end(1006);
    t.clock.pass(1e6);
    t.client.close();
    assert.equal(t.told.length, said, name);
    assert.equal(t.client.state, 'closed');
    await assert.rejects(t.client.join(), code('closed'));
    await assert.rejects(t.client.send('x'), code('closed'));
    await assert.rejects(t.client.switch('x'), code('closed'));
  }
});

test('a listener may close in the middle of a batch', async () => {
  const t = await live();
  t.client.on('comment', () => t.client.close());
  t.socket.batch(1, [c('a'), c('b')]);
  assert.deepEqual(t.ids(), ['a']);
  assert.equal(t.clock.pending, 0);
});

test('connect joins by itself; a socket that cannot be made is a loss', () => {
  const clock = new FakeClock();
  const states = [];
  class Refusing {
    constructor() {
      throw new Error('not from this page');
    }
  }
  const client = connect({ url: 'ws://h', room: 'r', WebSocket: Refusing, clock });
  client.on('state', (state, { reason }) => states.push([state, reason]));
  assert.equal(client.state, 'waiting');
  clock.pass(60_000);
  assert.deepEqual(states[1], ['waiting', 'not from this page']);
  client.close();
  assert.equal(clock.pending, 0);
});

test('an error after which no close comes is a loss too, once', async () => {
  const t = start();
  t.client.join();
  t.socket.dispatchEvent(new Event('error'));
  t.clock.pass(100);
  assert.equal(t.client.state, 'waiting');
  t.socket.end(1006);
  assert.equal(t.of('state').filter(([state]) => state === 'waiting').length, 1);
  t.again();
  t.socket.dispatchEvent(new Event('error'));
  t.socket.end(1011);
  assert.equal(t.of('state').at(-1)[1].code, 1011);
  t.client.close();
  assert.equal(t.clock.pending, 0);
});

test('own: by every name of this run of the server, and no longer', async () => {
  const t = await live();
  t.socket.end(1006);
  t.again();
  t.socket.welcome({ uid: '~5', resumed: true });
  t.socket.batch(1, [c('a', { uid: '~1' }), c('b', { uid: '~5' }), c('x', { uid: '~3' })]);
  t.socket.end(1012);
  t.again();
  t.socket.welcome({ uid: '~1', epoch: 'e2', resumed: false });
  t.socket.batch(1, [c('a', { uid: '~5' }), c('b', { uid: '~1' })]);
  assert.deepEqual(t.of('comment').map(([, { own }]) => own), [true, true, false, false, true]);
});

test('a seq of before does not take since back', async () => {
  const t = await live();
  for (const seq of [1, 2, 3, 2]) t.socket.batch(seq);
  t.socket.end(1006);
  t.again();
  assert.equal(t.socket.url.searchParams.get('since'), '3');
  assert.deepEqual(t.of('gap'), []);
});
