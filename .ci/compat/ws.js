// npm ws against danmakud: node ws.js ws://HOST:PORT
// Exit status 0 and "ok", or 1 and what was wrong.

import assert from "node:assert/strict";
import process from "node:process";
import WebSocket from "ws";

const base = process.argv[2];
const guard = setTimeout(() => fail(new Error("no end within 150 s")), 150_000);

function fail(error) {
  console.error(error);
  process.exit(1);
}

// Inbox hands out messages one at a time, in order.
class Inbox {
  #messages = [];
  #waiting = [];

  constructor(socket) {
    socket.on("message", (data, isBinary) => {
      assert.equal(isBinary, false, "messages are text");
      const message = JSON.parse(data.toString());
      const next = this.#waiting.shift();
      if (next) next(message);
      else this.#messages.push(message);
    });
  }

  next() {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  // until returns the first messages of these types, by type, in any order.
  async until(...types) {
    const found = {};
    while (types.some((type) => !(type in found))) {
      const message = await this.next();
      assert.ok(types.includes(message.type), `unexpected ${JSON.stringify(message)}`);
      found[message.type] = message;
    }
    return found;
  }
}

function event(socket, name) {
  return new Promise((resolve) => socket.once(name, (...values) => resolve(values)));
}

async function run() {
  const socket = new WebSocket(`${base}/ws/node-ws?history=0`, ["danmaku.v1.json"]);
  socket.on("error", fail);
  const inbox = new Inbox(socket);
  await event(socket, "open");
  assert.equal(socket.protocol, "danmaku.v1.json");

  const { welcome } = await inbox.until("welcome");
  assert.equal(welcome.room, "node-ws");
  assert.equal(welcome.online, 1);

  socket.send(JSON.stringify({ type: "comment", text: "前方高能 😀", color: 255, ref: "c1" }));
  const { ack, batch } = await inbox.until("ack", "batch");
  assert.equal(ack.ref, "c1");
  assert.equal(batch.seq, welcome.seq + 1);
  assert.equal(batch.comments.length, 1);
  assert.equal(batch.comments[0].id, ack.id);
  assert.equal(batch.comments[0].text, "前方高能 😀");
  assert.equal(batch.comments[0].color, 255);
  assert.equal(batch.comments[0].uid, welcome.uid);

  socket.send("{not json");
  const { error } = await inbox.until("error");
  assert.equal(error.code, "bad_json");

  socket.send(JSON.stringify({ type: "switch", room: "node-ws-2" }));
  const second = (await inbox.until("welcome")).welcome;
  assert.equal(second.room, "node-ws-2");
  assert.equal(second.uid, welcome.uid);
  socket.send(JSON.stringify({ type: "comment", text: "2" }));
  assert.equal((await inbox.until("batch")).batch.room, "node-ws-2");

  socket.ping("are you there");
  const [payload] = await event(socket, "pong");
  assert.equal(payload.toString(), "are you there");

  socket.close(1000, "bye");
  const [code] = await event(socket, "close");
  assert.equal(code, 1000);
  clearTimeout(guard);
  console.log("ok");
}

run().catch(fail);
