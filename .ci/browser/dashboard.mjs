// Opens the operators' page in headless Chromium: against a control listener that
// says whatever it wants to, and against a real danmakud.
//
//   node dashboard.mjs BINARY
import assert from 'node:assert/strict';
import { Control } from './control.mjs';
import { checkQuiet, count, desktop, end, expect, guard, launch, newPage, out, phone, picture, step } from './harness.mjs';
import { payloads } from './payloads.mjs';
import { checkKeyless, checkReal } from './real.mjs';

const target = process.argv[2];

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const tabs = ['/', '/rooms', '/people', '/words', '/audit'];
const goTo = (page, base, path) => page.goto(`${base}/#${path}`);

/** Counts that rise like those of a busy evening, by the second since the start. */
function evening(t, hostile = {}) {
  const wave = (n) => Math.sin(t / 9 + n) * 0.3 + Math.sin(t / 31 + 2 * n) * 0.2 + 1;
  const sum = (perSecond, n) => Math.round(perSecond * (t + 9 * 0.3 * (1 - Math.cos(t / 9 + n)) + 31 * 0.2 * (1 - Math.cos(t / 31 + 2 * n))));
  return {
    at: new Date(Date.UTC(2026, 0, 1) + t * 1_000).toISOString(), started: new Date(Date.UTC(2026, 0, 1) - 9e6).toISOString(), version: 'v0.2.0',
    draining: false, connections: Math.round(48_300 * wave(0)), members: Math.round(48_000 * wave(0)), rooms: 1_204,
    comments_received: sum(940, 1), comments_delivered: sum(4.4e6, 1), frames_written: sum(460_000, 1), batches_sealed: sum(210, 2), batches_skipped: sum(35, 3), comments_sampled: sum(12, 4),
    tick_lag: [sum(0.9, 5), sum(210, 2)], pass: [sum(7, 3), sum(420, 1)], tick_max_seconds: 0.1,
    closes: { peer_closed: sum(40, 1), client_close: sum(25, 2), peer_reset: sum(9, 3), pong_timeout: sum(3, 4), stalled: sum(2, 5), flood_frames: sum(1, 6), handshake_timeout: sum(1, 7), token_expired: sum(4, 8), ...hostile },
    rejected: { connections: 0, address: sum(0.4, 2), ...hostile }, errors: { rate_limited: sum(14, 2), muted: sum(3, 1), blocked_word: sum(6, 4), ...hostile },
    behind: false, blocked: 41, bytes_written: sum(2.1e8, 1), deflate_bytes_in: sum(9e5, 1), deflate_bytes_out: sum(2.4e5, 1),
    loops: [0, 1, 2, 3].map((n) => ({ connections: 12_000, inbox: 0, busy_seconds: t * 0.5 + n + 9 * 0.15 * Math.sin(t / 9 + n) })),
    rss_bytes: 1.9e9, cpu_seconds: sum(2.2, 1), goroutines: 61, open_files: 48_410, open_files_max: 1_048_576,
  };
}

const said = [
  ['~1k', '', '', '666'], ['u17', '小明', 'vip', '前方高能！'], ['~2f', '', '', 'what song is this?'], ['u3', 'Mia', 'moderator', 'the link is in the description'],
  ['u81', '晚风', '', '哈哈哈哈'], ['~9z', '', '', 'hello from the other side of the world, it is four in the morning here'], ['u5', 'Léa', 'anchor', '晚上好 ✨'], ['~44', '', '', 'awsl'],
];

function comments(n) {
  return Array.from({ length: n }, (_, i) => {
    const [uid, name, role, text] = said[i % said.length];
    const kind = i % 13 === 6 ? { kind: 'gift', gift: 'rocket', num: 3, text: '' } : i % 17 === 9 ? { kind: 'superchat', price: 3_000, duration_s: 60 } : {};
    return { id: `c${String(i).padStart(7, '0')}`, uid, ...(name && { name }), ...(role && { role }), text, ts: Date.UTC(2026, 0, 1, 20, 15, i), ...(i % 11 === 4 && { count: 12 }), ...kind };
  });
}

