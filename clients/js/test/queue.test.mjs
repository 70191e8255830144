// What is drawn when more comes than can be read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RenderQueue } from '../queue.js';
import { Seen } from '../seen.js';

const chat = (id) => ({ id: String(id), text: 'x' });
const special = (id, kind) => ({ id: String(id), kind });
const ids = (comments) => comments.map(({ id }) => id);

test('without a rate everything comes at once, in order', () => {
  const q = new RenderQueue();
  for (let i = 0; i < 100; i++) q.push(chat(i), 0);
  assert.deepEqual(ids(q.take(0)), Array.from({ length: 100 }, (_, i) => String(i)));
  assert.equal(q.wait(0), Infinity);
});

test('the rate holds over any length of time, with a short burst', () => {
  const q = new RenderQueue({ maxRate: 40, limit: 1_000, maxAge: Infinity });
  let shown = 0;
  for (let now = 0; now < 10_000; now += 10) {
    q.push(chat(now), now);
    shown += q.take(now).length;
    assert.ok(shown <= 10 + (now / 1_000) * 40 + 1e-6, `${shown} after ${now} ms`);
  }
  assert.ok(shown >= 400, `${shown} in 10 s`);
  assert.equal(shown + q.size + q.dropped, 1_000);
});

test('wait says when the next may come', () => {
  const q = new RenderQueue({ maxRate: 2 });
  q.push(chat(1), 0);
  q.push(chat(2), 0);
  assert.deepEqual(ids(q.take(0)), ['1']);
  const wait = q.wait(0);
  assert.equal(wait, 500);
  assert.deepEqual(q.take(wait - 1), []);
  assert.deepEqual(ids(q.take(wait)), ['2']);
});

test('the oldest chat gives way and is counted; what is not chat never does', () => {
  const q = new RenderQueue({ limit: 10, maxRate: 1 });
  const over = [];
  for (const kind of ['gift', 'superchat', 'system', 'announcement']) over.push(...q.push(special(kind, kind), 0));
  for (let i = 0; i < 50; i++) over.push(...q.push(chat(i), 0));
  assert.equal(q.size, 10);
  assert.equal(q.dropped, 44);
  for (let i = 0; i < 20; i++) over.push(...q.push(special(`g${i}`, 'gift'), 0));
  assert.equal(q.size, 10);
  assert.equal(q.dropped, 50); // every chat
  const all = [...over];
  for (let now = 0; q.size > 0; now += 1_000) all.push(...q.take(now));
  assert.equal(all.length, 24);
  assert.equal(new Set(ids(all)).size, 24);
});

test('chat that waited too long is not live any more', () => {
  const q = new RenderQueue({ maxAge: 2_000 });
  q.push(chat(1), 0);
  q.push(special(2, 'gift'), 0);
  q.push(chat(3), 1_500);
  assert.deepEqual(ids(q.take(3_000)), ['2', '3']);
  assert.equal(q.dropped, 1);
});

test('a retract and a clear reach what waits', () => {
  const q = new RenderQueue();
  for (const comment of [chat(1), special(2, 'gift'), chat(3)]) q.push(comment, 0);
  q.retract('1');
  q.retract('none');
  assert.equal(q.size, 2);
  q.retract('*');
  assert.equal(q.size, 0);
  assert.equal(q.dropped, 0);
});

test('ids are remembered, a bounded number of them', () => {
  const seen = new Seen(100);
  for (let i = 0; i < 1_000; i++) assert.equal(seen.first(i), true);
  for (let i = 900; i < 1_000; i++) assert.equal(seen.first(i), false);
  assert.equal(seen.first(0), true);
  assert.equal(seen.first(undefined), true);
  assert.equal(seen.first(undefined), true);
});
