// Elements. What comes from elsewhere goes in as text nodes and as attributes of
// a few known names; there is no way from a string to markup here.

const properties = new Set(['value', 'checked', 'disabled', 'hidden', 'selected', 'open', 'className', 'type', 'htmlFor', 'tabIndex', 'placeholder', 'maxLength', 'rows', 'min', 'max', 'step', 'name', 'required', 'autocomplete', 'spellcheck', 'title', 'colSpan', 'scope']);

/**
 * h('button', { className: 'main', onclick: f, 'aria-label': 'x' }, 'Save')
 * Children are strings, numbers, elements, lists of them, or null.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (properties.has(name)) element[name] = value;
    else if (/^(aria-[a-z]+|data-[a-z-]+|role|list|id|for)$/.test(name)) element.setAttribute(name, value);
    else if (name === 'href' && /^#\//.test(value)) element.setAttribute('href', value); // our own pages only
    else throw new Error(`no attribute ${name}`);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map(asNode));
  return element;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** Text of others: it cannot change the direction of what is around it. */
export function foreign(text, className) {
  return h('bdi', { className }, text);
}

/** Writes only what changed. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** 51234 → "51,234"; from a million on short. */
export const count = (n) => (Math.abs(n) < 1e6 ? whole.format(n) : short.format(n));
/** 0.25 → "0.25", 12.3 → "12", 45000 → "45,000" */
export const rate = (n) => (n === 0 ? '0' : n < 10 ? n.toFixed(n < 1 ? 2 : 1) : count(n));
/** As count, short from ten thousand on. */
export const compact = (n) => (Math.abs(n) < 1e4 ? whole.format(n) : short.format(n));
export const percent = (n) => `${(100 * n).toFixed(n > 0 && n < 0.1 ? 1 : 0)} %`;

/** Seconds, as a person reads a delay. */
export function delay(seconds) {
  if (seconds === 0) return '0';
  if (seconds < 1e-3) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  return `${seconds.toFixed(1)} s`;
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

/** How long something has lasted or will last. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3_600)} h ${Math.floor((s % 3_600) / 60)} min`;
  return `${Math.floor(s / 86_400)} days`;
}

export const clock = (time) => new Date(time).toLocaleTimeString('en', { hour12: false });
export const moment = (time) => new Date(time).toLocaleString('en', { hour12: false, dateStyle: 'medium', timeStyle: 'medium' });
