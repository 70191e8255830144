// Functions that run inside the page. Each stands alone: it is sent there as
// its source text.

/** Where the flight of that text is now, and some frames later. */
export async function watchFlights(text) {
  const frame = () => new Promise(requestAnimationFrame);
  const find = () => [...document.querySelectorAll('.fly')].find((e) => e.textContent.includes(text));
  const box = (element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return { x, y, width, height };
  };
  const element = find();
  if (!element) throw new Error(`${text} does not fly`);
  const first = box(element);
  for (let i = 0; i < 15; i++) await frame();
  if (!element.isConnected) throw new Error(`${text} has gone already`);
  return { first, second: box(element) };
}

/** Sends about rate comments a second over several connections; gives how many. */
export async function flood({ room, seconds, rate }) {
  const words = [
    '666', '哈哈哈哈', '前方高能', 'awsl', '晚上好', 'that drop 🔥🔥', '第一次来，请多关照', 'what song is this?',
    '这个转场我给满分', '草', 'goosebumps!!', '单曲循环一百遍', '有没有人知道这首歌的名字，找了好久都没有找到', '👏👏👏', '泪目',
    'hello from the other side of the world, it is four in the morning here',
  ];
  const colors = [0xffffff, 0xffffff, 0xffffff, 0xffc857, 0x6cc8ff, 0xff7ab8, 0x6df0c2, 0x16161e];
  const pick = (list) => list[Math.floor(Math.random() * list.length)];
  const sockets = Array.from({ length: 4 }, () => new WebSocket(`ws://${location.host}/ws/${room}?history=0`));
  await Promise.all(sockets.map((s) => new Promise((open, fail) => { s.onopen = open; s.onerror = fail; })));
  const began = performance.now();
  let sent = 0;
  while (performance.now() - began < seconds * 1_000) {
    const due = ((performance.now() - began) / 1_000) * rate;
    for (; sent < due; sent++) {
      const x = Math.random();
      sockets[sent % sockets.length].send(JSON.stringify({
        type: 'comment',
        text: pick(words),
        color: pick(colors),
        mode: x < 0.05 ? 'top' : x < 0.1 ? 'bottom' : x < 0.18 ? 'reverse' : 'scroll',
        size: pick(['small', 'medium', 'medium', 'medium', 'large']),
      }));
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  for (const socket of sockets) socket.close();
  return sent;
}

/** Watches the stage: do any two boxes touch? */
export async function overlaps({ seconds }) {
  const began = performance.now();
  const touching = [];
  const tops = new Set();
  let [samples, pairs, most, frames, longest, last] = [0, 0, 0, 0, 0, began];
  let next = 0;
  while (performance.now() - began < seconds * 1_000) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames++;
    longest = Math.max(longest, now - last);
    last = now;
    if (now < next) continue;
    next = now + 90;
    samples++;
    const boxes = [...document.querySelectorAll('.fly')].map((e) => ({ text: e.textContent, box: e.getBoundingClientRect() }));
    most = Math.max(most, boxes.length);
    for (const { box } of boxes) tops.add(Math.round(box.top));
    for (let i = 0; i < boxes.length; i++) {
      for (let j = i + 1; j < boxes.length; j++) {
        const [p, q] = [boxes[i].box, boxes[j].box];
        if (p.top >= q.bottom || q.top >= p.bottom) continue;
        pairs++;
        if (p.left < q.right && q.left < p.right && touching.length < 5) {
          touching.push(`${boxes[i].text} [${p.left}, ${p.right}] and ${boxes[j].text} [${q.left}, ${q.right}]`);
        }
      }
    }
  }
  return {
    touching, samples, pairs, most, longest,
    lanes: tops.size,
    fps: (frames / (performance.now() - began)) * 1_000,
    dropped: document.getElementById('dropped').textContent,
    rows: document.querySelectorAll('#log li').length,
  };
}

/** What lies outside the window, and by how much the page scrolls sideways. */
export function look(selectors) {
  const outside = selectors.filter((selector) => {
    const { left, top, right, bottom, width } = document.querySelector(selector).getBoundingClientRect();
    return width === 0 || left < -0.5 || top < -0.5 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5;
  });
  const sideways = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - innerWidth;
  return { sideways: Math.max(0, sideways), outside };
}
