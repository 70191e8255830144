// The box to say something: text, colour, mode, size, likes; and what the
// server answered.

const textLimit = 200; // code points, the server's default
const likeEvery = 800; // ms; clicks in between are counted and sent as one
const likeLimit = 10; // in one message
const askAgain = 15_000; // ms after which what a moderator may have lifted is tried again
const roles = ['guest', 'viewer', 'vip', 'moderator', 'anchor', 'admin'];

export class Composer {
  #at;
  #client;
  #say;
  #live = false;
  #barredUntil = 0;
  #barTimer = 0;
  #settings = {};
  #role = 'guest';
  #placeholder;
  #likes = 0;
  #likeTimer = 0;

  /**
   * @param {Record<string, any>} at the elements
   * @param {{send: Function, like: Function}} client
   * @param {(text: string, tone?: string) => void} say shows and announces
   */
  constructor(at, client, say) {
    this.#at = at;
    this.#client = client;
    this.#say = say;
    this.#placeholder = at.text.placeholder;
    at.form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.comment(at.text.value)) at.text.value = '';
      this.#count();
    });
    at.text.addEventListener('input', () => this.#count());
    // Enter that picks a word from an input method must not send half a text.
    // 229: a browser that ends the composition before it tells of the key.
    at.text.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.isComposing || event.keyCode === 229)) event.preventDefault();
    });
    for (const button of at.quick) {
      button.addEventListener('click', () => this.comment(button.textContent));
    }
    at.like.addEventListener('click', () => this.#like());
    at.color.addEventListener('input', () => (at.anyColor.checked = true));
    this.#count();
    this.#paint();
  }

  /** Whether there is a connection to send on. */
  set live(live) {
    this.#live = live;
    this.#paint();
  }

  /** What the room allows, and who we are in it. */
  rules(settings, role) {
    this.#role = role;
    this.#barredUntil = 0;
    this.settings(settings);
  }

  settings(settings) {
    this.#settings = settings;
    this.#paint();
  }

  // Why nothing can be said here, or "".
  #silence() {
    const { closed, min_role: least } = this.#settings;
    if (closed && !this.#atLeast('moderator')) return 'The room is closed for comments · 全员禁言';
    if (least && !this.#atLeast(least)) return least === 'viewer' ? 'Guests only watch here · 登录后发言' : `Only ${least} and above speak here`;
    return '';
  }

  #atLeast(role) {
    return roles.indexOf(this.#role) >= roles.indexOf(role);
  }

  /** Sends one comment in the chosen look; false when it is not to be sent. */
  comment(raw) {
    // What the server would refuse anyway is not sent: control characters.
    const text = raw.replace(/\p{Cc}/gu, ' ').trim();
    if (!text) return false;
    if (!this.#live || performance.now() < this.#barredUntil || this.#silence()) return false;
    if (length(text) > textLimit) {
      this.#say(`Too long by ${length(text) - textLimit}. 太长了`, 'warn');
      return false;
    }
    const look = new FormData(this.#at.form);
    const chosen = look.get('color');
    const color = Number.parseInt((chosen === 'any' ? this.#at.color.value : chosen).slice(1), 16);
    const sent = this.#client.send(text, { color, mode: look.get('mode'), size: look.get('size') });
    sent.then(() => this.#said(), (error) => this.error(error, text));
    return true;
  }

  #said() {
    const slow = Number(this.#settings.slow_mode_ms) || 0;
    if (slow > 0 && !this.#atLeast('moderator')) this.#bar(slow);
  }

  /** Why something we sent was not taken; words for the sender. */
  error({ code, message, retryAfterMs: ms }, text) {
    if (code !== 'timeout') this.#giveBack(text);
    if (ms > 0) this.#bar(code === 'muted' ? Math.min(ms, askAgain) : ms);
    const words = code === 'disconnected' ? 'The connection was lost before the server confirmed your last comment.' : message;
    this.#say(code === 'rate_limited' || code === 'slow_mode' ? `Slow down a little: ${words} · 慢一点` : words, 'warn');
  }

  // A text that did not make it goes back to the box, unless something new is
  // being written there.
  #giveBack(text) {
    if (text === undefined || this.#at.text.value) return;
    this.#at.text.value = text;
    this.#count();
  }

  // No sending for a while; the button counts down.
  #bar(ms) {
    this.#barredUntil = Math.max(this.#barredUntil, performance.now() + Math.min(ms, 3_600_000));
    clearInterval(this.#barTimer);
    this.#barTimer = setInterval(() => this.#paint(), 100);
    this.#paint();
  }

  #paint() {
    const left = this.#barredUntil - performance.now();
    if (left <= 0) clearInterval(this.#barTimer);
    const { send, like, quick } = this.#at;
    const silence = this.#silence();
    const can = this.#live && left <= 0 && !silence;
    this.#at.text.disabled = silence !== '';
    this.#at.text.placeholder = silence ? '' : this.#placeholder;
    this.#at.why.hidden = !silence;
    if (this.#at.why.textContent !== silence) this.#at.why.textContent = silence;
    send.disabled = !can;
    like.disabled = !this.#live;
    for (const button of quick) button.disabled = !can;
    const label = left > 0 ? (left < 10_000 ? `${(Math.ceil(left / 100) / 10).toFixed(1)} s` : `${Math.ceil(left / 1000)} s`) : 'Send';
    if (send.firstElementChild.textContent !== label) send.firstElementChild.textContent = label;
    send.classList.toggle('waiting', left > 0);
  }

  #count() {
    const left = textLimit - length(this.#at.text.value.trim());
    this.#at.left.textContent = left <= 40 ? String(left) : '';
    this.#at.left.classList.toggle('over', left < 0);
  }

  #like() {
    this.#likes++;
    this.#at.liked();
    this.#likeTimer ||= setTimeout(() => this.#sendLikes(), likeEvery / 4);
  }

  #sendLikes() {
    const part = Math.min(this.#likes, likeLimit);
    if (this.#client.like(part)) this.#likes -= part;
    else this.#likes = 0; // a like for a lost moment is not worth keeping
    this.#likeTimer = this.#likes > 0 ? setTimeout(() => this.#sendLikes(), likeEvery) : 0;
  }
}

/** Code points, as the server counts. */
function length(text) {
  let n = 0;
  for (const _ of text) n++;
  return n;
}
