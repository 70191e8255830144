// The client against the real server, over a way that is cut in every manner.
//
//	speaker ────────────> server ──> proxy ──> watcher
//
// The clock of both clients runs ten times as fast as that of the world, so that
// the waits of the back-off are what they are and the test is short.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from '../../../.ci/browser/server.mjs';
import { Client } from '../client.js';
import { seeded } from './fakes.mjs';
import { Proxy } from './proxy.mjs';

const binary = process.env.DANMAKUD;
const skip = !binary && 'DANMAKUD does not name the server to test against';
const speed = 10;
const clock = {
  now: () => performance.now() * speed,
  setTimeout: (f, ms) => setTimeout(f, ms / speed),
  clearTimeout: (timer) => clearTimeout(timer),
};
const backoff = { base: 600, cap: 2_000, stable: 30_000 };
const patience = 60_000; // ms of the world; only against a hang

let server;
let proxy;
let speaker;
let watcher;
const heard = []; // texts, as told by comment
const said = []; // texts, as acked
const gaps = [];
const waits = []; // what each back-off was
let lives = 0;
let resumes = 0;
let cuts = 0; // manners in which the way was cut

before(async () => {
  if (skip) return;
  server = new Server(binary);
  await server.start('--comment-rate', '0', '--duplicate-window', '0s', '--drain-time', '1s', '--history', '50');
  proxy = new Proxy(Number(new URL(server.base).port));
  const url = `ws://127.0.0.1:${await proxy.start()}`;
  // A busy machine must not make it seem that somebody does not answer.
  const calm = { welcomeWithin: 200_000, answerWithin: 200_000, pongWithin: 200_000 };
  speaker = new Client({ url: server.base, room: 'storm', clock, backoff, ...calm });
  watcher = new Client({ url, room: 'storm', clock, backoff, random: seeded(3), ...calm, welcomeWithin: 20_000, pingEvery: 5_000, pongWithin: 15_000 });
  watcher.on('comment', ({ text }) => heard.push(text));
  watcher.on('gap', (gap) => gaps.push(gap));
  watcher.on('welcome', ({ resumed }) => {
    lives++;
    if (resumed) resumes++;
  });
  watcher.on('state', (state, detail) => state === 'waiting' && waits.push({ ...detail, asked: asked(detail.reason) }));
  watcher.on('goodbye', (goodbye) => { waits.goodbye = goodbye; });
  await Promise.all([speaker.join(), watcher.join()]);
});

after(async () => {
  speaker?.close();
  watcher?.close();
  proxy?.stop();
  await server?.stop('SIGKILL');
});

const asked = (reason) => reason?.startsWith('{');

