// What the numbers around the stage read as: there is little space for them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './page-source.mjs';

const { span } = await load('meters.js');

test('a round trip of any length fits', () => {
  const reads = { 0: '0.0 ms', 0.04: '0.0 ms', 9.94: '9.9 ms', 9.96: '10 ms', 87.4: '87 ms', 999.4: '999 ms', 999.6: '1.0 s', 1308: '1.3 s', 9949: '9.9 s', 9950: '10 s', 59_700: '60 s' };
  for (const [ms, want] of Object.entries(reads)) assert.equal(span(Number(ms)), want);
});
