// Adapter for danmu.js, alone or as the plugin of xgplayer, in live mode.
//
//	const player = new Player({ el, url, plugins: [Danmu], danmu: { isLive: true } });
//	player.once('ready', () => attach(player.danmu, client));

import { feed } from './feed.js';

const modes = { scroll: 'scroll', reverse: 'scroll', top: 'top', bottom: 'bottom' };

/**
 * Draws the client's comments. danmu: a DanmuJs, which xgplayer has as
 * player.danmu. Returns the way to end that. duration: ms of a flight.
 */
export function attach(danmu, client, { fontSize = 24, duration = 8_000 } = {}) {
  if (!danmu.live) {
    // It would keep all comments for ever, and show them again when one seeks.
    throw new TypeError('this needs live mode: isLive of the plugin, live of danmu.js');
  }
  return feed(client, {
    draw(look) {
      if (danmu.status !== 'playing') return; // it would be kept, and is no longer live then
      const style = { color: look.color, fontSize: `${Math.round(fontSize * look.scale)}px`, fontWeight: 'bold', textShadow: '0 0 2px #000, 0 1px 2px #000' };
      if (look.badge) Object.assign(style, { background: look.badge, borderRadius: '0.4em', padding: '0 0.4em' });
      danmu.sendComment({ id: look.id, txt: look.text, mode: modes[look.mode], duration, style, realTime: true });
    },
    remove: (id) => danmu.removeComment(id),
    clear: () => danmu.clear(),
  });
}