/** A server with something of everything. */
function fill(control) {
  const room = (name, online, settings = {}) => ({
    room: name, epoch: 'e', online, seq: 4_211, comments: 81_244, merged: 310, sampled: 12, withdrawn: 2, likes: 9_120, pending: 0, tick_ms: 100,
    settings: { closed: false, slow_mode_ms: 0, min_role: 'guest', max_viewers: 0, budget_bytes: 0, budget_comments: 0, ...settings },
  });
  const rooms = [room('anchor:8731', 31_204, { slow_mode_ms: 3_000 }), room('games', 9_120), room('lobby', 5_911), room('members', 402, { min_role: 'vip' }), room('midnight', 88, { closed: true }), room('music', 1_207, { max_viewers: 5_000 })];
  const settings = { ...rooms[0].settings };
  let second = 0;
  const sanctions = [
    { id: 's1', kind: 'mute', room: 'anchor:8731', user: 'u81', until: '2099-01-01T21:00:00Z', reason: 'spoilers', by: 'Mia', at: '2026-01-01T20:00:00Z' },
    { id: 's2', kind: 'ban', address: '203.0.113.0/24', reason: 'bots', by: 'backend', at: '2026-01-01T20:00:00Z' },
    { id: 's3', kind: 'shadow', user: 'u9', by: 'Mia', at: '2026-01-01T20:00:00Z' },
  ];
  const held = [{ id: 'h1', room: 'anchor:8731', user: '~9z', text: 'is this the place with the cheap tickets', list: 'ads', at: '2026-01-01T20:15:00Z' }];
  control.answers = {
    'GET /v1/stats': () => evening((second += 2)),
    'GET /v1/rooms': { rooms, total: rooms.length },
    'GET /v1/rooms/anchor:8731': () => ({ ...rooms[0], settings }),
    'GET /v1/rooms/anchor:8731/settings': () => settings,
    'PATCH /v1/rooms/anchor:8731/settings': (changed) => Object.assign(settings, changed),
    'GET /v1/rooms/anchor:8731/history': () => ({ comments: comments(40) }),
    'DELETE /v1/rooms/anchor:8731/comments/c0000039': null,
    'POST /v1/rooms/anchor:8731/clear': null,
    'GET /v1/sanctions': () => ({ sanctions }),
    'POST /v1/sanctions': (wanted) => (sanctions.unshift({ id: 's9', by: 'you', at: '2026-01-01T20:16:00Z', ...wanted }), sanctions[0]),
    'DELETE /v1/sanctions/s2': () => (sanctions.splice(sanctions.findIndex((s) => s.id === 's2'), 1), null),
    'GET /v1/held': () => ({ held }),
    'POST /v1/held/h1': () => (held.pop(), null),
    'GET /v1/words': { lists: [{ name: 'ads', action: 'hold', count: 812, file: 'ads.txt' }, { name: 'slurs', action: 'reject', count: 2_310 }, { name: 'spoilers', action: 'mask', rooms: ['anchor:8731'], count: 14 }] },
    'GET /v1/words/spoilers': { name: 'spoilers', action: 'mask', rooms: ['anchor:8731'], words: ['the butler', 'the twin'], count: 2 },
    'PUT /v1/words/spoilers': (list) => ({ name: 'spoilers', ...list, count: list.words.length }),
    'GET /v1/audit': { events: [
      { at: '2026-01-01T20:14:31Z', by: 'Mia', action: 'mute', room: 'anchor:8731', user: 'u81', detail: 'spoilers, for 1 h' },
      { at: '2026-01-01T20:12:05Z', by: 'backend', action: 'settings', room: 'anchor:8731', detail: 'slow_mode_ms 3000' },
      { at: '2026-01-01T20:02:44Z', by: 'local', action: 'words', detail: 'spoilers: 14 words' },
    ] },
  };
}

const fits = (page) => page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - innerWidth);

