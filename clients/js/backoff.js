// When to try again after a lost connection.
//
// Full jitter: the wait is drawn evenly from nothing up to a ceiling that
// doubles with each failure. Thousands of viewers who lost the same server thus
// come back spread out, not in waves. A connection that opens and dies at once
// does not reset the ceiling; only one that stayed up for `stable` does.

export const defaults = Object.freeze({ base: 600, cap: 60_000, stable: 30_000 });

/** Closes after which trying again by itself would be rude or useless. */
const finalCodes = new Map([
  [4001, 'the token was refused'],
  [4003, 'this viewer is banned'],
]);

export class Backoff {
  #options;
  #random;
  #failures = 0;
  #openedAt = null;

  /** random gives [0, 1); tests pass their own. */
  constructor(options = {}, random = Math.random) {
    this.#options = { ...defaults, ...options };
    this.#random = random;
  }

  get failures() {
    return this.#failures;
  }

  /** The connection is up: `welcome` was read. now in ms, any steady clock. */
  opened(now) {
    this.#openedAt = now;
  }

  /** Forget the past: the person asked for a connection. */
  reset() {
    this.#failures = 0;
    this.#openedAt = null;
  }

  /**
   * The connection is gone, or was never made. Says how long to wait.
   * retryAfter: what goodbye asked for, in ms. renewable: a refused token can be
   * replaced, so it is no end.
   * least is the part of delay that may not be cut short; final is the reason
   * when no further try is to be made, else empty.
   */
  lost({ now, code = 1006, reason = '', retryAfter = 0, renewable = false }) {
    const { base, cap, stable } = this.#options;
    if (this.#openedAt !== null && now - this.#openedAt >= stable) this.#failures = 0;
    this.#openedAt = null;
    const final = renewable && code === 4001 ? '' : (finalCodes.get(code) ?? '');
    if (final) return { delay: 0, least: 0, final };

    const asked = Math.min(Math.max(retryAfter, retryAfterOf(reason)), 10 * cap);
    const ceiling = Math.min(cap, base * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    // What the server asked for is a least wait. Its own spread comes first,
    // and a little of ours on top costs nobody anything.
    if (asked > 0) return { delay: asked + this.#random() * base, least: asked, final };
    const least = floorOf(code);
    return { delay: least + this.#random() * ceiling, least, final };
  }
}

/** A close that says "too many, later" is not answered within the second. */
function floorOf(code) {
  if (code === 1013) return 2_000;
  if (code === 1008) return 10_000;
  return 0;
}

/** The close reason may be short JSON with retry_after_ms. */
function retryAfterOf(reason) {
  if (!reason.startsWith('{')) return 0;
  try {
    const ms = JSON.parse(reason).retry_after_ms;
    return Number.isFinite(ms) && ms > 0 ? ms : 0;
  } catch {
    return 0;
  }
}
