// Adapter for ArtPlayer with artplayer-plugin-danmuku.
//
//	const art = new Artplayer({ container, url, plugins: [artplayerPluginDanmuku({ danmuku: [] })] });
//	const end = attach(art, client);

import { feed, Latest } from './feed.js';

const keep = 2_000; // comments after which the plugin is emptied when nothing flies; at twice as many in any case
const lateAfter = 5; // seconds, then a comment that the plugin missed is no longer live
const modes = { scroll: 0, reverse: 0, top: 1, bottom: 2 };
const words = ['scroll', 'top', 'bottom'];

/**
 * Draws the client's comments, and sends what is typed into the plugin's box.
 * Returns the way to end that.
 */
export function attach(art, client) {
  const plugin = art.plugins.artplayerPluginDanmuku;
  if (!plugin) throw new TypeError('this needs artplayer-plugin-danmuku among the plugins');
  const { option } = plugin; // its config() does not notice that a function changed
  const before = { filter: option.filter, beforeEmit: option.beforeEmit, beforeVisible: option.beforeVisible };
  const flying = new Latest();
  const over = new Latest(4 * keep); // shown or retracted: the plugin would show it again after a seek or a loop
  const waiting = new Latest(); // id -> what was given, until the plugin has looked at it
  const typed = new WeakSet();
  let given = 0;

  // What was typed is shown when it comes back from the server, like everybody else's.
  option.filter = (danmu) => !typed.has(danmu) && before.filter(danmu);
  option.beforeVisible = (danmu) => {
    waiting.delete(danmu.id);
    return !over.has(danmu.id) && before.beforeVisible(danmu);
  };
  option.beforeEmit = async (danmu) => {
    if (!(await before.beforeEmit(danmu))) return false;
    try {
      await client.send(danmu.text, { color: Number.parseInt(danmu.color.slice(1), 16), mode: words[danmu.mode] });
    } catch (error) {
      art.notice.show = error.message;
      return false;
    }
    typed.add(danmu);
    return true;
  };
  const visible = (danmu) => {
    if (danmu.id === undefined) return;
    over.set(danmu.id, true);
    flying.set(danmu.id, danmu);
  };
  art.on('artplayerPluginDanmuku:visible', visible);
  // The plugin shows a comment within 0.1 s of its time in the film, or never: it
  // misses it when a frame takes long, when one seeks, and at the end of a loop.
  const missed = () => {
    for (const [id, { danmu, time, at }] of waiting) {
      if (art.currentTime > time - 0.8 && art.currentTime < time + 0.2) continue;
      waiting.delete(id);
      if (!over.has(id) && performance.now() - at < lateAfter * 1_000) give(danmu, at);
    }
  };
  art.on('video:timeupdate', missed);

  const end = feed(client, {
    draw(look) {
      // While the layer is off or the player stands still, what comes is not kept for later: it is live.
      if (plugin.isHide || !art.playing) return;
      if (given >= 2 * keep || (given >= keep && !inFlight(flying))) empty();
      given++;
      const style = {};
      if (look.scale !== 1) style.fontSize = `${Math.round(mediumSize(art, plugin.option) * look.scale)}px`;
      if (look.badge) Object.assign(style, { backgroundColor: look.badge, borderRadius: '0.4em', padding: '0 0.4em' });
      give({ id: look.id, text: look.text, mode: modes[look.mode], color: look.color, style }, performance.now());
    },
    remove(id) {
      over.set(id, true); // if it waits yet
      hide(flying.get(id));
      flying.delete(id);
    },
    clear: empty,
  });

  function give(danmu, at) {
    const time = art.currentTime + 0.3;
    waiting.set(danmu.id, { danmu, time, at });
    plugin.emit({ ...danmu, time });
  }

  function empty() {
    given = 0;
    waiting.clear();
    flying.clear();
    plugin.load(); // the plugin's own way to forget what it was given
  }

  return () => {
    end();
    art.off('artplayerPluginDanmuku:visible', visible);
    art.off('video:timeupdate', missed);
    Object.assign(plugin.option, before);
  };
}

const inFlight = (flying) => [...flying.values()].some((danmu) => danmu.$ref);

// Its time is over: the plugin takes the element back with the next frame. Until
// then, and while it stands still, nothing is to be seen.
function hide(danmu) {
  if (!danmu?.$ref) return;
  danmu.$restTime = 0;
  danmu.$ref.textContent = '';
}

function mediumSize(art, { fontSize }) {
  if (typeof fontSize === 'number') return fontSize;
  return (art.template.$player.clientHeight * Number.parseFloat(fontSize)) / 100;
}
