// Puts the page together: reads the room from the address, wires the
// connection to the stage, the list, the numbers and the box.

import { Client, roomPattern } from './client/client.js';
import { Composer } from './composer.js';
import { Log } from './log.js';
import { Meters } from './meters.js';
import { Pins } from './pins.js';
import { Scene } from './scene.js';
import { Stage } from './stage.js';

const $ = (id) => document.getElementById(id);
const body = document.body;
const drawnRate = 240; // comments a second; the stage takes no more than four a frame

const stage = new Stage($('stage'), $('flights'));
const scene = new Scene($('scene'));
const log = new Log($('log'), $('log-more'));
const pins = new Pins($('pins'));
const meters = new Meters(
  {
    online: $('online'),
    comments: $('comment-rate'),
    batches: $('batch-rate'),
    merged: $('merged'),
    likes: $('likes'),
    tick: $('tick'),
    rtt: $('rtt'),
    flying: $('flying'),
    dropped: $('dropped'),
    skipped: $('skipped'),
    sampled: $('sampled'),
    curve: $('curve'),
  },
  stage,
);

let uid = '';
let epoch = '';
let shownRoom = '';
let replaceAddress = true; // the first room replaces the history entry

const client = new Client({ url: '/', room: roomOfAddress(), render: { maxRate: drawnRate } });
let wanted = client.room; // where we are, or are on the way to
client.on('state', showState);
client.on('welcome', welcome);
client.on('batch', batch);
client.on('comment', comment);
client.on('render', draw);
client.on('retract', retract);
client.on('skipped', skipped);
client.on('settings', (settings) => composer.settings(settings));
client.on('error', (error) => composer.error(error));
client.on('goodbye', ({ reason }) => log.note(`The server says goodbye${reason ? `: ${reason}` : ''}`));
client.on('rtt', (ms) => meters.rtt(ms));

const composer = new Composer(
  {
    form: $('say'),
    text: $('text'),
    left: $('left'),
    why: $('why'),
    send: $('send'),
    like: $('like'),
    color: $('color'),
    anyColor: $('any-color'),
    quick: document.querySelectorAll('#quick button'),
    liked: () => {
      stage.hearts(1);
      bump($('like'));
    },
  },
  client,
  say,
);

function welcome(message) {
  wanted = client.room;
  const again = shownRoom === client.room;
  uid = String(message.uid ?? '');
  if (!again) {
    stage.restart();
    log.clear();
  } else if (epoch !== String(message.epoch ?? '')) log.forgetIds();
  const past = message.history;
  const words = message.resumed ? 'reconnected, nothing is missing · 已重新连接' : 'reconnected, some may be missing · 已重新连接';
  log.history(past, uid, again ? words : 'you are here · 以上是历史弹幕');
  pins.reset(Array.isArray(message.superchats) ? message.superchats : []);
  composer.rules(message.settings ?? {}, message.role ?? (uid.startsWith('~') ? 'guest' : 'viewer'));
  epoch = String(message.epoch ?? '');
  shownRoom = client.room;
  meters.welcome(message);
  showRoom();
  $('hint').hidden = again || past.length > 0;
}

function batch(message) {
  const { comments } = message;
  meters.batch(message);
  scene.beat();
  if (message.likes > 0) stage.hearts(Math.ceil(Math.log2(1 + message.likes)));
  if (comments.length) $('hint').hidden = true;
}

function comment(one, { past }) {
  if (past || one.kind === 'data') return; // the list has it from welcome, or it is for programs
  if (one.kind === 'superchat') pins.add(one);
  log.add(one, uid);
}

function draw(comments, { dropped }) {
  stage.dropped += dropped;
  // What comes together enters within a tick, so that it is no wall.
  const spread = comments.length > 3 ? 100 : 0;
  for (const one of comments) if (one.kind !== 'data') stage.show(one, { own: one.uid === uid, spread });
}

function retract(id) {
  stage.retract(id);
  log.retract(id);
  pins.retract(id);
}

function skipped(message) {
  meters.skipped(message);
  const { comments = 0, batches = 0 } = message;
  log.note(`${comments.toLocaleString('en')} comments in ${batches.toLocaleString('en')} batches skipped: this connection was behind`);
}

const stateWords = {
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Offline',
  stopped: 'Closed',
};
let countdown = 0;

