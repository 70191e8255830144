// The client of danmakud's native protocol (danmaku.v1.json): one room at a time,
// over one WebSocket that is opened again whenever it is lost.
//
//	idle ── join() ──> connecting ── welcome ──> live
//	                      ^   │                    │
//	                      │   └──────── lost ──────┤
//	                      └── timer ── waiting <───┘     (final closes: stopped)
//
// A comment takes this way:
//
//	frame ─> seq (since where to resume) ─> seen (ids) ─┬─> comment, batch
//	                                                    └─> queue ─ rate ─> render
//
// close() ends it in every state; no timer and no listener stays.

import { Backoff } from './backoff.js';
import { RenderQueue, isChat } from './queue.js';
import { Seen } from './seen.js';

export { Backoff, RenderQueue };

/** Room names as the server takes them. */
export const roomPattern = /^[A-Za-z0-9_.:-]{1,64}$/;

const subprotocol = 'danmaku.v1.json';
const defaults = {
  history: 50, // comments of before to ask for
  welcomeWithin: 10_000, // ms; a socket that says nothing for so long is given up
  switchWithin: 4_000, // then the room is changed by a new connection
  answerWithin: 20_000, // for the ack of a comment; a moderating service may take its time
  pingEvery: 15_000, // shows the way's length, and that there still is one
  pongWithin: 10_000,
  idsKept: 4_000, // comments that are recognised when they come again
};
const pendingLimit = 64; // messages sent and not yet answered
const closeWithin = 100; // ms between an error and its close
const bufferLimit = 64 * 1024; // bytes the socket may hold back