/** The page as it looks, in all sizes, light and dark; nothing may stick out sideways. */
async function checkLooks(browser) {
  for (const [size, options] of [['desktop', desktop], ['phone', phone]]) {
    for (const colorScheme of ['light', 'dark']) {
      await withControl(async (control, base) => {
        fill(control);
        const page = await newPage(browser, `${size} ${colorScheme}`, { ...options, colorScheme }, () => base);
        // A second passes in 20 ms, so that the curves have something to show.
        await page.addInitScript(() => {
          const real = setInterval;
          window.setInterval = (f, ms) => real(f, ms === 1_000 ? 20 : ms);
        });
        await step(`dashboard, ${size}, ${colorScheme}: every page fits`, async () => {
          await goTo(page, base, '/');
          await page.waitForTimeout(4_500); // five minutes of an evening
          for (const tab of [...tabs, '/rooms/anchor:8731']) {
            await goTo(page, base, tab);
            await page.waitForTimeout(500);
            assert.equal(await fits(page), 0, `${tab} sticks out`);
            await picture(page, `dashboard-${size}-${colorScheme}-${tab.replace(/\W+/g, '') || 'overview'}`);
          }
          await page.locator('.act').last().click();
          await page.waitForSelector('dialog[open]');
          assert.equal(await fits(page), 0, 'the dialog sticks out');
          await picture(page, `dashboard-${size}-${colorScheme}-acts`);
        });
        await checkQuiet({ [`${size} ${colorScheme}`]: page });
        await page.context().close();
      });
    }
  }
}

async function withControl(work) {
  const control = new Control(policy);
  const base = await control.start();
  try {
    await work(control, base);
  } finally {
    await control.stop();
  }
}

