// A way between client and server that can be spoilt. It knows where a message of
// the server begins and ends, so that it can cut before, within and behind one.
//
//	plan = { open(link), head(link), frame(link, bytes, n), up(link, chunk) }
//
// Each may return false: then the bytes go no further. Plans are taken one a
// connection, in order; without one everything passes.
import { once } from 'node:events';
import net from 'node:net';

export class Proxy {
  links = new Set();
  plans = [];
  #target;
  #server = net.createServer((client) => this.#carry(client));

  constructor(port) {
    this.#target = port;
  }

  async start() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this.#server.address().port;
  }

  get last() {
    return [...this.links].at(-1);
  }

  stop() {
    for (const link of this.links) link.reset();
    this.#server.close();
  }

  #carry(client) {
    const link = new Link(client, this.plans.shift() ?? {});
    this.links.add(link);
    client.on('close', () => this.links.delete(link));
    if (link.plan.open?.(link) !== false) link.connect(this.#target);
  }
}

class Link {
  plan;
  client;
  server = null;
  #unread = Buffer.alloc(0); // of the server, not yet a whole head or frame
  #headDone = false;
  #frames = 0;
  #hole = false;

  constructor(client, plan) {
    this.client = client;
    this.plan = plan;
    client.on('error', () => {});
    client.on('data', (chunk) => {
      if (this.#hole || this.plan.up?.(this, chunk) === false) return;
      this.server?.write(chunk);
    });
    client.on('close', () => this.server?.destroy());
  }

  connect(port) {
    this.server = net.connect(port, '127.0.0.1');
    this.server.on('error', () => {});
    this.server.on('data', (chunk) => this.#down(chunk));
    this.server.on('close', () => this.#hole || this.client.end());
  }

  /** Neither way carries anything any more, and nobody is told. */
  vanish() {
    this.#hole = true;
    this.server?.destroy();
  }

  /** TCP reset of both sides. */
  reset() {
    this.client.resetAndDestroy();
    this.server?.destroy();
  }

  /** The end of the stream without a close frame. */
  finish() {
    this.#hole = true;
    this.client.end();
    this.server?.destroy();
  }

  /** A close frame of the server's, then the end. */
  close(code, reason = '') {
    const text = Buffer.from(reason);
    this.client.write(Buffer.concat([Buffer.from([0x88, 2 + text.length, code >> 8, code & 255]), text]));
    this.finish();
  }

  answer(text) {
    this.client.end(text);
  }

  #down(chunk) {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    if (!this.#headDone) {
      const end = this.#unread.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.#headDone = true;
      this.#pass(end + 4, (bytes) => this.plan.head?.(this, bytes));
    }
    for (let size = frameSize(this.#unread); size && !this.#hole; size = frameSize(this.#unread)) {
      this.#pass(size, (bytes) => this.plan.frame?.(this, bytes, ++this.#frames));
    }
  }

  #pass(size, judge) {
    const bytes = this.#unread.subarray(0, size);
    this.#unread = this.#unread.subarray(size);
    if (!this.#hole && judge(bytes) !== false && !this.client.destroyed) this.client.write(bytes);
  }
}

/** Of the whole frame at the beginning of p, or 0. Servers do not mask. */
function frameSize(p) {
  if (p.length < 2) return 0;
  const short = p[1] & 127;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (p.length < head) return 0;
  const size = head + (short < 126 ? short : short === 126 ? p.readUInt16BE(2) : Number(p.readBigUInt64BE(2)));
  return p.length < size ? 0 : size;
}
