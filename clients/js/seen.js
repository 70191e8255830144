// Which comments were there already, for the last so many of them.

export class Seen {
  #half;
  #young = new Set();
  #old = new Set();

  /** Remembers at least the last `atLeast` ids, and at most twice as many. */
  constructor(atLeast) {
    this.#half = atLeast;
  }

  /** True the first time an id comes. A comment without an id is always new. */
  first(id) {
    if (id === undefined) return true;
    if (this.#young.has(id) || this.#old.has(id)) return false;
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(id);
    return true;
  }

  forget() {
    this.#young.clear();
    this.#old.clear();
  }
}
