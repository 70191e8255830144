// Which page is shown, the state of the server, and the key.

import { api, key } from './api.js';
import { auditPage } from './audit.js';
import { span, write } from './dom.js';
import { Overview, Past } from './overview.js';
import { peoplePage } from './people.js';
import { roomPage } from './room.js';
import { roomsPage } from './rooms.js';
import { wordsPage } from './words.js';

const $ = (id) => document.getElementById(id);
const main = $('main');
const past = new Past();
const askEvery = 1_000;

// Pages. Each gets a signal that ends when it is left.

const pages = [
  [/^\/?$/, 'overview', (signal) => new Overview(past, signal).element],
  [/^\/rooms$/, 'rooms', roomsPage],
  [/^\/rooms\/([^/]+)$/, 'rooms', roomPage],
  [/^\/people$/, 'people', peoplePage],
  [/^\/words$/, 'words', wordsPage],
  [/^\/audit$/, 'audit', auditPage],
];

let leaving = new AbortController();

function show() {
  leaving.abort();
  leaving = new AbortController();
  const path = location.hash.replace(/^#/, '') || '/';
  for (const [pattern, tab, page] of pages) {
    const found = pattern.exec(path);
    if (!found) continue;
    for (const link of $('tabs').children) {
      if (link.dataset.tab === tab) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    main.replaceChildren(page(leaving.signal, ...found.slice(1).map(unescaped)));
    scrollTo(0, 0);
    return;
  }
  location.replace('#/');
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// The key.

const dialog = $('key-dialog');
let refused = false; // an answer of 401 opened the dialog; ask once for each key

function openKey(why) {
  if (dialog.open) return;
  write($('key-why'), why || (refused ? 'This server asks for a key. It is kept until this tab is closed.' : 'The key is kept until this tab is closed.'));
  $('key-text').value = '';
  dialog.showModal();
}

key.onwanted((why) => {
  if (refused) return;
  refused = true;
  openKey(why);
});
$('key').addEventListener('click', () => openKey(''));
$('key-cancel').addEventListener('click', () => dialog.close());
$('key-forget').addEventListener('click', () => useKey(''));
$('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  useKey($('key-text').value.trim());
});

function useKey(text) {
  key.set(text);
  refused = false;
  dialog.close();
  ask();
  show();
}

// The state of the server, asked once a second for all pages.

let asking = false;
async function ask() {
  if (asking) return;
  asking = true;
  try {
    const stats = await api.stats();
    past.add(stats);
    health(stats);
  } catch (error) {
    $('health').dataset.state = 'bad';
    write($('health-text'), error.status === 401 ? 'Key needed' : error.status === 403 ? 'Not allowed' : 'No answer');
    $('health').title = error.message;
  } finally {
    asking = false;
  }
}

function health(stats) {
  const up = span((Date.parse(stats.at) - Date.parse(stats.started)) / 1_000);
  const state = stats.draining ? 'Draining' : stats.behind ? 'Behind' : '';
  $('health').dataset.state = state ? 'bad' : 'ok';
  write($('health-text'), state || `Up ${up}`);
  $('health').title = stats.version ? `danmakud ${stats.version}` : '';
}

addEventListener('hashchange', show);
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault(); // the hash names the page
  main.focus();
});
setInterval(ask, askEvery);
ask();
show();