function showState(state, { until = 0, code = 0, why = '', failures = 0 } = {}) {
  clearInterval(countdown);
  const before = body.dataset.state;
  body.dataset.state = state;
  composer.live = state === 'live';
  if (state !== 'live') meters.offline();
  const words = () => {
    const left = Math.max(0, until - performance.now());
    if (state === 'waiting' && left > 900) return `Again in ${Math.ceil(left / 1000)} s`;
    return stateWords[state];
  };
  const draw = () => ($('state').textContent = words());
  draw();
  if (state === 'waiting') countdown = setInterval(draw, 250);
  $('again').hidden = state !== 'waiting' && state !== 'stopped';
  $('state').title = state === 'waiting' ? `close code ${code || '–'}, try ${failures}` : why;
  // Read out only what a listener wants to know: not each try.
  if (state === 'live' && before && before !== 'live') say(`Connected to room ${client.room}`, 'quiet');
  if (state === 'waiting' && before === 'live') say('Connection lost. Reconnecting. 正在重连', 'warn');
  if (state === 'stopped') say(`The connection was closed: ${why}`, 'warn');
}

// Below the box, and to a screen reader. 'quiet' is for the reader only.
let toastTimer = 0;
function say(text, tone = '') {
  $('status').textContent = text;
  if (tone === 'quiet') return;
  clearTimeout(toastTimer);
  const toast = $('toast');
  toast.textContent = text;
  toast.dataset.tone = tone;
  toast.classList.add('up');
  toastTimer = setTimeout(() => toast.classList.remove('up'), 4_500);
}

function bump(element) {
  element.animate([{ transform: 'scale(1)' }, { transform: 'scale(1.18)' }, { transform: 'scale(1)' }], 220);
}

// Rooms and the address.

function roomOfAddress() {
  // The fragment first: it is what was typed last, onto an address of ours.
  const asked = [unescaped(location.hash.slice(1)), new URLSearchParams(location.search).get('room') ?? ''];
  return asked.find((room) => roomPattern.test(room)) ?? 'lobby';
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

function showRoom() {
  const room = client.room;
  $('room').value = room;
  $('room-name').textContent = room;
  document.title = `#${room} · danmakud 弹幕`;
  for (const button of document.querySelectorAll('#rooms button')) {
    button.setAttribute('aria-pressed', String(button.value === room));
  }
  if (roomOfAddress() !== room || location.hash) {
    const address = `/?room=${encodeURIComponent(room)}`;
    history[replaceAddress ? 'replaceState' : 'pushState'](null, '', address);
  }
  replaceAddress = false;
}

function enter(room) {
  const name = room.trim().replace(/^#/, '');
  if (!roomPattern.test(name)) {
    say('A room is 1 to 64 of A–Z a–z 0–9 _ . : -', 'warn');
    $('room').focus();
    return;
  }
  go(name);
}

function go(room) {
  if (room === wanted) return;
  wanted = room;
  client.switch(room).catch((error) => {
    if (error.code === 'superseded' || error.code === 'stopped') return;
    composer.error(error);
    wanted = client.room;
    $('room').value = client.room;
  });
}

$('go').addEventListener('submit', (event) => {
  event.preventDefault();
  enter($('room').value);
  $('room').blur();
});
for (const button of document.querySelectorAll('#rooms button')) {
  button.addEventListener('click', () => enter(button.value));
}
for (const event of ['popstate', 'hashchange']) {
  addEventListener(event, () => {
    replaceAddress = true; // going back must not write a new entry
    go(roomOfAddress());
  });
}
$('again').addEventListener('click', () => client.join());

// Small comforts.

$('show').addEventListener('click', () => {
  const on = $('show').getAttribute('aria-pressed') !== 'true';
  $('show').setAttribute('aria-pressed', String(on));
  body.classList.toggle('no-flights', !on);
  stage.on = on;
});
$('style').addEventListener('click', () => {
  const open = $('style').getAttribute('aria-expanded') !== 'true';
  $('style').setAttribute('aria-expanded', String(open));
  $('looks').classList.toggle('open', open);
});
addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $('text').focus();
  }
  if (event.key === 'Escape' && typing) event.target.blur();
});
setInterval(() => (scene.rate = meters.commentRate), 500);

showRoom();
client.join();