/** What is done on the page is what the API is asked for. */
async function checkActs(browser) {
  await withControl(async (control, base) => {
    fill(control);
    control.key = 'secret key';
    const page = await newPage(browser, 'acts', desktop, () => base);
    const last = (name) => control.asked.findLast((asked) => asked.name === name)?.body;
    await step('a key is asked for, kept in this tab alone, and sent along', async () => {
      expect.loss = true; // the browser notes each 401
      await goTo(page, base, '/rooms/anchor:8731');
      await page.waitForSelector('#key-dialog[open]');
      let release; // the answer to the wrong key that comes when the right one is in use
      const late = new Promise((resolve) => (release = resolve));
      control.refusing = (name, authorization) => (name.endsWith('/history') && authorization === 'Bearer wrong' ? late : undefined);
      await page.fill('#key-text', 'wrong');
      await page.press('#key-text', 'Enter');
      await page.waitForSelector('#key-dialog[open]');
      await page.waitForFunction(() => /refused/.test(document.getElementById('key-why').textContent));
      await page.fill('#key-text', 'secret key');
      await page.press('#key-text', 'Enter');
      await page.waitForSelector('#health[data-state=ok]');
      await page.waitForSelector('.live .act');
      const refused = page.waitForResponse((response) => response.status() === 401 && response.url().includes('/history'));
      release();
      await (await refused).finished();
      await page.waitForTimeout(200);
      assert.equal(await page.locator('#key-dialog[open]').count(), 0, 'asked for a key again');
      const kept = await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]);
      assert.deepEqual(kept, [1, 0, '']);
      expect.loss = false;
    });
    await step('a comment appears live; a retract strikes it out; a flood is cut short', async () => {
      control.tell('batch', { type: 'batch', seq: 1, online: 31_205, comments: [{ id: 'live0001', uid: 'u1', name: 'Ann', text: 'said just now', ts: Date.now(), count: 12 }] });
      await page.waitForFunction(() => document.querySelector('.live').textContent.includes('said just now'));
      assert.match(await page.textContent('[data-id=live0001]'), /×12/);
      assert.equal(await page.textContent('.numbers dd'), '31,205');
      control.tell('batch', { type: 'batch', seq: 2, comments: [{ id: 'live0001', ts: Date.now(), kind: 'retract' }] });
      await page.waitForSelector('[data-id=live0001].gone');
      const many = Array.from({ length: 5_000 }, (_, i) => ({ id: `f${String(i).padStart(7, '0')}`, uid: '~1', text: `flood ${i}`, ts: Date.now() }));
      control.tell('batch', { type: 'batch', seq: 3, comments: many });
      await page.waitForFunction(() => document.querySelector('.live').textContent.includes('flood 4999'));
      assert.ok(await page.locator('.live li').count() <= 300);
      assert.match(await page.textContent('.live'), /4,9\d\d more/);
    });
    await step('mute, ban everywhere, settings, announcement, held, lift, word list', async () => {
      await goTo(page, base, '/people');
      await page.getByRole('button', { name: 'Publish' }).click();
      await page.waitForFunction(() => document.body.textContent.includes('nothing waits'));
      assert.deepEqual(last('POST /v1/held/h1'), { publish: true });
      await page.locator('.entries li', { hasText: '203.0.113.0/24' }).getByRole('button', { name: 'Lift' }).click();
      await page.waitForFunction(() => !document.body.textContent.includes('203.0.113.0/24'));
      await page.selectOption('#new-kind', 'ban');
      await page.fill('#new-who', '2001:db8::/32');
      await page.selectOption('#new-span', '3600');
      await page.press('#new-who', 'Enter');
      await page.waitForFunction(() => document.querySelector('.entries').textContent.includes('2001:db8::/32'));
      assert.deepEqual(last('POST /v1/sanctions'), { kind: 'ban', address: '2001:db8::/32', seconds: 3_600 });
      await goTo(page, base, '/rooms/anchor:8731');
      await page.locator('[data-id=c0000039] .act').click();
      await page.selectOption('#act-span', '600');
      await page.fill('#act-reason', 'enough');
      await page.getByRole('button', { name: 'Mute' }).click();
      await page.waitForSelector('dialog.acts', { state: 'detached' });
      assert.deepEqual(last('POST /v1/sanctions'), { kind: 'mute', user: '~44', room: 'anchor:8731', seconds: 600, reason: 'enough' });
      await page.locator('[data-id=c0000039] .act').click();
      await page.getByRole('button', { name: 'Retract' }).click();
      await page.waitForSelector('[data-id=c0000039].gone');
      await page.fill('#set-slow', '7.5');
      await page.selectOption('#set-role', 'vip');
      await page.check('#set-closed');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.waitForFunction(() => document.querySelector('#settings button').disabled);
      assert.deepEqual(last('PATCH /v1/rooms/anchor:8731/settings'), { closed: true, slow_mode_ms: 7_500, min_role: 'vip', max_viewers: 0 });
      await goTo(page, base, '/words');
      await page.locator('.entries li', { hasText: 'spoilers' }).getByRole('button').click();
      await page.waitForFunction(() => document.querySelector('#list-words').value === 'the butler\nthe twin');
      await page.fill('#list-words', 'the butler\n\n  the cat ');
      await page.selectOption('#list-action', 'shadow');
      await page.locator('#list').getByRole('button', { name: 'Save' }).click();
      await page.waitForSelector('.toast.up');
      assert.deepEqual(last('PUT /v1/words/spoilers'), { action: 'shadow', rooms: ['anchor:8731'], words: ['the butler', 'the cat'] });
    });
    await step('keyboard alone: to the content, through the tabs, into a room, act on a comment, out again', async () => {
      await goTo(page, base, '/');
      await page.reload();
      await page.waitForSelector('#health[data-state=ok]');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
      await page.focus('[data-tab=rooms]');
      await page.keyboard.press('Enter');
      await page.waitForSelector('.rooms tbody a');
      await page.focus('.rooms tbody a');
      await page.keyboard.press('Enter');
      await page.waitForSelector('.act');
      await page.focus('.act');
      await page.keyboard.press('Enter');
      await page.waitForSelector('dialog.acts[open]');
      assert.ok(await page.evaluate(() => document.querySelector('dialog.acts').contains(document.activeElement)));
      await page.keyboard.press('Escape');
      await page.waitForSelector('dialog.acts', { state: 'detached' });
    });
    await checkQuiet({ acts: page });
    await page.context().close();
  });
}

