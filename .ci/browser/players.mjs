// Opens the pages of clients/players in headless Chromium against a real danmakud:
// what another viewer says must fly over the film of every player, as the text it
// is, and go when it is taken back.
//
//	node players.mjs BINARY
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { serve } from '../../clients/players/example/serve.mjs';
import { checkQuiet, count, desktop, end, guard, launch, newPage, out, picture, step } from './harness.mjs';
import { payloads } from './payloads.mjs';
import { Server } from './server.mjs';

const binary = process.argv[2];
if (!binary) {
  console.error('usage: node players.mjs BINARY');
  process.exit(2);
}

// Where each player keeps its comments.
const players = {
  danmaku: { items: '#layer .danmakud-comment', reverse: 'right', sizes: true },
  artplayer: { items: '.art-danmuku > div', reverse: 'left', sizes: true },
  xgplayer: { items: '.xgplayer-danmu > *', reverse: 'left', sizes: false },
  dplayer: { items: '.dplayer-danmaku-item', reverse: 'left', sizes: false },
};
const server = new Server(binary);
const archive = mkdtempSync(path.join(tmpdir(), 'danmakud-archive-'));
const site = await serve();
const room = 'film';
const dialogs = [];

const address = (page, more = '') => `${site.origin}/${page}.html?server=${server.base}&room=${room}${more}`;

async function open(browser, who, page, more) {
  const opened = await newPage(browser, who, desktop, () => [site.origin, server.base]);
  opened.on('dialog', (dialog) => {
    dialogs.push(`${who}: ${dialog.message()}`);
    dialog.dismiss();
  });
  await opened.goto(address(page, more));
  await opened.waitForSelector('body[data-state="live"]', { timeout: guard });
  // More than the metadata: frames of the film were decoded and it moves on.
  await opened.waitForFunction(() => {
    const film = document.querySelector('video');
    return film && film.videoWidth > 0 && film.currentTime > 0.3 && film.getVideoPlaybackQuality().totalVideoFrames > 2;
  });
  return opened;
}

/** Another viewer: its own connection, in a page that shows nothing. */
async function openSpeaker(browser) {
  const page = await newPage(browser, 'speaker', desktop, () => server.base);
  await page.goto(`${server.base}/?room=nobody-here`);
  await page.evaluate((room) => new Promise((ready, failed) => {
    window.heard = [];
    window.speaker = new WebSocket(`ws://${location.host}/ws/${room}?history=0`);
    window.speaker.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'welcome') ready();
      for (const { text } of message.comments ?? []) window.heard.push(text);
    };
    window.speaker.onclose = failed;
  }), room);
  return (comment) => page.evaluate((c) => window.speaker.send(JSON.stringify({ type: 'comment', ...c })), comment).then(() => page);
}

