// Types of client.js. What the server sends is described in docs/protocol.md.

export type Role = 'guest' | 'viewer' | 'vip' | 'moderator' | 'anchor' | 'admin';
export type Mode = 'scroll' | 'top' | 'bottom' | 'reverse';
export type Size = 'medium' | 'small' | 'large';
export type State = 'idle' | 'connecting' | 'live' | 'waiting' | 'stopped' | 'closed';

/** What is left out has its default: white, scroll, medium, chat, count 1. */
export interface Comment {
  id: string;
  uid?: string;
  name?: string;
  role?: Role;
  text?: string;
  /** Unix milliseconds. */
  ts: number;
  color?: number;
  mode?: Mode;
  size?: Size;
  kind?: 'chat' | 'system' | 'announcement' | 'gift' | 'superchat' | (string & {});
  /** How many said it. */
  count?: number;
  gift?: string;
  num?: number;
  price?: number;
  duration_s?: number;
  /** Of a superchat in welcome: seconds it is still to be shown. */
  left_s?: number;
}

export interface RoomSettings {
  closed?: boolean;
  slow_mode_ms?: number;
  min_role?: Role;
}

export interface Welcome {
  type: 'welcome';
  room: string;
  epoch: string;
  seq: number;
  tick_ms: number;
  online: number;
  uid: string;
  name?: string;
  role?: Role;
  resumed?: boolean;
  settings?: RoomSettings;
  superchats?: Comment[];
  /** Comments of before, without those that were here already. */
  history: Comment[];
  /** We have been in this room just before. */
  again: boolean;
}

export interface Batch {
  type: 'batch';
  room: string;
  seq: number;
  ts: number;
  online?: number;
  likes?: number;
  sampled?: number;
  /** Where they have changed. */
  settings?: RoomSettings;
  /** Without those that were here already; retracts are among them. */
  comments: Comment[];
}

export interface Skipped {
  type: 'skipped';
  from: number;
  to: number;
  batches: number;
  comments: number;
  /** Where one of these batches told them. */
  settings?: RoomSettings;
}

export interface Goodbye {
  type: 'goodbye';
  reason?: string;
  retry_after_ms?: number;
  /** Another server of those that share the room: the next try goes there. */
  host?: string;
}

export interface Ack {
  type: 'ack';
  ref: string;
  /** Left out while the comment waits for a moderator. */
  id?: string;
}

/** Batches that do not come (any more); from and to are sequence numbers, where they are known. */
export interface Gap {
  why: 'gone_too_long' | 'new_epoch' | 'skipped' | 'missing';
  from?: number;
  to?: number;
}

export interface StateDetail {
  /** Tries in a row that did not last. */
  failures: number;
  /** Of the close before, for waiting and stopped. */
  code?: number;
  reason?: string;
  /** waiting: ms until the next try, and when that is by the clock of the client. */
  delay?: number;
  until?: number;
  /** stopped: in words. */
  why?: string;
}

export interface Events {
  state: (state: State, detail: StateDetail) => void;
  welcome: (welcome: Welcome) => void;
  /** Each comment once, in order; past: from the history of welcome. */
  comment: (comment: Comment, about: { past: boolean; own: boolean }) => void;
  /** Remove the comment of that id from what is shown; "*" is everything. */
  retract: (id: string, retract: Comment) => void;
  batch: (batch: Batch) => void;
  /** Comments to draw now, at most maxRate a second; dropped: left out since the render before. */
  render: (comments: Comment[], about: { dropped: number }) => void;
  online: (online: number) => void;
  /** The room's have changed: all that are not as usual. Welcome has those of the beginning. */
  settings: (settings: RoomSettings) => void;
  likes: (added: number, total: number) => void;
  skipped: (skipped: Skipped) => void;
  gap: (gap: Gap) => void;
  goodbye: (goodbye: Goodbye) => void;
  /** Answers that belong to no promise. */
  error: (error: DanmakuError) => void;
  /** Round trip in ms. */
  rtt: (ms: number) => void;
}

export interface Clock {
  /** ms of a steady clock. */
  now(): number;
  setTimeout(f: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

export interface BackoffOptions {
  /** ms: the first ceiling, the highest one, and how long a connection must last to forget its failures. */
  base?: number;
  cap?: number;
  stable?: number;
}

export interface RenderOptions {
  /** Comments that may wait, 200. */
  limit?: number;
  /** Comments a second, 0 for no limit. */
  maxRate?: number;
  /** ms after which waiting chat is no longer live, 2000. */
  maxAge?: number;
}

interface Listening {
  addEventListener(name: string, f: () => void): void;
  removeEventListener(name: string, f: () => void): void;
}

export interface Options {
  /** The server: ws, wss, http or https, with a path if it is below one; "/" for the page's own. */
  url: string;
  room: string;
  /** Left out for a guest. A function is asked before each connection. */
  token?: string | (() => string | Promise<string>);
  /** Comments of before to ask for, 50. */
  history?: number;
  backoff?: BackoffOptions;
  render?: RenderOptions;
  /** ms for the ack of a comment, 20000. */
  answerWithin?: number;
  welcomeWithin?: number;
  switchWithin?: number;
  pingEvery?: number;
  pongWithin?: number;
  idsKept?: number;
  /** Where there is no global one: Node before version 22. */
  WebSocket?: new (url: string, protocols?: string | string[]) => any;
  clock?: Clock;
  /** Gives [0, 1). */
  random?: () => number;
  /** Tells of visibility; document where there is one. */
  page?: Listening & { readonly hidden: boolean };
  /** Tells of "online"; the window where there is one. */
  network?: Listening;
}

export class DanmakuError extends Error {
  constructor(code: string, message: string, about?: { retryAfterMs?: number; ref?: string; sent?: boolean });
  /** The server's, or disconnected, timeout, busy, switching, superseded, stopped, closed, bad_field. */
  code: string;
  retryAfterMs: number;
  ref?: string;
  /** It went out, and may have taken effect. */
  sent: boolean;
}

export class Client {
  constructor(options: Options);
  readonly room: string;
  readonly state: State;
  readonly uid: string;
  readonly online: number;
  readonly likes: number;
  readonly queued: number;
  readonly dropped: number;
  maxRate: number;
  on<K extends keyof Events>(name: K, f: Events[K]): () => void;
  off<K extends keyof Events>(name: K, f: Events[K]): void;
  join(room?: string): Promise<Welcome>;
  switch(room: string): Promise<Welcome>;
  send(text: string, look?: { color?: number; mode?: Mode; size?: Size }): Promise<Ack>;
  renew(token: string): Promise<Ack>;
  like(count?: number): boolean;
  close(): void;
}

export function connect(options: Options): Client;

export const roomPattern: RegExp;

export class Backoff {
  constructor(options?: BackoffOptions, random?: () => number);
  readonly failures: number;
  opened(now: number): void;
  reset(): void;
  lost(lost: { now: number; code?: number; reason?: string; retryAfter?: number; renewable?: boolean }): {
    delay: number;
    least: number;
    final: string;
  };
}

export class RenderQueue {
  constructor(options?: RenderOptions);
  dropped: number;
  maxRate: number;
  readonly size: number;
  /** keep: it may not be left out; by default what is not chat. */
  push(comment: Comment, now: number, keep?: boolean): Comment[];
  take(now: number): Comment[];
  wait(now: number): number;
  retract(id: string): void;
}
