// What the adapters make of comments, without a browser: players and client are
// stand-ins that keep what they were told. The players themselves: make players.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attach as attachArtplayer } from '../artplayer.js';
import { attach as attachDanmaku } from '../danmaku.js';
import { attach as attachDPlayer, backend, escapeHTML } from '../dplayer.js';
import { feed, Latest, lookOf } from '../feed.js';
import { attach as attachXgplayer } from '../xgplayer.js';

class Client {
  uid = '~1';
  listeners = new Map();
  sent = [];
  answers = [];

  on(name, f) {
    this.listeners.set(name, f);
    return () => this.listeners.delete(name);
  }

  tell(name, ...args) {
    this.listeners.get(name)?.(...args);
  }

  send(text, look) {
    this.sent.push({ text, ...look });
    return this.answers.shift() ?? Promise.resolve({ id: 'x' });
  }
}

class Element {
  style = {};
  textContent = '';
  replaceChildren() { this.textContent = ''; }
}
globalThis.document = { createElement: () => new Element() };

test('a comment: defaults, and nothing that a player does not know', () => {
  assert.deepEqual(lookOf({ id: 'a', text: '666' }), { id: 'a', text: '666', rgb: 0xffffff, color: '#ffffff', mode: 'scroll', scale: 1, badge: '' });
  const odd = lookOf({ id: 1, text: ' a\n b ', color: 'red', mode: 'x', size: 'y', count: 3 });
  assert.deepEqual([odd.id, odd.text, odd.color, odd.mode, odd.scale], ['1', 'a b ×3', '#ffffff', 'scroll', 1]);
  assert.equal(lookOf({ id: 'a', text: 'a', color: 0x10000ff }).color, '#0000ff');
});

test('kinds: gifts and superchats in words, notices at the top, data and the unknown not at all', () => {
  assert.equal(lookOf({ id: 'a', kind: 'gift', name: '小明', gift: '火箭', num: 2, text: '冲' }).text, '小明: 火箭 ×2 冲');
  assert.equal(lookOf({ id: 'a', kind: 'gift' }).text, 'a gift ×1');
  assert.equal(lookOf({ id: 'a', kind: 'superchat', name: 'n', text: 't' }).text, 'n: t');
  assert.equal(lookOf({ id: 'a', kind: 'announcement', text: 't', mode: 'bottom' }).mode, 'top');
  for (const kind of ['data', 'retract', 'poll']) assert.equal(lookOf({ id: 'a', kind, text: 't' }), null);
  assert.equal(lookOf({ id: 'a' }), null);
});

test('feed: draws, takes back, clears for another room, and ends', () => {
  const client = new Client();
  const told = [];
  const end = feed(client, { draw: ({ text }) => told.push(text), remove: (id) => told.push(`-${id}`), clear: () => told.push('*') });
  client.tell('render', [{ id: '1', text: 'a' }, { id: '2', kind: 'data', text: 'b' }]);
  client.tell('retract', '1');
  client.tell('retract', '*');
  client.tell('welcome', { again: true });
  client.tell('welcome', { again: false });
  assert.deepEqual(told, ['a', '-1', '*', '*']);
  end();
  assert.equal(client.listeners.size, 0);
});

test('the latest are bounded', () => {
  const latest = new Latest(2);
  for (const key of ['a', 'b', 'a', 'c']) latest.set(key, key);
  assert.deepEqual([...latest.keys()], ['a', 'c']);
});

test('Danmaku: what it keeps is bounded however long the stream is, and stays in step', () => {
  const client = new Client();
  const danmaku = { engine: 'dom', comments: [], _: { position: 0 }, emit(c) { this.comments.push(c); } };
  attachDanmaku(danmaku, client);
  let most = 0;
  for (let i = 0; i < 5_000; i++) {
    client.tell('render', [{ id: `${i}`, text: `${i}` }]);
    most = Math.max(most, danmaku.comments.length);
    danmaku._.position = Math.max(danmaku._.position, danmaku.comments.length - 3); // three are to be shown yet
    assert.ok(danmaku._.position <= danmaku.comments.length);
  }
  assert.ok(most <= 1_000, `${most} kept`);
  const last = danmaku.comments.at(-1).render();
  assert.equal(last.textContent, '4999');
  client.tell('retract', '4999');
  assert.equal(last.style.visibility, 'hidden');
});

