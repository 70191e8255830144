// Starts and stops one danmakud on free ports of the loopback address.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

async function freePort() {
  const probe = net.createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

export class Server {
  #binary;
  #child = null;
  #log = '';
  #port = 0;
  #control = 0;

  constructor(binary) {
    this.#binary = binary;
  }

  get base() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Origin of the control listener. */
  get control() {
    return `http://127.0.0.1:${this.#control}`;
  }

  /** What the running process has written so far. */
  get log() {
    return this.#log;
  }

  /** Starts with the given flags, on the port of the time before if there was one. */
  async start(...flags) {
    this.#port ||= await freePort();
    this.#control ||= await freePort();
    const listen = ['--listen', `127.0.0.1:${this.#port}`, '--control', `127.0.0.1:${this.#control}`];
    this.#log = '';
    const child = spawn(this.#binary, [...listen, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        this.#log = (this.#log + chunk).slice(-20_000);
      });
    }
    await Promise.race([
      this.#ready(),
      once(child, 'error').then(([error]) => Promise.reject(error)),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`danmakud ended with ${code}:\n${this.#log}`))),
    ]);
  }

  async #ready() {
    for (let i = 0; i < 600; i++) {
      const answer = await fetch(`${this.base}/readyz`).catch(() => null);
      if (answer?.ok) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`danmakud was not ready in 30 s:\n${this.#log}`);
  }

  /** Ends the process this object started; signal says how politely. */
  async stop(signal = 'SIGTERM') {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    const guard = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await gone;
    clearTimeout(guard);
  }
}