async function control(method, path, body) {
  const answer = await fetch(`${server.control}${path}`, { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : {};
}

/** Keeps what was ever to be seen in the player, and what elements it made of it. */
const record = (page, items) => page.evaluate((selector) => {
  window.texts = new Map(); // text -> how often an element came to have it
  window.foreign = new Set();
  const own = new Set(['DIV', 'SPAN', 'XG-DANMU']);
  const now = new Map();
  (function look() {
    for (const item of document.querySelectorAll(selector)) {
      const style = getComputedStyle(item);
      // Elements that are kept to be used again are hidden, or transparent.
      const text = style.visibility === 'hidden' || style.opacity === '0' ? '' : item.textContent;
      if (text && now.get(item) !== text) window.texts.set(text, (window.texts.get(text) ?? 0) + 1);
      now.set(item, text);
      for (const inside of item.querySelectorAll('*')) if (!own.has(inside.tagName)) window.foreign.add(inside.outerHTML);
    }
    for (const item of now.keys()) if (!item.isConnected) now.delete(item);
    requestAnimationFrame(look);
  })();
}, items);

const wasSeen = (page, text) => page.waitForFunction((t) => window.texts.has(t), text);

/** Where the comment is now and 15 frames later, and where the film is. */
async function watch(page, items, text) {
  await wasSeen(page, text);
  return page.evaluate(async ({ items, text }) => {
    const box = (element) => {
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x, y, width, height };
    };
    const element = [...document.querySelectorAll(items)].find((e) => e.textContent === text);
    if (!element) throw new Error(`${text} does not fly`);
    // The way begins outside of the film.
    const film = document.querySelector('video').getBoundingClientRect();
    const inside = () => {
      const { left, right } = element.getBoundingClientRect();
      return right > film.left + 20 && left < film.right - 20;
    };
    for (let i = 0; i < 600 && !inside(); i++) await new Promise(requestAnimationFrame);
    const first = box(element);
    for (let i = 0; i < 15; i++) await new Promise(requestAnimationFrame);
    return { first, second: box(element), film: box(document.querySelector('video')), color: getComputedStyle(element).color };
  }, { items, text });
}

function flew({ first, second, film }, way) {
  const dx = second.x - first.x;
  if (way === 'left') assert.ok(dx < -2, `it moved by ${dx} px`);
  if (way === 'right') assert.ok(dx > 2, `it moved by ${dx} px`);
  if (way === 'stands') assert.ok(Math.abs(dx) < 1, `it moved by ${dx} px`);
  assert.ok(Math.abs(second.y - first.y) < 1, 'it left its lane');
  assert.ok(first.height >= 8 && first.y >= film.y - 2 && first.y + first.height <= film.y + film.height + 2, `outside of the film: ${JSON.stringify({ first, film })}`);
  return dx;
}

async function checkComments(name, page, say) {
  const { items, reverse } = players[name];
  await step(`${name}: what another viewer says flies over the film`, async () => {
    const text = `hello ${name} 弹幕`;
    await say({ text, color: 0x6cc8ff });
    const seen = await watch(page, items, text);
    const dx = flew(seen, 'left');
    assert.equal(seen.color, 'rgb(108, 200, 255)');
    return `moved ${dx.toFixed(0)} px in 15 frames`;
  });
  await step(`${name}: ways of flying`, async () => {
    await say({ text: `${name} above`, mode: 'top' });
    await say({ text: `${name} below`, mode: 'bottom' });
    await say({ text: `${name} back`, mode: 'reverse' });
    const [above, below, back] = [
      await watch(page, items, `${name} above`), await watch(page, items, `${name} below`), await watch(page, items, `${name} back`),
    ];
    flew(above, 'stands');
    flew(below, 'stands');
    flew(back, reverse);
    assert.ok(above.first.y < below.first.y, 'top is not above bottom');
  });
  if (!players[name].sizes) return; // it has one size for all
  await step(`${name}: sizes`, async () => {
    await say({ text: `${name} large`, size: 'large' });
    await say({ text: `${name} small`, size: 'small' });
    const [large, small] = [await watch(page, items, `${name} large`), await watch(page, items, `${name} small`)];
    assert.ok(large.first.height > small.first.height * 1.5, `${large.first.height} and ${small.first.height} px`);
  });
}

async function checkKinds(pages) {
  await step('gifts, superchats and announcements are shown in words, data is not', async () => {
    const path = `/v1/rooms/${room}`;
    await control('POST', `${path}/gift`, { user: 'u7', name: '小明', gift: '火箭', num: 3, price: 500 });
    await control('POST', `${path}/superchat`, { user: 'u8', name: '小红', text: '<b>生日快乐</b>', price: 30, duration_s: 60 });
    await control('POST', `${path}/announcement`, { text: 'the match begins' });
    await fetch(`${server.control}/goim/push/room?operation=1000&type=live&room=${room}`, { method: 'POST', body: 'for programs' });
    for (const page of Object.values(pages)) {
      for (const text of ['小明: 火箭 ×3', '小红: <b>生日快乐</b>', 'the match begins']) await wasSeen(page, text);
      assert.equal(await page.evaluate(() => [...window.texts.keys()].some((text) => text.includes('for programs'))), false);
    }
    await Promise.all(Object.entries(pages).map(([name, page]) => picture(page, `player-${name}`)));
  });
}

async function checkRetracts(pages) {
  for (const [what, take] of [
    ['a retract takes a comment away in flight', (id) => control('DELETE', `/v1/rooms/${room}/comments/${id}`)],
    ['a cleared room takes away all', () => control('POST', `/v1/rooms/${room}/clear`)],
  ]) {
    await step(what, async () => {
      for (const [name, page] of Object.entries(pages)) {
        const text = `${name}: oops, ${what}`;
        const { id } = await control('POST', `/v1/rooms/${room}/comments`, { text, user: 'u9' });
        const { items } = players[name];
        await watch(page, items, text); // well on its way
        await take(id);
        // Taken away, not flown away: that takes seconds, and this is asked within a few frames.
        const frames = await page.evaluate(async ({ items, text }) => {
          const there = () => [...document.querySelectorAll(items)].some((e) => {
            const { visibility, opacity } = getComputedStyle(e);
            return e.textContent === text && visibility !== 'hidden' && opacity !== '0';
          });
          for (let n = 0; n < 120; n++) {
            if (!there()) return n;
            await new Promise(requestAnimationFrame);
          }
          return Infinity;
        }, { items, text });
        assert.ok(frames < 120, `${text} is still there`);
      }
    });
  }
}

async function checkBoxes(pages, say) {
  const heard = async (text) => (await say({ text: 'a word between' })).waitForFunction((t) => window.heard.includes(t), text);
  await step('what is typed into the box of ArtPlayer is said, and shown once', async () => {
    const page = pages.artplayer;
    await page.fill('.apd-input', 'typed into ArtPlayer');
    await page.press('.apd-input', 'Enter');
    await heard('typed into ArtPlayer');
    await wasSeen(page, 'a word between');
    await wasSeen(page, 'typed into ArtPlayer');
    assert.equal(await page.evaluate(() => window.texts.get('typed into ArtPlayer')), 1);
    assert.equal(await page.inputValue('.apd-input'), '');
  });
  await step('likewise that of DPlayer, and a seek back runs nothing of it', async () => {
    const page = pages.dplayer;
    const text = '<img src=x onerror=window.ran=1>typed into DPlayer';
    const type = async (text) => {
      await page.evaluate((t) => {
        document.querySelector('.dplayer-comment-input').value = t;
        document.querySelector('.dplayer-send-icon').click();
      }, text);
    };
    await type(text);
    await heard(text);
    await wasSeen(page, 'a word between');
    await wasSeen(page, text);
    assert.equal(await page.evaluate((t) => window.texts.get(t), text), 1);
    // DPlayer keeps what was typed, and draws it again when its moment comes again.
    await page.evaluate(() => window.player.seek(Math.max(0, window.player.video.currentTime - 4)));
    await page.waitForFunction((t) => window.texts.get(t) === 2, text);
  });
}

async function checkMarkup(pages, say) {
  await step('markup flies as text in every player, and nothing of it runs', async () => {
    // Players leave out what has no lane. So each text is said until all have shown
    // it, a few at a time.
    let said = 0;
    const left = new Map(payloads.map((text) => [text.trim(), new Set(Object.keys(pages))]));
    for (let round = 0; left.size > 0; round++) {
      if (round === 40) throw new Error(`never shown: ${[...left].slice(0, 5).map(([text, names]) => `${text} in ${[...names]}`).join('\n')}`);
      const few = [...left.keys()].slice(0, 6);
      for (const text of few) await say({ text });
      said += few.length;
      await new Promise((done) => setTimeout(done, 2_000));
      for (const [name, page] of Object.entries(pages)) {
        const seen = new Set(await page.evaluate(() => [...window.texts.keys()]));
        for (const text of few) if (seen.has(text.replace(/\s+/gu, ' '))) left.get(text).delete(name);
      }
      for (const text of few) if (left.get(text).size === 0) left.delete(text);
    }
    await Promise.all(Object.entries(pages).map(([name, page]) => picture(page, `player-${name}-markup`)));
    return `${payloads.length} texts, each in ${Object.keys(pages).length} players, ${said} said`;
  });
  await step('no script ran, no element of theirs, no dialog', async () => {
    for (const [name, page] of Object.entries(pages)) {
      const found = await page.evaluate(() => ({ ran: window.ran, foreign: [...window.foreign] }));
      assert.deepEqual(found, { ran: undefined, foreign: [] }, name);
    }
    assert.deepEqual(dialogs, []);
  });
}

async function checkProbe(browser) {
  await step('the probe is one: without escaping DPlayer runs it', async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(guard);
    await page.goto(address('dplayer'));
    await page.waitForFunction(() => window.player?.danmaku);
    await page.evaluate(() => window.player.danmaku.draw({ text: '<img src="data:," onerror=window.ran=1>', color: 1, type: 0 }));
    await page.waitForFunction(() => window.ran === 1);
    await page.context().close();
  });
}

