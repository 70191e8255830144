// A film to put comments over, made in the page: no file, no other host. VP8 by
// WebCodecs, in a small WebM of our own (https://www.webmproject.org/docs/container/).

const [width, height, fps, seconds] = [480, 270, 8, 40];

/** An address of a film that can be played, sought in and looped. */
export async function makeFilm() {
  if (!globalThis.VideoEncoder) throw new Error('this page needs WebCodecs: a current browser, and https or localhost');
  const frames = [];
  const encoder = new VideoEncoder({
    output: (chunk) => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      frames.push({ ms: Math.round(chunk.timestamp / 1_000), key: chunk.type === 'key', bytes });
    },
    error: (error) => console.error(error),
  });
  encoder.configure({ codec: 'vp8', width, height, bitrate: 300_000, framerate: fps });
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  for (let i = 0; i < seconds * fps; i++) {
    paint(context, i / fps);
    const frame = new VideoFrame(canvas, { timestamp: (i * 1e6) / fps, duration: 1e6 / fps });
    encoder.encode(frame, { keyFrame: i % fps === 0 });
    frame.close();
  }
  await encoder.flush();
  encoder.close();
  return URL.createObjectURL(new Blob([webm(frames)], { type: 'video/webm' }));
}

/** Hills under a sun that crosses the sky, and the time. */
function paint(context, t) {
  const sky = context.createLinearGradient(0, 0, 0, height);
  sky.addColorStop(0, '#14233b');
  sky.addColorStop(1, '#7a4a56');
  context.fillStyle = sky;
  context.fillRect(0, 0, width, height);
  const share = t / seconds;
  context.fillStyle = '#ffd38a';
  context.beginPath();
  context.arc(width * (0.1 + 0.8 * share), height * (0.55 - 0.35 * Math.sin(Math.PI * share)), 22, 0, 2 * Math.PI);
  context.fill();
  for (const [level, pace, color] of [[0.62, 6, '#2c3f4d'], [0.76, 14, '#1c2b33']]) {
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(0, height);
    for (let x = 0; x <= width; x += 8) context.lineTo(x, height * level + 14 * Math.sin((x + pace * t) / 47) + 6 * Math.sin((x + pace * t) / 19));
    context.lineTo(width, height);
    context.fill();
  }
  context.fillStyle = '#fff';
  context.font = 'bold 20px monospace';
  context.fillText(`0:${String(Math.floor(t)).padStart(2, '0')}`, 16, height - 16);
}

// EBML: an id, a length, and either bytes or more of the same.

const bytesOf = (id) => {
  const hex = id.toString(16);
  return Uint8Array.from(hex.match(/../g), (two) => Number.parseInt(two, 16));
};

function number(value, length) {
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

function real(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

function join(parts) {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function element(id, ...parts) {
  const body = join(parts.map((part) => (typeof part === 'string' ? new TextEncoder().encode(part) : part)));
  const length = number(body.length, 8);
  length[0] = 1; // seven bytes of length follow
  return join([bytesOf(id), length, body]);
}

const whole = (id, value) => element(id, number(value, 4));

function webm(frames) {
  const head = element(0x1a45dfa3, whole(0x4286, 1), whole(0x42f7, 1), whole(0x42f2, 4), whole(0x42f3, 8),
    element(0x4282, 'webm'), whole(0x4287, 2), whole(0x4285, 2));
  const info = element(0x1549a966, whole(0x2ad7b1, 1_000_000), element(0x4489, real(seconds * 1_000)),
    element(0x4d80, 'danmakud example'), element(0x5741, 'danmakud example'));
  const tracks = element(0x1654ae6b, element(0xae, whole(0xd7, 1), whole(0x73c5, 1), whole(0x83, 1), element(0x86, 'V_VP8'),
    element(0xe0, whole(0xb0, width), whole(0xba, height))));
  const clusters = [];
  for (const frame of frames) {
    if (frame.key) clusters.push({ ms: frame.ms, blocks: [] });
    const cluster = clusters.at(-1);
    const lead = Uint8Array.of(0x81, ...number(frame.ms - cluster.ms, 2), frame.key ? 0x80 : 0);
    cluster.blocks.push(element(0xa3, lead, frame.bytes));
  }
  const bodies = clusters.map(({ ms, blocks }) => element(0x1f43b675, whole(0xe7, ms), ...blocks));
  const index = (at) => element(0x1c53bb6b, ...clusters.map(({ ms }, i) =>
    element(0xbb, whole(0xb3, ms), element(0xb7, whole(0xf7, 1), whole(0xf1, at[i])))));
  // Every number of the index has four bytes, so its length is known before.
  let at = info.length + tracks.length + index(clusters.map(() => 0)).length;
  const places = bodies.map(({ length }) => (at += length) - length);
  return join([head, element(0x18538067, info, tracks, index(places), ...bodies)]);
}
