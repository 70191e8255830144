// A clock that is turned by hand, a socket that says what it is told, and a
// generator whose numbers repeat.

export class FakeClock {
  #now = 0;
  #timers = new Map();
  #next = 1;

  get pending() {
    return this.#timers.size;
  }

  now = () => this.#now;

  setTimeout = (f, ms) => {
    const timer = this.#next++;
    this.#timers.set(timer, { f, at: this.#now + Math.max(0, ms) });
    return timer;
  };

  clearTimeout = (timer) => this.#timers.delete(timer);

  /** Lets time pass, with all that falls into it. */
  pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (!due) break;
      const [timer, { f, at }] = due;
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, at);
      f();
    }
    this.#now = end;
  }
}

/** Gives a class of sockets and the list of those that were made. */
export function fakeSockets() {
  const made = [];
  class FakeSocket extends EventTarget {
    readyState = 0;
    bufferedAmount = 0;
    sent = [];

    constructor(url, protocols) {
      super();
      this.url = new URL(url);
      this.protocols = protocols;
      made.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code) {
      this.closedWith = code;
      this.readyState = 2;
    }

    /** The server says this. */
    say(message) {
      this.readyState = 1;
      const data = typeof message === 'string' ? message : JSON.stringify(message);
      this.dispatchEvent(Object.assign(new Event('message'), { data }));
    }

    welcome(more = {}) {
      this.say({ type: 'welcome', room: 'r', epoch: 'e1', seq: 0, tick_ms: 100, online: 1, uid: '~1', history: [], ...more });
    }

    batch(seq, comments = [], more = {}) {
      this.say({ type: 'batch', room: 'r', seq, ts: 1, comments, ...more });
    }

    end(code, reason = '') {
      this.readyState = 3;
      this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
    }
  }
  return { made, FakeSocket };
}

export function seeded(seed) {
  let s = seed >>> 0;
  return () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 32;
  };
}

export class FakePage extends EventTarget {
  hidden = false;
  #count = 0;

  get listeners() {
    return this.#count;
  }

  addEventListener(...args) {
    this.#count++;
    super.addEventListener(...args);
  }

  removeEventListener(...args) {
    this.#count--;
    super.removeEventListener(...args);
  }

  show(shown) {
    this.hidden = !shown;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}
