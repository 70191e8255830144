// What is told in passing, and what is done on a click.

import { Problem } from './api.js';

/** Says something below, and to a screen reader. */
let toastTimer = 0;
export function say(text, tone = '') {
  clearTimeout(toastTimer);
  const toast = document.getElementById('toast');
  toast.textContent = text;
  toast.dataset.tone = tone;
  toast.classList.add('up');
  toastTimer = setTimeout(() => toast.classList.remove('up'), 6_000);
}

/** Does something and says how it went; true when it went well. */
export async function attempt(work, done) {
  try {
    await work();
    if (done) say(done);
    return true;
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) say(error.message, 'bad');
    return false;
  }
}

/** Calls f now and every ms until signal ends it; never two at one time. */
export function repeat(f, ms, signal) {
  let busy = false;
  const run = async () => {
    if (busy || document.hidden) return;
    busy = true;
    await f().catch(() => {}); // what failed is told by f, or by the next that works
    busy = false;
  };
  run();
  const timer = setInterval(run, ms);
  signal.addEventListener('abort', () => clearInterval(timer));
  return run;
}