/** Every payload in every place where text of others is shown. */
async function checkPayloads(browser) {
  await withControl(async (control, base) => {
    fill(control);
    const at = new Date().toISOString();
    const all = (make) => payloads.map(make);
    const first = payloads[0];
    const hostile = Object.fromEntries(payloads.map((p) => [p, 5]));
    let second = 0;
    const info = control.answers['GET /v1/rooms/anchor:8731']();
    Object.assign(control.answers, {
      'GET /v1/stats': () => ({ ...evening((second += 2), hostile), version: first }),
      'GET /v1/rooms': { rooms: all((p) => ({ ...info, room: p, settings: { ...info.settings, min_role: p } })), total: payloads.length },
      [`GET /v1/rooms/${first}`]: { ...info, room: first }, [`GET /v1/rooms/${first}/settings`]: info.settings,
      [`GET /v1/rooms/${first}/history`]: { comments: all((p, i) => ({ id: `${p}${i}`, uid: p, name: p, role: p, text: p, ts: Date.now(), kind: i % 3 ? p : 'gift', gift: p, num: p, price: p, count: 2 })) },
      'GET /v1/sanctions': { sanctions: all((p, i) => ({ id: `${p}${i}`, kind: i % 2 ? 'mute' : p, room: p, user: p, address: p, reason: p, by: p, until: i % 2 ? p : undefined, at })) },
      'GET /v1/held': { held: all((p, i) => ({ id: `${p}${i}`, room: p, user: p, name: p, text: p, list: p, at })) },
      'GET /v1/words': { lists: all((p) => ({ name: p, action: p, rooms: [p], count: 1, file: p })) },
      'GET /v1/audit': { events: all((p) => ({ at, by: p, action: p, room: p, user: p, detail: p })) },
    });
    const page = await newPage(browser, 'payloads', desktop, () => base);
    for (const tab of [...tabs, `/rooms/${encodeURIComponent(first)}`]) {
      await step(`${payloads.length} payloads are text on ${tab.slice(0, 8)}`, async () => {
        await goTo(page, base, tab);
        await page.waitForFunction((texts) => {
          const shown = document.body.textContent;
          return texts.every((text) => shown.includes(text));
        }, tab === '/' ? payloads.map((p) => p.replaceAll('_', ' ')) : payloads, { timeout: guard });
        const found = await page.evaluate(() => ({
          ran: window.ran, images: document.images.length,
          strange: document.querySelectorAll('main :is(script, style, link, iframe, object, embed, base, meta, video, audio, svg, math, marquee, img, [style], [src], [srcdoc], [onerror], [onload])').length,
          inside: document.querySelectorAll('bdi *').length,
          links: [...document.querySelectorAll('main a')].filter((a) => !a.getAttribute('href').startsWith('#/')).length,
          overlaid: document.elementFromPoint(60, 28)?.closest('.bar') === null,
        }));
        assert.deepEqual(found, { ran: undefined, images: 0, strange: 0, inside: 0, links: 0, overlaid: false });
      });
    }
    await step('a live comment of nothing but payloads, and the dialog about it', async () => {
      const text = payloads[14];
      control.tell('batch', { type: 'batch', comments: [{ id: text, uid: text, name: text, text, role: text, kind: text, ts: Date.now() }] });
      await page.waitForFunction((t) => [...document.querySelectorAll('.live li')].some((row) => row.dataset.id === t), text);
      await page.locator('.live .act').last().click();
      await page.waitForSelector('dialog.acts[open]');
      assert.equal(await page.textContent('dialog.acts blockquote > bdi'), text);
      await page.getByRole('button', { name: 'Close' }).click();
      assert.equal(await page.evaluate(() => window.ran), undefined);
    });
    await checkQuiet({ payloads: page });
    await page.context().close();
  });
}

const browser = await launch();
try {
  await checkLooks(browser);
  await checkActs(browser);
  await checkPayloads(browser);
  if (target?.includes('/')) {
    await checkKeyless(browser, target);
    await checkReal(browser, target, policy);
  } else console.log('left out: the real server, which needs a key of ours');
} catch (error) {
  count.failed++;
  console.log(`FAIL  the check itself: ${error.stack ?? error}`);
} finally {
  await browser.close();
}
end();
