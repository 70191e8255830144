// The connection to one room: opens, keeps, and re-opens the WebSocket, and
// turns its frames into calls. What is shown is nobody's business here.
//
//	idle ── open() ──> connecting ── welcome ──> live
//	                     ^   │                    │
//	                     │   └──── lost ──────────┤
//	                     └── timer ── waiting <───┘      (final closes: stopped)

import { Backoff } from './backoff.js';

/** Room names as the server takes them. */
export const roomPattern = /^[A-Za-z0-9_.:-]{1,64}$/;

const welcomeWithin = 10_000; // a socket that says nothing for so long is given up
const switchWithin = 4_000; // then the room is changed by a new connection
const pingEvery = 15_000; // shows the way's length, and that there still is one
const pongWithin = 10_000;
const historyWanted = 50;

export class Connection {
  #handlers;
  #backoff = new Backoff();
  #socket = null;
  #room;
  #state = 'idle';
  #seen = { room: '', epoch: '', seq: 0 }; // up to where this page has a room's batches
  #timer = 0; // the next try, or a deadline of the current one
  #switchTimer = 0;
  #switching = '';
  #retryAfter = 0;
  #lastFrame = 0;
  #lastPing = 0;
  #pinged = 0; // when the ping under way was sent, 0: none is
  #pings = 0;

  /**
   * @param {string} room
   * @param {Record<string, Function>} handlers state, welcome, batch, ack,
   *   error, skipped, goodbye, rtt
   */
  constructor(room, handlers) {
    this.#room = room;
    this.#handlers = handlers;
    setInterval(() => this.#watch(), 1_000);
    // Back on the network: no need to sit out a long wait.
    addEventListener('online', () => {
      if (this.#state === 'waiting') this.#later(Math.random() * 1_000);
    });
  }

  get room() {
    return this.#room;
  }

  get live() {
    return this.#state === 'live';
  }

  /** Connects now, whatever was before. */
  open() {
    this.#backoff.reset();
    this.#connect();
  }

  /** True when the frame was handed to the socket. */
  send(message) {
    if (!this.live || this.#socket.readyState !== WebSocket.OPEN) return false;
    // A socket that does not drain is not fed: nothing piles up in the page.
    if (this.#socket.bufferedAmount > 64 * 1024) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Moves to another room: over the same connection while there is one. */
  switch(room) {
    if (room === (this.#switching || this.#room)) return;
    if (this.send({ type: 'switch', room, ref: 'switch' })) {
      this.#switching = room;
      clearTimeout(this.#switchTimer);
      this.#switchTimer = setTimeout(() => this.#reopen(room), switchWithin);
      return;
    }
    this.#reopen(room);
  }

  #reopen(room) {
    this.#room = room;
    this.open();
  }

  #connect() {
    this.#drop();
    this.#retryAfter = 0;
    this.#become('connecting');
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const url = `${scheme}//${location.host}/ws/${encodeURIComponent(this.#room)}?history=${historyWanted}${this.#since()}`;
    const socket = new WebSocket(url, 'danmaku.v1.json');
    this.#socket = socket;
    // Each listener asks whether it still speaks for the current socket.
    const current = (f) => (event) => socket === this.#socket && f(event);
    socket.addEventListener('message', current((e) => this.#frame(e.data)));
    socket.addEventListener('close', current((e) => this.#lost(e.code, e.reason)));
    this.#timer = setTimeout(() => this.#lost(1006, ''), welcomeWithin);
  }

  // Where to go on in the room that was seen last.
  #since() {
    const { room, epoch, seq } = this.#seen;
    return room === this.#room && epoch ? `&since=${seq}&epoch=${encodeURIComponent(epoch)}` : '';
  }

  // Lets go of the socket without a further word from it.
  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#switchTimer);
    this.#switching = '';
    this.#pinged = 0;
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(1000);
  }

  #lost(code, reason) {
    const wanted = this.#switching || this.#room;
    this.#drop();
    this.#room = wanted;
    const { delay, final } = this.#backoff.lost({
      now: performance.now(),
      code,
      reason,
      retryAfter: this.#retryAfter,
    });
    if (final) {
      this.#become('stopped', { why: final });
      return;
    }
    this.#later(delay, code);
  }

  #later(delay, code = 0) {
    clearTimeout(this.#timer);
    this.#become('waiting', { until: performance.now() + delay, code });
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #become(state, detail = {}) {
    this.#state = state;
    this.#handlers.state(state, { ...detail, failures: this.#backoff.failures });
  }

  #frame(data) {
    this.#lastFrame = performance.now();
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
        // While a switch is under way a last batch of the old room may come.
        if (message.room !== this.#room || !this.live) return;
        this.#saw(message.seq);
        return this.#handlers.batch(message);
      case 'goodbye':
        this.#retryAfter = Number(message.retry_after_ms) || 0;
        this.#handlers.goodbye(message);
        return;
      case 'pong':
        if (this.#pinged) this.#handlers.rtt(performance.now() - this.#pinged);
        this.#pinged = 0;
        return;
      case 'error':
        if (message.ref === 'switch') this.#refused();
        this.#handlers.error(message);
        return;
      case 'skipped':
        this.#saw(message.to);
        return this.#handlers.skipped(message);
      case 'ack':
        this.#handlers.ack(message);
    }
  }

  // A comment of one's own that others do not see comes with a seq of before.
  #saw(seq) {
    if (seq > this.#seen.seq) this.#seen.seq = seq;
  }

  #welcome(message) {
    clearTimeout(this.#timer);
    clearTimeout(this.#switchTimer);
    this.#switching = '';
    this.#room = String(message.room ?? this.#room);
    this.#seen = { room: this.#room, epoch: String(message.epoch ?? ''), seq: Number(message.seq) || 0 };
    this.#backoff.opened(performance.now());
    this.#handlers.welcome(message);
    this.#become('live');
    // A moment later: the page is still busy with what it just got.
    this.#lastPing = performance.now() - pingEvery + 1_500;
  }

  // The server did not take the switch: stay where we are.
  #refused() {
    clearTimeout(this.#switchTimer);
    this.#switching = '';
  }

  #ping() {
    this.#lastPing = performance.now();
    if (this.send({ type: 'ping', ref: `p${++this.#pings}` })) this.#pinged = this.#lastPing;
  }

  // Once a second. A vanished network closes no socket; asking finds out.
  #watch() {
    if (!this.live) return;
    const now = performance.now();
    if (this.#pinged) {
      if (now - this.#pinged > pongWithin && now - this.#lastFrame > pongWithin) this.#lost(1006, '');
    } else if (now - this.#lastPing > pingEvery) {
      this.#ping();
    }
  }
}
