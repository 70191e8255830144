// Adapter for npm "danmaku" (weizhenye/Danmaku), in live mode with its DOM engine.
//
//	const danmaku = new Danmaku({ container });
//	const end = attach(danmaku, client);

import { feed, Latest } from './feed.js';

const keep = 500; // comments that the library may hold
const modes = { scroll: 'rtl', reverse: 'ltr', top: 'top', bottom: 'bottom' };

/** Draws the client's comments. Returns the way to end that. fontSize: px of a medium comment. */
export function attach(danmaku, client, { fontSize = 24 } = {}) {
  if (danmaku.engine !== 'dom' || danmaku.media) {
    // A canvas could not take a comment back, and with a media element each comment is shown again when one seeks.
    throw new TypeError('this needs a Danmaku without media and with the DOM engine');
  }
  const flying = new Latest();
  return feed(client, {
    draw(look) {
      const element = document.createElement('div');
      element.textContent = look.text;
      element.className = 'danmakud-comment';
      Object.assign(element.style, {
        color: look.color,
        font: `bold ${Math.round(fontSize * look.scale)}px/1.4 sans-serif`,
        textShadow: '0 0 2px #000, 0 1px 2px #000',
        ...(look.badge && { background: look.badge, borderRadius: '0.4em', padding: '0 0.4em' }),
      });
      flying.set(look.id, element);
      danmaku.emit({ mode: modes[look.mode], render: () => element });
      trim(danmaku);
    },
    remove(id) {
      // The library keeps the place; it goes with the flight.
      flying.get(id)?.replaceChildren();
      if (flying.has(id)) flying.get(id).style.visibility = 'hidden';
      flying.delete(id);
    },
    clear() {
      for (const element of flying.values()) element.style.visibility = 'hidden';
      flying.clear();
      danmaku.clear();
    },
  });
}

// In live mode the library keeps every comment it was ever given; a stream that
// lasts a day would fill the memory.
function trim(danmaku) {
  const over = danmaku.comments.length - keep;
  if (over < keep) return;
  danmaku.comments.splice(0, over);
  if (danmaku._) danmaku._.position = Math.max(0, danmaku._.position - over);
}
