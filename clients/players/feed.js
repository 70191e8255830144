// What all adapters share: what a comment looks like, and the way from a client of
// danmakud to a player. Nothing here knows a player.

const shown = new Set(['chat', 'system', 'announcement', 'gift', 'superchat']);
const modes = new Set(['scroll', 'reverse', 'top', 'bottom']);
const scales = new Map([['small', 0.75], ['large', 1.4]]);

/**
 * What to draw of a comment, each field within what a player knows; null for a kind
 * that is not to be shown. text is plain: a player that makes HTML of it needs it
 * escaped. badge is a CSS colour behind texts that are paid for or the site's own.
 */
export function lookOf(comment) {
  const kind = comment.kind ?? 'chat';
  if (!shown.has(kind)) return null;
  const text = wordsOf(comment, kind);
  if (!text) return null;
  const notice = kind === 'system' || kind === 'announcement';
  const rgb = Number.isInteger(comment.color) ? comment.color & 0xffffff : 0xffffff;
  return {
    id: String(comment.id),
    text,
    rgb,
    color: `#${rgb.toString(16).padStart(6, '0')}`,
    mode: notice ? 'top' : modes.has(comment.mode) ? comment.mode : 'scroll',
    scale: scales.get(comment.size) ?? 1,
    badge: kind === 'superchat' ? '#b8860b' : kind === 'gift' ? '#8e4585' : notice ? '#2b5d8a' : '',
  };
}

/** One line: who paid and for what, and how many said it. */
function wordsOf(comment, kind) {
  const times = comment.count > 1 ? ` ×${Number(comment.count)}` : '';
  const gift = kind === 'gift' ? `${comment.gift ?? 'a gift'} ×${Number(comment.num) || 1} ` : '';
  const text = (gift + String(comment.text ?? '')).replace(/\s+/gu, ' ').trim();
  const paid = kind === 'gift' || kind === 'superchat';
  return (paid && comment.name ? `${comment.name}: ${text}` : text) + (text ? times : '');
}

/**
 * Draws what the client says is to be drawn, at its rate, and takes back what was
 * retracted. Returns the way to end that.
 */
export function feed(client, { draw, remove, clear }) {
  const ends = [
    client.on('render', (comments) => {
      for (const comment of comments) {
        const look = lookOf(comment);
        if (look) draw(look, comment);
      }
    }),
    client.on('retract', (id) => (id === '*' ? clear() : remove(id))),
    client.on('welcome', ({ again }) => again || clear()), // another room
  ];
  return () => ends.forEach((end) => end());
}

/** A Map of the last so many entries: what flew away long ago needs no name. */
export class Latest extends Map {
  #limit;

  constructor(limit = 1_000) {
    super();
    this.#limit = limit;
  }

  set(key, value) {
    this.delete(key);
    super.set(key, value);
    if (this.size > this.#limit) this.delete(this.keys().next().value);
    return this;
  }
}
