// The lanes as arithmetic: thousands of random flights, and no two may touch
// at any time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './page-source.mjs';

const { Lanes, GAP, STAND } = await load('lanes.js');

// A small generator, so that a failure repeats.
function seeded(seed) {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}

const left = (f, t) => f.from + ((f.to - f.from) * (t - f.at)) / (f.until - f.at);

/** The least distance of two flights of one row while both are in the air. */
function clearance(a, b) {
  const from = Math.max(a.at, b.at);
  const to = Math.min(a.gone, b.gone);
  if (from >= to) return Infinity;
  // Both move evenly: the least is at one end.
  return Math.min(
    ...[from, to].map((t) => Math.max(left(a, t) - left(b, t) - b.width, left(b, t) - left(a, t) - a.width)),
  );
}

function shareRow(a, b) {
  return a.row < b.row + b.span && b.row < a.row + a.span;
}

/** Random comments for a while; gives all flights that found a place. */
function fly({ seed, width, rows, ms, mean, modes, resize = 0, shared = false }) {
  const random = seeded(seed);
  const lanes = new Lanes(random);
  lanes.reset(width, rows, shared);
  const flights = [];
  let w = width;
  let n = rows;
  let refused = 0;
  for (let now = 0; now < ms; now += random() * mean * 2) {
    if (resize && random() < resize) {
      const before = w;
      if (random() < 0.5) w = Math.round(width * (0.6 + random()));
      n = Math.max(1, rows - Math.floor(random() * 12));
      lanes.resize(w, n);
      for (const f of flights) {
        if (f.row + f.span > n || (w !== before && f.mode !== 'scroll')) f.gone = Math.min(f.gone, now);
      }
    }
    const mode = modes[Math.floor(random() * modes.length)];
    const comment = {
      mode,
      width: 20 + Math.floor(random() ** 3 * w * (mode === 'scroll' ? 2.5 : 0.9)),
      span: lanes.span(mode, random() < 0.2 ? 2 : 1),
    };
    const place = lanes.place(comment, now, 6_000);
    if (!place) {
      refused++;
      continue;
    }
    // gone: when it leaves, which a change of width brings forward for some.
    flights.push({ ...comment, ...place, gone: place.until });
  }
  return { flights, refused };
}

function assertApart(flights, rows) {
  let pairs = 0;
  for (let i = 0; i < flights.length; i++) {
    const a = flights[i];
    assert.ok(a.row >= 0 && a.row + a.span <= rows, `row ${a.row}+${a.span} of ${rows}`);
    for (let j = i + 1; j < flights.length && flights[j].at < a.gone; j++) {
      const b = flights[j];
      if (!shareRow(a, b)) continue;
      pairs++;
      const apart = clearance(a, b);
      assert.ok(apart >= GAP - 1e-6, `${apart} px between ${JSON.stringify(a)} and ${JSON.stringify(b)}`);
    }
  }
  return pairs;
}

const all = ['scroll', 'scroll', 'scroll', 'scroll', 'reverse', 'top', 'bottom'];

for (const rows of [1, 3, 4, 5, 9, 10, 14, 20]) {
  test(`${rows} rows: no two comments ever touch`, () => {
    let pairs = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const { flights } = fly({ seed, width: 900, rows, ms: 60_000, mean: 40, modes: all });
      assert.ok(flights.length > 5, `only ${flights.length} flew`);
      pairs += assertApart(flights, rows);
    }
    // Below five rows a row is shared and pairs are few, but there are some.
    assert.ok(pairs > 0, 'no two comments were in one row at one time: nothing was tested');
  });
}

test('a stage that changes its size keeps them apart', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { flights } = fly({ seed, width: 900, rows: 14, ms: 60_000, mean: 40, modes: all, resize: 0.01 });
    assert.ok(assertApart(flights, 14) > 100);
  }
});

test('a stage without motion: all stand, spread over all rows', () => {
  const { flights } = fly({ seed: 3, width: 900, rows: 12, ms: 30_000, mean: 60, modes: ['top', 'bottom'], shared: true });
  assertApart(flights, 12);
  assert.equal(new Set(flights.map((f) => f.row)).size, 12);
});

test('one who wants to stand never waits longer than one who stands', () => {
  const random = seeded(9);
  const lanes = new Lanes(random);
  lanes.reset(900, 14);
  // A stage packed with scrolling ones, lent rows included.
  for (let now = 0; now < 20_000; now += 5) lanes.place({ mode: 'scroll', width: 150, span: 1 }, now, 6_000);
  for (const mode of ['top', 'bottom', 'reverse']) {
    assert.ok(lanes.place({ mode, width: 150, span: 1 }, 20_000, 6_000), mode);
  }
  assert.equal(lanes.place({ mode: 'top', width: 150, span: 1 }, 20_001, 6_000), null);
  assert.ok(lanes.place({ mode: 'top', width: 150, span: 1 }, 20_000 + STAND, 6_000));
});

test('long ones get their share of a full stage', () => {
  const { flights, refused } = fly({ seed: 5, width: 900, rows: 14, ms: 120_000, mean: 4, modes: ['scroll'] });
  assert.ok(refused > flights.length * 5, 'the stage was not full');
  const long = flights.filter((f) => f.width > 700).length / flights.length;
  const offered = 1 - (680 / (900 * 2.5)) ** (1 / 3); // of random() ** 3
  assert.ok(long > offered * 0.5, `${(long * 100).toFixed(1)} % long ones flew of ${(offered * 100).toFixed(1)} % offered`);
});

test('a stage of no rows takes nobody', () => {
  const lanes = new Lanes();
  lanes.reset(300, 0);
  for (const mode of ['scroll', 'reverse', 'top', 'bottom']) {
    assert.equal(lanes.place({ mode, width: 10, span: 1 }, 0, 5_000), null);
  }
});
