// npm ws against danmakud echo: node echo.js ws://HOST:PORT
// Exit status 0 and "ok", or 1 and what was wrong.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import process from "node:process";
import WebSocket from "ws";

const base = process.argv[2];
const guard = setTimeout(() => fail(new Error("no end within 150 s")), 150_000);

function fail(error) {
  console.error(error);
  process.exit(1);
}

function event(socket, name) {
  return new Promise((resolve) => socket.once(name, (...values) => resolve(values)));
}

const comment = "前方高能 😀 ";
const messages = [
  ["", false],
  ["a", false],
  [comment, false],
  [comment.repeat(50_000), false],
  [randomBytes(70_000), true],
];
// Once plain and once compressed: windows have 32 KiB at most.
const longest = [Buffer.alloc(16 << 20, "0123456789"), true];

async function echo(deflate, extensions, more = []) {
  const socket = new WebSocket(base, { perMessageDeflate: deflate, maxPayload: 17 << 20 });
  socket.on("error", fail);
  const inbox = [];
  let arrived = () => {};
  socket.on("message", (...message) => {
    inbox.push(message);
    arrived();
  });
  const next = async () => {
    while (inbox.length === 0) await new Promise((resolve) => (arrived = resolve));
    return inbox.shift();
  };
  await event(socket, "open");
  assert.ok(socket.extensions === extensions, socket.extensions);
  for (const [message, binary] of [...messages, ...more]) {
    socket.send(message);
    const [data, isBinary] = await next();
    assert.equal(isBinary, binary);
    assert.ok(data.equals(Buffer.from(message)), "another message came back");
  }
  for (let i = 0; i < 200; i++) socket.send(comment.repeat(i), { fin: i % 2 === 1 });
  for (let i = 1; i < 200; i += 2) {
    const [data] = await next();
    assert.equal(data.toString(), comment.repeat(2 * i - 1)); // of two fragments
  }
  socket.ping("are you there");
  const [payload] = await event(socket, "pong");
  assert.equal(payload.toString(), "are you there");
  socket.close(4000, "bye");
  const [code] = await event(socket, "close");
  assert.equal(code, 4000);
}

async function run() {
  await echo(false, "", [longest]);
  const threshold = 0;
  await echo({ threshold }, "permessage-deflate", [longest]);
  for (let bits = 9; bits <= 15; bits++) {
    await echo({ threshold, serverMaxWindowBits: bits }, "permessage-deflate");
  }
  await echo({ threshold, serverNoContextTakeover: true, clientNoContextTakeover: true, clientMaxWindowBits: 10 }, "permessage-deflate");
  clearTimeout(guard);
  console.log("ok");
}

run().catch(fail);
