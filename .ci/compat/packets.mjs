// The clients of Bilibili's packets from npm, unmodified, against danmakud:
// node packets.mjs PUBLIC CONTROL BARE (each HOST:PORT, BARE of --packet-listen)
// Exit status 0 and "ok", or 1 and what was wrong.

import assert from "node:assert/strict";
import process from "node:process";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket; // what these find in a browser

const { default: biliWS } = await import("bilibili-live-ws");
const { KeepLiveWS } = await import("tiny-bilibili-ws/browser");
const { startListen } = await import("blive-message-listener/browser");
const { LiveWS: WebLiveWS } = await import("bilibili-live-danmaku");

const [pub, control, bare] = process.argv.slice(2);
const room = 1000;
setTimeout(() => fail(new Error("no end within 150 s")), 150_000).unref();

function fail(error) {
  console.error(error);
  process.exit(1);
}
process.on("unhandledRejection", fail);

// A Seen collects what a client has received, by name, and lets one wait for it.
class Seen {
  #values = new Map();
  #waiting = new Map();
  constructor(name) {
    this.name = name;
  }
  take(event, value) {
    if (!this.#values.has(event)) this.#values.set(event, value);
    this.#waiting.get(event)?.(value);
  }
  get events() {
    return [...this.#values.keys()];
  }
  of(event) {
    if (this.#values.has(event)) return Promise.resolve(this.#values.get(event));
    return new Promise((resolve) => this.#waiting.set(event, resolve));
  }
}

const wanted = ["DANMU_MSG", "SEND_GIFT", "SUPER_CHAT_MESSAGE", "ONLINE_RANK_COUNT", "WATCHED_CHANGE", "LIKE_INFO_V3_UPDATE"];
const clients = [];

// bilibili-live-ws, with each way to be sent batches, on a WebSocket and on TCP.
for (const protover of [0, 1, 2, 3]) {
  const seen = new Seen(`bilibili-live-ws ${protover}`);
  const live = new biliWS.LiveWS(room, { address: `ws://${pub}/sub`, protover });
  follow(live, seen);
  clients.push({ seen, raw: true, close: () => live.close() });
}
{
  const seen = new Seen("bilibili-live-ws LiveTCP");
  const [host, port] = bare.split(":");
  const live = new biliWS.LiveTCP(room, { host, port: Number(port), protover: 2 });
  follow(live, seen);
  clients.push({ seen, raw: true, close: () => live.close() });
}

function follow(live, seen) {
  live.on("error", fail);
  live.on("live", () => seen.take("live", true));
  live.on("heartbeat", (online) => seen.take("heartbeat", online));
  for (const cmd of wanted) live.on(cmd, (data) => seen.take(cmd, data));
}

{
  const seen = new Seen("tiny-bilibili-ws");
  const [host, port] = pub.split(":");
  const live = new KeepLiveWS(room, { host, port: Number(port), path: "/sub", ssl: false, uid: 0 });
  live.on("live", () => seen.take("live", true));
  live.on("heartbeat", (data) => seen.take("heartbeat", data?.data ?? data));
  for (const cmd of wanted) live.on(cmd, (data) => seen.take(cmd, data.data ?? data));
  clients.push({ seen, raw: true, close: () => live.close() });
}
{
  const seen = new Seen("bilibili-live-danmaku");
  const live = new WebLiveWS(room, { address: `ws://${pub}/sub`, uid: 0, key: "" });
  live.addEventListener("CONNECT_SUCCESS", () => seen.take("live", true));
  live.addEventListener("HEARTBEAT_REPLY", (e) => seen.take("heartbeat", e.data));
  for (const cmd of wanted) live.addEventListener(cmd, (e) => seen.take(cmd, e.data));
  clients.push({ seen, raw: true, close: () => live.close() });
}
{
  const seen = new Seen("blive-message-listener");
  const [host, port] = pub.split(":");
  const live = startListen(
    room,
    {
      onOpen: () => {},
      onStartListen: () => seen.take("live", true),
      onError: fail,
      onIncomeDanmu: (m) => seen.take("DANMU_MSG", m.body),
      onGift: (m) => seen.take("SEND_GIFT", m.body),
      onIncomeSuperChat: (m) => seen.take("SUPER_CHAT_MESSAGE", m.body),
      onAttentionChange: (m) => seen.take("heartbeat", m.body.attention),
      onRankCountChange: (m) => seen.take("ONLINE_RANK_COUNT", m.body.count),
      onWatchedChange: (m) => seen.take("WATCHED_CHANGE", m.body.num),
      onLikedChange: (m) => seen.take("LIKE_INFO_V3_UPDATE", m.body.count),
    },
    { ws: { host, port: Number(port), path: "/sub", ssl: false } },
  );
  clients.push({ seen, raw: false, close: () => live.close() });
}

async function post(path, body) {
  const answer = await fetch(`http://${control}${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200, await answer.text());
}

function each(check) {
  return Promise.all(clients.map(async (c) => {
    try {
      await check(c, (event) => c.seen.of(event));
    } catch (error) {
      throw new Error(`${c.seen.name}: ${error.message}`, { cause: error });
    }
  }));
}

await each(async (_, of) => {
  await of("live");
  const online = await of("heartbeat");
  assert.ok(online >= 1 && online <= clients.length, `online ${JSON.stringify(online)}`);
});

await post(`/v1/rooms/${room}/comments`, { text: "前方[高能]😀", user: "42", name: "小明", color: 255 });
await post(`/v1/rooms/${room}/gift`, { user: "8", name: "送礼", gift: "火箭", num: 3, price: 500 });
await post(`/v1/rooms/${room}/superchat`, { user: "9", name: "醒目", text: "好", price: 30, duration_s: 60 });

const native = new WebSocket(`ws://${pub}/ws/${room}`);
native.on("error", fail);
native.on("open", () => native.send(JSON.stringify({ type: "like", count: 7 })));

await each(async ({ raw }, of) => {
  const [chat, gift, superchat] = [await of("DANMU_MSG"), await of("SEND_GIFT"), await of("SUPER_CHAT_MESSAGE")];
  const [rank, watched, likes] = [await of("ONLINE_RANK_COUNT"), await of("WATCHED_CHANGE"), await of("LIKE_INFO_V3_UPDATE")];
  if (!raw) { // typed by the library, which so judges the layout
    assert.equal(chat.content, "前方[高能]😀");
    assert.equal(chat.user.uid, 42);
    assert.equal(chat.user.uname, "小明");
    assert.equal(chat.content_color.toLowerCase(), "#0000ff");
    assert.equal(gift.gift_name, "火箭");
    assert.equal(gift.amount, 3);
    assert.equal(gift.user.uname, "送礼");
    assert.equal(superchat.content, "好");
    assert.equal(superchat.price, 30);
    assert.equal(superchat.user.uname, "醒目");
    assert.ok(rank >= 1 && watched >= clients.length, `rank ${rank}, watched ${watched}`);
    assert.equal(likes, 7);
    return;
  }
  const data = (event) => event.data ?? event;
  assert.equal(chat.info[1], "前方[高能]😀");
  assert.equal(chat.info[2][0], 42);
  assert.equal(chat.info[2][1], "小明");
  assert.equal(chat.info[0][3], 255);
  assert.equal(data(gift).giftName, "火箭");
  assert.equal(data(gift).num, 3);
  assert.equal(data(superchat).message, "好");
  assert.equal(data(superchat).price, 30);
  assert.ok(data(rank).count >= 1);
  assert.ok(data(watched).num >= clients.length);
  assert.equal(data(likes).click_count, 7);
});

for (const { seen } of clients) {
  console.log(`${seen.name}: ${await seen.of("heartbeat")} online; ${seen.events.join(", ")}`);
}
for (const c of clients) c.close();
native.close();
console.log("ok");
process.exit(0);
