// The stage behind the comments: a moon gate, light beams through haze, and a
// crowd with light sticks. Drawn on one canvas at a fraction of the stage's
// pixels (everything is soft), from pictures that are painted once; a frame is
// some twenty drawImage calls. Every batch that arrives makes the gate glow,
// and the more is said the livelier the crowd.

const scale = 0.62; // canvas pixels a CSS pixel
const beamColors = ['#ff9d5c', '#ff4f72', '#6fb7ff', '#ffd27a', '#5fe0d0', '#b48cff'];
const stickColors = ['#ff5c86', '#ffc15e', '#63d9ff', '#ff8a5c', '#8dffcf'];
const still = matchMedia('(prefers-reduced-motion: reduce)');

export class Scene {
  #canvas;
  #pen;
  #backdrop;
  #crowd;
  #beams = [];
  #sticks = [];
  #motes = [];
  #energy = 0; // 0 calm … 1 wild
  #wanted = 0;
  #pulse = 0; // glow of the gate, falls after each batch
  #last = 0;
  #every = 1000 / 30;
  #cost = 0; // ms a frame, smoothed

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext('2d', { alpha: false });
    new ResizeObserver(() => this.#build()).observe(canvas);
    still.addEventListener('change', () => this.#start());
    document.addEventListener('visibilitychange', () => this.#start());
    this.#build();
    this.#start();
  }

  /** Comments a second, as now measured. */
  set rate(perSecond) {
    this.#wanted = Math.min(1, Math.log10(1 + perSecond) / 2.4);
  }

  /** A batch came in. */
  beat() {
    this.#pulse = Math.min(1, this.#pulse + 0.45);
  }

  #start() {
    this.#draw(performance.now());
    if (!this.#running) this.#loop();
  }

  #running = false;

  #loop() {
    this.#running = !still.matches && !document.hidden;
    if (!this.#running) return;
    requestAnimationFrame((now) => {
      if (now - this.#last >= this.#every - 2) this.#tick(now);
      this.#loop();
    });
  }

  #tick(now) {
    const passed = Math.min(200, now - this.#last);
    this.#last = now;
    this.#energy += (this.#wanted - this.#energy) * (1 - Math.exp(-passed / 900));
    this.#pulse *= Math.exp(-passed / 420);
    const before = performance.now();
    this.#draw(now);
    // A machine that finds this hard gets fewer pictures: comments come first.
    this.#cost += (performance.now() - before - this.#cost) * 0.05;
    this.#every = 1000 / (this.#cost > 9 ? 12 : this.#cost > 5 ? 20 : 30);
  }

  #build() {
    const w = Math.max(2, Math.round(this.#canvas.clientWidth * scale));
    const h = Math.max(2, Math.round(this.#canvas.clientHeight * scale));
    if (this.#canvas.width === w && this.#canvas.height === h && this.#backdrop) return;
    this.#canvas.width = w;
    this.#canvas.height = h;
    const random = seeded(20);
    this.#backdrop = paintBackdrop(w, h);
    this.#crowd = paintCrowd(w, h, random);
    this.#beams = beamColors.map((color, i) => ({
      picture: paintBeam(w, h, color),
      x: ((i + 0.5) / beamColors.length) * w,
      lean: (0.5 - (i + 0.5) / beamColors.length) * 0.7,
      speed: 0.16 + random() * 0.2,
      phase: random() * 7,
    }));
    this.#sticks = sticksFor(w, h, random);
    this.#motes = Array.from({ length: 26 }, () => ({
      x: random() * w,
      y: random() * h,
      r: 0.6 + random() * 1.6,
      drift: 3 + random() * 7,
      phase: random() * 7,
    }));
    this.#draw(performance.now());
  }

  #draw(now) {
    const pen = this.#pen;
    const { width: w, height: h } = this.#canvas;
    const t = now / 1000;
    pen.globalCompositeOperation = 'source-over';
    pen.globalAlpha = 1;
    pen.drawImage(this.#backdrop, 0, 0);
    pen.globalCompositeOperation = 'lighter';
    this.#drawGate(w, h, t);
    this.#drawBeams(t);
    this.#drawMotes(w, h, t);
    pen.globalCompositeOperation = 'source-over';
    pen.globalAlpha = 1;
    pen.drawImage(this.#crowd, 0, 0);
    pen.globalCompositeOperation = 'lighter';
    this.#drawSticks(t);
  }

  #drawGate(w, h, t) {
    const pen = this.#pen;
    const r = gateRadius(w, h);
    const breath = 0.5 + 0.5 * Math.sin(t * 0.7);
    pen.strokeStyle = '#ffb765';
    for (const [width, alpha] of [[r * 0.16, 0.1], [r * 0.07, 0.22], [r * 0.018, 1]]) {
      pen.globalAlpha = Math.min(1, alpha * (0.5 + 0.2 * breath + 0.7 * this.#pulse + 0.3 * this.#energy));
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(w / 2, gateY(h), r, 0, 7);
      pen.stroke();
    }
  }

  #drawBeams(t) {
    const pen = this.#pen;
    const liveliness = 0.6 + this.#energy * 1.2;
    for (const beam of this.#beams) {
      const swing = Math.sin(t * beam.speed * liveliness + beam.phase);
      pen.globalAlpha = (0.2 + 0.3 * this.#energy) * (0.7 + 0.3 * Math.sin(t * 0.5 + beam.phase * 3));
      pen.save();
      pen.translate(beam.x, -8);
      pen.rotate(beam.lean * 0.6 + swing * 0.34);
      pen.drawImage(beam.picture, -beam.picture.width / 2, 0);
      pen.restore();
    }
  }

  #drawMotes(w, h, t) {
    const pen = this.#pen;
    pen.fillStyle = '#ffe9c9';
    for (const mote of this.#motes) {
      const x = (mote.x + Math.sin(t * 0.2 + mote.phase) * 14 + w) % w;
      const y = (((mote.y - t * mote.drift) % h) + h) % h;
      pen.globalAlpha = 0.1 + 0.16 * (0.5 + 0.5 * Math.sin(t + mote.phase));
      pen.beginPath();
      pen.arc(x, y, mote.r, 0, 7);
      pen.fill();
    }
  }

  #drawSticks(t) {
    const pen = this.#pen;
    const reach = 0.16 + 0.4 * this.#energy;
    for (const stick of this.#sticks) {
      // Nearly one beat for all: a crowd, not a clockwork.
      const lean = Math.sin(t * (1.5 + this.#energy) + stick.phase) * reach + stick.lean;
      const lift = Math.abs(Math.sin(t * (1.5 + this.#energy) + stick.phase)) * stick.length * 0.3 * this.#energy;
      pen.globalAlpha = 0.55 + 0.4 * this.#energy;
      pen.save();
      pen.translate(stick.x, stick.y - lift);
      pen.rotate(lean);
      pen.drawImage(stick.picture, -stick.picture.width / 2, -stick.picture.height);
      pen.restore();
    }
  }
}

const gateRadius = (w, h) => Math.min(w * 0.36, h * 0.4);
const gateY = (h) => h * 0.52;

function surface(w, h) {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(w));
  canvas.height = Math.max(1, Math.round(h));
  return [canvas, canvas.getContext('2d')];
}

function paintBackdrop(w, h) {
  const [canvas, pen] = surface(w, h);
  const sky = pen.createLinearGradient(0, 0, 0, h);
  sky.addColorStop(0, '#07080d');
  sky.addColorStop(0.5, '#10111b');
  sky.addColorStop(0.78, '#241722');
  sky.addColorStop(0.86, '#2b1a1e');
  sky.addColorStop(1, '#0b080c');
  pen.fillStyle = sky;
  pen.fillRect(0, 0, w, h);
  const r = gateRadius(w, h);
  glow(pen, w / 2, gateY(h), r * 1.9, [[0, 'rgba(255,150,90,0.30)'], [0.45, 'rgba(216,70,96,0.15)'], [1, 'rgba(0,0,0,0)']]);
  glow(pen, w * 0.08, h * 0.2, w * 0.5, [[0, 'rgba(60,110,190,0.16)'], [1, 'rgba(0,0,0,0)']]);
  glow(pen, w * 0.94, h * 0.25, w * 0.45, [[0, 'rgba(120,70,190,0.13)'], [1, 'rgba(0,0,0,0)']]);
  // Inside the gate the night is a little brighter: depth without a drawing.
  pen.save();
  pen.beginPath();
  pen.arc(w / 2, gateY(h), r, 0, 7);
  pen.clip();
  glow(pen, w / 2, gateY(h) + r * 0.8, r * 1.7, [[0, 'rgba(255,190,120,0.22)'], [0.6, 'rgba(255,120,110,0.06)'], [1, 'rgba(0,0,0,0)']]);
  pen.restore();
  // The floor gives some of the light back.
  const floor = pen.createLinearGradient(0, h * 0.68, 0, h);
  floor.addColorStop(0, 'rgba(255,150,100,0)');
  floor.addColorStop(0.55, 'rgba(255,160,105,0.17)');
  floor.addColorStop(1, 'rgba(255,170,110,0)');
  pen.fillStyle = floor;
  pen.fillRect(0, h * 0.68, w, h * 0.32);
  return canvas;
}

function glow(pen, x, y, r, stops) {
  const light = pen.createRadialGradient(x, y, 0, x, y, r);
  for (const [at, color] of stops) light.addColorStop(at, color);
  pen.fillStyle = light;
  pen.fillRect(x - r, y - r, 2 * r, 2 * r);
}

function paintBeam(w, h, color) {
  const length = h * 1.02;
  const wide = Math.max(40, w * 0.15);
  const [canvas, pen] = surface(wide, length);
  // A cone of light is dense near the lamp and soft at its sides: many thin
  // triangles, each almost nothing.
  const fade = pen.createLinearGradient(0, 0, 0, length);
  fade.addColorStop(0, `${color}20`);
  fade.addColorStop(0.35, `${color}0f`);
  fade.addColorStop(1, `${color}00`);
  pen.fillStyle = fade;
  pen.globalCompositeOperation = 'lighter';
  const layers = 18;
  for (let i = 1; i <= layers; i++) {
    const half = (wide / 2) * (i / layers);
    pen.beginPath();
    pen.moveTo(wide / 2 - 1.5, 0);
    pen.lineTo(wide / 2 + 1.5, 0);
    pen.lineTo(wide / 2 + half, length);
    pen.lineTo(wide / 2 - half, length);
    pen.fill();
  }
  return canvas;
}

// Heads and shoulders in three rows, the nearest darkest.
function paintCrowd(w, h, random) {
  const [canvas, pen] = surface(w, h);
  const size = crowdSize(w, h);
  const rows = [[0.885, 0.62, '#1c1218'], [0.93, 0.8, '#120c12'], [0.985, 1, '#08060a']];
  for (const [level, share, color] of rows) {
    pen.fillStyle = color;
    const r = size * share;
    for (let x = -r; x < w + r; x += r * (1.9 + random() * 0.9)) {
      const y = h * level + (random() - 0.5) * r * 0.9;
      pen.beginPath();
      pen.arc(x, y, r * 0.52, 0, 7);
      pen.fill();
      pen.beginPath();
      pen.ellipse(x, y + r * 1.35, r * 1.06, r * 0.95, 0, 0, 7);
      pen.fill();
    }
    pen.fillRect(0, h * level + r * 1.1, w, h);
  }
  return canvas;
}

const crowdSize = (w, h) => Math.max(9, Math.min(w * 0.028, h * 0.05));

function sticksFor(w, h, random) {
  const pictures = stickColors.map((color) => paintStick(crowdSize(w, h), color));
  const count = Math.round(Math.min(46, Math.max(14, w / 15)));
  return Array.from({ length: count }, (_, i) => ({
    picture: pictures[Math.floor(random() * pictures.length)],
    x: ((i + 0.2 + random() * 0.6) / count) * w,
    y: h * (0.89 + random() * 0.1),
    length: crowdSize(w, h),
    lean: (random() - 0.5) * 0.5,
    phase: (i / count) * 5 + random() * 0.8,
  }));
}

function paintStick(size, color) {
  const [canvas, pen] = surface(size * 1.5, size * 2.5);
  const x = canvas.width / 2;
  const long = size * 1.45;
  const top = size * 0.6;
  pen.lineCap = 'round';
  // No shadowBlur: layered strokes give the same halo and cost nothing later.
  for (const [width, alpha] of [[0.95, 0.06], [0.62, 0.1], [0.36, 0.18], [0.16, 0.75]]) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = color;
    pen.lineWidth = size * width;
    pen.beginPath();
    pen.moveTo(x, top);
    pen.lineTo(x, top + long * 0.62);
    pen.stroke();
  }
  pen.globalAlpha = 0.8;
  pen.strokeStyle = '#fff6ec';
  pen.lineWidth = size * 0.06;
  pen.stroke();
  return canvas;
}

// The same crowd at each visit and each size.
function seeded(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
