// Comments on their way to the screen: at most so many a second, at most so many
// waiting, none of them stale. Plain chat is what gives way, the oldest first, and
// every comment that does is counted. One's own, gifts, superchats and whatever else
// is not chat are never left out: when even they are too many, the oldest of them are
// handed over at once instead of at the rate.

const burst = 0.25; // seconds of the rate that may come together

export class RenderQueue {
  /** Comments left out since the beginning. */
  dropped = 0;

  #limit;
  #rate;
  #maxAge;
  #chat = []; // {comment, at}
  #special = [];
  #tokens;
  #filledAt = null;

  /**
   * limit: comments that may wait. maxRate: comments a second, 0 for no limit.
   * maxAge: ms after which waiting chat is no longer live.
   */
  constructor({ limit = 200, maxRate = 0, maxAge = 2_000 } = {}) {
    this.#limit = Math.max(1, limit);
    this.#maxAge = maxAge;
    this.maxRate = maxRate;
    this.#tokens = this.#most;
  }

  get size() {
    return this.#chat.length + this.#special.length;
  }

  get maxRate() {
    return this.#rate;
  }

  set maxRate(rate) {
    this.#rate = rate > 0 ? rate : 0;
    this.#tokens = Math.min(this.#tokens ?? 0, this.#most);
  }

  get #most() {
    return Math.max(1, this.#rate * burst);
  }

  /**
   * Adds a comment; now in ms. keep: it may not be left out. Returns the comments
   * of those for which there is no place: they are to be shown at once.
   */
  push(comment, now, keep = !isChat(comment)) {
    (keep ? this.#special : this.#chat).push({ comment, at: now });
    while (this.size > this.#limit && this.#chat.length > 0) this.#drop();
    const over = this.#special.length - this.#limit;
    return over > 0 ? this.#special.splice(0, over).map(({ comment }) => comment) : [];
  }

  /** The comments that may be shown now, those that are not chat first. */
  take(now) {
    while (this.#chat.length > 0 && now - this.#chat[0].at > this.#maxAge) this.#drop();
    let places = this.#places(now);
    const taken = [];
    for (const lane of [this.#special, this.#chat]) {
      const part = lane.splice(0, Math.min(places, lane.length));
      places -= part.length;
      for (const { comment } of part) taken.push(comment);
    }
    if (this.#rate > 0) this.#tokens -= taken.length;
    return taken;
  }

  /** In how many ms the next comment may be shown; Infinity when none waits. */
  wait(now) {
    if (this.size === 0) return Infinity;
    if (this.#places(now) > 0) return 0;
    return Math.ceil(((1 - this.#tokens) / this.#rate) * 1_000);
  }

  /** Takes away the comment of that id; "*" is all of them. */
  retract(id) {
    const stays = ({ comment }) => id !== '*' && comment.id !== id;
    this.#chat = this.#chat.filter(stays);
    this.#special = this.#special.filter(stays);
  }

  #drop() {
    this.#chat.shift();
    this.dropped++;
  }

  #places(now) {
    if (this.#rate === 0) return Infinity;
    const passed = Math.max(0, now - (this.#filledAt ?? now));
    this.#filledAt = now;
    this.#tokens = Math.min(this.#most, this.#tokens + (passed / 1_000) * this.#rate);
    // A sum of fractions may fall short of a whole by almost nothing.
    return Math.floor(this.#tokens + 1e-9);
  }
}

export const isChat = (comment) => (comment.kind ?? 'chat') === 'chat';
