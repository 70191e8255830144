// Both pages against one real danmakud: what is done on the operators' page is seen
// on the viewers'.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkQuiet, desktop, expect, newPage, phone, picture, step } from './harness.mjs';
import { payloads } from './payloads.mjs';
import { Server } from './server.mjs';

const key = 'a-key-for-the-browser-check-0123456789';
const room = 'evening:1';

const text = (page, selector, words) => page.waitForFunction(
  ([s, w]) => [...document.querySelectorAll(s)].some((e) => e.textContent.includes(w)), [selector, words]);
const gone = (page, selector, words) => page.waitForFunction(
  ([s, w]) => ![...document.querySelectorAll(s)].some((e) => e.textContent.includes(w)), [selector, words]);

async function call(server, method, path, body) {
  const answer = await fetch(`${server.control}${path}`, {
    method, headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.status === 204 ? null : answer.json();
}

async function say(page, words) {
  await page.fill('#text', words);
  await page.press('#text', 'Enter');
}

async function enter(browser, server, who, options = desktop) {
  const page = await newPage(browser, who, options, () => server.base);
  await page.goto(`${server.base}/?room=${encodeURIComponent(room)}`);
  await page.waitForSelector('body[data-state="live"]');
  return page;
}

/** Opens the dialog about the newest comment with those words. */
async function about(operator, words) {
  await text(operator, '.live .text', words);
  const row = operator.locator('.live li', { hasText: words }).last();
  await row.locator('.act').click();
  await operator.waitForSelector('dialog.acts[open]');
}

export async function checkReal(browser, binary, policy) {
  const state = mkdtempSync(join(tmpdir(), 'danmakud-browser-'));
  const server = new Server(binary);
  await server.start('--comment-rate', '0', '--duplicate-window', '0s', '--drain-time', '1s', '--control-key', key, '--data', state);
  try {
    await evening(browser, server, policy);
  } catch (error) {
    console.log(`the server's log ends with:\n${server.log.slice(-2_000)}`);
    throw error;
  } finally {
    await server.stop();
    rmSync(state, { recursive: true, force: true });
  }
}

/** As it is by default: no key, and only this host is answered. */
export async function checkKeyless(browser, binary) {
  const server = new Server(binary);
  await server.start('--drain-time', '1s');
  try {
    await step('without keys the page asks for none, on this host, and works', async () => {
      const viewer = await enter(browser, server, 'viewer without keys');
      const operator = await newPage(browser, 'operator without keys', desktop, () => server.control);
      await operator.goto(`${server.control}/#/rooms`);
      await operator.locator('.rooms tbody a', { hasText: room }).click();
      await operator.waitForSelector('.flow .health[data-state=ok]');
      await operator.fill('#announce', 'no key needed');
      await operator.press('#announce', 'Enter');
      await text(viewer, '#log bdi', 'no key needed');
      await text(operator, '.live .text', 'no key needed');
      await operator.fill('#set-most', '50');
      await operator.getByRole('button', { name: 'Save' }).click();
      await operator.waitForFunction(() => document.querySelector('#settings button').disabled);
      await operator.goto(`${server.control}/#/rooms`);
      await text(operator, '.marks', 'at most 50');
      assert.equal(await operator.isVisible('#key-dialog'), false);
      await checkQuiet({ operator, viewer });
      for (const page of [operator, viewer]) await page.context().close(); // before the server goes
    });
  } finally {
    await server.stop();
  }
}

async function evening(browser, server, policy) {
  const operator = await newPage(browser, 'operator', { ...desktop, colorScheme: 'dark' }, () => server.control);
  await step('the real control listener serves the page under the strict policy', async () => {
    for (const path of ['/', '/assets/app.js', '/assets/style.css']) {
      const answer = await fetch(`${server.control}${path}`);
      assert.equal(answer.status, 200, path);
      assert.equal(answer.headers.get('content-security-policy'), policy);
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    }
    expect.loss = true; // the browser notes the 401, and that the room is not there yet
    await operator.goto(`${server.control}/#/rooms/${encodeURIComponent(room)}`);
    await operator.waitForSelector('#key-dialog[open]');
    await operator.fill('#key-text', key);
    await operator.press('#key-text', 'Enter');
    await operator.waitForSelector('#health[data-state=ok]');
  });
  const viewer = await enter(browser, server, 'viewer');
  const other = await enter(browser, server, 'other', phone);
  await operator.reload(); // the room is there now
  await operator.waitForSelector('.flow .health[data-state=ok]');
  expect.loss = false;
  await checkActs(server, operator, viewer, other);
  await checkKinds(server, operator, viewer, other);
  await checkSettings(server, operator, viewer, other);
  await checkProbes(server, operator, viewer);
  await step('the overview of the real server', async () => {
    await operator.goto(`${server.control}/#/`);
    await operator.waitForFunction(() => document.querySelector('.tiles dd').textContent === '2');
    await text(operator, '.tally td', 'muted');
    await operator.waitForTimeout(4_000); // for something in the curves
    await picture(operator, 'real-overview');
    await operator.goto(`${server.control}/#/audit`);
    await text(operator, '.audit .mark', 'mute');
    await text(operator, '.audit .mark', 'clear');
    await picture(operator, 'real-audit');
  });
  await checkQuiet({ operator, viewer, other });
}

async function checkActs(server, operator, viewer, other) {
  await step('a comment appears live on the dashboard; retracted there, it goes here', async () => {
    await say(viewer, 'hello from a viewer');
    await about(operator, 'hello from a viewer');
    await text(other, '#log bdi', 'hello from a viewer');
    await operator.getByRole('button', { name: 'Retract' }).click();
    await other.waitForSelector('#log .gone');
    await gone(other, '#log bdi', 'hello from a viewer');
    await gone(other, '.fly', 'hello from a viewer');
    await operator.waitForSelector('.live .gone');
  });
  await step('muted there, silent here; lifted, heard again', async () => {
    await say(viewer, 'something rude');
    await about(operator, 'something rude');
    await operator.fill('#act-reason', 'be kind');
    await operator.getByRole('button', { name: 'Mute' }).click();
    await operator.waitForSelector('dialog.acts', { state: 'detached' });
    await say(viewer, 'even ruder');
    await viewer.waitForSelector('.toast.up[data-tone=warn]');
    await text(viewer, '.toast', 'muted');
    await operator.locator('.entries li', { hasText: 'mute' }).getByRole('button', { name: 'Lift' }).click();
    await gone(operator, '.entries li', 'be kind');
    await viewer.waitForSelector('#send:enabled'); // it tries again now and then
    await say(viewer, 'sorry');
    await text(other, '#log bdi', 'sorry');
    await gone(other, '#log bdi', 'even ruder');
  });
  await step('shadowed, a viewer sees itself and nobody else does', async () => {
    await about(operator, 'sorry');
    await operator.getByRole('button', { name: 'Shadow' }).click();
    await operator.waitForSelector('dialog.acts', { state: 'detached' });
    await say(viewer, 'does anybody hear me');
    await text(viewer, '#log bdi', 'does anybody hear me');
    await say(other, 'no');
    await text(viewer, '#log bdi', 'no');
    await gone(other, '#log bdi', 'does anybody');
    await operator.locator('.entries li', { hasText: 'shadow' }).getByRole('button', { name: 'Lift' }).click();
    await gone(operator, '.entries .mark', 'shadow');
  });
  await step('kicked, and back without a gap', async () => {
    await say(viewer, 'kick me');
    await about(operator, 'kick me');
    await operator.getByRole('button', { name: 'Kick' }).click();
    await viewer.waitForSelector('body[data-state=waiting]');
    for (const n of [1, 2, 3]) await call(server, 'POST', `/v1/rooms/${room}/comments`, { text: `said meanwhile ${n}`, user: 'u1' });
    await text(other, '#log bdi', 'said meanwhile 3');
    await viewer.click('#again');
    await text(viewer, '#log li', 'nothing is missing');
    for (const n of [1, 2, 3]) await text(viewer, '#log bdi', `said meanwhile ${n}`);
  });
}

async function checkKinds(server, operator, viewer, other) {
  await step('announcement, gift, superchat with its time, system; who comes later sees the superchat', async () => {
    await operator.fill('#announce', 'the show begins');
    await operator.press('#announce', 'Enter');
    await text(viewer, '.fly.kind-announcement', 'the show begins');
    await call(server, 'POST', `/v1/rooms/${room}/gift`, { user: 'u7', name: '小明', gift: 'rocket', num: 3 });
    await text(viewer, '.fly.kind-gift', 'rocket ×3');
    await call(server, 'POST', `/v1/rooms/${room}/superchat`, { user: 'u7', name: '小明', text: '晚上好, greetings from far away', price: 3_000, duration_s: 600 });
    for (const page of [viewer, other]) await text(page, '#pins li', 'greetings from far away');
    assert.match(await viewer.textContent('#pins time'), /10 min/);
    await call(server, 'POST', `/v1/rooms/${room}/comments`, { kind: 'system', text: 'intermission' });
    await text(viewer, '#log .special', 'intermission');
    await viewer.reload();
    await text(viewer, '#pins li', 'greetings from far away');
    await picture(viewer, 'kinds-desktop');
    await picture(other, 'kinds-phone');
  });
  await step('equal comments of a full tick come as one, with how many they were', async () => {
    await call(server, 'PATCH', `/v1/rooms/${room}/settings`, { budget_comments: 4 });
    await viewer.evaluate(async (name) => {
      const socket = new WebSocket(`ws://${location.host}/ws/${name}`);
      await new Promise((open) => (socket.onopen = open));
      for (let i = 0; i < 40; i++) socket.send(JSON.stringify({ type: 'comment', text: i % 2 ? '哈哈哈' : '666' }));
      window.crowd = socket;
    }, room);
    for (const page of [viewer, other]) await page.waitForFunction(() => [...document.querySelectorAll('#log bdi')].some((e) => /^(666|哈哈哈) ×\d+$/.test(e.textContent)));
    await operator.waitForFunction(() => [...document.querySelectorAll('.live .mark')].some((e) => /^×\d+$/.test(e.textContent)));
    await viewer.evaluate(() => window.crowd.close());
    await call(server, 'PATCH', `/v1/rooms/${room}/settings`, { budget_comments: 0 });
  });
  await step('the room is cleared: nothing is left on any page', async () => {
    const clear = operator.getByRole('button', { name: 'Clear the room' });
    await clear.click();
    await operator.getByRole('button', { name: 'Remove all comments?' }).click();
    for (const page of [viewer, other]) {
      await text(page, '#log li', 'the room was cleared');
      assert.equal(await page.locator('#log bdi').count(), 0);
      assert.equal(await page.isVisible('#pins'), false);
    }
  });
}

async function checkSettings(server, operator, viewer, other) {
  await step('closed on the dashboard: the box is closed and says why', async () => {
    await operator.check('#set-closed');
    await operator.getByRole('button', { name: 'Save' }).click();
    await operator.waitForFunction(() => document.querySelector('#settings button').disabled);
    await viewer.waitForSelector('#text:disabled'); // who is there already is told by the next batch
    await other.reload();
    await other.waitForSelector('#text:disabled');
    assert.match(await other.textContent('#why'), /closed/);
    await picture(other, 'closed-phone');
  });
  await step('slow mode: after a comment the button counts down', async () => {
    await operator.uncheck('#set-closed');
    await operator.fill('#set-slow', '3');
    await operator.getByRole('button', { name: 'Save' }).click();
    await operator.waitForFunction(() => document.querySelector('#settings button').disabled);
    await viewer.reload();
    await viewer.waitForSelector('#send:enabled');
    await say(viewer, 'slowly');
    await viewer.waitForFunction(() => /^\d+(\.\d)? s$/.test(document.getElementById('send').textContent));
    await viewer.waitForSelector('#send:enabled');
  });
  await step('members only: guests watch', async () => {
    await call(server, 'PATCH', `/v1/rooms/${room}/settings`, { min_role: 'vip', slow_mode_ms: 0 });
    await viewer.reload();
    await viewer.waitForSelector('#text:disabled');
    assert.match(await viewer.textContent('#why'), /vip/);
    await call(server, 'PATCH', `/v1/rooms/${room}/settings`, { min_role: 'guest' });
    await viewer.reload();
    await viewer.waitForSelector('#text:enabled');
    assert.equal(await viewer.isVisible('#why'), false);
  });
}

async function checkProbes(server, operator, viewer) {
  await step(`${payloads.length} payloads as text, name, user and gift through the real server: text on both pages`, async () => {
    await operator.goto(`${server.control}/#/rooms/${encodeURIComponent(room)}`);
    await operator.waitForSelector('.flow .health[data-state=ok]');
    const short = (payload) => [...payload].slice(0, 60).join('');
    for (const [i, payload] of payloads.entries()) {
      const comment = { text: payload, name: short(payload), user: short(payload) };
      if (i % 3 === 1) Object.assign(comment, { kind: 'gift', gift: short(payload) });
      if (i % 3 === 2) Object.assign(comment, { kind: 'superchat', price: 5, duration_s: 60 });
      await call(server, 'POST', `/v1/rooms/${room}/comments`, comment);
      for (const page of [operator, viewer]) await text(page, page === viewer ? '#log bdi' : '.live .text', payload);
    }
    for (const page of [operator, viewer]) {
      const found = await page.evaluate(() => ({
        ran: window.ran, images: document.images.length, inside: document.querySelectorAll('bdi *, .fly *').length,
        strange: document.querySelectorAll('main :is(script, style, link, iframe, object, embed, base, meta, video, audio, math, marquee, img, [src], [srcdoc], [onerror], [onload])').length,
      }));
      assert.deepEqual(found, { ran: undefined, images: 0, inside: 0, strange: 0 });
    }
    await picture(operator, 'payloads-dashboard');
    await picture(viewer, 'payloads-page');
  });
}
