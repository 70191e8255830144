// The control API. Every path the page asks is in this file.

const keyName = 'danmakud-key';
const timeout = 15_000;

/** An answer other than success. status 0: there was none. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let askForKey = () => {}; // set by app.js

export const key = {
  get: () => sessionStorage.getItem(keyName) ?? '',
  set: (text) => (text ? sessionStorage.setItem(keyName, text) : sessionStorage.removeItem(keyName)),
  /** f is called with the words of the server when it wants another key. */
  onwanted: (f) => (askForKey = f),
};

function headers(sent, body) {
  const all = {};
  if (sent) all.Authorization = `Bearer ${sent}`;
  if (body !== undefined) all['Content-Type'] = 'application/json';
  return all;
}

async function ask(method, path, body, signal) {
  const sent = key.get();
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: headers(sent, body),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ?? AbortSignal.timeout(timeout),
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, error.name === 'TimeoutError' ? 'the server does not answer' : 'the server cannot be reached');
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  const detail = String(problem.detail || problem.title || answer.statusText || `status ${answer.status}`);
  // An answer to the key before says nothing about this one.
  if (answer.status === 401 && key.get() === sent) askForKey(sent ? `The key was refused: ${detail}` : '');
  throw new Problem(answer.status, detail);
}

async function json(method, path, body) {
  const answer = await ask(method, path, body);
  return answer.status === 204 ? null : answer.json();
}

const room = (name) => `/v1/rooms/${encodeURIComponent(name)}`;
const query = (values) => {
  const set = Object.entries(values).filter(([, v]) => v !== undefined && v !== '');
  return set.length ? `?${new URLSearchParams(set)}` : '';
};

export const api = {
  stats: () => json('GET', '/v1/stats'),
  rooms: (after, limit) => json('GET', `/v1/rooms${query({ after, limit })}`),
  room: (name) => json('GET', room(name)),
  settings: (name) => json('GET', `${room(name)}/settings`),
  setSettings: (name, changed) => json('PATCH', `${room(name)}/settings`, changed),
  history: (name, limit) => json('GET', `${room(name)}/history${query({ limit })}`),
  clear: (name) => json('POST', `${room(name)}/clear`),
  announce: (name, text) => json('POST', `${room(name)}/announcement`, { text }),
  retract: (name, id) => json('DELETE', `${room(name)}/comments/${encodeURIComponent(id)}`),
  stream: (name, signal) => ask('GET', `${room(name)}/stream`, undefined, signal),
  archive: (name, format) => ask('GET', `${room(name)}/export${query({ format })}`, undefined, new AbortController().signal),
  kick: (name, user, reason) => json('POST', '/v1/kick', { room: name || undefined, user, reason: reason || undefined }),
  sanctions: (name) => json('GET', `/v1/sanctions${query({ room: name })}`).then((a) => a.sanctions),
  sanction: (wanted) => json('POST', '/v1/sanctions', wanted),
  lift: (id) => json('DELETE', `/v1/sanctions/${encodeURIComponent(id)}`),
  held: (name) => json('GET', `/v1/held${query({ room: name })}`).then((a) => a.held),
  decide: (id, publish) => json('POST', `/v1/held/${encodeURIComponent(id)}`, { publish }),
  wordLists: () => json('GET', '/v1/words').then((a) => a.lists),
  wordList: (name) => json('GET', `/v1/words/${encodeURIComponent(name)}`),
  setWordList: (name, list) => json('PUT', `/v1/words/${encodeURIComponent(name)}`, list),
  removeWordList: (name) => json('DELETE', `/v1/words/${encodeURIComponent(name)}`),
  audit: (limit) => json('GET', `/v1/audit${query({ limit })}`).then((a) => a.events),
};
