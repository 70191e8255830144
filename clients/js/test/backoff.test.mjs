// When a client tries again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, defaults } from '../backoff.js';
import { seeded } from './fakes.mjs';

const most = () => 0.999999;
const fresh = (random = most) => new Backoff({}, random);

test('the ceiling doubles up to the cap', () => {
  const b = fresh();
  for (let i = 0; i < 12; i++) {
    const { delay } = b.lost({ now: 0 });
    const ceiling = Math.min(defaults.cap, defaults.base * 2 ** i);
    assert.ok(delay <= ceiling && delay > ceiling * 0.99, `try ${i}: ${delay} of ${ceiling}`);
  }
});

test('the jitter is full: waits are spread evenly from nothing to the ceiling', () => {
  const random = seeded(7);
  for (const tries of [0, 1, 3, 9]) {
    const tenths = new Array(10).fill(0);
    const ceiling = Math.min(defaults.cap, defaults.base * 2 ** tries);
    for (let i = 0; i < 10_000; i++) {
      const b = fresh(random);
      for (let n = 0; n < tries; n++) b.lost({ now: 0 });
      tenths[Math.floor((b.lost({ now: 0 }).delay / ceiling) * 10)]++;
    }
    for (const n of tenths) assert.ok(n > 850 && n < 1_150, `after ${tries} tries: ${tenths}`);
  }
});

test('a connection that dies young does not reset it, a stable one does', () => {
  const b = fresh();
  for (let i = 0; i < 5; i++) b.lost({ now: 0 });
  b.opened(1_000);
  assert.ok(b.lost({ now: 1_000 + defaults.stable - 1 }).delay > defaults.base * 2 ** 4);
  b.opened(100_000);
  assert.ok(b.lost({ now: 100_000 + defaults.stable }).delay <= defaults.base);
});

test('what the server asked for is a least wait', () => {
  for (const lost of [
    { retryAfter: 1_730 },
    { code: 1012, reason: '{"retry_after_ms":1730}' },
    { code: 1012, retryAfter: 1_730, reason: 'restart' },
  ]) {
    for (const random of [() => 0, most]) {
      const { delay, least } = fresh(random).lost({ now: 0, ...lost });
      assert.ok(delay >= 1_730 && delay <= 1_730 + defaults.base, `${JSON.stringify(lost)}: ${delay}`);
      assert.equal(least, 1_730);
    }
  }
});

test('too busy and misbehaved wait longer than a plain loss', () => {
  const zero = () => 0;
  assert.equal(fresh(zero).lost({ now: 0, code: 1006 }).delay, 0);
  assert.equal(fresh(zero).lost({ now: 0, code: 1012 }).delay, 0);
  assert.ok(fresh(zero).lost({ now: 0, code: 1013 }).delay >= 2_000);
  assert.ok(fresh(zero).lost({ now: 0, code: 1008 }).delay >= 10_000);
});

test('a refused token and a ban are not tried again, unless there can be a new token', () => {
  for (const code of [4001, 4003]) assert.notEqual(fresh().lost({ now: 0, code }).final, '');
  assert.equal(fresh().lost({ now: 0, code: 4001, renewable: true }).final, '');
  assert.notEqual(fresh().lost({ now: 0, code: 4003, renewable: true }).final, '');
  for (const code of [1000, 1001, 1006, 1008, 1011, 1012, 1013]) {
    assert.equal(fresh().lost({ now: 0, code }).final, '');
  }
});

test('a close reason that is no JSON of ours is no reason to fail', () => {
  for (const reason of ['{', '{"retry_after_ms":"soon"}', '{"retry_after_ms":-5}', '{"a":null}', 'bye']) {
    const { delay } = fresh().lost({ now: 0, reason });
    assert.ok(delay <= defaults.base, reason);
  }
});