const realClock = {
  now: () => performance.now(),
  setTimeout: (f, ms) => globalThis.setTimeout(f, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
};

/**
 * Why something failed. code is one of the server's (docs/protocol.md), or of ours:
 * disconnected, timeout, busy, switching, superseded, stopped, closed, bad_field.
 */
export class DanmakuError extends Error {
  constructor(code, message, { retryAfterMs = 0, ref, sent = false } = {}) {
    super(message);
    this.name = 'DanmakuError';
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.ref = ref;
    this.sent = sent; // it may have taken effect all the same
  }
}

/** Makes a client and joins at once; what comes of it is told by events. */
export function connect(options) {
  const client = new Client(options);
  client.join();
  return client;
}

export class Client {
  #options;
  #base;
  #room;
  #token;
  #clock;
  #random;
  #WebSocket;
  #backoff;
  #queue;
  #page; // tells of visibility: document, or nothing
  #network; // tells of being online: window, or nothing
  #listeners = new Map();
  #state = 'idle';
  #socket = null;
  #attempt = 0;
  #arrival = null; // the promise of the next welcome: {room, ref, resolve, reject}
  #pending = new Map(); // ref -> {resolve, reject, timer}
  #refs = 0;
  #timer = null; // the next try, or the deadline of the current one
  #switchTimer = null;
  #pingTimer = null;
  #renderTimer = null;
  #notBefore = 0; // the server asked not to be tried before
  #retryAfter = 0; // of goodbye
  #lastFrame = 0;
  #pinged = null; // when the ping under way was sent
  #at = { room: '', epoch: '', seq: 0 }; // up to where we have a room's batches
  #after = ''; // greatest id of its comments, for servers of which several share it
  #host = ''; // of goodbye: where to try next
  #seen;
  #uid = '';
  #uids = new Set(); // we were known by these in this epoch
  #online = 0;
  #likes = 0;
  #droppedTold = 0;

  constructor(options) {
    this.#options = { ...defaults, ...options };
    const { url, room, token = '', clock = realClock, random = Math.random } = this.#options;
    this.#base = baseOf(url);
    this.#room = checked(room);
    this.#token = token;
    this.#clock = clock;
    this.#random = random;
    this.#WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket) throw new TypeError('there is no global WebSocket here: pass one as the option WebSocket');
    this.#backoff = new Backoff(this.#options.backoff, random);
    this.#queue = new RenderQueue(this.#options.render);
    this.#seen = new Seen(this.#options.idsKept);
    this.#page = this.#options.page ?? globalThis.document;
    this.#network = this.#options.network ?? (globalThis.document ? globalThis : undefined);
    this.#page?.addEventListener('visibilitychange', this.#visible);
    this.#network?.addEventListener?.('online', this.#networkBack);
  }

  get room() {
    return this.#room;
  }

  /** idle, connecting, live, waiting, stopped or closed. */
  get state() {
    return this.#state;
  }

  /** What the server calls us: a user, or a guest beginning with "~". */
  get uid() {
    return this.#uid;
  }

  get online() {
    return this.#online;
  }

  /** Likes of the room since we came to it. */
  get likes() {
    return this.#likes;
  }

  /** Comments that wait to be rendered, and those the queue has left out. */
  get queued() {
    return this.#queue.size;
  }

  get dropped() {
    return this.#queue.dropped;
  }

  /** Comments a second that are rendered; 0 is no limit. */
  get maxRate() {
    return this.#queue.maxRate;
  }

  set maxRate(rate) {
    this.#queue.maxRate = rate;
    this.#render();
  }

  /** Calls f at each event of that name; returns the way to end that. */
  on(name, f) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(f);
    return () => this.off(name, f);
  }

  off(name, f) {
    this.#listeners.get(name)?.delete(f);
  }

  /** Connects now, whatever was before. Promise of the next welcome. */
  join(room = this.#wanted) {
    if (this.#state === 'closed') return Promise.reject(closedError());
    if (!roomPattern.test(room)) return Promise.reject(badRoom(room));
    const welcome = this.#arrive(room);
    this.#room = room;
    this.#backoff.reset();
    this.#connect();
    return welcome;
  }

  /**
   * Moves to another room, over the same connection while there is one. Promise
   * of its welcome; refused by the server, we stay where we are.
   */
  switch(room) {
    if (this.#state === 'closed') return Promise.reject(closedError());
    if (!roomPattern.test(room)) return Promise.reject(badRoom(room));
    const ref = this.#nextRef();
    if (!this.#write({ type: 'switch', room, ref })) return this.join(room);
    const welcome = this.#arrive(room, ref);
    this.#cancel(this.#switchTimer);
    this.#switchTimer = this.#clock.setTimeout(() => {
      this.#room = room;
      this.#connect();
    }, this.#options.switchWithin);
    return welcome;
  }

  /**
   * Says something. Promise of the ack: {id}, without an id when the comment
   * waits for a moderator. What was never answered for is not sent again.
   */
  send(text, { color, mode, size } = {}) {
    if (this.#arrival?.ref) return Promise.reject(new DanmakuError('switching', 'the room is being changed'));
    return this.#ask({ type: 'comment', text, color, mode, size });
  }

  /** A new token of the same user in place of the one we came with. Promise of the ack. */
  renew(token) {
    if (typeof this.#token !== 'function') this.#token = token;
    return this.#ask({ type: 'token', token });
  }

  /** Likes the room; false when there is no connection for it. */
  like(count = 1) {
    return this.#write({ type: 'like', count });
  }

  /** Ends everything: the socket, timers, promises that are open. */
  close() {
    if (this.#state === 'closed') return;
    this.#drop(closedError());
    this.#cancel(this.#renderTimer);
    this.#arrival?.reject(closedError());
    this.#arrival = null;
    this.#page?.removeEventListener('visibilitychange', this.#visible);
    this.#network?.removeEventListener?.('online', this.#networkBack);
    this.#queue.retract('*');
    this.#become('closed');
    this.#listeners.clear();
  }

  // The connection.

  #connect() {
    this.#drop(new DanmakuError('disconnected', 'a new connection is made', { sent: true }));
    this.#retryAfter = 0;
    const attempt = this.#attempt;
    this.#timer = this.#clock.setTimeout(() => this.#lost(1006, 'no welcome in time'), this.#options.welcomeWithin);
    this.#become('connecting');
    if (attempt !== this.#attempt || this.#state !== 'connecting') return; // a listener did something else
    if (typeof this.#token !== 'function') {
      this.#open(this.#token);
      return;
    }
    Promise.resolve()
      .then(() => this.#token())
      .then(
        (token) => attempt === this.#attempt && this.#open(token),
        (error) => attempt === this.#attempt && this.#lost(1006, `no token: ${error?.message ?? error}`),
      );
  }

  #open(token) {
    let socket;
    try {
      socket = new this.#WebSocket(this.#address(token), subprotocol);
    } catch (error) { // a page that may not, or a token that is no text
      this.#lost(1006, error.message);
      return;
    }
    this.#socket = socket;
    // Each listener asks whether it still speaks for the current socket.
    const current = (f) => (event) => socket === this.#socket && f(event);
    socket.addEventListener('message', current((e) => this.#frame(e.data)));
    socket.addEventListener('close', current((e) => this.#lost(e.code, e.reason)));
    socket.addEventListener('error', current(() => this.#failed()));
  }

  // close follows and says more. But not everywhere: Node 20 has no close after a
  // handshake that was refused.
  #failed() {
    this.#cancel(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#lost(1006, 'the connection failed'), closeWithin);
  }

  #address(token) {
    const address = new URL(this.#base);
    if (this.#host) address.host = this.#host;
    this.#host = ''; // once: who is not there either is no better than the one we know
    address.pathname += `ws/${encodeURIComponent(this.#room)}`;
    address.searchParams.set('history', this.#options.history);
    if (this.#at.room === this.#room && this.#at.epoch) {
      address.searchParams.set('since', this.#at.seq);
      address.searchParams.set('epoch', this.#at.epoch);
      if (this.#after) address.searchParams.set('after', this.#after);
    }
    if (token) address.searchParams.set('token', token);
    return address.href;
  }

  // Lets go of the socket without a further word from it. Who waits for an
  // answer on it is told why none will come.
  #drop(why) {
    this.#attempt++;
    for (const timer of [this.#timer, this.#switchTimer, this.#pingTimer]) this.#cancel(timer);
    this.#pinged = null;
    if (this.#arrival) this.#arrival.ref = undefined; // the way back leads there
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= 1) socket.close(1000);
    const open = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of open) {
      this.#cancel(timer);
      reject(why);
    }
  }

  #lost(code, reason = '') {
    this.#room = this.#wanted;
    this.#drop(new DanmakuError('disconnected', 'the connection was lost before the server answered', { sent: true }));
    const renewable = typeof this.#token === 'function';
    const now = this.#clock.now();
    const { delay, least, final } = this.#backoff.lost({ now, code, reason, retryAfter: this.#retryAfter, renewable });
    if (final) {
      const arrival = this.#arrival;
      this.#arrival = null;
      this.#become('stopped', { code, reason, why: final });
      arrival?.reject(new DanmakuError('stopped', final));
      return;
    }
    this.#notBefore = now + least;
    this.#later(delay, { code, reason });
  }

  #later(delay, detail = {}) {
    this.#cancel(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#connect(), delay);
    this.#become('waiting', { ...detail, delay, until: this.#clock.now() + delay });
  }

  // Back on the network: no need to sit out a long wait, but for what the server asked.
  #networkBack = () => {
    if (this.#state !== 'waiting') return;
    const least = Math.max(0, this.#notBefore - this.#clock.now());
    this.#later(least + this.#random() * 1_000);
  };

  #become(state, detail = {}) {
    this.#state = state;
    this.#emit('state', state, { ...detail, failures: this.#backoff.failures });
  }

  get #wanted() {
    return this.#arrival?.room ?? this.#room;
  }

  #arrive(room, ref) {
    const before = this.#arrival;
    const arrival = { room, ref };
    const promise = new Promise((resolve, reject) => Object.assign(arrival, { resolve, reject }));
    promise.catch(() => {}); // who does not look at it is told by state all the same
    this.#arrival = arrival;
    before?.reject(new DanmakuError('superseded', 'another room was asked for meanwhile'));
    return promise;
  }

  // What we send.

  // True when the frame was handed to the socket. One that does not drain is not
  // fed, so that nothing piles up here.
  #write(message) {
    if (this.#state !== 'live' || this.#socket.readyState !== 1 || this.#socket.bufferedAmount > bufferLimit) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #ask(message) {
    if (this.#state === 'closed') return Promise.reject(closedError());
    if (this.#state !== 'live') return Promise.reject(new DanmakuError('disconnected', 'there is no connection at the moment'));
    const ref = this.#nextRef();
    if (this.#pending.size >= pendingLimit || !this.#write({ ...message, ref })) {
      return Promise.reject(new DanmakuError('busy', 'the connection is busy: not sent'));
    }
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        this.#pending.delete(ref);
        reject(new DanmakuError('timeout', 'the server did not answer in time', { ref, sent: true }));
      }, this.#options.answerWithin);
      this.#pending.set(ref, { resolve, reject, timer });
    });
  }

  #nextRef() {
    return `r${++this.#refs}`;
  }

  #answered(ref) {
    const pending = this.#pending.get(ref);
    this.#pending.delete(ref);
    if (pending) this.#cancel(pending.timer);
    return pending;
  }

  // What we get.

  #frame(data) {
    this.#lastFrame = this.#clock.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // not for us: binary, or a newer server
    }
    switch (message?.type) {
      case 'welcome':
        return this.#welcome(message);
      case 'batch':
        return this.#batch(message);
      case 'ack':
        return this.#answered(message.ref)?.resolve(message);
      case 'error':
        return this.#error(message);
      case 'skipped':
        return this.#skipped(message);
      case 'pong':
        return this.#pong();
      case 'goodbye':
        this.#retryAfter = Number(message.retry_after_ms) || 0;
        this.#host = hostOf(message.host);
        return this.#emit('goodbye', message);
    }
  }

  #welcome(message) {
    for (const timer of [this.#timer, this.#pingTimer]) this.#cancel(timer);
    const before = this.#at;
    const at = { room: String(message.room ?? this.#room), epoch: String(message.epoch ?? ''), seq: whole(message.seq) };
    const again = at.room === before.room;
    this.#room = at.room;
    this.#at = at;
    // Another server of those that share the room goes on with the same ids.
    if (!again || (at.epoch !== before.epoch && !message.resumed)) this.#anew(again);
    this.#uid = String(message.uid ?? '');
    this.#uids.add(this.#uid);
    this.#backoff.opened(this.#clock.now());
    const history = list(message.history).filter((comment) => this.#seen.first(comment.id));
    this.#reached(history);
    // Of two switches in a row this may be the welcome of the first.
    const arrival = this.#arrival?.room === at.room || !this.#arrival?.ref ? this.#arrival : null;
    if (arrival) {
      this.#arrival = null;
      this.#cancel(this.#switchTimer);
    }
    this.#pingTimer = this.#clock.setTimeout(() => this.#ping(), Math.min(1_500, this.#options.pingEvery));
    const welcome = { ...message, history, again };
    this.#become('live');
    this.#emit('welcome', welcome);
    this.#count(message.online, 0);
    if (again && !message.resumed && (at.epoch !== before.epoch || at.seq > before.seq)) {
      const why = at.epoch === before.epoch ? 'gone_too_long' : 'new_epoch';
      this.#emit('gap', why === 'new_epoch' ? { why } : { why, from: before.seq + 1, to: at.seq });
    }
    for (const comment of history) this.#emit('comment', comment, { past: true, own: this.#own(comment) });
    arrival?.resolve(welcome);
  }

  // Another room, or one that began anew: its ids may be those of other comments.
  #anew(again) {
    this.#seen.forget();
    this.#after = '';
    this.#uids.clear();
    if (again) return;
    this.#likes = 0;
    this.#queue.retract('*');
  }

  #batch(message) {
    // While a switch is under way a last batch of the old room may come.
    if (message.room !== this.#room || this.#state !== 'live') return;
    this.#saw(whole(message.seq));
    const comments = list(message.comments).filter((comment) => comment.kind === 'retract' || this.#seen.first(comment.id));
    this.#reached(comments);
    this.#emit('batch', { ...message, comments });
    this.#settings(message);
    this.#count(message.online, whole(message.likes));
    for (const comment of comments) {
      if (this.#state === 'closed') return;
      if (comment.kind === 'retract') this.#retract(comment);
      else this.#comment(comment);
    }
    this.#render();
  }

  // Ids of servers that share rooms are longer than those of one by itself, and sort by
  // age as they stand.
  #reached(comments) {
    for (const { id, kind } of comments) if (kind !== 'retract' && String(id).length === 11 && id > this.#after) this.#after = id;
  }

  #comment(comment) {
    const own = this.#own(comment);
    this.#emit('comment', comment, { past: false, own });
    if (!this.#listeners.get('render')?.size) return; // nobody draws
    const over = this.#queue.push(comment, this.#clock.now(), own || !isChat(comment));
    if (over.length > 0) this.#draw(over);
  }

  #retract(comment) {
    this.#queue.retract(comment.id);
    this.#emit('retract', comment.id, comment);
  }

  #own(comment) {
    return comment.uid !== undefined && this.#uids.has(comment.uid);
  }

  // A comment of our own that others do not see comes with a seq of before.
  #saw(seq) {
    if (seq > this.#at.seq + 1) this.#emit('gap', { why: 'missing', from: this.#at.seq + 1, to: seq - 1 });
    if (seq > this.#at.seq) this.#at.seq = seq;
  }

  #skipped(message) {
    const to = whole(message.to);
    if (to > this.#at.seq) this.#at.seq = to;
    this.#emit('skipped', message);
    this.#settings(message);
    this.#emit('gap', { why: 'skipped', from: whole(message.from), to });
  }

  // What is new to who is there: welcome has those of the beginning.
  #settings({ settings }) {
    if (settings !== null && typeof settings === 'object') this.#emit('settings', settings);
  }

  #count(online, likes) {
    if (online !== undefined && whole(online) !== this.#online) {
      this.#online = whole(online);
      this.#emit('online', this.#online);
    }
    if (likes > 0) {
      this.#likes += likes;
      this.#emit('likes', likes, this.#likes);
    }
  }

  #error({ ref, code, message, retry_after_ms: retryAfterMs }) {
    const error = new DanmakuError(String(code), String(message ?? code), { retryAfterMs: whole(retryAfterMs), ref });
    const pending = this.#answered(ref);
    if (pending) return pending.reject(error);
    if (ref !== undefined && ref === this.#arrival?.ref) {
      // The switch was refused: stay where we are.
      this.#cancel(this.#switchTimer);
      const { reject } = this.#arrival;
      this.#arrival = null;
      return reject(error);
    }
    this.#emit('error', error);
  }

  // A vanished network closes no socket; asking finds out. A batch is as good as
  // the answer.

  #ping() {
    this.#pinged = this.#clock.now();
    const sent = this.#pinged;
    this.#write({ type: 'ping', ref: 'ping' });
    this.#pingTimer = this.#clock.setTimeout(() => this.#listen(sent), this.#options.pongWithin);
  }

  #listen(sent) {
    if (this.#lastFrame < sent) this.#lost(1006, 'no answer to a ping');
    else this.#ping();
  }

  #pong() {
    if (this.#pinged === null) return;
    this.#emit('rtt', this.#clock.now() - this.#pinged);
    this.#pinged = null;
    this.#cancel(this.#pingTimer);
    this.#pingTimer = this.#clock.setTimeout(() => this.#ping(), this.#options.pingEvery);
  }

  // What is drawn.

  #visible = () => this.#render();

  #render() {
    this.#cancel(this.#renderTimer);
    if (this.#state === 'closed' || this.#page?.hidden) return;
    const now = this.#clock.now();
    const comments = this.#queue.take(now);
    if (comments.length > 0) this.#draw(comments);
    const wait = this.#queue.wait(this.#clock.now());
    if (wait < Infinity && this.#state !== 'closed') this.#renderTimer = this.#clock.setTimeout(() => this.#render(), Math.max(wait, 16));
  }

  #draw(comments) {
    const dropped = this.#queue.dropped - this.#droppedTold;
    this.#droppedTold = this.#queue.dropped;
    this.#emit('render', comments, { dropped });
  }

  #cancel(timer) {
    if (timer !== null) this.#clock.clearTimeout(timer);
  }

  // A listener that fails is its author's to see, and nobody else's to suffer.
  #emit(name, ...args) {
    for (const f of [...(this.#listeners.get(name) ?? [])]) {
      try {
        f(...args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** The address below which "ws/ROOM" is, with a slash at its end. */
function baseOf(url) {
  const base = new URL(url, globalThis.location?.href);
  base.protocol = base.protocol.replace(/^http/, 'ws');
  if (base.protocol !== 'ws:' && base.protocol !== 'wss:') throw new TypeError(`no address of a WebSocket server: ${url}`);
  base.hash = '';
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base.href;
}

/** HOST:PORT that a server names, '' for anything else. */
function hostOf(host) {
  return typeof host === 'string' && /^[A-Za-z0-9.:_[\]-]{1,260}$/.test(host) ? host : '';
}

function checked(room) {
  if (!roomPattern.test(room)) throw badRoom(room);
  return room;
}

const badRoom = (room) => new DanmakuError('bad_field', `no name of a room: ${room}`);
const closedError = () => new DanmakuError('closed', 'this client was closed');
const list = (value) => (Array.isArray(value) ? value.filter((one) => one !== null && typeof one === 'object') : []);
const whole = (value) => (Number.isFinite(Number(value)) ? Number(value) : 0);