async function checkReplay(browser, say) {
  let page;
  await step('DPlayer: a recording has what was said then, escaped, and what is said now', async () => {
    // Said after the recording began; it flies at its second of the film.
    const text = '<svg onload=window.ran=1>said before';
    const from = Date.now() - 3_000;
    await say({ text });
    await new Promise((done) => setTimeout(done, 1_500)); // the archive writes twice a second
    page = await open(browser, 'replay', 'dplayer', `&from=${from}`);
    await record(page, players.dplayer.items);
    await page.evaluate(() => window.player.seek(1));
    await wasSeen(page, text);
    const at = await page.evaluate(() => document.querySelector('video').currentTime);
    assert.ok(at >= 2.5, `shown at ${at} s`);
    await say({ text: 'said now' });
    flew(await watch(page, players.dplayer.items, 'said now'), 'left');
    assert.deepEqual(await page.evaluate(() => ({ ran: window.ran, foreign: [...window.foreign] })), { ran: undefined, foreign: [] });
    await picture(page, 'player-dplayer-replay');
    return `shown at ${at.toFixed(1)} s of the film`;
  });
  return page;
}

async function run(browser) {
  const say = await openSpeaker(browser);
  const pages = {};
  for (const name of Object.keys(players)) {
    await step(`${name}: the film plays, the room is joined`, async () => {
      pages[name] = await open(browser, name, name);
      await record(pages[name], players[name].items);
    });
  }
  for (const [name, page] of Object.entries(pages)) await checkComments(name, page, say);
  await checkKinds(pages);
  await checkRetracts(pages);
  await checkBoxes(pages, say);
  await checkMarkup(pages, say);
  await checkQuiet(pages);
  for (const page of Object.values(pages)) await page.context().close(); // four films at once are work enough
  const replay = await checkReplay(browser, say);
  await checkQuiet({ replay });
  await replay?.context().close();
  await checkProbe(browser);
}

await server.start('--comment-rate', '0', '--duplicate-window', '0s', '--drain-time', '1s', '--archive', archive, '--dplayer', '--origin', site.origin);
console.log(`danmakud at ${server.base}, pages at ${site.origin}, pictures in ${out}`);
const browser = await launch();
try {
  await run(browser);
} catch (error) {
  count.failed++;
  console.log(`FAIL  the check itself: ${error.stack ?? error}`);
} finally {
  await browser.close();
  if (count.failed) console.log(`the server's log ends with:\n${server.log.slice(-2_000)}`);
  await server.stop();
  await site.stop();
  rmSync(archive, { recursive: true, force: true });
}
end();