test('players that would repeat or keep everything are refused', () => {
  assert.throws(() => attachDanmaku({ engine: 'canvas' }, new Client()), TypeError);
  assert.throws(() => attachDanmaku({ engine: 'dom', media: {} }, new Client()), TypeError);
  assert.throws(() => attachXgplayer({ live: false }, new Client()), TypeError);
});

test('danmu.js: only while it plays', () => {
  const client = new Client();
  const danmu = { live: true, status: 'paused', sent: [], sendComment(c) { this.sent.push(c); } };
  attachXgplayer(danmu, client);
  client.tell('render', [{ id: '1', text: 'a' }]);
  danmu.status = 'playing';
  client.tell('render', [{ id: '2', text: 'b', mode: 'reverse' }]);
  assert.deepEqual(danmu.sent.map(({ id, txt, mode }) => [id, txt, mode]), [['2', 'b', 'scroll']]);
});

function artplayer() {
  const listeners = new Map();
  const yes = () => true;
  const plugin = { option: { fontSize: 24, filter: yes, beforeEmit: yes, beforeVisible: yes }, isHide: false, given: [], loads: 0, most: 0 };
  plugin.emit = (danmu) => {
    if (!plugin.option.filter(danmu)) return;
    plugin.given.push(danmu);
    plugin.most = Math.max(plugin.most, plugin.given.length);
  };
  plugin.load = () => {
    plugin.given = [];
    plugin.loads++;
  };
  return {
    plugin,
    plugins: { artplayerPluginDanmuku: plugin },
    playing: true,
    currentTime: 10,
    notice: {},
    template: { $player: { clientHeight: 400 } },
    on: (name, f) => listeners.set(name, f),
    off: (name) => listeners.delete(name),
    tell: (name, ...args) => listeners.get(name)?.(...args),
    listeners,
  };
}

test('ArtPlayer: what the plugin keeps is bounded, whether something flies or not', () => {
  for (const flies of [false, true]) {
    const [client, art] = [new Client(), artplayer()];
    attachArtplayer(art, client);
    for (let i = 0; i < 10_000; i++) {
      client.tell('render', [{ id: `${i}`, text: `${i}` }]);
      const danmu = art.plugin.given.at(-1);
      assert.equal(art.plugin.option.beforeVisible(danmu), true);
      art.tell('artplayerPluginDanmuku:visible', { ...danmu, $ref: flies ? new Element() : null });
      // After a seek or in a loop its time comes again.
      assert.equal(art.plugin.option.beforeVisible(danmu), false);
    }
    assert.equal(art.plugin.most, flies ? 4_000 : 2_000);
  }
});

test('ArtPlayer: what it missed is given again, what is taken back or late is not', () => {
  const [client, art] = [new Client(), artplayer()];
  const end = attachArtplayer(art, client);
  client.tell('render', [{ id: '1', text: 'a' }, { id: '2', text: 'b' }]);
  art.tell('video:timeupdate');
  assert.equal(art.plugin.given.length, 2); // their time comes yet
  client.tell('retract', '2');
  art.currentTime = 11; // a frame took so long
  art.tell('video:timeupdate');
  assert.deepEqual(art.plugin.given.map(({ id, time }) => [id, time]), [['1', 10.3], ['2', 10.3], ['1', 11.3]]);
  assert.equal(art.plugin.option.beforeVisible({ id: '2' }), false);
  art.currentTime = 0.1; // the film begins again
  art.tell('video:timeupdate');
  assert.equal(art.plugin.given.at(-1).time, 0.4);
  art.plugin.option.beforeVisible({ id: '1' });
  art.currentTime = 5;
  art.tell('video:timeupdate');
  assert.equal(art.plugin.given.length, 4); // the plugin has seen it
  art.playing = false;
  client.tell('render', [{ id: '3', text: 'c' }]);
  assert.equal(art.plugin.given.length, 4);
  end();
  assert.equal(art.listeners.size + client.listeners.size, 0);
  assert.equal(art.plugin.option.beforeVisible({ id: '2' }), true);
});

