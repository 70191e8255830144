// A control listener that says whatever a check wants it to: the dashboard's own
// files under the policy of the real one, and an API whose answers are plain data.
// The real server refuses much of what it can say; the page has to bear it anyway.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

const folder = new URL('../../cmd/danmakud/internal/dashboard/', import.meta.url);
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' };

export class Control {
  /** What the API answers, by "GET /v1/…"; a function gets the body. Asked for is what came. */
  answers = {};
  asked = [];
  key = '';
  /** Is waited for before somebody with another key is refused. */
  refusing = async (name, authorization) => {};
  policy;
  #server = createServer((request, response) => this.#serve(request, response));
  #streams = new Set();

  constructor(policy) {
    this.policy = policy;
  }

  async start() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async stop() {
    for (const stream of this.#streams) stream.end();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Sends an event to all live views. */
  tell(event, data) {
    for (const stream of this.#streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  async #serve(request, response) {
    const path = decodeURIComponent(new URL(request.url, 'http://x').pathname);
    if (!path.startsWith('/v1/')) return this.#file(path, response);
    let text = '';
    for await (const chunk of request) text += chunk;
    const name = `${request.method} ${path}`;
    if (this.key && request.headers.authorization !== `Bearer ${this.key}`) {
      await this.refusing(name, request.headers.authorization);
      return this.#json(response, 401, { title: 'Unauthorized', status: 401, detail: 'this needs a key' });
    }
    if (request.method !== 'GET') this.asked.push({ name, body: text ? JSON.parse(text) : null });
    if (path.endsWith('/stream')) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(': live\n\n');
      this.#streams.add(response);
      response.on('close', () => this.#streams.delete(response));
      return;
    }
    const answer = this.answers[name];
    if (answer === undefined) return this.#json(response, 404, { title: 'Not Found', status: 404, detail: `nothing is at ${path}` });
    const value = typeof answer === 'function' ? answer(text ? JSON.parse(text) : null) : answer;
    if (value === null) return response.writeHead(204).end();
    this.#json(response, 200, value);
  }

  #json(response, status, value) {
    response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
    response.end(JSON.stringify(value));
  }

  async #file(path, response) {
    const name = path === '/' ? 'index.html' : path.slice(1);
    const body = name.includes('..') ? null : await readFile(new URL(name, folder)).catch(() => null);
    if (!body) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': types[name.split('.').pop()], 'Content-Security-Policy': this.policy, 'X-Content-Type-Options': 'nosniff' });
    response.end(body);
  }
}
