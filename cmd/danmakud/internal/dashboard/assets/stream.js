// Server-sent events, read by fetch so that the key goes along as a header, which
// EventSource cannot do. A lost stream is taken up again.

import { api } from './api.js';

const retryLeast = 1_000;
const retryMost = 15_000;
const textMost = 8 << 20; // an event that is longer is none of ours

/**
 * Watches a room until signal ends it.
 * @param {{batch: Function, dropped: Function, state: Function}} on
 *   state is called with 'live' or with the words for why not
 */
export async function watch(room, signal, on) {
  let wait = retryLeast;
  while (!signal.aborted) {
    try {
      const answer = await api.stream(room, signal);
      on.state('live');
      wait = retryLeast;
      await read(answer.body, (event, data) => on[event]?.(data));
      on.state('the stream ended');
    } catch (error) {
      if (signal.aborted) return;
      on.state(error.message);
    }
    await pause(wait * (0.5 + Math.random() / 2), signal);
    wait = Math.min(retryMost, wait * 2);
  }
}

async function read(body, give) {
  const decoder = new TextDecoderStream();
  const reader = body.pipeThrough(decoder).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) parse(text.slice(0, end), give);
    if (text.length > textMost) throw new Error('the stream makes no sense');
  }
}

function parse(block, give) {
  let event = 'batch';
  let data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) event = line.slice(6).trim();
    if (line.startsWith('data:')) data += line.slice(5).trim();
  }
  if (!data || (event !== 'batch' && event !== 'dropped')) return;
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return; // a newer server
  }
  give(event, message);
}

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      done();
    }, { once: true });
  });
}
