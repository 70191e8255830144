// Adapter for DPlayer: live comments, its comment box, and what was said before
// from danmakud's replay API.
//
//	const player = new DPlayer({
//	  container, video: { url },
//	  danmaku: { id: 'ROOM&from=1795550400000', api: 'https://live.example/dplayer/' },
//	  apiBackend: backend(client, { replay: true }),
//	});
//	const end = attach(player, client);
//
// DPlayer makes HTML of comments, so all that goes into it is escaped here.

import { feed, Latest } from './feed.js';

const types = { scroll: 0, reverse: 0, top: 1, bottom: 2 };
const words = ['scroll', 'top', 'bottom'];
const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;', '/': '&#x2f;', '`': '&#x60;' };

/** Text that stays text when it becomes HTML. */
export const escapeHTML = (text) => String(text).replace(/[&<>"'/`]/g, (c) => entities[c]);

// The same for what came escaped: entities stay, nothing else can be markup.
const sealed = (html) => String(html).replace(/[<>"'`]/g, (c) => entities[c]);

const sent = new WeakMap(); // client -> texts of its box that have not come back

/**
 * For DPlayer's option apiBackend: its comment box sends over the client. With
 * replay the comments of before are read from its option danmaku.api, else there
 * are none.
 */
export function backend(client, { replay = false, fetch = globalThis.fetch } = {}) {
  const waiting = [];
  sent.set(client, waiting);
  return {
    read({ url, success, error }) {
      if (!replay) return success([]);
      fetch(url)
        .then((answer) => {
          if (!answer.ok) throw new Error(`no comments of before: ${answer.status}`);
          return answer.json();
        })
        .then(({ code, data, msg }) => {
          if (code !== 0) throw new Error(msg ?? `code ${code}`);
          return data.map(([time, type, color, author, text]) => ({ time, type, color, author: sealed(author), text: sealed(text) }));
        })
        .then(success, (reason) => error(reason.message));
    },
    send({ data, success, error }) {
      const { color } = data;
      const text = data.text.replace(/\s+/gu, ' ').trim(); // as it will come back
      waiting.push(text);
      if (waiting.length > 20) waiting.shift();
      client.send(text, { color, mode: words[data.type] }).then(
        ({ id }) => {
          if (id === undefined) take(waiting, text); // a moderator looks at it first
          success();
        },
        (reason) => {
          take(waiting, text);
          error(reason.message);
        },
      );
      // DPlayer draws this object escaped now, and as it is after a seek.
      queueMicrotask(() => {
        data.text = escapeHTML(data.text);
      });
    },
  };
}

/** Draws the client's comments. Returns the way to end that. */
export function attach(player, client) {
  const danmaku = player.danmaku;
  if (!danmaku) throw new TypeError('this needs a DPlayer with the option danmaku');
  const flying = new Latest();
  return feed(client, {
    draw(look, comment) {
      // What its own box sent is there already.
      if (comment.uid === client.uid && take(sent.get(client) ?? [], look.text)) return;
      const layer = danmaku.container;
      const before = layer.childElementCount;
      danmaku.draw({
        text: escapeHTML(look.text),
        color: look.rgb || 1, // 0 would be white
        type: types[look.mode],
        border: look.badge && `2px solid ${look.badge}`,
      });
      // Without a free lane, or switched off, it drew nothing.
      if (layer.childElementCount > before) flying.set(look.id, layer.lastElementChild);
    },
    remove(id) {
      // It must stay until its flight is over, or its lane would never be free again.
      const element = flying.get(id);
      if (element) element.style.visibility = 'hidden';
      element?.replaceChildren();
      flying.delete(id);
    },
    clear() {
      for (const element of flying.values()) {
        element.style.visibility = 'hidden';
        element.replaceChildren();
      }
      flying.clear();
    },
  });
}

function take(list, text) {
  const at = list.indexOf(text);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}