async function until(what, true_) {
  const end = performance.now() + patience;
  while (!true_()) {
    if (performance.now() > end) throw new Error(`not in time: ${what}; ${watcher.state}, ${heard.length} of ${said.length} heard, the last ${heard.at(-1)}\n${server.log}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

async function say(n) {
  for (let i = 0; i < n; i++) {
    const text = `number ${said.length}`;
    await speaker.send(text);
    said.push(text);
  }
}

const caughtUp = () => until('all is heard', () => new Set(heard).size >= said.length && heard.includes(said.at(-1)));

/** Speaks before, during and after what cut does, and looks at what arrived. */
async function disconnected(cut, { during = 3 } = {}) {
  await say(2);
  await caughtUp();
  const was = lives;
  const resumed = resumes;
  cuts++;
  await cut();
  await say(during);
  await until('the watcher is back', () => lives > was && watcher.state === 'live');
  await say(2);
  await caughtUp();
  assert.ok(resumes > resumed, 'it did not resume');
  assert.deepEqual(gaps, []);
  whole();
}

/** Nothing lost, nothing twice, in the order it was said. */
const whole = () => assert.deepEqual(heard, said);

const isBatch = (bytes) => bytes.includes('"type":"batch"');
const before2 = (bytes) => bytes.subarray(0, bytes.length >> 1);

/** The connection under way is reset, and the next ones go like this. */
const then = (...plans) => () => {
  proxy.plans.push(...plans);
  proxy.last.reset();
};

const unavailable = { open: (link) => { link.client.once('data', () => link.answer('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n')); return false; } };

const kinds = {
  'close 1000': () => proxy.last.close(1000),
  'close 1001': () => proxy.last.close(1001),
  'close 1006: the stream ends without a close frame': () => proxy.last.finish(),
  'close 1008, kicked': () => proxy.last.close(1008, 'kicked'),
  'close 1011': () => proxy.last.close(1011),
  'close 1012': () => proxy.last.close(1012, 'restart'),
  'close 1012 that says when to come back': () => proxy.last.close(1012, '{"retry_after_ms":1730}'),
  'close 1013': () => proxy.last.close(1013),
  'close 4000, unknown': () => proxy.last.close(4000),
  'reset': () => proxy.last.reset(),
  'half-open: nothing comes through any more, and nobody says so': () => proxy.last.vanish(),
  'broken frame: an opcode that does not exist': () => {
    proxy.last.client.write(Buffer.from([0x8b, 0]));
    proxy.last.finish();
  },
  'refused with 503, three times': then(unavailable, unavailable, unavailable),
  'reset as soon as it is accepted, twice': then({ open: (link) => { link.reset(); return false; } }, { open: (link) => { link.reset(); return false; } }),
  'accepted, and not a word after that': then({ open: () => false }),
  'reset instead of the answer to the handshake': then({ head: (link) => { link.reset(); return false; } }),
  'cut between handshake and welcome': then({ frame: (link) => { link.finish(); return false; } }),
  'cut within the welcome': then({ frame: (link, bytes) => { link.client.write(before2(bytes)); link.finish(); return false; } }),
  'cut behind the welcome, before what was missed': then({ frame: (link, bytes, n) => (n === 1 ? true : (link.reset(), false)) }),
  'cut behind the first batch of what was missed': then({ frame: (link, bytes, n) => (n <= 2 ? true : (link.finish(), false)) }),
};

for (const [name, cut] of Object.entries(kinds)) {
  test(name, { skip }, () => disconnected(cut));
}

test('cut within a batch', { skip }, () => disconnected(async () => {
  const link = proxy.last;
  link.plan = { frame: (l, bytes) => (isBatch(bytes) ? (l.client.write(before2(bytes)), l.finish(), false) : true) };
  await say(1);
}));

test('away for more than the history holds: the ring has it', { skip }, () => disconnected(then(unavailable), { during: 120 }));

test('cut while a comment goes out: it is told so, and the comment did not happen', { skip }, () => disconnected(async () => {
  proxy.last.plan = { up: (link) => { link.reset(); return false; } };
  await assert.rejects(watcher.send('never'), { code: 'disconnected', sent: true });
}));

test('cut before the ack: it is told so, and the comment is heard once', { skip }, () => disconnected(async () => {
  const question = 'did it arrive?';
  let arrived;
  const seen = new Promise((done) => { arrived = done; });
  const off = speaker.on('comment', ({ text }) => text === question && arrived());
  proxy.last.plan = { frame: (link) => { link.reset(); return false; } };
  await assert.rejects(watcher.send(question), { code: 'disconnected', sent: true });
  await seen;
  said.push(question);
  off();
}));

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`the server ends by ${signal} and comes back`, { skip }, async () => {
    await say(2);
    await caughtUp();
    const was = lives;
    cuts++;
    await server.stop(signal);
    await until('the watcher noticed', () => watcher.state !== 'live');
    if (signal === 'SIGTERM') {
      assert.equal(waits.goodbye?.reason, 'draining');
      assert.ok(waits.at(-1).delay >= waits.goodbye.retry_after_ms || waits.length > 1);
    }
    await server.start('--comment-rate', '0', '--duplicate-window', '0s', '--drain-time', '1s', '--history', '50');
    await speaker.join();
    await say(5); // the watcher has these from the history, or live
    await until('the watcher is back', () => lives > was && watcher.state === 'live');
    await say(2);
    await caughtUp();
    assert.deepEqual(gaps.splice(0).map(({ why }) => why), ['new_epoch']);
    whole();
  });
}

test('gone too long: it is told, and what the history repeats comes once', { skip }, async () => {
  await server.stop('SIGKILL');
  await server.start('--comment-rate', '0', '--duplicate-window', '0s', '--history', '10', '--resume-age', '0s');
  await Promise.all([speaker.join(), watcher.join()]);
  gaps.length = 0;
  await say(8);
  await caughtUp();
  const was = lives;
  cuts++;
  proxy.plans.push(unavailable, unavailable);
  for (const link of proxy.links) link.reset(); // an attempt that join() gave up may be among them
  await say(4);
  await until('the watcher is back', () => lives > was && watcher.state === 'live');
  await caughtUp();
  assert.deepEqual(gaps.map(({ why }) => why), ['gone_too_long']);
  whole();
});

test('all was heard, once; the attempts were spread', { skip }, (t) => {
  whole();
  assert.ok(cuts >= 24, `${cuts} manners`);
  assert.ok(waits.length >= 30, `${waits.length} waits`);
  const quarters = [0, 0, 0, 0];
  for (const { delay, code, asked: byServer, failures } of waits) {
    if (byServer || code === 1012) continue; // the server's own spread
    const least = { 1008: 10_000, 1013: 2_000 }[code] ?? 0;
    const share = (delay - least) / Math.min(backoff.cap, backoff.base * 2 ** (failures - 1));
    assert.ok(share >= 0 && share < 1, `${delay} ms after ${code}, failure ${failures}`);
    quarters[Math.floor(share * 4)]++;
  }
  for (const n of quarters) assert.ok(n >= 3, String(quarters));
  t.diagnostic(`${cuts} manners of cuts, ${lives} connections, ${resumes} resumed; ${said.length} comments, ${heard.length} heard, ` +
    `${new Set(heard).size} of them different; ${waits.length} waits, by quarters of their ceilings ${quarters.join(' ')}`);
});

test('nothing keeps the process after close', { skip }, async () => {
  speaker.close();
  watcher.close();
  assert.equal(watcher.state, 'closed');
});