test('ArtPlayer: its box sends; what is refused stays in it', async () => {
  const [client, art] = [new Client(), artplayer()];
  attachArtplayer(art, client);
  const danmu = { text: 'mine', color: '#00FF00', mode: 2 };
  assert.equal(await art.plugin.option.beforeEmit(danmu), true);
  assert.deepEqual(client.sent, [{ text: 'mine', color: 0xff00, mode: 'bottom' }]);
  art.plugin.emit(danmu); // the plugin would show it now; it comes back by itself
  assert.deepEqual(art.plugin.given, []);
  client.answers.push(Promise.reject(new Error('muted')));
  assert.equal(await art.plugin.option.beforeEmit({ ...danmu }), false);
  assert.equal(art.notice.show, 'muted');
});

function dplayer() {
  const layer = { children: [], get childElementCount() { return this.children.length; }, get lastElementChild() { return this.children.at(-1); } };
  return { danmaku: { container: layer, draw(c) { layer.children.push(Object.assign(new Element(), c)); } }, layer };
}

test('DPlayer: all that becomes HTML is escaped; black is not white', () => {
  const client = new Client();
  const player = dplayer();
  attachDPlayer(player, client);
  client.tell('render', [{ id: '1', text: `<b a='"'>&amp;\`/`, color: 0, mode: 'top' }]);
  const [drawn] = player.layer.children;
  assert.equal(drawn.text, '&lt;b a=&#x27;&quot;&#x27;&gt;&amp;amp;&#x60;&#x2f;');
  assert.deepEqual([drawn.color, drawn.type], [1, 1]);
  client.tell('retract', '1');
  assert.equal(drawn.style.visibility, 'hidden');
});

test('DPlayer: what its box sent comes once; refused and held it may come later', async () => {
  const client = new Client();
  const player = dplayer();
  const { send } = backend(client);
  attachDPlayer(player, client);
  const ask = (text) => new Promise((success, error) => {
    send({ data: { text, color: 255, type: 2 }, success, error: (why) => error(new Error(why)) });
  });
  await ask(' <i>  mine ');
  assert.deepEqual(client.sent, [{ text: '<i> mine', color: 255, mode: 'bottom' }]);
  const echo = [{ id: '1', uid: '~1', text: '<i>  mine' }];
  client.tell('render', echo);
  assert.equal(player.layer.childElementCount, 0);
  client.tell('render', echo);
  assert.equal(player.layer.childElementCount, 1);
  client.answers.push(Promise.reject(new Error('muted')));
  await assert.rejects(ask('no'), /muted/);
  client.answers.push(Promise.resolve({}));
  await ask('held');
  client.tell('render', [{ id: '2', uid: '~1', text: 'no' }, { id: '3', uid: '~1', text: 'held' }]);
  assert.equal(player.layer.childElementCount, 3);
});

test('DPlayer: what it keeps of its box is escaped before it is drawn again', async () => {
  const data = { text: '<img>', color: 1, type: 0 };
  backend(new Client()).send({ data, success() {}, error() {} });
  assert.equal(data.text, '<img>'); // DPlayer escapes this itself, at once
  await Promise.resolve();
  assert.equal(data.text, '&lt;img&gt;');
});

test('DPlayer: replay is read, sealed whoever answers, and its faults are told', async () => {
  const read = (answer) => new Promise((done) => {
    const fetch = async () => ({ ok: answer !== null, status: 403, json: async () => answer });
    backend(new Client(), { replay: true, fetch }).read({ url: 'x', success: done, error: (why) => done({ why }) });
  });
  const text = '&lt;b&gt; <img src=x onerror=y>';
  assert.deepEqual(await read({ code: 0, data: [[1.5, 1, 255, 'n', text]] }), [
    { time: 1.5, type: 1, color: 255, author: 'n', text: '&lt;b&gt; &lt;img src=x onerror=y&gt;' },
  ]);
  assert.deepEqual(await read({ code: 1, msg: 'busy' }), { why: 'busy' });
  assert.deepEqual(await read({ code: 1 }), { why: 'code 1' });
  assert.deepEqual(await read(null), { why: 'no comments of before: 403' }); // a ban, or no token
  backend(new Client()).read({ success: (list) => assert.deepEqual(list, []) });
  assert.equal(escapeHTML('a'), 'a');
});
