// Who may fly where. Pure arithmetic: no DOM, no clock of its own.
//
// The stage is cut into rows of one height. Rows belong to bands, so that a
// comment that stands still never has to wait for the scrolling ones:
//
//	 row 0      top      comments that stand, filled from the edge inwards
//	 row 1      top*     * lent to scrolling while nobody wants it
//	 rows 2…    scroll   right to left
//	 row n-3    reverse  left to right
//	 row n-2    bottom*
//	 row n-1    bottom
//
// A row remembers only the last comment that entered it. That is enough: who
// keeps clear of the last keeps clear of those before it, because the last
// did. Movement is uniform, so the distance between two comments is linear in
// time and is least at one of two moments: when the newcomer enters, and when
// the one before it has left. Both are checked, with times and positions
// fixed in advance. The renderer starts each flight at exactly the time that
// was used here, so a late frame cannot make two comments touch.

/** Least distance between two comments of one row, px. */
export const GAP = 28;
/** How long a comment at top or bottom stands, ms. */
export const STAND = 4_200;
/**
 * A newcomer may fly slower than it would like, down to this share, to fit.
 * Long comments would otherwise starve on a full stage: they are faster, so
 * only short ones could ever follow short ones.
 */
const SLOWEST = 0.58;
/** A lent row goes back for this long after one who stands found no place, ms. */
const RECALL = 12_000;
/** Longer comments fly faster, up to this multiple of an empty one's speed. */
const FASTEST = 1.6;

const free = () => ({ kind: 'free', until: 0, u0: 0, v: 0, w: 0, at: 0, edge: 0 });

export class Lanes {
  #rows = [];
  #width = 0;
  #shared = false;
  #bands = bandsOf(0);
  #wanted = { top: -Infinity, bottom: -Infinity };
  #random;

  constructor(random = Math.random) {
    this.#random = random;
  }

  get count() {
    return this.#rows.length;
  }

  /**
   * A new grid of `count` rows: everything in flight has been taken away.
   * shared: one band for all, for a stage on which nothing moves.
   */
  reset(width, count, shared = false) {
    this.#width = width;
    this.#rows = Array.from({ length: count }, free);
    this.#shared = shared;
    this.#bands = bandsOf(count, shared);
  }

  /**
   * The stage became wider, narrower, higher or lower; its rows are as high as
   * before. Rows that are still there keep who flies in them, so nothing has to
   * vanish. Two kinds the caller must take away: those in rows that are gone,
   * and, when the width changed, all that do not scroll (they entered at the
   * other edge, or stand in the middle); their rows are free at once.
   */
  resize(width, count) {
    const keep = (row) => row && (width === this.#width || row.kind === 'scroll');
    this.#rows = Array.from({ length: count }, (_, r) => (keep(this.#rows[r]) ? this.#rows[r] : free()));
    this.#width = width;
    this.#bands = bandsOf(count, this.#shared);
  }

  /** Rows that a comment of `span` rows really gets in the band of `mode`. */
  span(mode, span) {
    return span <= 1 || this.#bands[mode].some((r) => this.#bands[mode].includes(r + 1)) ? span : 1;
  }

  /**
   * Finds a place for a comment that enters now, or null.
   * @param {{mode: 'scroll'|'reverse'|'top'|'bottom', width: number, span: number}} comment
   *   width in px, without GAP; span in rows, as given by span().
   * @param {number} now ms
   * @param {number} cross ms that an infinitely short comment takes over the stage
   * @returns {null | {row: number, at: number, until: number, from: number, to: number}}
   *   from and to are left edges in px at the times at and until.
   */
  place({ mode, width, span }, now, cross) {
    const flight = this.#flight(mode, width, now, cross);
    for (const first of this.#candidates(mode, now)) {
      const v = this.#fit(flight, first, span, now);
      if (v === null) continue;
      return this.#take(flight, first, span, now, v);
    }
    if (mode in this.#wanted) this.#wanted[mode] = now;
    return null;
  }

  // In the coordinate u a comment enters at u0 with its head, and u falls.
  // Scrolling: u is the left edge. Reverse: u is the right edge, negated.
  #flight(mode, w, now, cross) {
    const W = this.#width;
    const slow = W / cross;
    const v = Math.min(slow * FASTEST, (W + w) / cross);
    if (mode === 'scroll') return { kind: mode, w, v, u0: W, edge: 0 };
    if (mode === 'reverse') return { kind: mode, w, v, u0: 0, edge: -W };
    return { kind: mode, w, v: 0, u0: 0, edge: 0 };
  }

  #candidates(mode, now) {
    const own = this.#bands[mode];
    if (mode === 'top' || mode === 'bottom') return own;
    const mixed = shuffled(own, this.#random);
    return mode === 'scroll' ? mixed.concat(this.#lent(now)) : mixed;
  }

  // Rows that scrolling may borrow just now.
  #lent(now) {
    const { top, bottom } = this.#bands.lent;
    const rows = [];
    if (top !== undefined && now - this.#wanted.top > RECALL) rows.push(top);
    if (bottom !== undefined && now - this.#wanted.bottom > RECALL) rows.push(bottom);
    return rows;
  }

  // The speed at which the flight fits into span rows from first, or null.
  #fit(flight, first, span, now) {
    let v = flight.v;
    for (let r = first; r < first + span; r++) {
      if (r >= this.#rows.length || !this.#allowed(flight.kind, r, now)) return null;
      const row = this.#rows[r];
      if (row.until <= now) continue; // nobody there any more
      if (row.kind !== flight.kind || flight.v === 0) return null;
      const tail = row.u0 - row.v * (now - row.at) + row.w;
      if (tail + GAP > flight.u0) return null; // has not come in whole yet
      const most = (flight.u0 - row.edge - GAP) / (row.until - now);
      v = Math.min(v, Math.max(most, row.v)); // never faster behind a slower one
    }
    return v >= flight.v * SLOWEST ? v : null;
  }

  #allowed(kind, r, now) {
    return this.#bands[kind].includes(r) || (kind === 'scroll' && this.#lent(now).includes(r));
  }

  #take(flight, first, span, now, v) {
    const { kind, w, u0, edge } = flight;
    const until = v === 0 ? now + STAND : now + (u0 + w - edge) / v;
    for (let r = first; r < first + span; r++) {
      this.#rows[r] = { kind, until, u0, v, w, at: now, edge };
    }
    const W = this.#width;
    const middle = (W - w) / 2;
    const [from, to] =
      kind === 'scroll' ? [W, -w] : kind === 'reverse' ? [-w, W] : [middle, middle];
    return { row: first, at: now, until, from, to };
  }
}

function bandsOf(n, shared = false) {
  const range = (a, b) => Array.from({ length: Math.max(0, b - a) }, (_, i) => a + i);
  if (n < 5 || shared) {
    // Too low for bands: everyone shares, and a row changes hands when empty.
    const all = range(0, n);
    return { top: all, bottom: all.toReversed(), reverse: all, scroll: all, lent: {} };
  }
  const edge = n >= 10 ? 2 : 1;
  const reverse = n >= 15 ? 2 : 1;
  return {
    top: range(0, edge),
    bottom: range(n - edge, n).toReversed(),
    reverse: range(n - edge - reverse, n - edge),
    scroll: range(edge, n - edge - reverse),
    lent: edge === 2 ? { top: 1, bottom: n - 2 } : {},
  };
}

function shuffled(list, random) {
  const out = list.slice();
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
